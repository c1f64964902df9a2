//! Times, numbers and foreign text for people.

use chrono::{DateTime, Local, Utc};
use lab_drill::drill_time;
use lab_report::term::clean_lines;
use maud::{Markup, html};

use crate::view::Clock;

/// Text of participants and commands: without control characters and invisible characters, with its line ends.
pub(super) fn foreign(text: &str) -> String {
    clean_lines(text)
}

/// Time of day, as on the clock of the room's machine.
pub(super) fn time_of_day(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (at.with_timezone(&Local).format("%H:%M")) } }
}

/// Time since then, in words: `just now`, `4 min ago`.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (now - at).num_seconds() {
        ..60 => "just now".to_owned(),
        seconds => format!("{} min ago", seconds / 60),
    }
}

/// A clock that the script lets tick. `None` shows a dash.
pub(super) fn clock(clock: Option<Clock>) -> Markup {
    html! {
        @match clock {
            Some(Clock { at, running, .. }) => span.ticks data-clock=(at) data-runs[running] { (drill_time(at)) },
            None => "-",
        }
    }
}

/// The time until the limit, which the script lets tick.
pub(super) fn left(clock: Option<Clock>) -> Option<Markup> {
    let clock = clock?;
    let left = clock.left?;
    Some(html! { span.ticks data-clock=(left) data-runs[clock.running] data-down { (drill_time(left)) } })
}

/// Points without a needless decimal.
pub(super) fn points(points: f64) -> String {
    lab_report::report::human::number(points)
}

/// `1 seat`, `2 seats`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
