//! The lines of the undo log, and their division into one section per run.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::log::UndoError;
use lab_core::engine::ServiceChange;
use lab_core::event::Secrets;
use lab_system::files;

/// Version of the log format.
pub(super) const VERSION: u32 = 1;

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
pub(super) enum Line {
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
    /// The kept changes of all runs before this line were reverted by hand. Nothing is left to undo, but a temporary lab still
    /// must not exist.
    Fixed {
        at: DateTime<Utc>,
    },
}

/// A run's section as read.
pub(super) struct Section {
    pub(super) header: Header,
    pub(super) records: Vec<Before>,
    pub(super) secrets: Secrets,
    pub(super) kept: bool,
    pub(super) start: u64,
}

impl Section {
    /// Returns whether the section only records that the lab did not exist.
    pub(super) fn is_new_lab(&self) -> bool {
        self.records == [Before::NoLab]
    }
}

/// Contents of a log.
#[derive(Default)]
pub(super) struct Content {
    pub(super) sections: Vec<Section>,
    /// Length of all complete lines, in bytes.
    pub(super) complete: u64,
}

/// Reads a log. Without a file it is empty.
pub(super) fn read(path: &Path) -> Result<Content, UndoError> {
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
            (Line::Fixed { .. }, Some(_)) => self.settle(),
        }
        Ok(())
    }

    /// Forgets all changes, except that a temporary lab must not exist.
    fn settle(&mut self) {
        for section in &mut self.sections {
            section.records.retain(|record| *record == Before::NoLab);
        }
        self.sections.retain(|section| !section.records.is_empty());
    }
}
