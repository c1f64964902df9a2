//! `lab runs export` and `import`: a run as one file, a header line followed by its events. An import is validated first, is
//! stored under the id in its events and never replaces another run.

use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::report::{STDOUT, failed};
use crate::commands::session::Session;
use lab_core::error::{Exit, Failure};
use lab_core::event::{Event, EventKind, FORMAT_VERSION};
use lab_report::report::ndjson::ReadError;
use lab_report::report::{Journal, encode, journal_file, read_events, short_id};
use lab_report::term::clean;
use lab_runner::lab::StateFolder;
use lab_system::files::{self, Folder, Unusable};

/// Value of [`Head::file`].
const KIND: &str = "lab run";

/// Header line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// Always [`KIND`].
    file: String,
    /// The [`FORMAT_VERSION`] of the events.
    version: u32,
    /// Id of the run.
    id: String,
    /// Number of bytes that follow.
    bytes: u64,
}

/// Exports the events of a run as they are on disk.
pub(super) fn export(session: &Session, id: &str, events: &Path, to: &Path) -> anyhow::Result<Exit> {
    let body = files::read_state(events, files::JOURNAL_LIMIT)
        .map_err(|error| Failure::failed(format!("{}: {error}", events.display())))?;
    let head = Head { file: KIND.to_owned(), version: FORMAT_VERSION, id: id.to_owned(), bytes: body.len() as u64 };
    let bytes = [encode::line(&head)?, body].concat();
    if to == Path::new(STDOUT) {
        return session.print(&bytes);
    }
    // Replaced atomically: concurrent readers see the old or the new file.
    files::write_output(to, &bytes, 0o600).map_err(|error| failed(to, &error))?;
    session.term.note(&format!("wrote {}; import it with lab runs import", to.display()));
    Ok(Exit::Passed)
}

/// Imports a run into the history.
pub(super) fn import(session: &Session, state: &StateFolder, from: &Path) -> anyhow::Result<Exit> {
    let bytes = read(from)?;
    let refused = |why: ImportError| Failure::usage(format!("{}: {why}", from.display()));
    let (id, body) = split_header(&bytes).map_err(refused)?;
    let (journal, events) = validate(&id, body).map_err(refused)?;
    let target = state.run_folder(&journal.id);
    if target.root().exists() {
        let known = files::read_state(&target.path(journal_file::EVENTS), files::JOURNAL_LIMIT).unwrap_or_default();
        if known == body {
            session.term.note("the run is already in the history");
            return session.line(&summary(&journal, events));
        }
        let exists = ImportError::OtherRun(journal.id);
        return Err(refused(exists).hint("nothing was changed; see lab runs list").into());
    }
    store(state, &target, &journal, body)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", target.root().display())))?;
    session.line(&summary(&journal, events))
}

fn summary(journal: &Journal, events: usize) -> String {
    let id = short_id(&journal.id);
    format!("run {id} · {} · {events} events · lab runs show {id}", clean(&journal.scenario))
}

fn read(from: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| match Unusable::in_error(&error) {
        Some(_) => Failure::usage(format!("{}: {error}", from.display())),
        None => Failure::failed(format!("{}: {error}", from.display())),
    };
    // Events plus the header line.
    let limit = files::JOURNAL_LIMIT + files::RECORD_LIMIT;
    if from == Path::new(STDOUT) {
        return files::read_within(std::io::stdin().lock(), limit).map_err(failed);
    }
    files::read_input(from, limit).map_err(failed)
}

/// Reason why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error("not a run exported by lab runs export")]
    NoHeader,
    #[error("not a run exported by lab runs export ({0})")]
    Header(serde_json::Error),
    #[error("not a run but {0:?}")]
    OtherKind(String),
    #[error("written by a newer version of lab (format {0}; this version reads up to {known})", known = FORMAT_VERSION)]
    Newer(u32),
    #[error("damaged: {found} bytes of events instead of {expected}")]
    Damaged { found: u64, expected: u64 },
    #[error("{0:?} is not a run id")]
    Id(String),
    #[error(transparent)]
    Events(#[from] ReadError),
    #[error("its events are not those of one complete run")]
    Incomplete,
    #[error("its events belong to run {events:?}, but its header names {header}")]
    IdMismatch { events: String, header: String },
    #[error("another run {0} exists already")]
    OtherRun(String),
}

/// Splits an exported run into the id of its header and its events.
fn split_header(bytes: &[u8]) -> Result<(String, &[u8]), ImportError> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(ImportError::NoHeader)?;
    let head: Head = serde_json::from_slice(&bytes[..end]).map_err(ImportError::Header)?;
    if head.file != KIND {
        return Err(ImportError::OtherKind(head.file));
    }
    if head.version > FORMAT_VERSION {
        return Err(ImportError::Newer(head.version));
    }
    let body = &bytes[end + 1..];
    let found = body.len() as u64;
    if found != head.bytes {
        return Err(ImportError::Damaged { found, expected: head.bytes });
    }
    Ok((head.id, body))
}

/// Validates the events. Returns the journal and the number of events.
fn validate(id: &str, body: &[u8]) -> Result<(Journal, usize), ImportError> {
    if !is_id(id) {
        return Err(ImportError::Id(id.to_owned()));
    }
    let events = read_events(BufReader::new(body))?;
    let begins = |event: &Event| matches!(event.kind, EventKind::RunStarted(_));
    if !events.first().is_some_and(begins) || events.iter().filter(|event| begins(event)).count() != 1 {
        return Err(ImportError::Incomplete);
    }
    let journal = Journal::from_events(&events).ok_or(ImportError::Incomplete)?;
    if journal.id != id {
        return Err(ImportError::IdMismatch { events: journal.id, header: id.to_owned() });
    }
    Ok((journal, events.len()))
}

/// Returns true for ids like `20261124T101530.123Z-7f3a`, and for nothing that could be a path. Old ids have no milliseconds.
fn is_id(id: &str) -> bool {
    let Some((time, ending)) = id.split_once('-') else { return false };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    ["00000000T000000.000Z", "00000000T000000Z"].contains(&shape.as_str())
        && (4..=16).contains(&ending.len())
        && ending.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Writes the run to a draft folder and moves it into the history atomically.
fn store(state: &StateFolder, target: &Folder, journal: &Journal, body: &[u8]) -> std::io::Result<()> {
    let (making, _lock) = files::draft_folder(state.root())?;
    files::write_atomic(&making.path().join(journal_file::EVENTS), body)?;
    files::write_atomic(&making.path().join(journal_file::JOURNAL), &encode::document(journal)?)?;
    // Rename never replaces a non-empty folder.
    std::fs::rename(making.path(), target.root())?;
    // The draft was moved: do not remove it.
    let _moved = making.keep();
    files::sync_folder(target.root().parent().unwrap_or(state.root()))
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn an_id_is_no_path() {
        assert!(is_id("20261124T101530.123Z-7f3a"));
        assert!(is_id("20261124T101530Z-7f3a"));
        for wrong in
            ["", "..", "../x", "20261124T101530Z-7f3", "20261124T101530Z-7f3a/..", "20261124T101530Z-../a", "2026-7f3a"]
        {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
