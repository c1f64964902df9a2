//! Parts of a participant's page that change.

use lab_core::diagnosis::Finding;
use lab_drill::drill_time;
use lab_drill::fold::{Answer, Phase, PublicHint};
use lab_drill::messages::Kind;
use lab_report::report::drill::phase_name;
use lab_report::report::html::inline;
use maud::{Markup, html};

use super::{at, is_problem, lead};
use crate::page::text::{foreign, time_of_day};
use crate::view::seat::{SeatView, Stage};

/// Number of the trainer's messages on the page.
const NOTICES: usize = 3;

/// The last message, for a live region.
pub(super) fn announcement(view: &SeatView<'_>) -> Markup {
    html! {
        @if let Some(notice) = view.notices.first() { "The trainer: " (foreign(&notice.text)) " " }
        @if let Some(message) = view.messages.first() { (foreign(&message.from)) ": " (foreign(&message.text)) }
    }
}

/// What the trainer says, and why there is nothing to do.
pub(super) fn notices(view: &SeatView<'_>) -> Markup {
    html! {
        @if view.paused.is_some() && !view.closed {
            p.notice.warn { strong { "Paused. " } "Every clock stands still." }
        }
        @if let Some(text) = lead(view) {
            p.notice.bad[is_problem(view.outside)] {
                (text)
                @if view.drill_stage == Stage::Revealed { " " a href="/seat/debrief" { "Open your debrief" } }
            }
        }
        @if view.drill.as_ref().is_some_and(|drill| drill.coach) && view.drill_stage == Stage::Running {
            p.notice { "With a coach: "
                @if let Some(phase) = view.drill.as_ref().and_then(|drill| drill.phase) { strong { (phase_words(phase)) } }
                @for fix in view.drill.iter().flat_map(|drill| &drill.wrong_fixes) { " · wrong fix " (at(fix.at)) ": " (fix.name) }
            }
        }
        @for notice in view.notices.iter().take(NOTICES) {
            p.notice.trainer { strong { "Trainer" } " " (time_of_day(notice.at)) " " (foreign(&notice.text)) }
        }
    }
}

fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Broken => "requests fail",
        Phase::Mitigated => "mitigated, the callers succeed",
        Phase::Masked => "masked, the cause is still there",
        Phase::Resolved => "resolved",
        Phase::Quiet | Phase::Ended => phase_name(phase),
    }
}

/// Ticket and messages, the last one first.
pub(super) fn messages(view: &SeatView<'_>) -> Markup {
    html! {
        @if view.messages.is_empty() { p.none { "No messages yet." } }
        @else {
            ol.messages reversed {
                @for message in &view.messages {
                    li.ticket[message.kind == Kind::Ticket] {
                        p.from { strong { (foreign(&message.from)) } " " (at(message.at)) @if message.kind == Kind::Ticket { " · ticket" } }
                        p { (foreign(&message.text)) }
                    }
                }
            }
        }
    }
}

/// What can be seen of the lab from outside.
pub(super) fn services(view: &SeatView<'_>) -> Markup {
    let Some(snapshot) = view.snapshot else { return html! { p.none { "Not looked at yet." } } };
    html! {
        ul.services {
            @for (name, state) in &snapshot.services {
                @let good = matches!(state.as_str(), "running" | "healthy");
                li { span.dot.good[good].bad[!good] aria-hidden="true" {} (foreign(name)) " " span.bad[!good] { (foreign(state)) } }
            }
        }
        @if snapshot.alerts.is_empty() { p.none { "No alert fires." } }
        @else {
            ul.alerts { @for alert in &snapshot.alerts { li { strong.bad { "firing" } " " (foreign(alert)) } } }
        }
    }
}

pub(super) fn acknowledged(view: &SeatView<'_>) -> Markup {
    html! {
        @match view.drill.as_ref().and_then(|drill| drill.acknowledged) {
            Some(time) => p.good { "Acknowledged " (at(time)) "." },
            None => p.help { "Say so as soon as you are sure. A false alarm costs 2 points." },
        }
    }
}

/// Open hints, and the price of the next one.
pub(super) fn hints(view: &SeatView<'_>) -> Markup {
    let Some(drill) = &view.drill else { return html! {} };
    let open = |hint: &PublicHint| {
        let text = hint.open.as_ref().map(|(_, text)| text.clone()).unwrap_or_default();
        html! { li { strong { (hint.about) } " " span.dim { "(" (hint.cost) " %)" } p { (inline(&text)) } } }
    };
    html! {
        @if !drill.hints.is_empty() { ol.hints { @for hint in &drill.hints { (open(hint)) } } }
        @match &drill.next_hint {
            Some(next) => p { "Hint " (drill.hints.len() + 1) " of " (drill.hint_count) ": " strong { (next.about) }
                ". It costs " (next.cost) " % of your points for diagnosis and resolution." },
            None => p.none.no-more { "There are no more hints." },
        }
    }
}

/// Diagnoses so far.
pub(super) fn tries(view: &SeatView<'_>) -> Markup {
    let Some(drill) = &view.drill else { return html! {} };
    let findings = |findings: &[Finding]| findings.iter().map(Finding::to_string).collect::<Vec<_>>().join(", and ");
    html! {
        @if drill.tries.is_empty() { p.help { "15 points at the first try, 9 at the second, 4.5 at the third." } }
        @else {
            ol.tries {
                @for one in &drill.tries {
                    li { (findings(&one.findings)) " "
                        @match one.answer {
                            Some(Answer::Right) => strong.good { "right" },
                            Some(Answer::Partial) => strong.warn { "right, but not all of it" },
                            Some(Answer::Wrong) => strong.bad { "wrong" },
                            None => span.dim { "recorded; the answer comes with the ticket" },
                        }
                    }
                }
            }
        }
    }
}

/// The update that is due.
pub(super) fn due(view: &SeatView<'_>) -> Markup {
    let now = view.clock.map_or(0, |clock| clock.at);
    html! {
        @match view.due {
            Some(due) if due.at < now => p.bad { strong { "Overdue since " (drill_time(due.at)) "." } },
            Some(due) => p { "Due until " strong { (drill_time(due.at)) } "." },
            None if view.needs_closing => p.help { "Nothing is due. When it is over, send an update that says so." },
            None => p.help { "Nothing is due." },
        }
    }
}
