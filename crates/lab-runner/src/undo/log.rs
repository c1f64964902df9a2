//! The write-ahead undo log: `undo.ndjson` in the lab's folder, one JSON object per line. Each run has a section: a
//! header, then the state before each change. Every line is on disk before its change is made. A run that follows a run
//! with kept changes appends its own section and later removes only that.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::lab::{Lab, LabError};
use lab_core::engine::ServiceChange;
use lab_core::event::Secrets;
use lab_system::files;

/// Version of the log format.
const VERSION: u32 = 1;

/// Error of the undo log.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The log cannot be read or written.
    #[error("cannot use the undo log {}: {source}", path.display())]
    File {
        /// Path of the log.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A line was not written by lab.
    #[error(
        "the undo log {} is damaged in line {line}: {detail}; fix or remove that line and run `lab recover`, \
         or remove the lab with `lab down`",
        path.display()
    )]
    Damaged {
        /// Path of the log.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// Problem of the line.
        detail: String,
    },
    /// An earlier run has an undo pending.
    #[error("undo pending from run {run} ({scenario}); finish it with `lab recover`")]
    Pending {
        /// Id of the run.
        run: String,
        /// Name of its scenario.
        scenario: String,
    },
    /// The lab's folder cannot be used.
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// Header of a run's section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// Id of the run.
    pub run: String,
    /// Name of its scenario.
    pub scenario: String,
    /// When the run started to make changes.
    pub at: DateTime<Utc>,
}

/// State before a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "before", rename_all = "snake_case")]
pub enum Before {
    /// Environment and run state of a service.
    Service {
        /// Name of the service.
        service: String,
        /// Previous values of everything that was changed.
        state: ServiceChange,
    },
    /// Key of the default caller.
    CallerKey {
        /// Previous key.
        key: String,
    },
    /// Key of a named caller.
    Caller {
        /// Name of the caller.
        name: String,
        /// Previous key. `None` if the caller did not exist.
        key: Option<String>,
    },
    /// The lab did not exist; the run created it.
    NoLab,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Run(Header),
    Change(Before),
    /// A secret that the run is about to set in the lab. It is stored in plain text, as in the lab itself, so that
    /// readers of this log can mask it.
    Secret {
        value: String,
    },
    Kept {
        at: DateTime<Utc>,
    },
}

/// Changes of a lab that are pending or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The run whose undo is pending, or else the last run that kept its changes.
    pub run: String,
    /// Name of its scenario.
    pub scenario: String,
    /// When the run started to make changes.
    pub at: DateTime<Utc>,
    /// All changes were kept on request; nothing has to be undone.
    pub kept: bool,
    /// States before each change, oldest first.
    pub records: Vec<Before>,
    /// Values to mask.
    pub secrets: Secrets,
}

/// Reads the pending and kept changes of a lab.
///
/// # Errors
/// [`UndoError::Damaged`] if the log was not written by lab. An incomplete last line is fine, because its change was
/// never made.
pub fn pending(lab: &Lab) -> Result<Option<Pending>, UndoError> {
    let sections = read(&lab.undo_path())?.sections;
    let Some(last) = sections.iter().rev().find(|section| !section.kept).or(sections.last()) else { return Ok(None) };
    let Header { run, scenario, at, .. } = last.header.clone();
    let kept = sections.iter().all(|section| section.kept);
    let mut secrets = Secrets::default();
    for section in &sections {
        secrets.extend(&section.secrets);
    }
    let records = sections.into_iter().flat_map(|section| section.records).collect();
    Ok(Some(Pending { run, scenario, at, kept, records, secrets }))
}

/// Header of the last run whose changes are still in a lab: kept, or of a run in progress. `scenario` limits it to the runs
/// of one scenario.
pub fn last_run(lab: &Lab, scenario: Option<&str>) -> Result<Option<Header>, UndoError> {
    let headers = read(&lab.undo_path())?.sections.into_iter().rev().map(|section| section.header);
    Ok(headers.into_iter().find(|header| scenario.is_none_or(|name| header.scenario == name)))
}

/// Records that a lab does not exist yet, before it is created for one run. [`UndoLog::begin`] of that run continues
/// this section.
pub fn record_new_lab(lab: &Lab, run: &str, scenario: &str) -> Result<(), UndoError> {
    UndoLog::begin(lab, run, scenario)?.record(Before::NoLab)
}

/// Section of one run in a lab's undo log.
#[derive(Debug)]
pub struct UndoLog {
    path: PathBuf,
    folder: PathBuf,
    header: Header,
    records: Vec<Before>,
    /// Secrets that this run and earlier ones set in the lab.
    secrets: Secrets,
    /// Opened with the first record.
    file: Option<File>,
    /// Byte offset of this run's section.
    start: u64,
    /// Length of all complete lines, in bytes.
    length: u64,
}

impl UndoLog {
    /// Begins or continues a run's section. Nothing is written before the first record. A section that only records that
    /// the lab did not exist does not block: the command that created the lab removes it.
    ///
    /// # Errors
    /// [`UndoError::Pending`] if changes of another run were neither reverted nor kept.
    pub fn begin(lab: &Lab, run: &str, scenario: &str) -> Result<Self, UndoError> {
        let path = lab.undo_path();
        let Content { sections, complete } = read(&path)?;
        let mut header =
            Header { version: VERSION, run: run.to_owned(), scenario: scenario.to_owned(), at: Utc::now() };
        let (mut records, mut start) = (Vec::new(), complete);
        let mut secrets = Secrets::default();
        for section in sections {
            secrets.extend(&section.secrets);
            if section.header.run == run {
                (header, records, start) = (section.header, section.records, section.start);
            } else if !section.kept && !section.is_new_lab() {
                return Err(UndoError::Pending { run: section.header.run, scenario: section.header.scenario });
            }
        }
        let folder = lab.folder().root().to_owned();
        let mut log = Self { path, folder, header, records, secrets, file: None, start, length: complete };
        if !log.records.is_empty() {
            log.open()?;
        }
        Ok(log)
    }

