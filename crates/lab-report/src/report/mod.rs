//! What people and programs read. Every report is a [`Sink`] of the same stream of [`Event`]s and writes to any
//! `io::Write`: the timeline, the journal as one document, the events line by line. Beside them the tables of the verbs
//! that make no run.

use std::io;

use crate::term::Tone;
pub use lab_core::event::short_id;
use lab_core::event::{Event, Keys, Status};

pub mod annotations;
pub mod diff;
pub mod encode;
pub mod file;
pub mod html;
pub mod human;
pub mod journal;
pub mod journal_file;
pub mod json;
pub mod junit;
pub mod live;
pub mod markdown;
pub mod metrics;
pub mod ndjson;
mod plot;
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

/// The name of the lab that needs no `--name`.
const DEFAULT_LAB: &str = "default";

/// Takes the events of a run.
pub trait Sink: Send {
    /// One thing that happened, in order. An error asks the run to stop; it never skips the undo.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// No more events come, whether or not the run got to its end.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells a sink the events of a run that is over.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>, sink: &mut dyn Sink) -> io::Result<()> {
    for event in events {
        sink.event(event)?;
    }
    sink.finish()
}

/// Several sinks as one. Each gets every event, whatever the others make of it; the first error is reported.
#[derive(Default)]
pub struct Fan {
    sinks: Vec<Box<dyn Sink>>,
}

impl Fan {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    #[must_use]
    pub fn and(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    fn each(&mut self, mut call: impl FnMut(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
        self.sinks.iter_mut().map(|sink| call(sink.as_mut())).fold(Ok(()), io::Result::and)
    }
}

impl Sink for Fan {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.each(|sink| sink.event(event))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.each(|sink| sink.finish())
    }
}

/// The word for a status, as it stands in every report.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Error => "error",
        Status::Interrupted => "interrupted",
    }
}

/// The colour of a status.
pub fn status_tone(status: Status) -> Tone {
    match status {
        Status::Passed => Tone::Good,
        Status::Failed | Status::Error => Tone::Failed,
        Status::Interrupted => Tone::Warn,
    }
}

/// The key that the server expects and the ones that callers send: a line each, and whether the server takes that key.
pub fn keys(keys: &Keys) -> Vec<(bool, String)> {
    let same = keys.server == keys.caller;
    let match_ = if same { "they match" } else { "they differ: 401 for the caller" };
    let mut lines = vec![(same, format!("server {} · caller {} · {match_}", keys.server, keys.caller))];
    lines.extend(keys.callers.iter().map(|(name, key)| {
        let same = *key == keys.server;
        let match_ = if same { "matches" } else { "differs: 401 for it" };
        (same, format!("caller {name} {key} · {match_}"))
    }));
    lines
}

/// Describes the pending undo or the kept fault of a run. `option` is the `--name` option of the suggested command, or empty.
pub fn pending_undo(run: &str, scenario: &str, kept: bool, option: &str) -> String {
    let run = short_id(run);
    if kept {
        format!("fault still active from run {run} ({scenario}); undo it with lab recover{option}")
    } else {
        format!("undo pending from run {run} ({scenario}); finish it with lab recover{option}")
    }
}

#[cfg(test)]
mod tests;
