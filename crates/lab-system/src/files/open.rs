//! Opens files: checks the path before and after the open, and never blocks on the other end of a pipe.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{getegid, geteuid};

/// Time to wait for a pipe to get a reader, and for that reader to accept a byte.
const PIPE_TIMEOUT: Duration = Duration::from_secs(3);
const PIPE_INTERVAL: Duration = Duration::from_millis(5);

/// Reason for refusing a path. Returned as the source of an [`io::Error`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The path is of another kind, such as a pipe or a device.
    #[error("it is {found}; expected {expected}")]
    Kind {
        /// Noun with its article: `a pipe`.
        found: &'static str,
        /// Noun with its article: `a file`.
        expected: &'static str,
    },
    /// The file belongs to another user.
    #[error("it belongs to user {owner}; expected user {user}")]
    Owner {
        /// User id.
        owner: u32,
        /// Effective user id of this process.
        user: u32,
    },
    /// Other users have write permission.
    #[error("other users can write to it (mode {mode:04o})")]
    Shared {
        /// Permission bits.
        mode: u32,
    },
    /// The file has more than one hard link, so a write would change it under another name too.
    #[error("it has {0} names (hard links); expected one")]
    Linked(u64),
    /// The file exceeds the size limit of its reader.
    #[error("it has {size} bytes; expected at most {limit}")]
    Large {
        /// In bytes.
        size: u64,
        /// In bytes.
        limit: u64,
    },
    /// The folder of the file is refused.
    #[error("its folder cannot be used: {0}")]
    Folder(Box<Unusable>),
}

impl Unusable {
    /// Extracts the reason from an I/O error, if that is its source.
    pub fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Suggests a fix to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Kind { .. } | Self::Linked(_) | Self::Large { .. } => "move it out of the way, then try again",
            Self::Owner { .. } => "run lab as that user, or name a folder of your own in LAB_STATE_DIR",
            Self::Shared { .. } => "remove that permission (chmod go-w), or name another folder in LAB_STATE_DIR",
            Self::Folder(reason) => reason.hint(),
        }
    }
}

impl From<Unusable> for io::Error {
    fn from(reason: Unusable) -> Self {
        Self::new(io::ErrorKind::InvalidData, reason)
    }
}

/// Opens a state file for reading: a regular file of this user, at most `limit` bytes, not writable by other users.
pub fn open_state(path: &Path, limit: u64) -> io::Result<File> {
    let file = state_file(path, OpenOptions::new().read(true), Use::Read)?;
    check_size(&file, limit)?;
    Ok(file)
}

/// Reads a state file, opened with [`open_state`].
pub fn read_state(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_within(open_state(path, limit)?, limit)
}

/// Opens a state file for appending. Creates it with mode 0600 if it is missing.
pub fn append(path: &Path) -> io::Result<File> {
    state_file(path, OpenOptions::new().create(true).append(true), Use::Write)
}

/// Opens a lock file. Creates it with mode 0600 if it is missing.
pub fn open_lock(path: &Path) -> io::Result<File> {
    state_file(path, OpenOptions::new().create(true).truncate(false).read(true).write(true), Use::Write)
}

/// Opens a file given by the user for reading: a regular file of at most `limit` bytes. Symbolic links are followed. A
/// descriptor opened by the shell (`/dev/stdin`, or `/dev/fd/63` for `<(command)`) may also be a pipe.
pub fn open_input(path: &Path, limit: u64) -> io::Result<File> {
    if is_descriptor(path) {
        return File::open(path);
    }
    check_kind(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(flags(OFlags::NONBLOCK)).open(path)?;
    check_kind(&file.metadata()?)?;
    check_size(&file, limit)?;
    Ok(file)
}

/// Reads a file given by the user, opened with [`open_input`].
pub fn read_input(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_within(open_input(path, limit)?, limit)
}

/// Opens a file given by the user for writing row by row: a new or truncated file, a device, or a pipe. A pipe must get a
/// reader within [`PIPE_TIMEOUT`], and the reader must keep up.
pub fn create_stream(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if !is_pipe || is_descriptor(path) {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY))
            .open(path)?;
        return Ok(Box::new(PipeWriter(file)));
    }
    let deadline = Instant::now() + PIPE_TIMEOUT;
    loop {
        match OpenOptions::new().write(true).custom_flags(flags(OFlags::NONBLOCK)).open(path) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                if Instant::now() > deadline {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "no process reads from this pipe"));
                }
                std::thread::sleep(PIPE_INTERVAL);
            }
            opened => return Ok(Box::new(PipeWriter(opened?))),
        }
    }
}

