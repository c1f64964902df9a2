//! Report of a run in a file, in the format of its extension. The file is written when the run has ended.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::journal::{Journal, JournalBuilder};
use super::{Sink, html, json, junit, markdown};
use lab_core::event::Event;
use lab_system::files::{self, Output};

/// Permissions of a report, before the umask: reports are shared, unlike the files of the state folder.
const MODE: u32 = 0o666;

/// Format of a report file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Self-contained page with charts.
    Html,
    /// Incident review for a ticket or a chat.
    Markdown,
    /// `JUnit` XML for CI systems.
    Junit,
    /// The journal.
    Json,
}

/// File extensions and their formats.
pub const EXTENSIONS: [(&str, FileFormat); 6] = [
    ("html", FileFormat::Html),
    ("htm", FileFormat::Html),
    ("md", FileFormat::Markdown),
    ("markdown", FileFormat::Markdown),
    ("xml", FileFormat::Junit),
    ("json", FileFormat::Json),
];

impl FileFormat {
    /// Format for the extension of a file, ignoring case.
    pub fn from_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        EXTENSIONS.iter().find(|(known, _)| *known == extension).map(|(_, format)| *format)
    }

    /// Writes the report of a run.
    pub fn write(self, out: &mut impl Write, journal: &Journal) -> io::Result<()> {
        match self {
            Self::Html => html::write(out, journal),
            Self::Markdown => markdown::write(out, journal),
            Self::Junit => junit::write(out, journal),
            Self::Json => json::write(out, journal),
        }
    }
}

/// Report file. [`ReportFile::create`] finds problems with the path before the run. The file is replaced atomically after the
/// run; until then it keeps its previous content.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    format: FileFormat,
    written: bool,
    builder: JournalBuilder,
}

impl ReportFile {
    /// Checks that a file can be written at `path`.
    pub fn create(path: &Path, format: FileFormat) -> io::Result<Self> {
        // The temporary file is dropped at once, so that a killed run leaves nothing in the user's folder.
        drop(Output::create(path, MODE)?);
        Ok(Self { path: path.to_owned(), format, written: false, builder: JournalBuilder::default() })
    }

    /// Writes the report. Only the first call has an effect.
    pub fn write(&mut self, journal: &Journal) -> io::Result<()> {
        if std::mem::replace(&mut self.written, true) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.format.write(&mut bytes, journal)?;
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

    use super::{FileFormat, ReportFile};
    use crate::report::replay;
    use lab_testkit::sample_runs;

    #[test]
    fn the_extension_selects_the_format() {
        for (path, format) in [
            ("a.html", Some(FileFormat::Html)),
            ("a.b.MD", Some(FileFormat::Markdown)),
            ("x/junit.xml", Some(FileFormat::Junit)),
            ("run.json", Some(FileFormat::Json)),
            ("run.pdf", None),
            ("html", None),
        ] {
            assert_eq!(FileFormat::from_path(Path::new(path)), format, "{path}");
        }
    }

    #[test]
    fn the_file_is_written_after_the_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.md");
        let mut file = ReportFile::create(&path, FileFormat::Markdown).expect("a writable folder");
        assert!(!path.exists());
        replay(&sample_runs::rotate_key(), &mut file).expect("it can be written");
        assert!(std::fs::read_to_string(&path).expect("it is there").starts_with("# Everything is 401 now"));
        assert_eq!(folder.path().read_dir().expect("readable").count(), 1, "nothing else is left");
    }

    #[test]
    fn an_unwritable_path_fails_before_the_run() {
        let folder = tempfile::tempdir().expect("a folder");
        ReportFile::create(&folder.path().join("no/such/folder.md"), FileFormat::Markdown).expect_err("no folder");
        ReportFile::create(folder.path(), FileFormat::Markdown).expect_err("a folder");
    }
}
