//! A lab: one running copy of the stack. [`Lab`] has a name, a folder with what is remembered of it ([`Record`]), two locks
//! ([`lock`]), and an engine ([`connect`], [`present`]). [`StateFolder`] is the folder that holds every lab and the journal of every run.

use std::io;
use std::path::{Path, PathBuf};

mod keys;
pub mod lock;
mod owner;
mod record;
mod stack;
mod state_folder;

pub use keys::ChangeError;
pub use record::{Containers, FIRST_KEY, GRAFANA_PASSWORD, Record};
pub use state_folder::StateFolder;

use lab_system::files::{self, Folder};
use lock::{Lock, LockError};
use record::VERSION;
use state_folder::{GONE, sweep};

/// The lab that is meant where none is named.
pub const DEFAULT_NAME: &str = "default";

/// What can be wrong with a lab's state.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The state folder cannot be used.
    #[error("cannot use the state folder {}: {source}", path.display())]
    Folder {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the state is not what lab wrote.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// It was written by a newer lab.
    #[error("lab {name} was made by a newer version of lab (its format is {found}, this one knows {VERSION})")]
    Newer {
        /// The lab.
        name: String,
        /// The version of its format.
        found: u32,
    },
    /// A name that cannot be a lab's.
    #[error("{name:?} cannot be a lab's name: use 1 to 40 of a-z, 0-9 and -, not beginning with -")]
    Name {
        /// As typed.
        name: String,
    },
    /// There is no such lab.
    #[error("there is no lab {name}")]
    Missing {
        /// The lab.
        name: String,
    },
    /// Somebody else holds a lock.
    #[error(transparent)]
    Lock(#[from] LockError),
}

fn folder_error(path: &Path, source: io::Error) -> LabError {
    LabError::Folder { path: path.to_owned(), source }
}

/// Refuses what could not be a folder, a container or a host name.
fn check_name(name: &str) -> Result<(), LabError> {
    let fits = (1..=40).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(()) } else { Err(LabError::Name { name: name.to_owned() }) }
}

/// One lab's state on disk. Cheap to clone; holds nothing open.
#[derive(Clone, Debug)]
pub struct Lab {
    name: String,
    folder: Folder,
}

