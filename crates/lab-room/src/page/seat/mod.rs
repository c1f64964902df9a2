//! A participant's page.

use lab_drill::drill_time;
use lab_drill::fold::PublicCaller;
use maud::{Markup, html};

use super::text::{self, foreign};
use super::{Fragment, Frame, chart, connection, console, content, icon};
use crate::config::SeatNumber;
use crate::fold::LabState;
use crate::state::State;
use crate::view::Outside;
use crate::view::seat::{SeatView, Stage};

mod debrief;
mod forms;
mod parts;

pub use debrief::debrief;

/// The page of a seat.
pub fn document(state: &State<'_>, number: SeatNumber) -> Markup {
    let Some(view) = SeatView::new(state, number) else {
        return super::message("No such seat", "This room has no seat with this number.", "/");
    };
    let parts = fragments_of(state, &view);
    let fragment = |id: &str| content(&parts, id);
    let body = html! {
        a.skip href="#line" { "Skip to the console" }
        header.top {
            div #status { (fragment("status")) }
            div #clock role="timer" aria-live="off" { (fragment("clock")) }
            (forms::hand())
        }
        (connection())
        p #announce.sr role="status" { (fragment("announce")) }
        div #notices { (fragment("notices")) }
        main {
            div.left {
                section aria-labelledby="h-messages" { h2 #h-messages { "Messages" } div #messages { (fragment("messages")) } }
                section aria-labelledby="h-callers" { h2 #h-callers { "What callers get" } div #callers { (fragment("callers")) } }
                section aria-labelledby="h-services" { h2 #h-services { "Services and alerts" } div #services { (fragment("services")) } }
            }
            section.terminal aria-labelledby="h-console" {
                h2 #h-console { "Console" }
                div #console tabindex="0" role="region" aria-label="Lines and their output" data-follow { (fragment("console")) }
                p #heard.sr role="status" { (fragment("heard")) }
                (forms::console())
            }
            div.actions.drill-only {
                section aria-labelledby="h-ack" { h2 #h-ack { "Is there an incident?" } div #acknowledged { (fragment("acknowledged")) } (forms::acknowledge()) }
                section aria-labelledby="h-hints" { h2 #h-hints { "Hints" } div #hints { (fragment("hints")) } (forms::hint()) }
                section aria-labelledby="h-diagnosis" { h2 #h-diagnosis { "Diagnosis" } div #tries { (fragment("tries")) } (forms::diagnosis()) }
                section.wide aria-labelledby="h-update" { h2 #h-update { "Update to others" } div #due { (fragment("due")) } (forms::update()) }
                section aria-labelledby="h-finish" { h2 #h-finish { "Finish" } (forms::finish()) }
            }
            details.name { summary { "Change your name" } (forms::name(&view)) }
        }
    };
    let title = format!("{} · {}", foreign(&view.seat.label()), state.config.title());
    Frame { title: &title, class: "seat", events: Some("/seat/events"), refresh: None }.document(&body)
}

/// The parts of a seat's page that change. There are none if the seat does not exist.
pub fn fragments(state: &State<'_>, number: SeatNumber) -> Vec<Fragment> {
    SeatView::new(state, number).map(|view| fragments_of(state, &view)).unwrap_or_default()
}

fn fragments_of(state: &State<'_>, view: &SeatView<'_>) -> Vec<Fragment> {
    vec![
        Fragment::new("status", status(state, view)),
        Fragment::new("clock", clock(view)),
        Fragment::new("announce", parts::announcement(view)),
        Fragment::new("notices", parts::notices(view)),
        Fragment::new("messages", parts::messages(view)),
        Fragment::new("callers", callers(view)),
        Fragment::new("services", parts::services(view)),
        Fragment::new("console", console::lines(view.console())),
        Fragment::new("heard", console::announcement(view.console())),
        Fragment::new("acknowledged", parts::acknowledged(view)),
        Fragment::new("hints", parts::hints(view)),
        Fragment::new("tries", parts::tries(view)),
        Fragment::new("due", parts::due(view)),
    ]
}

fn status(state: &State<'_>, view: &SeatView<'_>) -> Markup {
    let seat = view.seat;
    // The style sheet hides what a stage does not need by these classes.
    let drill_stage = match view.drill_stage {
        Stage::Before => "before",
        Stage::Starting => "soon",
        Stage::Running => "running",
        Stage::Over | Stage::Revealed => "over",
    };
    html! {
        p.room.(drill_stage).hand-up[seat.hand.is_some()] {
            "lab · " (state.config.title()) @if seat.name.is_some() { " · seat " (seat.number) }
        }
        h1 { (foreign(&seat.label())) " " (icon::badge(view.outside)) }
    }
}

fn clock(view: &SeatView<'_>) -> Markup {
    html! {
        @if view.clock.is_some() {
            span.time { (text::clock(view.clock)) }
            @if view.paused.is_some() { span.note { "paused" } }
            @else if view.drill.as_ref().is_some_and(|drill| drill.unknown) { span.note { "clock stopped: the referee cannot look" } }
            @else if view.drill_stage != Stage::Running { span.note { "over" } }
            @else if let Some(left) = text::left(view.clock) { span.note { (left) " left" } }
        }
    }
}

fn callers(view: &SeatView<'_>) -> Markup {
    let Some(drill) = &view.drill else {
        let text = match view.drill_stage {
            Stage::Starting => "The drill begins in a moment.",
            _ => "Callers start with the drill.",
        };
        return html! { p.none { (text) } };
    };
    let success = |caller: &PublicCaller| {
        html! {
            @match chart::percent(caller.sent, caller.succeeded) {
                Some(percent) => span.bad[percent < 99].good[percent >= 99] { (percent) " %" },
                None => "nothing sent",
            }
        }
    };
    html! {
        (chart::callers(&drill.seconds))
        table.callers {
            thead { tr { th scope="col" { "caller" } th.n scope="col" { "rate" } th.n scope="col" { "success, last 10 s" } } }
            tbody {
                @for caller in &drill.callers {
                    tr { th scope="row" { (foreign(&caller.name)) } td.n { (text::points(caller.rate)) "/s" } td.n { (success(caller)) } }
                }
            }
        }
    }
}

/// Why there is nothing to do yet, or any more.
fn lead(view: &SeatView<'_>) -> Option<&'static str> {
    if view.closed {
        return Some("This room is closed. Thank you for taking part.");
    }
    match (&view.seat.lab, view.drill_stage) {
        (LabState::Failed(_), _) => Some("Your lab has a problem. The trainer sees it and can reset it."),
        (LabState::Starting, _) => Some("Your lab is starting."),
        (LabState::Ready, Stage::Before) => {
            Some("No drill is in progress. Look around until it begins: the console runs commands in your own lab.")
        }
        (LabState::Ready, Stage::Starting) => Some("The drill begins in a moment."),
        (LabState::Ready, Stage::Running) => None,
        (LabState::Ready, Stage::Over) => {
            Some("Your drill is over. The debrief follows when the trainer reveals it to all.")
        }
        (LabState::Ready, Stage::Revealed) => Some("The debrief is open."),
    }
}

/// `at 2:05`.
fn at(milliseconds: u64) -> String {
    format!("at {}", drill_time(milliseconds))
}

/// Whether a state is worth a note beside the lead.
fn is_problem(outside: Outside) -> bool {
    outside == Outside::Problem
}
