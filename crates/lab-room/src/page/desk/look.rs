//! A look into one seat: its console, and the timeline of its drill.

use lab_drill::debrief::{Source, timeline};
use lab_drill::drill_time;
use lab_report::report::drill::phase_name;
use maud::{Markup, html};

use super::forms;
use crate::config::SeatNumber;
use crate::page::text::{ago, foreign, time_of_day};
use crate::page::{Frame, chart, connection, console, icon, message, text};
use crate::state::State;
use crate::view::Current;
use crate::view::desk::Row;

/// Lines of the console.
const CONSOLE: usize = 60;

/// The page of a seat for the trainer. It cannot type into the console.
pub fn seat(state: &State<'_>, number: SeatNumber) -> Markup {
    let Some(seat) = state.room.seats.get(&number) else {
        return message("No such seat", &format!("This room has no seat {number}."), "/desk");
    };
    let row = Row::new(state, seat);
    let drill = Current::new(state, seat).and_then(|current| current.drill);
    let lines = &seat.console[seat.console.len().saturating_sub(CONSOLE)..];
    let body = html! {
        header.top {
            div { p.room { a href="/desk" { "Desk" } " · " (state.config.title()) }
                h1 { "Seat " (number) @if let Some(name) = &seat.name { " · " (foreign(name)) } } }
            div #now data-fragment {
                p { (icon::badge(row.outside))
                    @if let Some(progress) = &row.progress { " · " (phase_name(progress.phase)) " · " (text::clock(progress.clock)) }
                    @if let Some(at) = row.acted { " · last action " (ago(at, state.now)) } }
                p { (super::need(state, &row)) }
            }
        }
        (connection())
        main.look {
            section.terminal aria-labelledby="h-console" {
                h2 #h-console { "Console" }
                div #console data-fragment tabindex="0" role="region" aria-label="Lines and their output" data-follow { (console::lines(lines)) }
            }
            div.panels {
                section aria-labelledby="h-do" { h2 #h-do { "Actions" } (forms::this_seat(number)) }
                section aria-labelledby="h-callers" { h2 #h-callers { "What callers get" }
                    div #callers data-fragment { @match drill { Some(drill) => (chart::callers(&drill.public().seconds)), None => p.none { "No drill." } } } }
                section aria-labelledby="h-time" { h2 #h-time { "Timeline" }
                    div #timeline data-fragment {
                        @match drill {
                            Some(drill) => ol.timeline {
                                @for line in timeline(drill) {
                                    li.(class(line.source)) { span.at { (drill_time(line.at)) } " " (foreign(&line.text)) }
                                }
                            },
                            None => p.none { "No drill." },
                        }
                    }
                }
                section aria-labelledby="h-said" { h2 #h-said { "You said" }
                    div #said data-fragment {
                        @if seat.said.is_empty() { p.none { "Nothing to this seat." } }
                        ul { @for notice in seat.said.iter().rev() { li { (time_of_day(notice.at)) " " (foreign(&notice.text)) } } }
                    }
                }
            }
        }
    };
    let title = format!("Seat {number} · {}", state.config.title());
    Frame { title: &title, class: "desk", events: None, refresh: Some(2) }.document(&body)
}

/// Class of a line, and its owner for screen readers.
fn class(source: Source) -> &'static str {
    match source {
        Source::Referee => "referee",
        Source::Message => "message",
        Source::Participant => "participant",
    }
}
