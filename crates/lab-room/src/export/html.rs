//! The results as a page that needs nothing else: the room first, and then a sheet of paper per participant.

use lab_drill::drill_time;
use lab_report::report::{html as report, human};
use lab_report::term::clean;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart;
use super::results::{Outcome, ending};
use super::sheet::sheet;
use crate::config::describe;
use crate::fold::{RoomDrill, Seat};
use crate::state::State;
use crate::view::statistics::Statistics;

const STYLE: &str = include_str!("style.css");
/// Content security policy: inline styles only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page.
pub fn html(state: &State<'_>) -> Markup {
    let title = state.config.title();
    let all: Vec<(&Seat, Vec<Outcome<'_>>)> =
        state.room.taken().map(|seat| (seat, Outcome::all(state, seat))).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { (title) " · lab" }
                style { (PreEscaped(report::STYLE)) (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.sub { (state.config.created.format("%Y-%m-%d")) " · " (state.config.engine) " · "
                        (state.room.taken().filter(|seat| seat.joined.is_some()).count()) " participants" }
                }
                main {
                    @if state.room.drills.is_empty() { p.none { "No drill was started in this room." } }
                    @for (index, drill) in state.room.drills.iter().enumerate() { (self::drill(state, index, drill, &all)) }
                    @for (seat, outcomes) in &all { (sheet(state, seat, outcomes)) }
                }
                footer { p { "Written by lab " (env!("CARGO_PKG_VERSION")) " from the logs of " (describe(&state.config.name)) "." } }
            }
        }
    }
}

/// One drill of the room.
fn drill(state: &State<'_>, index: usize, drill: &RoomDrill, all: &[(&Seat, Vec<Outcome<'_>>)]) -> Markup {
    let statistics = Statistics::new(state, index);
    let played = state.room.seats.values().filter_map(|seat| state.drills.get(&seat.drill_of(index)?.id));
    let brief = played.into_iter().next().map(|drill| &drill.started.brief);
    let id = format!("drill-{}", index + 1);
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { "Drill " (index + 1) @if let Some(brief) = brief { ": " (brief.title) } }
            p.sub { (clean(&drill.order.scenario)) " · started " (drill.at.format("%Y-%m-%d %H:%M UTC"))
                @if drill.order.coach { " · with a coach" } }
            dl {
                div { dt { "seats" } dd { (statistics.seats) } }
                div { dt { "finished on their own" } dd { (statistics.finished) } }
                @if let Some(resolved) = statistics.phases.last() { div { dt { "cause removed" } dd { (resolved.reached) } } }
                @if let Some(score) = statistics.score { div { dt { "median of the points" } dd { (human::number(score.median)) } } }
            }
            @if let Some(brief) = brief { p { (report::inline(&brief.solution)) } }
            h3 { "Times from the first failed request" }
            (phases(&statistics))
            @if statistics.score.is_some() { h3 { "Points" } (chart::points(&statistics)) }
            h3 { "Hints" } (hints(&statistics))
            h3 { "Wrong fixes" } (wrong_fixes(&statistics))
            h3 { "Results" } (results(index, all))
            @if let Some(brief) = brief { @if !brief.lessons.is_empty() {
                h3 { "Lessons" } ul { @for lesson in &brief.lessons { li { (report::inline(lesson)) } } }
            } }
        }
    }
}

fn time(time: Option<u64>) -> String {
    time.map_or_else(|| "-".to_owned(), drill_time)
}

fn phases(statistics: &Statistics) -> Markup {
    let longest = statistics.phases.iter().filter_map(|phase| Some(phase.time?.greatest)).max().unwrap_or(1).max(1);
    html! {
        table {
            thead { tr {
                th scope="col" { "until" } th.n scope="col" { "reached" } th.n scope="col" { "fastest" } th.n scope="col" { "median" }
                th.n scope="col" { "middle half" } th.n scope="col" { "slowest" } th.n scope="col" { "par" } th scope="col" { span.sr { "spread" } }
            } }
            tbody {
                @for phase in &statistics.phases {
                    tr {
                        th scope="row" { (phase.name) }
                        td.n { (phase.reached) " of " (statistics.seats) }
                        td.n { (time(phase.time.map(|time| time.least))) }
                        td.n { strong { (time(phase.time.map(|time| time.median))) } }
                        td.n { @if let Some(spread) = phase.time { (drill_time(spread.lower)) " to " (drill_time(spread.upper)) } @else { "-" } }
                        td.n { (time(phase.time.map(|time| time.greatest))) }
                        td.n { (time(phase.par)) }
                        td.spread { @if let Some(spread) = phase.time { (chart::spread(spread, phase.par, longest)) } }
                    }
                }
            }
        }
    }
}

fn hints(statistics: &Statistics) -> Markup {
    if statistics.hints.iter().all(|hint| hint.opened == 0) {
        return html! { p.none { "No hint was opened." } };
    }
    html! {
        table {
            thead { tr { th scope="col" { "hint" } th.n scope="col" { "opened" } th.n scope="col" { "helped" } th.n scope="col" { "after (median)" } } }
            tbody {
                @for (index, hint) in statistics.hints.iter().enumerate() {
                    tr { th scope="row" { (index + 1) ". " (hint.about) } td.n { (hint.opened) } td.n { (hint.helped) } td.n { (time(hint.after)) } }
                }
            }
        }
        p.sub { "A hint helped if the right diagnosis, the mitigation or the resolution came after it and before the next hint." }
    }
}

fn wrong_fixes(statistics: &Statistics) -> Markup {
    html! {
        @if statistics.wrong_fixes.is_empty() { p.none { "No known wrong fix was made." } }
        @else {
            table {
                thead { tr { th scope="col" { "wrong fix" } th.n scope="col" { "seats" } th scope="col" { "why it does not help" } } }
                tbody { @for fix in &statistics.wrong_fixes { tr { th scope="row" { (fix.name) } td.n { (fix.seats) } td { (report::inline(&fix.why)) } } } }
            }
        }
    }
}

/// The seats in their order: a table by points would have a last place.
fn results(index: usize, all: &[(&Seat, Vec<Outcome<'_>>)]) -> Markup {
    html! {
        table.results {
            thead { tr {
                th scope="col" { "seat" } th scope="col" { "end" }
                @for head in ["acknowledged", "diagnosed", "users served", "cause removed", "hints", "points"] { th.n scope="col" { (head) } }
            } }
            tbody {
                @for (seat, outcomes) in all {
                    @for outcome in outcomes.iter().filter(|outcome| outcome.drill == index + 1) {
                        tr {
                            th scope="row" { a href={ "#seat-" (seat.number) } { (clean(&seat.numbered_label())) } }
                            td { (ending(outcome.ending)) }
                            td.n { (time(outcome.acknowledged_after)) } td.n { (time(outcome.diagnosed_after)) }
                            td.n { (time(outcome.mitigated_after)) } td.n { (time(outcome.resolved_after)) }
                            td.n { (outcome.hints.len()) }
                            td.n { @match &outcome.score { Some(score) => strong { (human::number(score.points)) }, None => "none" } }
                        }
                    }
                }
            }
        }
    }
}
