//! lab's background processes, which outlive the command that started them: the host of an embedded lab, and the dashboard
//! of a lab on containers. A locked file identifies each of them ([`acquire_lock`]): the kernel releases a lock when its
//! process ends, whereas it reuses process ids.

use std::fs::{File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio_util::sync::CancellationToken;

use crate::deadline::{self, Deadline};
use crate::files;

/// Time to wait for the previous process to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);
/// Time for a process to end after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a process with other work to release a lock.
const SHARED_TIMEOUT: Duration = Duration::from_secs(30);
/// Line in the lock file of a process with other work.
const SHARED: &str = "shared";

/// Path of lab's executable. On Linux this is a path in `/proc`, so it refers to the running version even if another one
/// has been installed in its place.
pub fn own_executable() -> PathBuf {
    let named = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && named.exists() {
        return named.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("lab"))
}

/// Marks all inherited descriptors except 0, 1 and 2 as close-on-exec, so that a lock or a pipe of the caller does not stay
/// open in a host. The standard library already opens its descriptors this way.
pub fn close_inherited_on_exec() {
    close_fds::set_fds_cloexec(3, &[]);
}

/// Detaches this process from its terminal, session and working directory.
pub fn detach() {
    // Files are private to the user, like everything in the lab's folder.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // A new session receives no signals from the terminal and no hang-up.
    let _ = rustix::process::setsid();
    // All paths are absolute. Staying in the caller's folder would keep its file system busy.
    let _ = std::env::set_current_dir("/");
}

/// Command that starts a background process: a hidden command of lab, with pipes for the order and the response, and its errors
/// appended to `log`.
///
/// # Errors
/// If the log cannot be opened.
pub fn hidden_command(executable: &Path, name: &str, log: &Path) -> io::Result<Command> {
    let mut command = Command::new(executable);
    command.arg0("lab").arg(name).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(files::append(log)?);
    Ok(command)
}

/// A child process that is killed on drop, unless [`Starting::keep`] is called first.
pub struct Starting(Option<std::process::Child>);

impl Starting {
    /// Guards a process that was just started.
    pub fn new(process: std::process::Child) -> Self {
        Self(Some(process))
    }

    /// The guarded process.
    pub fn process(&mut self) -> Option<&mut std::process::Child> {
        self.0.as_mut()
    }

    /// Sends the process an order, one line of JSON on its standard input, and returns its response, a line of its standard
    /// output. It is empty if the process exited instead. Standard input stays open.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] after `limit`, and errors of the pipes.
    pub async fn exchange(&mut self, order: &impl Serialize, limit: Duration) -> io::Result<String> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let pipes = self.process().and_then(|process| process.stdin.as_mut().zip(process.stdout.take()));
        let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("the process has no pipes"))?;
        stdin.write_all(&line)?;
        let stdout = ChildStdout::from_std(stdout)?;
        let mut response = String::new();
        let read = deadline::timeout(limit, BufReader::new(stdout).read_line(&mut response)).await;
        read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(response)
    }

    /// Releases the process from the guard.
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

/// Cancels `end` when standard input closes. Uses a plain thread because a read of standard input cannot be cancelled, and
/// the runtime must not wait for it.
pub fn end_with_stdin(end: CancellationToken) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        end.cancel();
    });
}

/// Cancels `end` on SIGTERM or SIGINT.
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

