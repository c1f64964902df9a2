//! `--format json`: the journal as one document at the end of the run, byte for byte the same as `journal.json`.

use std::io::{self, Write};

use super::journal::{Journal, JournalBuilder};
use super::{Sink, encode};
use lab_core::event::Event;

/// Sink that writes the [`Journal`] at the end of the stream.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    builder: JournalBuilder,
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
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

/// Writes a journal as a document.
pub fn write(out: &mut impl Write, journal: &Journal) -> io::Result<()> {
    out.write_all(&encode::document(journal)?)?;
    out.flush()
}
