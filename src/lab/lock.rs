//! Locks between processes: a file locked by the kernel, so that a process that dies leaves none behind. The file says who holds it.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a change waits for another change to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks. The kernel offers no wait with a deadline.
const INTERVAL: Duration = Duration::from_millis(10);

/// How often, and how far apart, a lock is tried before it counts as held.
const GLANCES: u32 = 5;
const GLANCE: Duration = Duration::from_millis(2);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("lab {lab} is busy: {holder} holds it")]
    Held {
        /// The lab.
        lab: String,
        /// What the holder says of itself.
        holder: String,
    },
    /// The file cannot be used.
    #[error("cannot lock {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock at once or not at all.
    pub fn take(path: &Path, lab: &str, holder: &str) -> Result<Self, LockError> {
        // Somebody who asks for the holder has the lock for an instant: that is no holder.
        for _ in 0..GLANCES {
            match Self::try_take(path, lab, holder) {
                Err(LockError::Held { .. }) => std::thread::sleep(GLANCE),
                result => return result,
            }
        }
        Self::try_take(path, lab, holder)
    }

    fn try_take(path: &Path, lab: &str, holder: &str) -> Result<Self, LockError> {
        let file_error = |source| LockError::File { path: path.to_owned(), source };
        loop {
            let mut file = open(path).map_err(file_error)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text).map_err(file_error)?;
                    let holder = if text.is_empty() { "another lab command".to_owned() } else { text };
                    return Err(LockError::Held { lab: lab.to_owned(), holder });
                }
                Err(TryLockError::Error(source)) => return Err(file_error(source)),
            }
            // The file may have been removed, with the lab, between opening and locking: then the lock is of no use.
            if !same_file(&file, path) {
                continue;
            }
            // On a full disk the lock is held without saying by whom: a lab has to go away there as well.
            let _unnamed =
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
            return Ok(Self { _file: file });
        }
    }

    /// Takes the lock, waiting up to 20 seconds for its holder.
    pub async fn wait(path: &Path, lab: &str, holder: &str) -> Result<Self, LockError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Self::take(path, lab, holder) {
                Err(LockError::Held { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(INTERVAL).await;
                }
                result => return result,
            }
        }
    }
}

/// Who holds a lock now; none where nobody does.
pub fn holder(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            Some(text)
        }
        _ => None,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // Its folder has just gone with the lab; who waited for that makes a new one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), crate::files::make_folder)?;
            options.open(path)
        }
        opened => opened,
    }
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_file(_file: &File, path: &Path) -> bool {
    path.exists()
}