/// Acquires the lock that identifies this process and writes the process id into the file. Waits a few seconds for the
/// previous process to end, and for callers of [`is_running`], which hold the lock for an instant.
///
/// # Errors
/// `WouldBlock` if the lock is still held after that time.
pub async fn acquire_lock(path: &Path) -> io::Result<File> {
    let file = crate::files::open_lock(path)?;
    let deadline = Deadline::after(LOCK_TIMEOUT);
    loop {
        match file.try_lock() {
            Ok(()) => {
                // The id is only for people and for systems without `/proc`. On a full disk it may be missing.
                let _ = file.set_len(0).and_then(|()| writeln!(&file, "{}", std::process::id()));
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) if !deadline.is_over() => tokio::time::sleep(LOCK_INTERVAL).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Records in a lock that its process also does other work, so that [`end_holders`] waits for it and does not end it.
///
/// # Errors
/// If the file cannot be written. Do not hold the lock then.
pub fn mark_shared(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}\n{SHARED}\n", std::process::id())
}

/// Whether the holder of this lock does other work too.
fn is_shared(file: &File) -> bool {
    let mut text = String::new();
    let read = io::Read::read_to_string(&mut io::Read::take(file, 64), &mut text);
    read.is_ok() && text.lines().nth(1) == Some(SHARED)
}

/// Returns true if a running process holds this lock.
pub fn is_running(lock: &Path) -> bool {
    crate::files::open_state(lock, u64::MAX)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Waits until no process holds the lock of this file, which may be removed in the meantime.
///
/// # Errors
/// `TimedOut` if the lock is still held after `timeout`.
pub async fn wait_until_free(file: File, timeout: Duration) -> io::Result<()> {
    let (sender, free) = tokio::sync::oneshot::channel();
    // The kernel wakes this thread when the holder releases its lock or dies.
    std::thread::spawn(move || {
        let _ = sender.send(file.lock_shared());
    });
    match deadline::timeout(timeout, free).await {
        Ok(Ok(locked)) => locked,
        Ok(Err(_)) => Err(io::Error::other("its lock cannot be watched")),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Hint for a lock whose holder could not be ended.
pub fn holder_hint(lock: &Path) -> String {
    format!("find the process with fuser -v {} and end it", lock.display())
}

/// Ends every process that holds this lock: sends SIGTERM, and SIGKILL to those that do not end within `grace`. Returns
/// when the lock is free. Waits for a process that does other work ([`mark_shared`]), instead of ending it.
///
/// # Errors
/// Names the holders if they do not end. Also fails if they cannot be found or signalled.
pub async fn end_holders(lock: &Path, grace: Duration) -> io::Result<()> {
    for (signal, timeout) in [(Signal::TERM, grace), (Signal::KILL, KILL_TIMEOUT)] {
        let file = match crate::files::open_state(lock, u64::MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        if is_shared(&file) {
            return wait_until_free(file, SHARED_TIMEOUT).await;
        }
        signal_holders(lock, signal)?;
        match wait_until_free(file, timeout).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            result => return result,
        }
    }
    let pids: Vec<String> = holders(lock)?.iter().map(ToString::to_string).collect();
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("it does not end (process {})", pids.join(", "))))
}

/// Sends a signal to every process that holds this lock. A process descriptor is held from before the check until after the
/// signal, so a reused process id is never signalled.
#[cfg(target_os = "linux")]
fn signal_holders(lock: &Path, signal: Signal) -> io::Result<()> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    let id = FileId::new(&std::fs::metadata(lock)?);
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

/// Ids of the processes that hold this lock: the one that acquired it and those that inherited it. Processes that only have
/// the file open, or check whether the lock is held, are not included.
#[cfg(target_os = "linux")]
pub fn holders(lock: &Path) -> io::Result<Vec<u32>> {
    let id = FileId::new(&std::fs::metadata(lock)?);
    let processes = std::fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|pid| *pid != std::process::id() && id.is_locked_by(*pid)).collect())
}

/// Id of the process that holds this lock, read from the file.
#[cfg(not(target_os = "linux"))]
pub fn holders(lock: &Path) -> io::Result<Vec<u32>> {
    if !is_running(lock) {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(crate::files::open_state(lock, u64::MAX)?, 32), &mut text)?;
    text.lines()
        .next()
        .unwrap_or_default()
        .parse()
        .map(|pid| vec![pid])
        .map_err(|_| io::Error::other("its lock does not name its process"))
}

/// Identity of a file, independent of its names.
#[cfg(target_os = "linux")]
#[derive(PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

#[cfg(target_os = "linux")]
impl FileId {
    fn new(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Returns true if a process holds the exclusive lock of this file, according to `/proc/PID/fdinfo` (proc(5): one `lock:`
    /// line per lock of the open file). Returns false for processes of other users and processes that have ended.
    fn is_locked_by(&self, pid: u32) -> bool {
        let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        open.flatten().any(|file| {
            let same = std::fs::metadata(file.path()).is_ok_and(|metadata| Self::new(&metadata) == *self);
            let info = Path::new(&format!("/proc/{pid}/fdinfo")).join(file.file_name());
            same && std::fs::read_to_string(info).is_ok_and(|info| has_exclusive_lock(&info))
        })
    }
}

/// Returns true if the `fdinfo` of an open file lists an exclusive flock(2) lock.
#[cfg(target_os = "linux")]
fn has_exclusive_lock(info: &str) -> bool {
    info.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("lock:") && line.contains(" FLOCK ") && words.any(|word| word == "WRITE")
    })
}

fn number(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the process id is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_exclusive_lock_counts_as_running() {
        let holder = "pos:\t0\nflags:\t02100001\nlock:\t1: FLOCK  ADVISORY  WRITE 11466 fe:00:10010806 0 EOF\n";
        assert!(has_exclusive_lock(holder));
        assert!(!has_exclusive_lock(&holder.replace("WRITE", "READ ")));
        assert!(!has_exclusive_lock("pos:\t0\nflags:\t02100001\n"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.lock");
        let held = crate::files::append(&path).unwrap();
        held.lock().unwrap();
        let id = FileId::new(&held.metadata().unwrap());
        assert!(id.is_locked_by(std::process::id()));
        held.unlock().unwrap();
        held.lock_shared().unwrap();
        assert!(!id.is_locked_by(std::process::id()));
    }

    #[tokio::test]
    async fn a_process_with_other_work_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drill.lock");
        let held = acquire_lock(&path).await.unwrap();
        assert!(!is_shared(&File::open(&path).unwrap()));
        mark_shared(&held).unwrap();
        assert!(is_shared(&File::open(&path).unwrap()));
        let release = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(held);
        });
        end_holders(&path, Duration::ZERO).await.unwrap();
        release.await.unwrap();
    }
}
