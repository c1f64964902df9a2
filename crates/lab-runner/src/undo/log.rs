//! [`UndoLog`]: the write-ahead log, `undo.ndjson` in the lab's folder, one JSON object a line. A run's part of it is a
//! header, then what was before each change; each line is on disk before the change is made. A run that follows one whose
//! changes were kept adds a part of its own behind it, and takes only that part away again.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::lab::{Lab, LabError};
use lab_core::engine::ServiceChange;
use lab_core::event::Secrets;
use lab_system::files;

/// The version of the log's format.
const VERSION: u32 = 1;

/// What can be wrong with an undo log.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The file cannot be read or written.
    #[error("cannot use the undo log {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it is not what lab wrote.
    #[error(
        "the undo log {} is damaged in line {line}: {detail}; mend or remove that line, then `lab recover`; \
         or end the lab with `lab down`",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// A run before this one has not put back its changes.
    #[error("run {run} of {scenario} still has changes to put back: `lab recover` does it")]
    Pending {
        /// The run.
        run: String,
        /// Its scenario.
        scenario: String,
    },
    /// The lab's folder cannot be used.
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// Whose changes a part of the log is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub version: u32,
    /// The run's id.
    pub run: String,
    /// The scenario's name.
    pub scenario: String,
    /// When the run began to change things.
    pub at: DateTime<Utc>,
}

/// What was before a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "before", rename_all = "snake_case")]
pub enum Before {
    /// A service was in this state.
    Service {
        /// Which service.
        service: String,
        /// The state, of all that was changed.
        state: ServiceChange,
    },
    /// The caller sent this key.
    CallerKey {
        /// The key.
        key: String,
    },
    /// A caller of a scenario sent this key.
    Caller {
        /// Its name.
        name: String,
        /// The key; none: there was no such caller.
        key: Option<String>,
    },
    /// There was no lab: the run made it for itself.
    NoLab,
}

/// A line of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Run(Header),
    Change(Before),
    /// A value that the run is about to put into the lab and that nobody is to read. It is in the clear, as it is in the lab
    /// itself, so that whoever shows what is in this log can mask it.
    Secret {
        value: String,
    },
    Kept {
        at: DateTime<Utc>,
    },
}

/// What is to be put back in a lab, or was kept in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The run that owes it, else the last that kept its changes.
    pub run: String,
    /// Its scenario.
    pub scenario: String,
    /// When it began to change things.
    pub at: DateTime<Utc>,
    /// The user asked to keep all of it: shown, and not owed.
    pub kept: bool,
    /// What was before each change, oldest first.
    pub records: Vec<Before>,
    /// What of it nobody is to read.
    pub secrets: Secrets,
}

/// What is to be put back in a lab; none where nothing is.
///
/// # Errors
/// [`UndoError::Damaged`] where the log is not what lab wrote. A last line without its end is no damage: the change that it
/// announced was never made.
pub fn pending(lab: &Lab) -> Result<Option<Pending>, UndoError> {
    let parts = read(&lab.undo_path())?.parts;
    let Some(last) = parts.iter().rev().find(|part| !part.kept).or(parts.last()) else { return Ok(None) };
    let Header { run, scenario, at, .. } = last.header.clone();
    let kept = parts.iter().all(|part| part.kept);
    let mut secrets = Secrets::default();
    for part in &parts {
        secrets.extend(&part.secrets);
    }
    let records = parts.into_iter().flat_map(|part| part.records).collect();
    Ok(Some(Pending { run, scenario, at, kept, records, secrets }))
}

/// Records that a lab is not to exist, before it is brought up for one run. [`UndoLog::begin`] of that run goes on from it.
pub fn record_new_lab(lab: &Lab, run: &str, scenario: &str) -> Result<(), UndoError> {
    UndoLog::begin(lab, run, scenario)?.record(Before::NoLab)
}

/// One run's part of a lab's undo log.
#[derive(Debug)]
pub struct UndoLog {
    path: PathBuf,
    folder: PathBuf,
    header: Header,
    records: Vec<Before>,
    /// What earlier runs and this one put into the lab that nobody is to read.
    secrets: Secrets,
    /// Open once something is recorded.
    file: Option<File>,
    /// Where this run's part begins, in bytes.
    start: u64,
    /// How much of the file is whole lines.
    length: u64,
}

impl UndoLog {
    /// Begins a run's part of the log, or goes on with the one that it has. Nothing is written before the first record. That
    /// the whole lab is not to exist is owed by who made it, at its end, and keeps no run in it from its own.
    ///
    /// # Errors
    /// [`UndoError::Pending`] where another run's changes were neither put back nor kept.
    pub fn begin(lab: &Lab, run: &str, scenario: &str) -> Result<Self, UndoError> {
        let path = lab.undo_path();
        let Content { parts, whole } = read(&path)?;
        let mut header =
            Header { version: VERSION, run: run.to_owned(), scenario: scenario.to_owned(), at: Utc::now() };
        let (mut records, mut start) = (Vec::new(), whole);
        let mut secrets = Secrets::default();
        for part in parts {
            secrets.extend(&part.secrets);
            if part.header.run == run {
                (header, records, start) = (part.header, part.records, part.start);
            } else if !part.kept && !part.is_new_lab() {
                return Err(UndoError::Pending { run: part.header.run, scenario: part.header.scenario });
            }
        }
        let folder = lab.folder().root().to_owned();
        let mut log = Self { path, folder, header, records, secrets, file: None, start, length: whole };
        if !log.records.is_empty() {
            log.open()?;
        }
        Ok(log)
    }

