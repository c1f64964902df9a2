//! Atomic writes. A [`Draft`] is written under a temporary name and renamed once it is complete. It stays locked while its
//! process is alive, so [`collect`] can identify the drafts that killed processes left behind.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use tempfile::{NamedTempFile, TempDir};

use super::open::output_target;
use super::{check_folder, is_named, sync_folder};

/// Prefix of the names of drafts.
const PREFIX: &str = ".lab-draft-";
/// Prefixes of earlier versions, which did not lock their drafts.
const UNLOCKED: [&str; 2] = [".writing-", ".importing-"];
/// Minimum age of an unlocked draft before it is removed. A younger one may still be in use.
const UNLOCKED_AGE: Duration = Duration::from_mins(1);
/// Number of attempts to create a draft, if a collector removes it between its creation and its lock.
const ATTEMPTS: usize = 10;

/// A file under a temporary name.
#[derive(Debug)]
struct Draft {
    file: NamedTempFile,
    folder: PathBuf,
}

impl Draft {
    /// Creates a draft in the folder after removing abandoned ones. The umask applies to `mode`.
    fn create(folder: &Path, mode: u32) -> io::Result<Self> {
        remove_abandoned(folder, &[]);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).permissions(Permissions::from_mode(mode));
        for _ in 0..ATTEMPTS {
            let file = builder.tempfile_in(folder)?;
            if lock_draft(file.as_file(), file.path()) {
                return Ok(Self { file, folder: folder.to_owned() });
            }
        }
        Err(contended())
    }

    /// Renames the draft to its final name, durably, replacing any existing file.
    fn commit(self, path: &Path) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(path)?;
        sync_folder(&self.folder)
    }

    /// Renames the draft to its final name, durably. Returns false, and changes nothing, if the name is in use.
    fn commit_new(self, path: &Path) -> io::Result<bool> {
        self.file.as_file().sync_all()?;
        match self.file.persist_noclobber(path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
            Ok(_) => sync_folder(&self.folder).map(|()| true),
        }
    }
}

/// The next content of a file, stored beside it. It takes effect when committed and is removed when dropped.
#[derive(Debug)]
pub struct Staged {
    draft: Draft,
    path: PathBuf,
}

impl Staged {
    /// Writes the next content of a state file, durably.
    pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<Self> {
        let draft = write_draft(path, content)?;
        draft.file.as_file().sync_all()?;
        Ok(Self { draft, path: path.to_owned() })
    }

    /// Replaces the content of the file, atomically and durably.
    pub fn commit(self) -> io::Result<()> {
        self.draft.commit(&self.path)
    }
}

/// Writes a state file with mode 0600. Readers, and a power failure, see either the old or the new content, never a part.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    write_draft(path, content)?.commit(path)
}

/// Writes a state file like [`write_atomic`], but not durably: after a power failure it may be empty. For state of a running
/// process that is written often and worthless after its end.
pub fn write_volatile(path: &Path, content: &[u8]) -> io::Result<()> {
    write_draft(path, content)?.file.persist(path)?;
    Ok(())
}

/// Creates a state file like [`write_atomic`]. Leaves an existing file unchanged.
pub fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    write_draft(path, content)?.commit_new(path).map(drop)
}

fn write_draft(path: &Path, content: &[u8]) -> io::Result<Draft> {
    let folder = folder_of(path);
    check_folder(folder)?;
    let mut draft = Draft::create(folder, 0o600)?;
    draft.file.write_all(content)?;
    Ok(draft)
}

/// A file given by the user, written completely or not at all. Symbolic links are followed; only regular files are replaced.
#[derive(Debug)]
pub struct Output {
    draft: Draft,
    target: PathBuf,
}

impl Output {
    /// Creates the draft, and fails early if the target cannot be written. The umask applies to `mode`.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let target = output_target(path)?;
        Ok(Self { draft: Draft::create(folder_of(&target), mode)?, target })
    }

    /// File handle of the draft.
    pub fn file(&mut self) -> &mut File {
        self.draft.file.as_file_mut()
    }

    /// Renames the draft to its final name, durably.
    pub fn commit(self) -> io::Result<()> {
        self.draft.commit(&self.target)
    }
}

/// Writes a file given by the user: see [`Output`].
pub fn write_output(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut output = Output::create(path, mode)?;
    output.file().write_all(content)?;
    output.commit()
}

/// Creates a folder under a temporary name, with mode 0700, and locks it against [`collect`]. The caller renames it.
pub fn draft_folder(folder: &Path) -> io::Result<(TempDir, File)> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
    for _ in 0..ATTEMPTS {
        let draft = builder.tempdir_in(folder)?;
        match File::open(draft.path()) {
            Ok(lock) if lock_draft(&lock, draft.path()) => return Ok((draft, lock)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Err(contended())
}

/// Removes the drafts in a state folder that no running process holds.
pub fn collect(folder: &Path) {
    remove_abandoned(folder, &UNLOCKED);
}

fn remove_abandoned(folder: &Path, unlocked: &[&str]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_unlocked = unlocked.iter().any(|prefix| name.starts_with(prefix));
        if is_unlocked || name.starts_with(PREFIX) {
            // The next command tries again.
            let _ = remove_one(&entry.path(), is_unlocked);
        }
    }
}

fn remove_one(path: &Path, is_unlocked: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let usable = found.is_file() || found.is_dir();
    if !usable || found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let age = SystemTime::now().duration_since(found.modified()?).unwrap_or_default();
    if is_unlocked && age < UNLOCKED_AGE {
        return Ok(());
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // Only the lock proves that no process holds the draft. Without lock support, nothing is removed.
    if file.try_lock().is_err() || !is_named(&file, path) {
        return Ok(());
    }
    if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Locks a new draft. Returns false if a collector got to it first.
fn lock_draft(file: &File, path: &Path) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && is_named(file, path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn contended() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "its temporary file was removed repeatedly")
}
