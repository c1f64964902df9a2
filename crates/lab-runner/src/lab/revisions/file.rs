//! `revisions.ndjson`: one JSON object per line. A change is announced on disk before it is made, and its result follows
//! afterwards, so a killed command leaves a pending revision, which the next change settles by what the service has. All
//! writers hold the lab's change lock.

use std::io::{self, Write};
use std::path::PathBuf;

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::{Author, Outcome, Revision, Revisions, State};
use crate::lab::{Lab, LabError, folder_error};
use lab_system::files;

/// Name of the file.
const FILE: &str = "revisions.ndjson";
/// Version of its format.
const VERSION: u32 = 1;
/// Maximum size in bytes. The file is compacted long before.
const LIMIT: u64 = 8 << 20;
/// Size and number of revisions from which the file is compacted.
const COMPACT_SIZE: u64 = 1 << 20;
const COMPACT_COUNT: usize = 1000;
/// Maximum length of a recorded SQL statement, in characters.
const STATEMENT_LENGTH: usize = 1000;
/// Latest revisions of each subject that remain, besides the first one.
const KEPT: usize = 100;

/// Line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum RevisionLine {
    /// First line.
    History {
        /// Version of the format.
        version: u32,
    },
    /// A change, pending or with its result.
    Revision(Revision),
    /// Result of a change that was pending.
    Outcome {
        /// Subject of the revision.
        subject: String,
        /// Number of the revision.
        number: u64,
        /// Result.
        outcome: Outcome,
    },
}

/// Open history of a lab, for changes.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
    folder: PathBuf,
    revisions: Revisions,
    /// Length of all complete lines, in bytes.
    length: u64,
}

impl Lab {
    /// Path of the history.
    fn history_path(&self) -> PathBuf {
        self.folder.path(FILE)
    }

    /// Revisions of the lab. Empty for a lab of an older version.
    ///
    /// # Errors
    /// [`LabError::Damaged`] if a line was not written by lab. An incomplete last line is ignored: its change was not made,
    /// or its result is not known.
    pub fn revisions(&self) -> Result<Revisions, LabError> {
        self.history().map(|history| history.revisions)
    }

    /// Opens the history for changes, under the change lock.
    pub(crate) fn history(&self) -> Result<HistoryFile, LabError> {
        let path = self.history_path();
        let text = match files::read_state(&path, LIMIT) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(folder_error(&path, source)),
        };
        let mut revisions = Revisions::default();
        let mut length = 0;
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            // Only the last line can lack its line ending.
            let Some(line_text) = line.strip_suffix(b"\n") else { break };
            let damaged = |detail: String| {
                let detail = format!("line {}: {detail}", index + 1);
                LabError::Damaged { path: path.clone(), detail }
            };
            match serde_json::from_slice(line_text).map_err(|error| damaged(error.to_string()))? {
                RevisionLine::History { version } if version > VERSION => {
                    return Err(LabError::Newer { name: self.name.clone(), found: version });
                }
                RevisionLine::History { .. } => {}
                RevisionLine::Revision(revision) => revisions.all.push(revision),
                RevisionLine::Outcome { subject, number, outcome } => revisions.set_outcome(&subject, number, outcome),
            }
            length += line.len() as u64;
        }
        Ok(HistoryFile { path, folder: self.folder.root().to_owned(), revisions, length })
    }

    /// Size and time of the last change of the history, to notice new revisions without reading it.
    pub(crate) fn history_fingerprint(&self) -> Option<(u64, std::time::SystemTime)> {
        let metadata = std::fs::symlink_metadata(self.history_path()).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    }
}

impl HistoryFile {
    /// Revisions so far.
    pub fn revisions(&self) -> &Revisions {
        &self.revisions
    }

    /// Announces a change durably. Returns its number for [`HistoryFile::finish`].
    pub(crate) fn announce(&mut self, subject: &str, author: &Author, state: State) -> Result<u64, LabError> {
        self.add(subject, author, state, None, Outcome::Pending)
    }