/// Checks a state folder: owned by this user, not a symbolic link, and not writable by others. A group with write
/// permission must be the group of this process, as is usual with a umask of 002.
pub fn check_folder(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(Unusable::Kind { found: kind(&found), expected: "a folder" }.into());
    }
    Ok(check_owner(&found)?)
}

/// Resolves the file that a write to `path` changes: a regular file, or one that does not exist yet.
pub(super) fn output_target(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) => {
            check_kind(&found)?;
            if path.is_symlink() { fs::canonicalize(path) } else { Ok(path.to_owned()) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

/// Checks a state file that another library is about to open, without opening it: `SQLite` loses its locks on a file when
/// this process closes any descriptor of that file. A missing file passes.
pub fn check_state(path: &Path) -> io::Result<()> {
    check_folder_of(path)?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(check_file(&found, Use::Write)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Access requested for a state file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

fn state_file(path: &Path, options: &mut OpenOptions, purpose: Use) -> io::Result<File> {
    check_folder_of(path)?;
    // Opening some devices has side effects, and the file type explains more than the error of an open.
    match fs::symlink_metadata(path) {
        Ok(found) => check_kind(&found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && purpose == Use::Write => {}
        Err(error) => return Err(error),
    }
    let file = options.mode(0o600).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path)?;
    // The path may refer to another file by now.
    check_file(&file.metadata()?, purpose)?;
    Ok(file)
}

fn check_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    check_folder(folder).map_err(|error| match Unusable::in_error(&error) {
        Some(reason) => Unusable::Folder(Box::new(reason.clone())).into(),
        None => error,
    })
}

fn check_file(found: &Metadata, purpose: Use) -> Result<(), Unusable> {
    check_kind(found)?;
    check_owner(found)?;
    if purpose == Use::Write && found.nlink() > 1 { Err(Unusable::Linked(found.nlink())) } else { Ok(()) }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn check_kind(found: &Metadata) -> Result<(), Unusable> {
    if found.is_file() { Ok(()) } else { Err(Unusable::Kind { found: kind(found), expected: "a file" }) }
}

fn check_owner(found: &Metadata) -> Result<(), Unusable> {
    let user = geteuid().as_raw();
    if found.uid() != user {
        return Err(Unusable::Owner { owner: found.uid(), user });
    }
    let mode = found.mode() & 0o7777;
    let by_group = mode & 0o020 != 0 && found.gid() != getegid().as_raw();
    if mode & 0o002 != 0 || by_group { Err(Unusable::Shared { mode }) } else { Ok(()) }
}

fn check_size(file: &File, limit: u64) -> io::Result<()> {
    let size = file.metadata()?.len();
    if size > limit { Err(Unusable::Large { size, limit }.into()) } else { Ok(()) }
}

/// Reads at most `limit` bytes and fails if there are more. A file may grow while it is read.
pub fn read_within(file: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    if size > limit { Err(Unusable::Large { size, limit }.into()) } else { Ok(bytes) }
}

/// File type as a noun with its article.
fn kind(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_file() {
        "a file"
    } else {
        "a device"
    }
}

/// Returns true if the path refers to an open descriptor of this process.
fn is_descriptor(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path == Path::new("/dev/stdout")
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

/// Writes with a timeout, since the reader of a pipe may have stopped reading.
struct PipeWriter(File);

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let deadline = Instant::now() + PIPE_TIMEOUT;
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() > deadline {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader has stopped reading"));
                    }
                    std::thread::sleep(PIPE_INTERVAL);
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
