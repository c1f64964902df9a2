//! Drills: a person finds and fixes an incident whose cause is hidden, while a referee watches. The only state of a drill is
//! its append-only [`log`]; its secret decides the [`choice`] of the incident. What is shown and scored is computed from the
//! log's [`event`]s, so computing it again gives the same result.

#![warn(missing_docs)]

pub mod brief;
pub mod choice;
pub mod debrief;
pub mod event;
pub mod fold;
pub mod history;
pub mod log;
pub mod messages;
pub mod score;
mod seal;
#[cfg(test)]
mod testing;
pub mod updates;

/// Version of the log's format.
pub const LOG_VERSION: u32 = 1;

/// Formats a drill time in milliseconds like a stopwatch: `0:45`, `2:05`, `1:04:05`.
pub fn drill_time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
