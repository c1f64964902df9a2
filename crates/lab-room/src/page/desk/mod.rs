//! The trainer's pages.

use lab_drill::drill_time;
use lab_report::report::drill::phase_name;
use lab_report::report::html::inline;
use maud::{Markup, html};

use super::text::{self, ago, count, foreign, time_of_day};
use super::{Fragment, Frame, connection, content, icon};
use crate::fold::LabState;
use crate::state::State;
use crate::view::desk::{DeskView, Need, Progress, Row, Stuck};

mod forms;
mod look;

pub use look::seat;

/// The desk.
pub fn document(state: &State<'_>) -> Markup {
    let parts = fragments(state);
    let fragment = |id: &str| content(&parts, id);
    let body = html! {
        a.skip href="#rows" { "Skip to the seats" }
        header.top {
            div { p.room { "lab · desk" } h1 { (state.config.title()) } }
            div #summary { (fragment("summary")) }
            nav aria-label="Pages" {
                a href="/board" target="_blank" rel="noopener" { "Board" } a href="/desk/cards" { "Cards" }
                a href="/desk/export/csv" { "CSV" } a href="/desk/export/json" { "JSON" } a href="/desk/export/html" { "HTML" }
            }
        }
        (connection())
        p #alarm.sr role="status" { (fragment("alarm")) }
        main {
            section.seats aria-labelledby="h-seats" {
                h2 #h-seats { "Seats" }
                div #rows { (fragment("rows")) }
                p.help { "Those who need you come first. “!” marks a participant who has done nothing for three minutes although users fail
                    or the cause is still there, or who needs more time than par." }
            }
            div.panels {
                section aria-labelledby="h-drill" { h2 #h-drill { "Drill" } div #drill { (fragment("drill")) } (forms::drill(state)) }
                section aria-labelledby="h-say" { h2 #h-say { "Messages" } (forms::say(state)) (forms::inject(state)) }
                section aria-labelledby="h-seat" { h2 #h-seat { "One seat" } (forms::one_seat(state)) }
                section aria-labelledby="h-board" { h2 #h-board { "Board" } div #scene { (fragment("scene")) } (forms::board(state)) }
            }
        }
    };
    let title = format!("Desk · {}", state.config.title());
    Frame { title: &title, class: "desk", events: Some("/desk/events"), refresh: None }.document(&body)
}

/// The parts of the desk that change.
pub fn fragments(state: &State<'_>) -> Vec<Fragment> {
    let view = DeskView::new(state);
    vec![
        Fragment::new("summary", summary(state, &view)),
        Fragment::new("alarm", alarm(&view)),
        Fragment::new("rows", rows(state, &view)),
        Fragment::new("drill", drill(state, &view)),
        Fragment::new("scene", scene(state)),
    ]
}

fn summary(state: &State<'_>, view: &DeskView<'_>) -> Markup {
    let room = state.room;
    let joined = room.taken().filter(|seat| seat.joined.is_some()).count();
    let reserve = room.seats.values().filter(|seat| seat.reserve).count();
    let broken = view.rows.iter().filter(|row| matches!(row.seat.lab, LabState::Failed(_))).count();
    let drill = match (room.drill(), room.drills.last()) {
        (Some(_), _) => "drill in progress",
        (None, Some(_)) if room.is_revealed() => "drill over, revealed",
        (None, Some(_)) => "drill over, not revealed",
        (None, None) => "no drill yet",
    };
    // The style sheet hides buttons that have no effect by these classes.
    let class = if room.drill().is_some() { "has-drill" } else { "no-drill" };
    html! {
        p.(class).is-paused[room.paused.is_some()].is-frozen[room.frozen.is_some()].is-revealed[room.is_revealed()] {
            strong { (joined) " of " (room.taken().count()) } " joined"
            @if reserve > 0 { " · " (reserve) " in reserve" }
            @if broken > 0 { " · " strong.bad { (count(broken, "lab problem", "lab problems")) } }
            " · " (drill)
            @if let Some(at) = room.paused { " · " strong.warn { "paused since " (time_of_day(at)) } }
            @if room.closed.is_some() { " · " strong.warn { "closed" } }
        }
        p.dim { "participants open " code { (state.address) } }
    }
}

/// Seats that need the trainer, for a live region.
fn alarm(view: &DeskView<'_>) -> Markup {
    html! {
        @for row in &view.rows {
            @match row.need {
                Need::Hand(_) => { (foreign(&row.seat.label())) " has a hand up. " },
                Need::Lab => { (foreign(&row.seat.label())) " has a lab problem. " },
                _ => {},
            }
        }
    }
}

fn rows(state: &State<'_>, view: &DeskView<'_>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Seats by need" {
            table {
                thead {
                    tr {
                        th scope="col" { "seat" } th scope="col" { "needs" } th scope="col" { "state" } th scope="col" { "phase" }
                        th.n scope="col" { "time / par" } th.n scope="col" { "clock" } th.n scope="col" { "hints" }
                        th scope="col" { "diagnosis" } th scope="col" { "wrong fixes" } th scope="col" { "last action" }
                    }
                }
                tbody { @for row in &view.rows { (self::row(state, row)) } }
            }
        }
    }
}

fn row(state: &State<'_>, row: &Row<'_>) -> Markup {
    let seat = row.seat;
    let number = seat.number;
    let progress = row.progress.as_ref();
    html! {
        tr.away[seat.joined.is_none()] {
            th scope="row" { a id={ "look-" (number) } href={ "/desk/seat/" (number) } { (foreign(&seat.numbered_label())) }
                @if seat.reserve { span.dim { " reserve" } } }
            td { (need(state, row)) }
            td { (icon::badge(row.outside)) }
            td { @if let Some(progress) = progress { (phase_name(progress.phase)) } }
            td.n { @if let Some(pace) = progress.and_then(|progress| progress.pace) {
                span.bad[pace.time > pace.par] { (drill_time(pace.time)) } " / " (drill_time(pace.par))
            } }
            td.n { @if let Some(progress) = progress { (text::clock(progress.clock)) } }
            td.n { @if let Some(progress) = progress { (progress.hints.0) " of " (progress.hints.1) } }
            td { @if let Some(progress) = progress { (answer(progress)) } }
            td { @if let Some(progress) = progress { (progress.wrong_fixes.join(", ")) } }
            td { @if let Some(at) = row.acted { (ago(at, state.now)) } @else if seat.joined.is_none() { span.dim { "not joined" } } }
        }
    }
}

fn need(state: &State<'_>, row: &Row<'_>) -> Markup {
    let stuck = row.progress.as_ref().and_then(|progress| progress.stuck);
    let overdue = row.progress.as_ref().is_some_and(|progress| progress.overdue);
    let failure = row.progress.as_ref().and_then(|progress| progress.failure.as_ref());
    html! {
        @if let Some(since) = row.seat.hand { strong.bad { (icon::hand()) " hand up, " (ago(since, state.now)) } " " }
        @match stuck {
            Some(Stuck::Idle(time)) => { strong.warn { "! idle for " (drill_time(time)) } " " },
            Some(Stuck::PastPar) => { strong.warn { "! past par" } " " },
            None => {},
        }
        @if let LabState::Failed(reason) = &row.seat.lab { strong.bad { "lab problem: " } (foreign(reason)) " " }
        @if let Some(reason) = failure { strong.bad { "fault not injected: " } (foreign(reason)) " " }
        @if overdue { span.warn { "update overdue" } }
    }
}

fn answer(progress: &Progress) -> Markup {
    use lab_drill::fold::Answer;
    let tries = |text: &str| html! { (text) " (" (count(progress.tries, "try", "tries")) ")" };
    html! {
        @match progress.answer {
            Some(Answer::Right) => span.good { (tries("right")) },
            Some(Answer::Partial) => span.warn { (tries("half")) },
            Some(Answer::Wrong) => span.bad { (tries("wrong")) },
            None => {},
        }
    }
}

fn drill(state: &State<'_>, view: &DeskView<'_>) -> Markup {
    let Some(drill) = state.room.drills.last() else {
        return html! { p.none { "No drill was started in this room." } };
    };
    let limit = drill.order.limit.map(|limit| format!("limit {}", drill_time(limit.saturating_mul(1000))));
    html! {
        p { "Drill " (state.room.drills.len()) ", started " (time_of_day(drill.at))
            @if let Some(ended) = drill.ended { ", ended " (time_of_day(ended)) }
            @if let Some(limit) = limit { " · " (limit) }
            @if drill.order.coach { " · with a coach" } }
        details #incident {
            summary { "Show the incident" }
            @match &view.incident {
                Some(incident) => {
                    p { strong { (incident.title) } " " span.dim { "(" (foreign(&incident.scenario)) ")" } }
                    p { "Diagnosis: " (incident.diagnosis) }
                    p { (inline(&incident.solution)) }
                },
                None => p { strong { (foreign(&drill.order.scenario)) } },
            }
        }
    }
}

fn scene(state: &State<'_>) -> Markup {
    use crate::event::Scene;
    let name = match state.room.scene {
        Scene::Join => "how to join".to_owned(),
        Scene::Tiles => "a tile per seat".to_owned(),
        Scene::Outage => "the outage curve".to_owned(),
        Scene::Top => "the best".to_owned(),
        Scene::Seat { seat } => format!("seat {seat}"),
        Scene::Debrief => "the debrief".to_owned(),
    };
    let hidden = matches!(state.room.scene, Scene::Top | Scene::Debrief) && !state.room.is_revealed();
    html! {
        p { "It shows " strong { (name) } @if hidden { ", and tiles until the reveal" }
            @if let Some(at) = state.room.frozen { ", frozen at " (time_of_day(at)) } "." }
    }
}
