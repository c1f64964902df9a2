//! Debrief of a drill, on a terminal, as HTML, Markdown and JSON. All show the same review; JSON has the debrief itself.

use std::io::{self, Write};
use std::path::Path;

use lab_drill::debrief::Debrief;
use lab_drill::fold::Phase;
use lab_drill::history::Suggestion;
use maud::Markup;
use serde::Serialize;

use super::file::FileFormat;
use super::{encode, html, markdown, review};
use crate::term::Painter;

mod history;
mod plot;
mod sections;

pub use history::history;

/// Debrief of a drill with the next drill to try.
#[derive(Clone, Debug, Serialize)]
pub struct DebriefReport {
    #[serde(flatten)]
    debrief: Debrief,
    /// The next drill to try.
    next: Option<Suggestion>,
}

impl DebriefReport {
    /// Report of a drill that is over.
    pub fn new(debrief: Debrief, next: Option<Suggestion>) -> Self {
        Self { debrief, next }
    }

    /// Format for the extension of a file. `None` if a debrief has no such format.
    pub fn format(path: &Path) -> Option<FileFormat> {
        FileFormat::from_path(path).filter(|format| *format != FileFormat::Junit)
    }

    /// Writes it in a format of [`DebriefReport::format`].
    pub fn write(&self, format: FileFormat, out: &mut impl Write) -> io::Result<()> {
        let review = sections::review(&self.debrief, self.next.as_ref());
        match format {
            FileFormat::Html => {
                out.write_all(self.html(&review, html::Place::File).into_string().as_bytes())?;
            }
            FileFormat::Markdown => out.write_all(markdown::document(&review).as_bytes())?,
            FileFormat::Json => out.write_all(&encode::document(self)?)?,
            FileFormat::Junit => return Err(io::Error::other("a debrief has no JUnit format")),
        }
        out.flush()
    }

    /// The page for a server that has [`html::STYLE`] at the address `stylesheet`, with `top` above the title.
    pub fn page(&self, stylesheet: &str, top: &Markup) -> Markup {
        let review = sections::review(&self.debrief, self.next.as_ref());
        self.html(&review, html::Place::Server { stylesheet, top })
    }

    fn html(&self, review: &review::Review, place: html::Place<'_>) -> Markup {
        let plot = plot::plot(&self.debrief);
        let origin = format!("the log of drill {}. Times are relative to its start.", self.debrief.id);
        html::review_page(review, plot.as_ref(), &origin, place)
    }

    /// Writes it for a terminal, at most `width` columns wide.
    pub fn write_text(&self, out: &mut impl Write, width: usize, painter: Painter) -> io::Result<()> {
        let review = sections::review(&self.debrief, self.next.as_ref());
        review::write_terminal(out, &review, plot::plot(&self.debrief).as_ref(), width, painter)
    }
}

/// Name of a phase for people.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Quiet => "quiet",
        Phase::Broken => "broken",
        Phase::Mitigated => "mitigated",
        Phase::Masked => "masked",
        Phase::Resolved => "resolved",
        Phase::Ended => "over",
    }
}

#[cfg(test)]
mod tests;
