//! Reports. Each report of a run is a [`Sink`] of the same stream of [`Event`]s and writes to an `io::Write`: the timeline, the
//! journal, the events as NDJSON. The tables of commands without a run are here as well.

use std::io;

use crate::term::Tone;
pub use lab_core::event::short_id;
use lab_core::event::{Event, Keys, Status};
use lab_runner::undo::UndoState;

pub mod annotations;
pub mod diff;
pub mod drill;
pub mod encode;
pub mod file;
pub mod html;
pub mod human;
pub mod journal;
pub mod journal_file;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod metrics;
pub mod ndjson;
mod plot;
pub mod progress;
pub mod proof;
mod review;
pub mod spark;
pub mod table;
pub mod text;
pub mod timeline;
pub mod traffic;
pub mod undo_text;

pub use journal::{Journal, JournalBuilder};
pub use ndjson::read_events;

/// Name of the lab that commands use without `--name`.
const DEFAULT_LAB: &str = "default";

/// Receiver of the events of a run.
pub trait Sink: Send {
    /// Handles the next event. An error stops the run, but never its undo.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Handles the end of the stream. The last event need not be the end of the run.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes recorded events to a sink.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>, sink: &mut dyn Sink) -> io::Result<()> {
    for event in events {
        sink.event(event)?;
    }
    sink.finish()
}

/// Several sinks as one. Every sink gets every event, even if another one fails; the first error is returned.
#[derive(Default)]
pub struct FanOut {
    sinks: Vec<Box<dyn Sink>>,
}

impl FanOut {
    /// Starts without sinks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink.
    #[must_use]
    pub fn with(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    fn for_each(&mut self, mut call: impl FnMut(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
        self.sinks.iter_mut().map(|sink| call(sink.as_mut())).fold(Ok(()), io::Result::and)
    }
}

impl Sink for FanOut {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.for_each(|sink| sink.event(event))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.for_each(|sink| sink.finish())
    }
}

/// Name of a status in every report.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Error => "error",
        Status::Interrupted => "interrupted",
    }
}

/// Tone of a status in every report.
pub fn status_tone(status: Status) -> Tone {
    match status {
        Status::Passed => Tone::Good,
        Status::Failed | Status::Error => Tone::Failed,
        Status::Interrupted => Tone::Warn,
    }
}

/// Describes the server key and the caller keys, one line per caller. The flag is true if the server accepts the key.
pub fn describe_keys(keys: &Keys) -> Vec<(bool, String)> {
    let accepted = keys.accept(&keys.caller);
    let match_ = match (keys.server == keys.caller, accepted) {
        (true, _) => "they match",
        (false, true) => "the caller sends the previous key, which the server still accepts",
        (false, false) => "they differ: 401 for the caller",
    };
    let previous = keys.previous.as_ref().map(|key| format!(" (also accepts {key})")).unwrap_or_default();
    let mut lines = vec![(accepted, format!("server {}{previous} · caller {} · {match_}", keys.server, keys.caller))];
    lines.extend(keys.callers.iter().map(|(name, key)| {
        let accepted = keys.accept(key);
        let match_ = match (*key == keys.server, accepted) {
            (true, _) => "matches",
            (false, true) => "previous key, still accepted",
            (false, false) => "differs: 401 for it",
        };
        (accepted, format!("caller {name} {key} · {match_}"))
    }));
    lines
}

/// Describes the pending undo or the kept fault of a run. `option` is the `--name` option of the suggested command, or empty.
pub fn pending_undo(run: &str, scenario: &str, state: UndoState, option: &str) -> String {
    let run = short_id(run);
    match state {
        UndoState::Pending => format!("undo pending from run {run} ({scenario}); finish it with lab recover{option}"),
        UndoState::Kept => format!("kept fault of run {run} ({scenario}); undo it with lab recover{option}"),
        UndoState::Fixed { temporary: false } => {
            format!("the kept fault of run {run} ({scenario}) is fixed; nothing is left to undo")
        }
        UndoState::Fixed { temporary: true } => {
            format!(
                "the kept fault of run {run} ({scenario}) is fixed; remove its temporary lab with lab recover{option}"
            )
        }
    }
}

#[cfg(test)]
mod tests;
