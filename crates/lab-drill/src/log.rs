//! The log of a drill: `log.ndjson` in the drill's folder, one [`Entry`] per line, written by the referee's process and by
//! the participant's commands. While the drill lasts, each line is sealed with a key that follows from the drill's secret,
//! which is stored beside it with mode 0600: sealed against accident, not against its owner. At the end it is published: the
//! lines become plain JSON.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use lab_system::files::{self, Folder};
use rustix::fs::{FlockOperation, flock};

use crate::choice::Secret;
use crate::event::{Entry, Event};
use crate::seal::{SealError, Sealer};

/// Name of the log.
const FILE: &str = "log.ndjson";
/// Name of the file with the secret.
const SECRET_FILE: &str = "secret";
/// Maximum size of a log in bytes. A drill of eight hours with four callers has about 8 MB.
const LIMIT: u64 = 64 << 20;
/// Longest time without an entry after which the referee still counts as present, in milliseconds.
const PRESENT: i64 = 5000;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be read or written.
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
        /// The log.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// Why.
        detail: String,
    },
    /// Another process published the log.
    #[error("the drill is over")]
    Over,
}

/// The log of one drill. Several processes may have it open.
pub struct Log {
    path: PathBuf,
    secret: Secret,
    sealer: Sealer,
    file: File,
    /// End of the last line that was read, in bytes.
    position: u64,
    /// Number of lines that were read.
    lines: u64,
    /// Time and drill time of the last entry that was read, and whether drill time stands still.
    last: Option<(DateTime<Utc>, u64, bool)>,
}

impl Log {
    /// Starts the log of a new drill, in a folder without one.
    pub fn create(folder: &Folder, secret: &Secret) -> Result<Self, LogError> {
        let error = |path: &Path| in_file(path.to_owned());
        files::make_folder(folder.root()).map_err(error(folder.root()))?;
        let path = folder.path(SECRET_FILE);
        files::write_new(&path, format!("{}\n", secret.hex()).as_bytes()).map_err(error(&path))?;
        let path = folder.path(FILE);
        files::write_new(&path, b"").map_err(error(&path))?;
        Self::open(folder)
    }

    /// Opens the log of a drill, ended or not.
    pub fn open(folder: &Folder) -> Result<Self, LogError> {
        let path = folder.path(SECRET_FILE);
        let text = files::read_state(&path, files::RECORD_LIMIT).map_err(in_file(path.clone()))?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let secret =
            Secret::try_from(text).map_err(|error| LogError::Damaged { path, line: 1, detail: error.to_string() })?;
        let path = folder.path(FILE);
        files::check_state(&path).map_err(in_file(path.clone()))?;
        let file = files::append(&path).map_err(in_file(path.clone()))?;
        let sealer = Sealer::new(secret.sealing_key());
        Ok(Self { path, secret, sealer, file, position: 0, lines: 0, last: None })
    }

