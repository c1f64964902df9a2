//! The debrief of a seat's drill: the same document as `lab drill show --report`, with a way back.

use lab_drill::debrief::Debrief;
use lab_report::report::drill::DebriefReport;
use maud::{Markup, html};

use crate::config::SeatNumber;
use crate::page::text::foreign;
use crate::state::State;

/// The debrief of a seat's drill, to be shown after the reveal.
pub fn debrief(state: &State<'_>, number: SeatNumber, debrief: &Debrief) -> Markup {
    let label = state.room.seats.get(&number).map(|seat| foreign(&seat.label())).unwrap_or_default();
    let top = html! {
        p.room { a href="/seat" { "Back to your seat" } " · " (state.config.title()) " · " (label) }
    };
    DebriefReport::new(debrief.clone(), None).page("/assets/report.css", &top)
}
