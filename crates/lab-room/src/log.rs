//! The log of a room: `events.ndjson`, one [`Entry`] per line. Each is on disk before anything follows from it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::Utc;
use lab_system::files::{self, Folder};

use crate::event::{Entry, Event};

/// Name of the log.
const FILE: &str = "events.ndjson";
/// Maximum size of a log in bytes. A day of thirty busy seats has about 30 MB.
const LIMIT: u64 = 512 << 20;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line cannot be read.
    #[error("{} is damaged in line {line}: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Why.
        detail: String,
    },
}

/// The log of one room, open in its server's process.
pub struct RoomLog {
    path: PathBuf,
    file: File,
    /// End of the last complete line, in bytes.
    length: u64,
    /// End of the last line that is on disk.
    synced: u64,
}

impl RoomLog {
    /// Opens the log and reads its entries. A missing log is created; an incomplete last line, which a killed process left, is
    /// dropped.
    pub fn open(folder: &Folder) -> Result<(Self, Vec<Entry>), LogError> {
        let path = folder.path(FILE);
        let file = files::append(&path).map_err(|source| LogError::File { path: path.clone(), source })?;
        let (entries, length) = read_file(&path)?;
        let log = Self { path, file, length, synced: length };
        log.file.set_len(length).map_err(|source| log.failed(source))?;
        Ok((log, entries))
    }

    /// Reads the entries without opening the log for writing. A missing log has none.
    pub fn read(folder: &Folder) -> Result<Vec<Entry>, LogError> {
        match read_file(&folder.path(FILE)) {
            Err(LogError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map(|(entries, _)| entries),
        }
    }

    /// Writes an entry and makes it durable. After an error, the log is as before.
    pub fn append(&mut self, event: Event) -> Result<Entry, LogError> {
        let entry = self.write(event)?;
        self.sync()?;
        Ok(entry)
    }

    /// Writes an entry, which is durable after [`RoomLog::sync`]. After an error, the log is as before.
    pub fn write(&mut self, event: Event) -> Result<Entry, LogError> {
        let entry = Entry { at: Utc::now(), event };
        let mut line = serde_json::to_vec(&entry).map_err(|error| self.failed(error.into()))?;
        line.push(b'\n');
        // A longer log could not be read again.
        if self.length + line.len() as u64 > LIMIT {
            return Err(self.failed(io::ErrorKind::FileTooLarge.into()));
        }
        if let Err(error) = self.file.write_all(&line) {
            let _ = self.file.set_len(self.length);
            return Err(self.failed(error));
        }
        self.length += line.len() as u64;
        Ok(entry)
    }

    /// Makes the entries durable that were written since the last time. After an error, they are not in the log.
    pub fn sync(&mut self) -> Result<(), LogError> {
        if let Err(error) = self.file.sync_data() {
            self.length = self.synced;
            let _ = self.file.set_len(self.length);
            return Err(self.failed(error));
        }
        self.synced = self.length;
        Ok(())
    }

    /// Reads the entries again.
    pub fn entries(&self) -> Result<Vec<Entry>, LogError> {
        read_file(&self.path).map(|(entries, _)| entries)
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::File { path: self.path.clone(), source }
    }

    /// Writes to a device with errors: nothing can be written to `/dev/full`, and nothing is synced on `/dev/null`. `None` is
    /// the file again.
    #[cfg(test)]
    pub(crate) fn set_device(&mut self, device: Option<&str>) {
        let path = device.map_or(self.path.as_path(), Path::new);
        self.file = File::options().append(true).open(path).unwrap();
    }
}

/// Reads the complete lines of a log, and their length in bytes.
fn read_file(path: &Path) -> Result<(Vec<Entry>, u64), LogError> {
    let text = files::read_state(path, LIMIT).map_err(|source| LogError::File { path: path.to_owned(), source })?;
    let mut entries = Vec::new();
    let mut length = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let Some(content) = line.strip_suffix(b"\n") else { break };
        let entry = serde_json::from_slice(content).map_err(|error| LogError::Damaged {
            path: path.to_owned(),
            line: entries.len() + 1,
            detail: error.to_string(),
        })?;
        entries.push(entry);
        length += line.len() as u64;
    }
    Ok((entries, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written_and_a_torn_line_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().to_owned());
        assert_eq!(RoomLog::read(&folder).unwrap(), []);
        let (mut log, entries) = RoomLog::open(&folder).unwrap();
        assert_eq!(entries, []);
        let first = log.append(Event::Ready { seat: 1 }).unwrap();
        let second = log.append(Event::Named { seat: 1, name: "Ada \u{1f980}".to_owned() }).unwrap();
        drop(log);
        let path = folder.path(FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"at\":"].concat()).unwrap();
        let (mut log, entries) = RoomLog::open(&folder).unwrap();
        assert_eq!(entries, [first.clone(), second.clone()]);
        let third = log.append(Event::Paused).unwrap();
        assert_eq!(RoomLog::read(&folder).unwrap(), [first, second, third]);
        std::fs::write(&path, [b"x\n", &whole[..]].concat()).unwrap();
        let error = RoomLog::read(&folder).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_full_disk_leaves_the_log_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().to_owned());
        let (mut log, _) = RoomLog::open(&folder).unwrap();
        let first = log.append(Event::Paused).unwrap();
        log.set_device(Some("/dev/full"));
        let error = log.append(Event::Resumed).unwrap_err().to_string();
        assert!(error.contains("No space left"), "{error}");
        log.set_device(Some("/dev/null"));
        assert!(log.append(Event::Resumed).is_err(), "it cannot be synced");
        log.set_device(None);
        let second = log.append(Event::Resumed).unwrap();
        assert_eq!(RoomLog::read(&folder).unwrap(), [first.clone(), second]);
        log.length = LIMIT;
        assert!(log.append(Event::Paused).is_err());
    }
}