    /// A log for steps that only observe. Nothing is ever written to it.
    pub fn unused(lab: &Lab) -> Self {
        let header = Header { version: VERSION, run: String::new(), scenario: String::new(), at: Utc::now() };
        Self {
            path: lab.undo_path(),
            folder: lab.folder().root().to_owned(),
            header,
            records: Vec::new(),
            secrets: Secrets::default(),
            file: None,
            start: 0,
            length: 0,
        }
    }

    /// States recorded by this run, oldest first.
    pub fn records(&self) -> &[Before] {
        &self.records
    }

    /// Writes the state before a change to disk. The change must not be made earlier.
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

    /// Records a secret that the recorded change sets in the lab.
    pub fn record_secret(&mut self, value: &str) -> Result<(), UndoError> {
        if self.secrets.are_in(value) {
            return Ok(());
        }
        let text = self.line(&Line::Secret { value: value.to_owned() })?;
        self.append(&text)?;
        self.secrets.add(value);
        Ok(())
    }

    /// Secrets that this run and earlier ones set in the lab.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Marks the changes of this run as kept.
    pub fn keep(&mut self) -> Result<(), UndoError> {
        if self.records.is_empty() {
            return Ok(());
        }
        let text = self.line(&Line::Kept { at: Utc::now() })?;
        self.append(&text)
    }

    /// Removes this run's section after all its changes were reverted.
    pub fn finish(&mut self) -> Result<(), UndoError> {
        if self.records.is_empty() {
            return Ok(());
        }
        match self.file.as_ref() {
            // Changes kept by earlier runs remain.
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
            // Otherwise the incomplete line would be followed by others and damage the log.
            let _ = file.set_len(length);
            return Err(self.error(error));
        }
        self.length += text.len() as u64;
        Ok(())
    }

    fn open(&mut self) -> Result<&mut File, UndoError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.create().map_err(|error| self.error(error))?,
        };
        Ok(self.file.insert(file))
    }

    fn create(&self) -> io::Result<File> {
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

/// Removes the records of all runs, after the lab was reset. A temporary lab keeps the record that it must not exist, so
/// that `lab recover` still removes it.
pub fn forget(lab: &Lab) -> Result<(), UndoError> {
    let path = lab.undo_path();
    let sections = read(&path)?.sections;
    let Some(own) = sections.into_iter().find(|section| section.records.contains(&Before::NoLab)) else {
        return remove(&path, lab.folder().root());
    };
    let lines = [Line::Run(own.header), Line::Change(Before::NoLab), Line::Kept { at: Utc::now() }];
    let write = || {
        let mut text = Vec::new();
        for line in &lines {
            text.extend(serde_json::to_vec(line)?);
            text.push(b'\n');
        }
        files::write_atomic(&path, &text)
    };
    write().map_err(|source| UndoError::File { path: path.clone(), source })
}

/// Removes a log durably. Succeeds if it does not exist.
pub(super) fn remove(path: &Path, folder: &Path) -> Result<(), UndoError> {
    let removed = std::fs::remove_file(path).and_then(|()| files::sync_folder(folder));
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(UndoError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// A run's section as read.
struct Section {
    header: Header,
    records: Vec<Before>,
    secrets: Secrets,
    kept: bool,
    start: u64,
}

impl Section {
    /// Returns whether the section only records that the lab did not exist.
    fn is_new_lab(&self) -> bool {
        self.records == [Before::NoLab]
    }
}

/// Contents of a log.
#[derive(Default)]
struct Content {
    sections: Vec<Section>,
    /// Length of all complete lines, in bytes.
    complete: u64,
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
        // Only the last line can lack its line ending: writing was interrupted, so its change was not made.
        let Some(line_text) = line.strip_suffix(b"\n") else { break };
        let parsed = serde_json::from_slice(line_text).map_err(|error| damaged(error.to_string()))?;
        content.add(parsed).map_err(|error| damaged(error.to_string()))?;
        content.complete += line.len() as u64;
    }
    // A header without a record is incomplete, because both are written together.
    if let Some(section) = content.sections.pop_if(|section| section.records.is_empty()) {
        content.complete = section.start;
    }
    Ok(content)
}

/// Reason why a line of the log has no meaning.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("a newer version of lab wrote it (its format is {version})")]
    Newer { version: u32 },
    #[error("it belongs to no run: the first line must name one")]
    NoRun,
}

impl Content {
    fn add(&mut self, line: Line) -> Result<(), LineError> {
        match (line, self.sections.last_mut()) {
            (Line::Run(header), _) if header.version > VERSION => {
                return Err(LineError::Newer { version: header.version });
            }
            (Line::Run(header), _) => {
                let start = self.complete;
                let (records, secrets) = (Vec::new(), Secrets::default());
                self.sections.push(Section { header, records, secrets, kept: false, start });
            }
            (_, None) => return Err(LineError::NoRun),
            (Line::Change(before), Some(section)) => {
                section.kept = false;
                section.records.push(before);
            }
            (Line::Secret { value }, Some(section)) => section.secrets.add(&value),
            (Line::Kept { .. }, Some(section)) => section.kept = true,
        }
        Ok(())
    }
}
