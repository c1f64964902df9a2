//! What people and programs read. Every report is a [`Sink`] of the same stream of [`Event`]s and writes to any
//! `io::Write`: the timeline, the journal as one document, the events line by line. Beside them the tables of the verbs
//! that make no run.

use std::io;

use crate::event::{Event, Status, UndoItem};
use crate::term::Tone;

pub mod encode;
pub mod human;
pub mod journal;
pub mod journal_file;
pub mod json;
pub mod live;
pub mod metrics;
pub mod ndjson;
pub mod table;
pub(crate) mod text;
pub mod timeline;
pub mod traffic;

pub use journal::{Journal, JournalBuilder};
pub use ndjson::read_events;

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
        Status::Held => "held",
        Status::Failed => "failed",
        Status::Error => "error",
        Status::Interrupted => "interrupted",
    }
}

/// The colour of a status.
pub fn status_tone(status: Status) -> Tone {
    match status {
        Status::Held => Tone::Held,
        Status::Failed | Status::Error => Tone::Failed,
        Status::Interrupted => Tone::Warn,
    }
}

/// The ending of a run's id that serves to name it: `7f3a` of `20261124T101530Z-7f3a`.
pub fn short_id(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// What a change was put back to: `app APP_API_KEY apikey-v1`, `app DEBUG unset`, `gateway running`, `lab removed`.
pub fn put_back(item: &UndoItem) -> String {
    with_value(item, before(item))
}

/// The value before the run; a variable that was not there had none.
fn before(item: &UndoItem) -> &str {
    if item.value.is_empty() { "unset" } else { &item.value }
}

/// A change and a value of it. A state needs no name.
fn with_value(item: &UndoItem, value: &str) -> String {
    match item.name.as_str() {
        "state" => format!("{} {value}", item.target),
        name => format!("{} {name} {value}", item.target),
    }
}

#[cfg(test)]
pub(crate) mod stories;
#[cfg(test)]
mod tests;