impl Lab {
    /// The lab `name` among those in the folder `labs`.
    fn new(name: &str, labs: &Path) -> Result<Self, LabError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), folder: Folder::new(labs.join(name)) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder; there is one where the lab exists, or where something of it is left.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The undo log.
    pub fn undo_path(&self) -> PathBuf {
        self.folder.path("undo.ndjson")
    }

    /// What is remembered of it; none where it does not exist.
    pub fn record(&self) -> Result<Option<Record>, LabError> {
        let path = self.folder.path("lab.json");
        let text = match files::read_state(&path, files::RECORD_LIMIT) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(folder_error(&path, source)),
        };
        let damaged = |error: serde_json::Error| LabError::Damaged { path: path.clone(), detail: error.to_string() };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(damaged)?;
        let found = value.get("version").and_then(serde_json::Value::as_u64).and_then(|v| u32::try_from(v).ok());
        match found {
            Some(found) if found > VERSION => Err(LabError::Newer { name: self.name.clone(), found }),
            _ => serde_json::from_value(value).map(Some).map_err(damaged),
        }
    }

    /// Like [`Lab::record`], where it must exist.
    pub fn existing(&self) -> Result<Record, LabError> {
        self.record()?.ok_or_else(|| LabError::Missing { name: self.name.clone() })
    }

    /// Whether a run made it for itself; also where that run was cut off before it had said so.
    pub fn is_temporary(&self) -> bool {
        self.record().ok().flatten().is_none_or(|record| record.owner.is_some())
    }

    /// Remembers it: atomically, and durably.
    pub fn save(&self, record: &Record) -> Result<(), LabError> {
        self.make_folder()?;
        self.folder.write_json("lab.json", record).map_err(|source| folder_error(&self.folder.path("lab.json"), source))
    }

    /// Takes the lock of a run, at once or not at all. `holder` is what others are told: `run 7f3a`.
    pub fn lock_run(&self, holder: &str) -> Result<Lock, LabError> {
        self.make_folder()?;
        let lock = Lock::take(&self.folder.path("run.lock"), &self.name, holder)?;
        self.collect();
        Ok(lock)
    }

    /// Takes the lock of a change, waiting a few seconds for another change to end.
    pub async fn lock_change(&self, holder: &str) -> Result<Lock, LabError> {
        self.make_folder()?;
        let lock = Lock::wait(&self.folder.path("change.lock"), &self.name, holder).await?;
        self.collect();
        Ok(lock)
    }

    /// Takes the lock of a change, at once or not at all.
    pub fn try_lock_change(&self, holder: &str) -> Result<Lock, LabError> {
        self.make_folder()?;
        Ok(Lock::take(&self.folder.path("change.lock"), &self.name, holder)?)
    }

    /// What is remembered of it now that a lock of it is held; an error where it has gone while one waited for the lock.
    pub fn locked_record(&self, _lock: &Lock) -> Result<Record, LabError> {
        let record = self.existing();
        if matches!(record, Err(LabError::Missing { .. })) {
            // The lock has made a folder for nothing.
            self.remove()?;
        }
        record
    }

    /// Whether a run holds its lock now; what it says of itself.
    pub fn running(&self) -> Option<String> {
        lock::holder(&self.folder.path("run.lock"))
    }

    /// Forgets it: removes its folder. Only while no stack of it runs.
    pub fn remove(&self) -> Result<(), LabError> {
        let root = self.folder.root();
        let Some(labs) = root.parent() else { return Ok(()) };
        // Renamed first, to what is no lab's name: who waits for its locks finds none of it, or all of a new one.
        match std::fs::rename(root, labs.join(format!("{GONE}{}-{}", self.name, std::process::id()))) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(folder_error(root, source)),
            _ => {}
        }
        // Also what a removal that was cut off has left.
        sweep(labs)
    }

    /// Removes what killed commands have left: temporary files, which may hold keys, and folders of removed labs.
    fn collect(&self) {
        files::collect(self.folder.root());
        if let Some(labs) = self.folder.root().parent() {
            // One that cannot be removed is no reason to refuse the command; `lab recover` says why.
            let _ = sweep(labs);
        }
    }

    fn make_folder(&self) -> Result<(), LabError> {
        files::make_folder(self.folder.root()).map_err(|source| folder_error(self.folder.root(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateFolder) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path().join("state")).unwrap();
        (folder, state)
    }

    #[test]
    fn a_record_survives_and_a_lab_can_be_forgotten() {
        let (_folder, state) = state();
        let lab = state.lab("default").unwrap();
        assert!(lab.record().unwrap().is_none());
        assert!(matches!(lab.caller_key(), Err(LabError::Missing { .. })));
        lab.save(&Record::new("embedded", 8080)).unwrap();
        lab.set_caller_key("apikey-v2").unwrap();
        assert_eq!(state.labs().unwrap()[0].caller_key().unwrap(), "apikey-v2");
        std::fs::create_dir(state.root().join("labs/.gone-room-1-77")).unwrap();
        lab.remove().unwrap();
        lab.remove().unwrap();
        assert!(lab.record().unwrap().is_none());
        assert_eq!(std::fs::read_dir(state.root().join("labs")).unwrap().count(), 0);
    }

    #[test]
    fn a_newer_or_damaged_record_is_said_to_be_so() {
        let (_folder, state) = state();
        let lab = state.lab("default").unwrap();
        lab.save(&Record::new("embedded", 0)).unwrap();
        std::fs::write(lab.folder().path("lab.json"), r#"{"version": 99}"#).unwrap();
        assert!(matches!(lab.record(), Err(LabError::Newer { found: 99, .. })));
        std::fs::write(lab.folder().path("lab.json"), "{").unwrap();
        assert!(matches!(lab.record(), Err(LabError::Damaged { .. })));
    }

    #[test]
    fn names_that_could_escape_the_folder_are_refused() {
        let (_folder, state) = state();
        for name in ["", "..", "a/b", "-a", "A", "a b", &"x".repeat(41)] {
            assert!(matches!(state.lab(name), Err(LabError::Name { .. })), "{name}");
        }
        for name in ["a", "room-12", "0"] {
            assert!(state.lab(name).is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_second_run_is_told_who_holds_the_lock() {
        let (_folder, state) = state();
        let lab = state.lab("default").unwrap();
        let lock = lab.lock_run("run 7f3a").unwrap();
        let error = lab.lock_run("run 0000").unwrap_err().to_string();
        assert!(error.contains("run 7f3a"), "{error}");
        assert_eq!(lab.running().as_deref(), Some("run 7f3a"));
        drop(lock);
        assert_eq!(lab.running(), None);
        lab.lock_run("run 0000").unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_a_lab_that_goes_gets_a_new_one() {
        let (_folder, state) = state();
        let lab = state.lab("default").unwrap();
        let held = lab.lock_change("lab down").await.unwrap();
        let waiting = tokio::spawn({
            let lab = lab.clone();
            async move { lab.lock_change("lab up").await }
        });
        tokio::task::yield_now().await;
        lab.remove().unwrap();
        drop(held);
        let lock = waiting.await.unwrap().unwrap();
        assert!(lab.folder().path("change.lock").exists());
        // Who wanted the one that has gone is told so, and leaves nothing.
        assert!(matches!(lab.locked_record(&lock), Err(LabError::Missing { .. })));
        assert!(!lab.folder().root().exists());
    }
}
