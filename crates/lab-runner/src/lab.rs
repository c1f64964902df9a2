//! A lab is one running copy of the stack. [`Lab`] has a name, a folder with its [`Record`], and two locks ([`lock`]).
//! [`StateFolder`] holds all labs and the run history.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

mod changes;
mod drill;
mod keys;
pub mod lock;
mod owner;
mod record;
mod reset;
pub mod revisions;
mod run_id;
mod stack;
pub(crate) mod startup;
mod state_folder;
#[cfg(test)]
pub(crate) mod testing;

pub use changes::ChangeError;
pub use keys::previous_key;
pub use record::{Containers, FIRST_KEY, GRAFANA_PASSWORD, Record};
pub use reset::ResetError;
pub use run_id::run_holder;
pub use state_folder::StateFolder;

use lab_system::files::{self, Folder};
use lock::{Lock, LockError};
use record::VERSION;
use state_folder::{GONE, sweep};

/// Name of the lab that commands use by default.
pub const DEFAULT_NAME: &str = "default";

/// Error of the state of labs on disk.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file or folder cannot be read or written.
    #[error("cannot use the state folder {}: {source}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A state file was not written by lab.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// First problem in it.
        detail: String,
    },
    /// The lab was created by a newer version of lab.
    #[error("lab {name} was made by a newer version of lab (its format is {found}, this one knows {VERSION})")]
    Newer {
        /// Name of the lab.
        name: String,
        /// Version of its format.
        found: u32,
    },
    /// Invalid lab name.
    #[error("{name:?} cannot be a lab's name: use 1 to 40 of a-z, 0-9 and -, not beginning with -")]
    Name {
        /// The rejected name.
        name: String,
    },
    /// The lab does not exist.
    #[error("there is no lab {name}")]
    Missing {
        /// Name of the lab.
        name: String,
    },
    /// The lab is locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A drill is in progress in the lab.
    #[error("a drill is in progress in lab {name}")]
    Drill {
        /// Name of the lab.
        name: String,
    },
    /// The operating system returned no random bytes.
    #[error("cannot get random bytes: {0}")]
    Random(getrandom::Error),
}

fn folder_error(path: &Path, source: io::Error) -> LabError {
    LabError::Folder { path: path.to_owned(), source }
}

/// Rejects names that are not valid as folder, container and host names.
fn check_name(name: &str) -> Result<(), LabError> {
    let fits = (1..=40).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(()) } else { Err(LabError::Name { name: name.to_owned() }) }
}

/// State of one lab on disk. Cheap to clone; keeps nothing open.
#[derive(Clone, Debug)]
pub struct Lab {
    name: String,
    folder: Folder,
}

