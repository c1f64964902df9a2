//! [`ReportFile`]: a report of a run in a file, in the form that its ending names, written whole when the run is over.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::journal::{Journal, JournalBuilder};
use super::{Sink, html, json, junit, markdown};
use lab_core::event::Event;
use lab_system::files::{self, Output};

/// A report is for handing out: its permissions are those of any new file.
const MODE: u32 = 0o666;

/// In what form a run is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page that needs nothing else.
    Html,
    /// For a ticket.
    Markdown,
    /// `JUnit` XML.
    Junit,
    /// The journal.
    Json,
}

/// The endings, each with its form.
pub const ENDINGS: [(&str, Form); 6] = [
    ("html", Form::Html),
    ("htm", Form::Html),
    ("md", Form::Markdown),
    ("markdown", Form::Markdown),
    ("xml", Form::Junit),
    ("json", Form::Json),
];

impl Form {
    /// The form that a file's ending names.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, form)| *form)
    }

    /// Writes a run.
    pub fn write(self, out: &mut impl Write, journal: &Journal) -> io::Result<()> {
        match self {
            Self::Html => html::write(out, journal),
            Self::Markdown => markdown::write(out, journal),
            Self::Junit => junit::write(out, journal),
            Self::Json => json::write(out, journal),
        }
    }
}

/// A file that takes a report. What keeps it from being written is found before the run; it is written as a whole after the run,
/// and what the file held before is there until then.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    form: Form,
    written: bool,
    builder: JournalBuilder,
}

impl ReportFile {
    /// A file that is to be at `path`.
    pub fn create(path: &Path, form: Form) -> io::Result<Self> {
        // Dropped at once: a run that is killed leaves nothing in the user's folder.
        drop(Output::create(path, MODE)?);
        Ok(Self { path: path.to_owned(), form, written: false, builder: JournalBuilder::default() })
    }

    /// Writes a run; only the first call has an effect.
    pub fn write(&mut self, journal: &Journal) -> io::Result<()> {
        if std::mem::replace(&mut self.written, true) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.form.write(&mut bytes, journal)?;
        files::write_output(&self.path, &bytes, MODE)
    }
}

impl Sink for ReportFile {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.builder.push(event);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(journal) = self.builder.journal() else { return Ok(()) };
        let written = self.write(&journal);
        written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Form, ReportFile};
    use crate::report::replay;
    use lab_testkit::stories;

    #[test]
    fn the_ending_names_the_form() {
        for (path, form) in [
            ("a.html", Some(Form::Html)),
            ("a.b.MD", Some(Form::Markdown)),
            ("x/junit.xml", Some(Form::Junit)),
            ("run.json", Some(Form::Json)),
            ("run.pdf", None),
            ("html", None),
        ] {
            assert_eq!(Form::of(Path::new(path)), form, "{path}");
        }
    }

    #[test]
    fn a_file_is_there_when_the_run_is_over_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.md");
        let mut file = ReportFile::create(&path, Form::Markdown).expect("it can be made");
        assert!(!path.exists());
        replay(&stories::rotate_key(), &mut file).expect("it can be written");
        assert!(std::fs::read_to_string(&path).expect("it is there").starts_with("# Everything is 401 now"));
        assert_eq!(folder.path().read_dir().expect("readable").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_written_is_known_at_the_beginning() {
        let folder = tempfile::tempdir().expect("a folder");
        ReportFile::create(&folder.path().join("no/such/folder.md"), Form::Markdown).expect_err("no folder");
        ReportFile::create(folder.path(), Form::Markdown).expect_err("a folder");
    }
}
