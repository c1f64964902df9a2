//! The sheet of one participant, to be printed and taken home.

use lab_drill::debrief::Source;
use lab_drill::drill_time;
use lab_drill::fold::Answer;
use lab_report::report::html::inline;
use lab_report::report::human;
use lab_report::term::clean;
use maud::{Markup, html};

use super::results::{Outcome, ending};
use crate::fold::Seat;
use crate::state::State;

/// Lines of a timeline that fit on a sheet of paper beside the rest.
const LINES: usize = 60;

/// The sheet of a participant. Seats without a drill have none.
pub(super) fn sheet(state: &State<'_>, seat: &Seat, outcomes: &[Outcome<'_>]) -> Markup {
    html! {
        @if !outcomes.is_empty() {
            section.sheet id={ "seat-" (seat.number) } {
                h2 { (clean(&seat.label())) " " span.sub { @if seat.name.is_some() { "seat " (seat.number) " · " } (state.config.title()) } }
                @for outcome in outcomes { (self::outcome(state, outcome)) }
            }
        }
    }
}

fn outcome(state: &State<'_>, outcome: &Outcome<'_>) -> Markup {
    let drill = state.drills.get(outcome.id);
    let after =
        |time: Option<u64>| time.map_or_else(|| "not reached".to_owned(), |time| format!("after {}", drill_time(time)));
    html! {
        h3 {
            "Drill " (outcome.drill)
            @if let Some(drill) = drill {
                @if outcome.without_fault { ": nothing was wrong" } @else { ": " (drill.started.brief.title) }
            }
            @if let Some(score) = &outcome.score { " " span.badge.(class(score.points)) { (human::number(score.points)) " of 100" } }
        }
        dl {
            @if !outcome.without_fault {
                div { dt { "acknowledged" } dd { (after(outcome.acknowledged_after)) } }
                div { dt { "right diagnosis" } dd { (after(outcome.diagnosed_after)) } }
                div { dt { "users served" } dd { (after(outcome.mitigated_after)) } }
                div { dt { "cause removed" } dd { (after(outcome.resolved_after)) } }
            }
            div { dt { "end" } dd { (ending(outcome.ending)) @if let Some(at) = outcome.times.ended { " at " (drill_time(at)) } } }
        }
        @if let Some(score) = &outcome.score {
            table {
                thead { tr { th scope="col" { "term" } th scope="col" { "how it follows" } th.n scope="col" { "points" } th.n scope="col" { "of" } } }
                tbody {
                    @for term in &score.terms {
                        tr { th scope="row" { (term.name.name()) } td { (term.formula) } td.n { (human::number(term.points)) }
                            td.n { @if term.maximum > 0.0 { (human::number(term.maximum)) } } }
                    }
                }
            }
        }
        @if let Some(drill) = drill.filter(|_| !outcome.without_fault) {
            p { strong { "Diagnosis: " } (drill.started.brief.diagnosis) ". " (inline(&drill.started.brief.solution)) }
            @for fix in &drill.started.brief.wrong_fixes {
                @if outcome.wrong_fixes.contains(&fix.name) { p { strong.bad { "Wrong fix " (fix.name) ": " } (inline(&fix.why)) } }
            }
        }
        (timeline(outcome))
        @if let Some(drill) = drill.filter(|drill| !outcome.without_fault && !drill.started.brief.lessons.is_empty()) {
            h4 { "Lessons" }
            ul { @for lesson in &drill.started.brief.lessons { li { (inline(lesson)) } } }
        }
    }
}

fn timeline(outcome: &Outcome<'_>) -> Markup {
    let left_out = outcome.timeline.len().saturating_sub(LINES);
    html! {
        h4 { "What you did, and what happened" }
        table.course {
            thead { tr { th.n scope="col" { "time" } th scope="col" { "you" } th scope="col" { "meanwhile" } } }
            tbody {
                @for line in outcome.timeline.iter().take(LINES) {
                    @let own = line.source == Source::Participant;
                    tr { td.n { (drill_time(line.at)) } td { @if own { (clean(&line.text)) } } td { @if !own { (clean(&line.text)) } } }
                }
            }
        }
        @if left_out > 0 { p.sub { (left_out) " more lines are in the JSON export." } }
        @if !outcome.tries.iter().any(|one| one.answer == Answer::Right) && outcome.ending.is_some() {
            p.sub { "No diagnosis was right." }
        }
    }
}

fn class(points: f64) -> &'static str {
    match points {
        80.0.. => "good",
        50.0.. => "warn",
        _ => "bad",
    }
}