impl Lab {
    /// Lab `name` in the folder `labs`.
    fn new(name: &str, labs: &Path) -> Result<Self, LabError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), folder: Folder::new(labs.join(name)) })
    }

    /// Name of the lab: 1 to 40 of `a-z`, `0-9` and `-`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Option that selects the lab, with a space before it. Empty for the default lab.
    pub fn name_option(&self) -> String {
        if self.name == DEFAULT_NAME { String::new() } else { format!(" --name {}", self.name) }
    }

    /// Folder of the lab. Exists if the lab exists or has leftovers.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Path of the undo log.
    pub fn undo_path(&self) -> PathBuf {
        self.folder.path("undo.ndjson")
    }

    /// Stored record. `None` if the lab does not exist.
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

    /// Like [`Lab::record`], but the lab must exist.
    pub fn existing(&self) -> Result<Record, LabError> {
        self.record()?.ok_or_else(|| LabError::Missing { name: self.name.clone() })
    }

    /// Returns whether the lab was created for one run, including a run that was interrupted before it could record
    /// that.
    pub fn is_temporary(&self) -> bool {
        self.record().ok().flatten().is_none_or(|record| record.owner.is_some())
    }

    /// Saves the record atomically and durably.
    pub fn save(&self, record: &Record) -> Result<(), LabError> {
        self.make_folder()?;
        self.folder.write_json("lab.json", record).map_err(|source| folder_error(&self.folder.path("lab.json"), source))
    }

    /// Acquires the run lock without waiting. `holder` is shown to others: `run 7f3a`. Refused during a drill, whose lab
    /// only the participant changes.
    pub fn lock_run(&self, holder: &str) -> Result<Lock, LabError> {
        let lock = self.lock_run_of_drill(holder)?;
        match self.drill()? {
            Some(_) => Err(LabError::Drill { name: self.name.clone() }),
            None => Ok(lock),
        }
    }

    /// Acquires the run lock like [`Lab::lock_run`], also during a drill: to begin and to end it.
    pub fn lock_run_of_drill(&self, holder: &str) -> Result<Lock, LabError> {
        self.make_folder()?;
        let lock = Lock::try_acquire(&self.folder.path("run.lock"), &self.name, holder)?;
        self.remove_leftovers();
        Ok(lock)
    }

    /// Acquires the change lock, waiting a few seconds for its holder.
    pub async fn lock_change(&self, holder: &str) -> Result<Lock, LabError> {
        self.make_folder()?;
        let lock = Lock::acquire(&self.folder.path("change.lock"), &self.name, holder).await?;
        self.remove_leftovers();
        Ok(lock)
    }

    /// Acquires the change lock without waiting.
    pub fn try_lock_change(&self, holder: &str) -> Result<Lock, LabError> {
        self.make_folder()?;
        Ok(Lock::try_acquire(&self.folder.path("change.lock"), &self.name, holder)?)
    }

    /// Record of a locked lab. Fails if the lab was removed while waiting for the lock.
    pub fn locked_record(&self, _lock: &Lock) -> Result<Record, LabError> {
        let record = self.existing();
        if matches!(record, Err(LabError::Missing { .. })) {
            // Locking recreated the folder.
            self.remove()?;
        }
        record
    }

    /// Current holder of the run lock.
    pub fn running(&self) -> Option<String> {
        lock::holder(&self.folder.path("run.lock"))
    }

    /// Current holder of the change lock.
    pub fn changing(&self) -> Option<String> {
        lock::holder(&self.folder.path("change.lock"))
    }

    /// Time at which the last change of the lab began. `None` if there was none.
    pub fn last_change(&self) -> Option<SystemTime> {
        std::fs::metadata(self.folder.path("change.lock")).and_then(|file| file.modified()).ok()
    }

    /// Removes the lab's folder. The stack must be down.
    pub fn remove(&self) -> Result<(), LabError> {
        let root = self.folder.root();
        let Some(labs) = root.parent() else { return Ok(()) };
        // Renamed first, to a name that no lab can have, so that commands waiting for a lock see either nothing or a
        // new lab.
        match std::fs::rename(root, labs.join(format!("{GONE}{}-{}", self.name, std::process::id()))) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(folder_error(root, source)),
            _ => {}
        }
        // Includes leftovers of an interrupted removal.
        sweep(labs)
    }

    /// Removes leftovers of killed commands: temporary files, which may contain keys, and folders of removed labs.
    fn remove_leftovers(&self) {
        files::collect(self.folder.root());
        if let Some(labs) = self.folder.root().parent() {
            // A leftover that cannot be removed does not fail the command; `lab recover` reports it.
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
        let state = StateFolder::at(&folder.path().join("state")).unwrap();
        (folder, state)
    }

    #[test]
    fn a_record_survives_and_a_lab_can_be_forgotten() {
        let (_folder, state) = state();
        let lab = state.lab("default").unwrap();
        assert!(lab.record().unwrap().is_none());
        assert!(matches!(lab.caller_key(), Err(LabError::Missing { .. })));
        lab.save(&Record::new("embedded", 8080)).unwrap();
        lab.set_caller_key("apikey-v2", &revisions::Author::Up).unwrap();
        assert_eq!(state.labs().unwrap()[0].caller_key().unwrap(), "apikey-v2");
        std::fs::create_dir(state.root().join("labs/.gone-room-1-77")).unwrap();
        lab.remove().unwrap();
        lab.remove().unwrap();
        assert!(lab.record().unwrap().is_none());
        assert_eq!(std::fs::read_dir(state.root().join("labs")).unwrap().count(), 0);
    }

    #[test]
    fn a_newer_or_damaged_record_is_an_error() {
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
    async fn a_locked_lab_names_the_holder_of_its_lock() {
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
    async fn waiting_for_the_lock_of_a_removed_lab_recreates_its_folder() {
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
        // Waiting for the removed lab fails and leaves nothing behind.
        assert!(matches!(lab.locked_record(&lock), Err(LabError::Missing { .. })));
        assert!(!lab.folder().root().exists());
    }
}
