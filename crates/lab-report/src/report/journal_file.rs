//! [`JournalFile`]: the journal of a run in the state folder: `events.ndjson`, written as it happens, and `journal.json`, when the
//! run is over.

use std::fs::File;
use std::io;

use super::Sink;
use super::journal::JournalBuilder;
use super::ndjson::Ndjson;
use lab_core::event::Event;
use lab_system::files::{self, Folder};

/// The events, one a line.
pub const EVENTS: &str = "events.ndjson";
/// The journal, one document.
pub const JOURNAL: &str = "journal.json";

/// Keeps the journal of a run.
pub struct JournalFile {
    folder: Folder,
    events: Ndjson<File>,
    builder: JournalBuilder,
}

impl JournalFile {
    /// In the folder of a run, which is made.
    pub fn create(folder: &Folder) -> io::Result<Self> {
        files::make_folder(folder.root())?;
        let events = Ndjson::new(files::append(&folder.path(EVENTS))?);
        Ok(Self { folder: folder.clone(), events, builder: JournalBuilder::default() })
    }
}

impl Sink for JournalFile {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.builder.push(event);
        self.events.event(event)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.events.finish()?;
        let Some(journal) = self.builder.journal() else { return Ok(()) };
        files::write_atomic(&self.folder.path(JOURNAL), &super::encode::document(&journal)?)
    }
}
