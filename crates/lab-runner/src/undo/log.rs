//! The write-ahead undo log: `undo.ndjson` in the lab's folder, one JSON object per line. Each run has a section: a
//! header, then the state before each change. Every line is on disk before its change is made. A run that follows a run
//! with kept changes appends its own section and later removes only that.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::plan::{RevertStep, plan};
use super::section::{Before, Content, Header, Line, VERSION, read};
use crate::lab::{Lab, LabError, Record};
use lab_core::engine::Description;
use lab_core::event::Secrets;
use lab_system::files;

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

/// What has to happen with the changes of earlier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoState {
    /// They must be undone.
    Pending,
    /// They were kept on request.
    Kept,
    /// They were kept, and reverted by hand since.
    Fixed {
        /// The lab itself remains to be removed, because a run created it.
        temporary: bool,
    },
}

impl Pending {
    /// State of the changes in a lab. `now` is `None` if the services are not known.
    pub fn state(&self, now: Option<&Description>, record: &Record) -> UndoState {
        match now {
            _ if !self.kept => UndoState::Pending,
            Some(now) if self.is_fixed(now, record) => {
                UndoState::Fixed { temporary: self.records.contains(&Before::NoLab) }
            }
            _ => UndoState::Kept,
        }
    }

    /// Returns true if a kept fault was reverted by hand, so that its undo would change nothing in the lab.
    pub fn is_fixed(&self, now: &Description, record: &Record) -> bool {
        let changes: Vec<Before> = self.records.iter().filter(|it| **it != Before::NoLab).cloned().collect();
        self.kept && plan(&changes).iter().all(|step: &RevertStep| step.is_met_by(now, record))
    }
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

/// Records that the kept changes of all runs were reverted by hand, see [`Pending::is_fixed`]. One line on disk, so that a
/// crash leaves either the kept fault or none. The caller holds the run lock.
pub fn settle_fixed(lab: &Lab) -> Result<(), UndoError> {
    let length = read(&lab.undo_path())?.complete;
    let mut log = UndoLog { start: length, length, ..UndoLog::unused(lab) };
    let line = log.line(&Line::Fixed { at: Utc::now() })?;
    log.append(&line)
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
