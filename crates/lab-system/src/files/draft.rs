//! [`Draft`]: a file that is written under a temporary name and gets its own name once it is whole. A draft is locked for as long
//! as its process lives, so [`collect`] knows which ones killed processes have left.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use tempfile::{NamedTempFile, TempDir};

use super::open::output_target;
use super::{check_folder, is_named, sync_folder};

/// How the names of drafts begin.
const PREFIX: &str = ".lab-draft-";
/// How they began in earlier versions, which did not lock them.
const UNLOCKED: [&str; 2] = [".writing-", ".importing-"];
/// How old an unlocked draft must be before it is removed: it may still be written.
const UNLOCKED_AGE: Duration = Duration::from_mins(1);
/// How often a draft is made again that a collector has taken between its creation and its lock.
const ATTEMPTS: usize = 10;

/// A file under a temporary name.
#[derive(Debug)]
struct Draft {
    file: NamedTempFile,
    folder: PathBuf,
}

impl Draft {
    /// A draft in this folder, after the removal of those that killed processes have left there. The umask applies to `mode`.
    fn create(folder: &Path, mode: u32) -> io::Result<Self> {
        remove_left(folder, &[]);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).permissions(Permissions::from_mode(mode));
        for _ in 0..ATTEMPTS {
            let file = builder.tempfile_in(folder)?;
            if is_kept(file.as_file(), file.path()) {
                return Ok(Self { file, folder: folder.to_owned() });
            }
        }
        Err(contended())
    }

    /// Gives the draft its name, durably. A file of that name is replaced.
    fn commit(self, path: &Path) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(path)?;
        sync_folder(&self.folder)
    }

    /// Gives the draft its name, durably. False if the name is in use: its file stays as it is.
    fn commit_new(self, path: &Path) -> io::Result<bool> {
        self.file.as_file().sync_all()?;
        match self.file.persist_noclobber(path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
            Ok(_) => sync_folder(&self.folder).map(|()| true),
        }
    }
}

/// The next content of a file, on disk beside it. It has no effect until it is committed; dropped, it is removed.
#[derive(Debug)]
pub struct Staged {
    draft: Draft,
    path: PathBuf,
}

impl Staged {
    /// Writes the next content of a file of the state, durably.
    pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<Self> {
        let draft = written(path, content)?;
        draft.file.as_file().sync_all()?;
        Ok(Self { draft, path: path.to_owned() })
    }

    /// Gives the file its next content, atomically and durably.
    pub fn commit(self) -> io::Result<()> {
        self.draft.commit(&self.path)
    }
}

/// Writes a file of the state so that a reader, or a power failure, meets the old content or the new one, never a part; mode 0600.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    written(path, content)?.commit(path)
}

/// Writes a file of the state that does not exist yet, as [`write_atomic`] does; an existing one stays as it is.
pub fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    written(path, content)?.commit_new(path).map(drop)
}

fn written(path: &Path, content: &[u8]) -> io::Result<Draft> {
    let folder = folder_of(path);
    check_folder(folder)?;
    let mut draft = Draft::create(folder, 0o600)?;
    draft.file.write_all(content)?;
    Ok(draft)
}

/// A file that the user names, written as a whole or not at all. A symbolic link is followed, and only a regular file is replaced.
#[derive(Debug)]
pub struct Output {
    draft: Draft,
    target: PathBuf,
}

impl Output {
    /// Fails if the file could not be written. The umask applies to `mode`.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let target = output_target(path)?;
        Ok(Self { draft: Draft::create(folder_of(&target), mode)?, target })
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        self.draft.file.as_file_mut()
    }

    /// Gives the file its name, durably.
    pub fn commit(self) -> io::Result<()> {
        self.draft.commit(&self.target)
    }
}

/// Writes a file that the user names: see [`Output`].
pub fn write_output(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut output = Output::create(path, mode)?;
    output.file().write_all(content)?;
    output.commit()
}

/// A folder under a temporary name, with mode 0700, and the lock that keeps it from being collected. The caller renames it.
pub fn draft_folder(folder: &Path) -> io::Result<(TempDir, File)> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
    for _ in 0..ATTEMPTS {
        let made = builder.tempdir_in(folder)?;
        match File::open(made.path()) {
            Ok(lock) if is_kept(&lock, made.path()) => return Ok((made, lock)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Err(contended())
}

/// Removes what killed processes have left in a folder of the state: drafts that no process holds.
pub fn collect(folder: &Path) {
    remove_left(folder, &UNLOCKED);
}

fn remove_left(folder: &Path, unlocked: &[&str]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_unlocked = unlocked.iter().any(|prefix| name.starts_with(prefix));
        if is_unlocked || name.starts_with(PREFIX) {
            // One that cannot be removed is left to the next command.
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
    // Only the lock shows that no process holds it: without support for locks nothing is removed.
    if file.try_lock().is_err() || !is_named(&file, path) {
        return Ok(());
    }
    if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Locks a new draft. False if a collector has met it first.
fn is_kept(file: &File, path: &Path) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && is_named(file, path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn contended() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "its temporary file was removed again and again")
}
