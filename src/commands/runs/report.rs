//! `lab runs report`: writes a run in one or more report formats.

use std::path::Path;

use crate::cli::Forms;
use crate::commands::session::Session;
use lab_core::error::{Exit, Failure};
use lab_report::report::file::{FileFormat, ReportFile};
use lab_report::report::journal::Journal;

/// File argument for standard output.
pub(super) const STDOUT: &str = "-";

pub(super) fn report(session: &Session, journal: &Journal, wanted: &Forms) -> anyhow::Result<Exit> {
    let forms = [
        (&wanted.html, FileFormat::Html),
        (&wanted.markdown, FileFormat::Markdown),
        (&wanted.junit, FileFormat::Junit),
        (&wanted.json, FileFormat::Json),
    ];
    let wanted: Vec<(&Path, FileFormat)> =
        forms.iter().filter_map(|(path, form)| Some((path.as_deref()?, *form))).collect();
    if wanted.iter().filter(|(path, _)| *path == Path::new(STDOUT)).count() > 1 {
        return Err(Failure::usage("only one report can go to standard output").into());
    }
    for (path, form) in wanted {
        if path == Path::new(STDOUT) {
            form.write(&mut session.term.data(), journal)?;
        } else {
            ReportFile::create(path, form)
                .and_then(|mut file| file.write(journal))
                .map_err(|error| failed(path, &error))?;
            session.term.note(&format!("wrote {}", path.display()));
        }
    }
    Ok(Exit::Passed)
}

/// Error for an output file.
pub(in crate::commands) fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}
