//! Journal of a run in the state folder: `events.ndjson` is written during the run, `journal.json` at its
//! end.

use std::fs::File;
use std::io;

use super::Sink;
use super::journal::JournalBuilder;
use super::ndjson::Ndjson;
use lab_core::event::Event;
use lab_system::files::{self, Folder};

/// File with one event per line.
pub const EVENTS: &str = "events.ndjson";
/// File with the journal as one document.
pub const JOURNAL: &str = "journal.json";

/// Sink that writes both files.
pub struct JournalFile {
    folder: Folder,
    events: Ndjson<File>,
    builder: JournalBuilder,
}

impl JournalFile {
    /// Creates the folder of a run and its event file.
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