    /// Announces an SQL statement durably. Returns its number for [`HistoryFile::finish`].
    pub(crate) fn announce_statement(
        &mut self,
        subject: &str,
        author: &Author,
        state: State,
        statement: &str,
    ) -> Result<u64, LabError> {
        self.add(subject, author, state, Some(statement), Outcome::Pending)
    }

    /// Records a change that has been made, or a state that was found.
    pub(crate) fn record(&mut self, subject: &str, author: &Author, state: State) -> Result<u64, LabError> {
        self.add(subject, author, state, None, Outcome::Done)
    }

    /// Records the result of an announced change. Not synced: if it is lost, the next change settles the revision.
    pub(crate) fn finish(&mut self, subject: &str, number: u64, outcome: Outcome) -> Result<(), LabError> {
        let line = RevisionLine::Outcome { subject: subject.to_owned(), number, outcome };
        self.append(&[line], false)?;
        self.revisions.set_outcome(subject, number, outcome);
        Ok(())
    }

    fn add(
        &mut self,
        subject: &str,
        author: &Author,
        state: State,
        statement: Option<&str>,
        outcome: Outcome,
    ) -> Result<u64, LabError> {
        if self.length > COMPACT_SIZE || self.revisions.all.len() > COMPACT_COUNT {
            self.rewrite(self.revisions.compacted())?;
        }
        let number = self.revisions.next_number(subject);
        let (subject, author) = (subject.to_owned(), author.clone());
        let statement = statement.map(|statement| statement.chars().take(STATEMENT_LENGTH).collect());
        let revision = Revision { subject, number, at: Utc::now(), author, state, statement, outcome };
        self.append(&[RevisionLine::Revision(revision.clone())], true)?;
        self.revisions.all.push(revision);
        Ok(number)
    }

    fn append(&mut self, lines: &[RevisionLine], sync: bool) -> Result<(), LabError> {
        let is_new = self.length == 0;
        let header = is_new.then_some(RevisionLine::History { version: VERSION });
        let text = header.iter().chain(lines).map(text).collect::<io::Result<Vec<_>>>().map_err(|e| self.error(e))?;
        let text = text.concat();
        let written = files::make_folder(&self.folder).and_then(|()| {
            let mut file = files::append(&self.path)?;
            // An incomplete line of a killed command would damage the next one.
            file.set_len(self.length)?;
            if let Err(error) = file.write_all(&text).and_then(|()| if sync { file.sync_all() } else { Ok(()) }) {
                let _ = file.set_len(self.length);
                return Err(error);
            }
            if is_new { files::sync_folder(&self.folder) } else { Ok(()) }
        });
        written.map_err(|error| self.error(error))?;
        self.length += text.len() as u64;
        Ok(())
    }

    /// Replaces all revisions, atomically and durably.
    pub(crate) fn rewrite(&mut self, revisions: Revisions) -> Result<(), LabError> {
        let header = RevisionLine::History { version: VERSION };
        let lines = revisions.all.iter().cloned().map(RevisionLine::Revision);
        let lines = std::iter::once(header).chain(lines).map(|line| text(&line));
        let text = lines.collect::<io::Result<Vec<_>>>().map_err(|error| self.error(error))?.concat();
        files::write_atomic(&self.path, &text).map_err(|error| self.error(error))?;
        (self.revisions, self.length) = (revisions, text.len() as u64);
        Ok(())
    }

    fn error(&self, source: io::Error) -> LabError {
        folder_error(&self.path, source)
    }
}

fn text(line: &RevisionLine) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

impl Revisions {
    /// Only the first revision of each subject.
    pub(crate) fn firsts(&self) -> Self {
        let firsts = self.subjects().into_iter().filter_map(|subject| self.first(subject).cloned());
        Self { all: firsts.map(|first| Revision { number: 1, ..first }).collect() }
    }

    /// The first and the latest revisions of each subject.
    fn compacted(&self) -> Self {
        let is_kept = |revision: &&Revision| {
            let later = self.of(&revision.subject).filter(|other| other.number > revision.number).count();
            let is_first = self.first(&revision.subject).is_some_and(|first| first.number == revision.number);
            is_first || later < KEPT
        };
        Self { all: self.all.iter().filter(is_kept).cloned().collect() }
    }
}
