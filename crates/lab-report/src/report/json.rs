//! [`Json`]: `--format json`, one document when the run is over. `journal.json` holds the same bytes.

use std::io::{self, Write};

use super::journal::{Journal, JournalBuilder};
use super::{Sink, encode};
use lab_core::event::Event;

/// Writes the [`Journal`] when no more events come.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    builder: JournalBuilder,
}

impl<W: Write> Json<W> {
    /// To any writer.
    pub fn new(out: W) -> Self {
        Self { out, builder: JournalBuilder::default() }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.builder.push(event);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.builder.journal().map_or(Ok(()), |journal| write(&mut self.out, &journal))
    }
}

/// The document, as `--format json` and `journal.json` have it.
pub fn write(out: &mut impl Write, journal: &Journal) -> io::Result<()> {
    out.write_all(&encode::document(journal)?)?;
    out.flush()
}
