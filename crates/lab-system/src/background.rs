//! Processes of lab's own that outlive who starts them: the host of an embedded lab, and the dashboard of a lab on containers.
//! Each is known by a file that it keeps locked ([`take`]): the kernel gives a lock up with its process, and a number it gives
//! to another.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio_util::sync::CancellationToken;

use crate::deadline::{self, Deadline};

/// How long the process before may be at its end, and how often that is looked at.
const TAKE_TIMEOUT: Duration = Duration::from_secs(5);
const TAKE_INTERVAL: Duration = Duration::from_millis(5);
/// How long a process may take to end after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// lab's own executable, for starting it again. On Linux through `/proc`, so that it is this very file even where
/// another one has been installed in its place.
pub fn own_executable() -> PathBuf {
    let named = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && named.exists() {
        return named.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("lab"))
}

/// Keeps the descriptors that this process inherited, except 0, 1 and 2, from the processes that it starts: a lock or a pipe
/// of the caller must not live on in a host. The standard library opens its own descriptors close-on-exec already; what a
/// child is to have is passed on purpose.
pub fn close_inherited_on_exec() {
    close_fds::set_fds_cloexec(3, &[]);
}

/// Lets this process live on its own.
pub fn detach() {
    // What it writes is the user's alone, as everything in the lab's folder.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // A session of its own: no signal of the terminal reaches it, and no hang-up.
    let _ = rustix::process::setsid();
    // All its paths are absolute; it shall not keep somebody's folder busy.
    let _ = std::env::set_current_dir("/");
}

/// A process that nobody knows of yet. It is ended where nobody goes on with it.
pub struct Starting(Option<std::process::Child>);

impl Starting {
    /// One that was started.
    pub fn new(process: std::process::Child) -> Self {
        Self(Some(process))
    }

    /// It.
    pub fn process(&mut self) -> Option<&mut std::process::Child> {
        self.0.as_mut()
    }

    /// It shall live on.
    pub fn keep(mut self) -> Option<std::process::Child> {
        self.0.take()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(process) = &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Ends this process when its standard input ends. A plain thread: a read of standard input cannot be cancelled, and the
/// runtime must not wait for it.
pub fn end_with_stdin(end: CancellationToken) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        end.cancel();
    });
}

/// Ends this process when it is told to by SIGTERM or SIGINT.
pub fn end_with_signals(end: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return;
    };
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        end.cancel();
    });
}