    /// What this run recorded, oldest first.
    pub fn records(&self) -> &[Before] {
        &self.records
    }

    /// Puts on disk what is before a change. Only then may the change be made.
    pub fn record(&mut self, before: Before) -> Result<(), UndoError> {
        let mut text = Vec::new();
        if self.records.is_empty() {
            text.extend(self.line(&Line::Run(self.header.clone()))?);
        }
        text.extend(self.line(&Line::Change(before.clone()))?);
        self.append(&text)?;
        self.records.push(before);
        Ok(())
    }

    /// Remembers a value that the recorded change puts into the lab and that nobody is to read.
    pub fn hide(&mut self, value: &str) -> Result<(), UndoError> {
        if self.secrets.are_in(value) {
            return Ok(());
        }
        let text = self.line(&Line::Secret { value: value.to_owned() })?;
        self.append(&text)?;
        self.secrets.add(value);
        Ok(())
    }

    /// What this run and those before it put into the lab that nobody is to read.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Marks this run's changes as kept: no longer owed.
    pub fn keep(&mut self) -> Result<(), UndoError> {
        if self.records.is_empty() {
            return Ok(());
        }
        let text = self.line(&Line::Kept { at: Utc::now() })?;
        self.append(&text)
    }

    /// Forgets this run's part, once all of it was put back.
    pub fn finish(&mut self) -> Result<(), UndoError> {
        if self.records.is_empty() {
            return Ok(());
        }
        match self.file.as_ref() {
            // What an earlier run kept stays.
            Some(file) if self.start > 0 => {
                file.set_len(self.start).and_then(|()| file.sync_all()).map_err(|error| self.error(error))?;
            }
            _ => remove(&self.path, &self.folder)?,
        }
        self.records.clear();
        self.file = None;
        self.length = self.start;
        Ok(())
    }

    fn line(&self, line: &Line) -> Result<Vec<u8>, UndoError> {
        let mut text = serde_json::to_vec(line).map_err(|error| self.error(error.into()))?;
        text.push(b'\n');
        Ok(text)
    }

    fn append(&mut self, text: &[u8]) -> Result<(), UndoError> {
        let length = self.length;
        let file = self.open()?;
        if let Err(error) = file.write_all(text).and_then(|()| file.sync_all()) {
            // What was written of it would be a damaged line in the middle once something follows.
            let _ = file.set_len(length);
            return Err(self.error(error));
        }
        self.length += text.len() as u64;
        Ok(())
    }

    fn open(&mut self) -> Result<&mut File, UndoError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.make().map_err(|error| self.error(error))?,
        };
        Ok(self.file.insert(file))
    }

    fn make(&self) -> io::Result<File> {
        files::make_folder(&self.folder)?;
        let file = files::append(&self.path)?;
        file.set_len(self.length)?;
        file.sync_all()?;
        files::sync_folder(&self.folder)?;
        Ok(file)
    }

    fn error(&self, source: io::Error) -> UndoError {
        UndoError::File { path: self.path.clone(), source }
    }
}

/// Removes a log, durably. A log, or a whole lab, that is gone is no error.
pub(super) fn remove(path: &Path, folder: &Path) -> Result<(), UndoError> {
    let removed = std::fs::remove_file(path).and_then(|()| files::sync_folder(folder));
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(UndoError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// A run's part of the log as read.
struct Part {
    header: Header,
    records: Vec<Before>,
    secrets: Secrets,
    kept: bool,
    start: u64,
}

impl Part {
    /// Whether it says that the lab is not to exist, and nothing else.
    fn is_new_lab(&self) -> bool {
        self.records == [Before::NoLab]
    }
}

/// A log as read.
#[derive(Default)]
struct Content {
    parts: Vec<Part>,
    /// How many bytes are whole lines.
    whole: u64,
}

fn read(path: &Path) -> Result<Content, UndoError> {
    let text = match files::read_state(path, files::UNDO_LIMIT) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
        Err(source) => return Err(UndoError::File { path: path.to_owned(), source }),
    };
    let mut content = Content::default();
    for (number, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let damaged = |detail: String| UndoError::Damaged { path: path.to_owned(), line: number + 1, detail };
        // Only the last line can be without an end. It was being written when the power went: its change was not made.
        let Some(line_text) = line.strip_suffix(b"\n") else { break };
        let parsed = serde_json::from_slice(line_text).map_err(|error| damaged(error.to_string()))?;
        content.take(parsed).map_err(damaged)?;
        content.whole += line.len() as u64;
    }
    // A header alone announces nothing: the first record is written with it, and was torn.
    if let Some(part) = content.parts.pop_if(|part| part.records.is_empty()) {
        content.whole = part.start;
    }
    Ok(content)
}

impl Content {
    fn take(&mut self, line: Line) -> Result<(), String> {
        match (line, self.parts.last_mut()) {
            (Line::Run(header), _) if header.version > VERSION => {
                return Err(format!("a newer version of lab wrote it (its format is {})", header.version));
            }
            (Line::Run(header), _) => {
                let start = self.whole;
                let (records, secrets) = (Vec::new(), Secrets::default());
                self.parts.push(Part { header, records, secrets, kept: false, start });
            }
            (_, None) => return Err("it belongs to no run: the first line must name one".to_owned()),
            (Line::Change(before), Some(part)) => {
                part.kept = false;
                part.records.push(before);
            }
            (Line::Secret { value }, Some(part)) => part.secrets.add(&value),
            (Line::Kept { .. }, Some(part)) => part.kept = true,
        }
        Ok(())
    }
}