    /// Secret of the drill.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Entries that any process wrote since the last call. An incomplete last line is left for later.
    pub fn read(&mut self) -> Result<Vec<Entry>, LogError> {
        let mut text = Vec::new();
        // Another handle, because this one appends.
        let mut file = files::open_state(&self.path, LIMIT).map_err(in_file(self.path.clone()))?;
        let same = files::is_named(&self.file, &self.path);
        if !same && self.position > 0 {
            return Err(LogError::Over);
        }
        file.seek(SeekFrom::Start(self.position))
            .and_then(|_| file.take(LIMIT).read_to_end(&mut text))
            .map_err(in_file(self.path.clone()))?;
        let mut entries = Vec::new();
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let Some(content) = line.strip_suffix(b"\n") else { break };
            let entry = self.entry(content).map_err(|error| LogError::Damaged {
                path: self.path.clone(),
                line: self.lines + 1,
                detail: error.to_string(),
            })?;
            self.note(&entry);
            self.position += line.len() as u64;
            self.lines += 1;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Writes an entry and makes it durable. `clock` is the drill time, in milliseconds, for the referee; a participant's
    /// command passes `None`, and the time follows from the last entry. Returns the entries of other processes that
    /// precede it, and it.
    pub fn append(&mut self, clock: Option<u64>, event: Event) -> Result<Vec<Entry>, LogError> {
        flock(&self.file, FlockOperation::LockExclusive).map_err(|error| self.failed(error.into()))?;
        let result = self.append_locked(clock, event);
        let _ = flock(&self.file, FlockOperation::Unlock);
        result
    }

    fn append_locked(&mut self, clock: Option<u64>, event: Event) -> Result<Vec<Entry>, LogError> {
        if !files::is_named(&self.file, &self.path) {
            return Err(LogError::Over);
        }
        let mut entries = self.read()?;
        let at = Utc::now();
        let entry = Entry { at, clock: self.clock(at, clock), event };
        let text = serde_json::to_vec(&entry).map_err(|error| self.failed(error.into()))?;
        let mut line = self.sealer.seal(self.lines, &text).map_err(|error| self.damaged(error))?;
        line.push('\n');
        // A killed process may have left an incomplete line.
        let written = self.file.set_len(self.position).and_then(|()| self.file.write_all(line.as_bytes()));
        let written = written.and_then(|()| match entry.event {
            // A lost second costs nothing.
            Event::Second { .. } => Ok(()),
            _ => self.file.sync_data(),
        });
        if let Err(error) = written {
            let _ = self.file.set_len(self.position);
            return Err(self.failed(error));
        }
        self.position += line.len() as u64;
        self.lines += 1;
        self.note(&entry);
        entries.push(entry);
        Ok(entries)
    }

    /// Rewrites the log in plain JSON. Later writers get [`LogError::Over`].
    pub fn publish(&mut self) -> Result<Vec<Entry>, LogError> {
        flock(&self.file, FlockOperation::LockExclusive).map_err(|error| self.failed(error.into()))?;
        let result = self.publish_locked();
        let _ = flock(&self.file, FlockOperation::Unlock);
        result
    }

    fn publish_locked(&mut self) -> Result<Vec<Entry>, LogError> {
        if !files::is_named(&self.file, &self.path) {
            return Err(LogError::Over);
        }
        (self.position, self.lines, self.last) = (0, 0, None);
        let entries = self.read()?;
        let mut text = Vec::new();
        for entry in &entries {
            serde_json::to_writer(&mut text, entry).map_err(|error| self.failed(error.into()))?;
            text.push(b'\n');
        }
        files::write_atomic(&self.path, &text).map_err(|error| self.failed(error))?;
        Ok(entries)
    }

    /// Drill time of an entry that is written now, in milliseconds. It never goes back.
    fn clock(&self, at: DateTime<Utc>, clock: Option<u64>) -> u64 {
        let Some((last, stood, still)) = self.last else { return clock.unwrap_or_default() };
        let since = (at - last).num_milliseconds();
        let present = !still && (0..=PRESENT).contains(&since);
        clock.unwrap_or(if present { stood + since.unsigned_abs() } else { stood }).max(stood)
    }

    /// Drill time now, in milliseconds, as far as the entries that were read tell.
    pub fn now(&self) -> u64 {
        self.clock(Utc::now(), None)
    }

    /// Whether the referee wrote within the last seconds, as far as the entries that were read tell.
    pub fn is_watched(&self) -> bool {
        self.last.is_some_and(|(at, ..)| (0..=PRESENT).contains(&(Utc::now() - at).num_milliseconds()))
    }

    fn note(&mut self, entry: &Entry) {
        let still = match entry.event {
            Event::Unknown { .. } | Event::Ended { .. } => true,
            Event::Known | Event::Watching { .. } => false,
            _ => self.last.is_some_and(|(.., still)| still),
        };
        self.last = Some((entry.at, entry.clock, still));
    }

    fn entry(&self, line: &[u8]) -> Result<Entry, LineError> {
        // Base64 has no braces.
        let plain = if line.starts_with(b"{") { line.to_vec() } else { self.sealer.open(self.lines, line)? };
        Ok(Entry::from_json(&plain)?)
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::File { path: self.path.clone(), source }
    }

    fn damaged(&self, error: SealError) -> LogError {
        LogError::Damaged { path: self.path.clone(), line: self.lines + 1, detail: error.to_string() }
    }
}

/// Why a line cannot be read.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

fn in_file(path: PathBuf) -> impl Fn(io::Error) -> LogError {
    move |source| LogError::File { path: path.clone(), source }
}

/// The folder with all drills of a state folder.
#[derive(Clone, Debug)]
pub struct Drills {
    root: PathBuf,
}

impl Drills {
    /// Drills in `state`, the state folder.
    pub fn new(state: &Path) -> Self {
        Self { root: state.join("drills") }
    }