/// Takes the lock that this process is known by, and writes its process id into the file. Waits a few seconds for the process before it to end, and for who looks
/// whether one lives, and has the lock for an instant; an error of the kind `WouldBlock` where that is not enough.
pub async fn take(path: &Path) -> io::Result<File> {
    let file = crate::files::open_lock(path)?;
    let deadline = Deadline::after(TAKE_TIMEOUT);
    loop {
        match file.try_lock() {
            Ok(()) => {
                // Only for people, and for systems without `/proc`: on a full disk the lock is held without it.
                let _ = file.set_len(0).and_then(|()| writeln!(&file, "{}", std::process::id()));
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) if !deadline.is_over() => tokio::time::sleep(TAKE_INTERVAL).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a process lives that holds this lock.
pub fn lives(lock: &Path) -> bool {
    crate::files::open_state(lock, u64::MAX)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Waits until no process holds the lock of this file, which may be removed meanwhile; an error of the kind `TimedOut` where
/// that takes longer than `patience`.
pub async fn until_free(file: File, patience: Duration) -> io::Result<()> {
    let (told, free) = tokio::sync::oneshot::channel();
    // The kernel wakes this thread when the holder gives up its lock, be it by dying.
    std::thread::spawn(move || {
        let _ = told.send(file.lock_shared());
    });
    match deadline::timeout(patience, free).await {
        Ok(Ok(locked)) => locked,
        Ok(Err(_)) => Err(io::Error::other("its lock cannot be watched")),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What to do about a lock whose holder cannot be ended here.
pub fn who_holds(lock: &Path) -> String {
    format!("end the process that this names: fuser -v {}", lock.display())
}

/// Ends every process that holds this lock: asks it to by SIGTERM, and kills it if it does not end within `grace`. Returns
/// when the lock is free.
///
/// # Errors
/// One that names the holders if they can be found and do not end, or cannot be signalled.
pub async fn end_holders(lock: &Path, grace: Duration) -> io::Result<()> {
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, KILL_TIMEOUT)] {
        let file = match crate::files::open_state(lock, u64::MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        signal_holders(lock, signal)?;
        match until_free(file, patience).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            result => return result,
        }
    }
    let pids: Vec<String> = holders(lock)?.iter().map(ToString::to_string).collect();
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("it does not end (process {})", pids.join(", "))))
}

/// Sends a signal to every process that holds this lock. A process id cannot pass to another process in between: a descriptor
/// of the process is held from before the check until after the signal.
#[cfg(target_os = "linux")]
fn signal_holders(lock: &Path, signal: Signal) -> io::Result<()> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    let id = FileId::of(&std::fs::metadata(lock)?);
    for pid in holders(lock)? {
        let process = match pidfd_open(number(pid)?, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => continue,
            Err(error) => return Err(error.into()),
        };
        if id.is_locked_by(pid) {
            match pidfd_send_signal(process, signal) {
                Err(rustix::io::Errno::SRCH) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn signal_holders(lock: &Path, signal: Signal) -> io::Result<()> {
    for pid in holders(lock)? {
        match rustix::process::kill_process(number(pid)?, signal) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The processes that hold this lock: the one that took it, and those that inherited it. A process that only has the file
/// open, or looks whether the lock is held, is none of them.
#[cfg(target_os = "linux")]
pub fn holders(lock: &Path) -> io::Result<Vec<u32>> {
    let id = FileId::of(&std::fs::metadata(lock)?);
    let processes = std::fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|pid| *pid != std::process::id() && id.is_locked_by(*pid)).collect())
}

/// The process that holds this lock, as it wrote into the file when it took it.
#[cfg(not(target_os = "linux"))]
pub fn holders(lock: &Path) -> io::Result<Vec<u32>> {
    if !lives(lock) {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(crate::files::open_state(lock, u64::MAX)?, 32), &mut text)?;
    text.trim().parse().map(|pid| vec![pid]).map_err(|_| io::Error::other("its lock does not name its process"))
}

/// A file, whatever its names are.
#[cfg(target_os = "linux")]
#[derive(PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

#[cfg(target_os = "linux")]
impl FileId {
    fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Whether a process holds this file's exclusive lock, from `/proc/PID/fdinfo` (proc(5): a line `lock:` for each lock of
    /// the open file). A process of another user, or one that has ended, holds none as far as can be known.
    fn is_locked_by(&self, pid: u32) -> bool {
        let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        open.flatten().any(|file| {
            let same = std::fs::metadata(file.path()).is_ok_and(|metadata| Self::of(&metadata) == *self);
            let info = Path::new(&format!("/proc/{pid}/fdinfo")).join(file.file_name());
            same && std::fs::read_to_string(info).is_ok_and(|info| has_exclusive_lock(&info))
        })
    }
}

/// Whether the `fdinfo` of an open file names an exclusive lock of flock(2).
#[cfg(target_os = "linux")]
fn has_exclusive_lock(info: &str) -> bool {
    info.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("lock:") && line.contains(" FLOCK ") && words.any(|word| word == "WRITE")
    })
}

fn number(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("it names no process"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_holder_has_the_exclusive_lock_and_not_only_the_file() {
        let holder = "pos:\t0\nflags:\t02100001\nlock:\t1: FLOCK  ADVISORY  WRITE 11466 fe:00:10010806 0 EOF\n";
        assert!(has_exclusive_lock(holder));
        assert!(!has_exclusive_lock(&holder.replace("WRITE", "READ ")));
        assert!(!has_exclusive_lock("pos:\t0\nflags:\t02100001\n"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.lock");
        let held = crate::files::append(&path).unwrap();
        held.lock().unwrap();
        let id = FileId::of(&held.metadata().unwrap());
        assert!(id.is_locked_by(std::process::id()));
        held.unlock().unwrap();
        held.lock_shared().unwrap();
        assert!(!id.is_locked_by(std::process::id()));
    }
}
