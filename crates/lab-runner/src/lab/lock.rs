//! Locks between processes. The kernel locks a file, so a process that dies releases its lock. The file contains the
//! holder and, on the next line, its process id.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use lab_system::deadline::Deadline;

/// How long a change waits for another change.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// Poll interval. The kernel offers no wait with a deadline.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Number of attempts, and their interval, before a lock counts as held.
const ATTEMPTS: u32 = 5;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(2);

/// Number of attempts if the holder's process is gone: a child process between fork and exec can still hold the lock.
const DEAD_HOLDER_ATTEMPTS: u32 = 500;

/// Maximum size of a lock file, in bytes.
const TEXT_LIMIT: u64 = 4096;

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Reason why a lock was not acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error("lab {lab} is busy: {holder} holds it")]
    Held {
        /// Name of the lab.
        lab: String,
        /// Name that the holder recorded.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl Lock {
    /// Acquires the lock without waiting.
    pub fn try_acquire(path: &Path, lab: &str, holder: &str) -> Result<Self, LockError> {
        let mut attempts = 0;
        loop {
            match Self::attempt(path, holder)? {
                Ok(lock) => return Ok(lock),
                // A process that queries the holder locks the file briefly; that does not count.
                Err(other) if attempts < if other.is_dead { DEAD_HOLDER_ATTEMPTS } else { ATTEMPTS } => {
                    attempts += 1;
                    std::thread::sleep(ATTEMPT_INTERVAL);
                }
                Err(other) => return Err(LockError::Held { lab: lab.to_owned(), holder: other.name }),
            }
        }
    }

    fn attempt(path: &Path, holder: &str) -> Result<Result<Self, Holder>, LockError> {
        let file_error = |source| LockError::File { path: path.to_owned(), source };
        loop {
            let mut file = open(path).map_err(file_error)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Ok(Err(Holder::read(&mut file).map_err(file_error)?));
                }
                Err(TryLockError::Error(source)) => return Err(file_error(source)),
            }
            // The file may have been removed, with the lab, between opening and locking; then the lock is useless.
            if !lab_system::files::is_named(&file, path) {
                continue;
            }
            // On a full disk the lock is held without a name, because it must be possible to remove a lab there too.
            let text = format!("{holder}\n{}", std::process::id());
            let _unnamed = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
            return Ok(Ok(Self { _file: file }));
        }
    }

    /// Acquires the lock, waiting up to 20 seconds for its holder.
    pub async fn acquire(path: &Path, lab: &str, holder: &str) -> Result<Self, LockError> {
        let deadline = Deadline::after(ACQUIRE_TIMEOUT);
        loop {
            match Self::try_acquire(path, lab, holder) {
                Err(LockError::Held { .. }) if !deadline.is_over() => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                result => return result,
            }
        }
    }
}

/// Holder recorded in a lock file.
struct Holder {
    name: String,
    is_dead: bool,
}

impl Holder {
    fn read(file: &mut File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        file.take(TEXT_LIMIT).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let (name, pid) = text.split_once('\n').unwrap_or((&text, ""));
        let name = if name.is_empty() { "another lab command" } else { name };
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        let is_dead = pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
        Ok(Self { name: name.to_owned(), is_dead })
    }
}

/// Current holder of a lock.
pub fn holder(path: &Path) -> Option<String> {
    for _ in 0..DEAD_HOLDER_ATTEMPTS {
        let mut file = lab_system::files::open_state(path, u64::MAX).ok()?;
        let Err(TryLockError::WouldBlock) = file.try_lock_shared() else { return None };
        let holder = Holder::read(&mut file).ok()?;
        if !holder.is_dead {
            return Some(holder.name);
        }
        std::thread::sleep(ATTEMPT_INTERVAL);
    }
    Some("another lab command".to_owned())
}

fn open(path: &Path) -> io::Result<File> {
    match lab_system::files::open_lock(path) {
        // The folder was just removed with its lab; recreate it for a new one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), lab_system::files::make_folder)?;
            lab_system::files::open_lock(path)
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_outlives_its_process_for_an_instant_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.lock");
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let hold_of_the_dead = || {
            let file = open(&path).unwrap();
            file.lock().unwrap();
            std::fs::write(&path, format!("run 7f3a\n{}", ended.id())).unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                drop(file);
            })
        };
        let release = hold_of_the_dead();
        assert_eq!(holder(&path), None);
        release.join().unwrap();
        let release = hold_of_the_dead();
        let lock = Lock::try_acquire(&path, "room-2", "lab up").unwrap();
        release.join().unwrap();
        assert_eq!(holder(&path).as_deref(), Some("lab up"));
        let busy = Lock::try_acquire(&path, "room-2", "lab down").unwrap_err().to_string();
        assert_eq!(busy, "lab room-2 is busy: lab up holds it");
        drop(lock);
    }
}