    /// Folder of one drill.
    pub fn folder(&self, id: &str) -> Folder {
        Folder::new(self.root.join(id))
    }

    /// Ids of all drills, oldest first.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut ids: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(entries: &[Entry]) -> Vec<&Event> {
        entries.iter().map(|entry| &entry.event).collect()
    }

    fn folder(root: &Path) -> Folder {
        Drills::new(root).folder("20261130-a1")
    }

    #[test]
    fn two_writers_share_a_log_and_nothing_can_be_read_without_the_secret() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let mut referee = Log::create(&folder, &Secret::from_seed(1)).unwrap();
        referee.append(Some(0), Event::Watching { pid: 1 }).unwrap();
        let mut command = Log::open(&folder).unwrap();
        let looked = Event::Looked { what: "metrics".to_owned() };
        let written = command.append(None, looked.clone()).unwrap();
        assert_eq!(events(&written), [&Event::Watching { pid: 1 }, &looked]);
        let written = referee.append(Some(1000), Event::Second { callers: vec![(5, 4)] }).unwrap();
        assert_eq!(events(&written), [&looked, &Event::Second { callers: vec![(5, 4)] }]);
        let bytes = std::fs::read_to_string(folder.path(FILE)).unwrap();
        assert_eq!(bytes.lines().count(), 3);
        assert!(!bytes.contains("metrics") && !bytes.contains("event"), "{bytes}");
        assert_eq!(Drills::new(root.path()).ids().unwrap(), ["20261130-a1"]);
    }

    #[test]
    fn an_incomplete_line_is_overwritten_and_a_changed_one_is_reported() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let mut log = Log::create(&folder, &Secret::from_seed(1)).unwrap();
        log.append(Some(0), Event::Known).unwrap();
        let path = folder.path(FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"torn"].concat()).unwrap();
        let mut log = Log::open(&folder).unwrap();
        assert_eq!(log.read().unwrap().len(), 1);
        log.append(None, Event::Acknowledged).unwrap();
        assert_eq!(events(&Log::open(&folder).unwrap().read().unwrap()), [&Event::Known, &Event::Acknowledged]);
        std::fs::write(&path, [&whole[..], &whole[..]].concat()).unwrap();
        let error = Log::open(&folder).unwrap().read().unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("it was changed"), "{error}");
    }

    #[test]
    fn a_published_log_is_plain_and_closed() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let mut log = Log::create(&folder, &Secret::from_seed(1)).unwrap();
        log.append(Some(0), Event::Acknowledged).unwrap();
        let mut late = Log::open(&folder).unwrap();
        late.read().unwrap();
        log.publish().unwrap();
        assert!(std::fs::read_to_string(folder.path(FILE)).unwrap().contains(r#""event":"acknowledged""#));
        assert_eq!(Log::open(&folder).unwrap().read().unwrap().len(), 1);
        assert!(matches!(late.append(None, Event::Acknowledged), Err(LogError::Over)));
        assert!(matches!(late.read(), Err(LogError::Over)));
    }

    #[test]
    fn drill_time_stands_still_while_nobody_watches() {
        let root = tempfile::tempdir().unwrap();
        let mut log = Log::create(&folder(root.path()), &Secret::from_seed(1)).unwrap();
        log.append(Some(60_000), Event::Known).unwrap();
        let (at, clock, _) = log.last.unwrap();
        let after = |log: &Log, milliseconds| log.clock(at + chrono::TimeDelta::milliseconds(milliseconds), None);
        assert_eq!((clock, after(&log, 0), after(&log, 1500)), (60_000, 60_000, 61_500));
        assert_eq!((after(&log, PRESENT + 1), after(&log, -1)), (60_000, 60_000));
        assert_eq!(log.clock(at, Some(5)), 60_000, "it never goes back");
        log.append(Some(61_000), Event::Unknown { reason: "no answer".to_owned() }).unwrap();
        let (at, ..) = log.last.unwrap();
        assert_eq!(log.clock(at + chrono::TimeDelta::milliseconds(1500), None), 61_000);
    }
}
