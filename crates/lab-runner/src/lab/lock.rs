//! Locks between processes: a file locked by the kernel, so that a process that dies leaves none behind. The file says who holds
//! it, and on a line of its own the number of its process.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use lab_system::deadline::Deadline;

/// How long a change waits for another change to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks. The kernel offers no wait with a deadline.
const INTERVAL: Duration = Duration::from_millis(10);

/// How often, and how far apart, a lock is tried before it counts as held.
const GLANCES: u32 = 5;
const GLANCE: Duration = Duration::from_millis(2);

/// How often it is tried where the process that took it is gone: a child that was just being made has it until it is another program.
const LEGACY: u32 = 500;

/// How much of a lock's file is read, in bytes.
const TEXT_LIMIT: u64 = 4096;

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
        let mut glances = 0;
        loop {
            match Self::try_take(path, holder)? {
                Ok(lock) => return Ok(lock),
                // Somebody who asks for the holder has the lock for an instant: that is no holder.
                Err(other) if glances < if other.is_dead { LEGACY } else { GLANCES } => {
                    glances += 1;
                    std::thread::sleep(GLANCE);
                }
                Err(other) => return Err(LockError::Held { lab: lab.to_owned(), holder: other.name }),
            }
        }
    }

    fn try_take(path: &Path, holder: &str) -> Result<Result<Self, Holder>, LockError> {
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
            // The file may have been removed, with the lab, between opening and locking: then the lock is of no use.
            if !lab_system::files::is_named(&file, path) {
                continue;
            }
            // On a full disk the lock is held without saying by whom: a lab has to go away there as well.
            let text = format!("{holder}\n{}", std::process::id());
            let _unnamed = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
            return Ok(Ok(Self { _file: file }));
        }
    }

    /// Takes the lock, waiting up to 20 seconds for its holder.
    pub async fn wait(path: &Path, lab: &str, holder: &str) -> Result<Self, LockError> {
        let deadline = Deadline::after(PATIENCE);
        loop {
            match Self::take(path, lab, holder) {
                Err(LockError::Held { .. }) if !deadline.is_over() => {
                    tokio::time::sleep(INTERVAL).await;
                }
                result => return result,
            }
        }
    }
}

/// What the file of a lock says of who has it.
struct Holder {
    name: String,
    /// Its process is gone.
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

/// Who holds a lock now; none where nobody does.
pub fn holder(path: &Path) -> Option<String> {
    for _ in 0..LEGACY {
        let mut file = lab_system::files::open_state(path, u64::MAX).ok()?;
        let Err(TryLockError::WouldBlock) = file.try_lock_shared() else { return None };
        let holder = Holder::read(&mut file).ok()?;
        if !holder.is_dead {
            return Some(holder.name);
        }
        std::thread::sleep(GLANCE);
    }
    Some("another lab command".to_owned())
}

fn open(path: &Path) -> io::Result<File> {
    match lab_system::files::open_lock(path) {
        // Its folder has just gone with the lab; who waited for that makes a new one.
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
        let lock = Lock::take(&path, "room-2", "lab up").unwrap();
        release.join().unwrap();
        assert_eq!(holder(&path).as_deref(), Some("lab up"));
        let busy = Lock::take(&path, "room-2", "lab down").unwrap_err().to_string();
        assert_eq!(busy, "lab room-2 is busy: lab up holds it");
        drop(lock);
    }
}
