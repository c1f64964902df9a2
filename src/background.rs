//! Processes of lab's own that outlive who starts them: the host of an embedded lab, and the dashboard of a lab on containers.
//! Each is known by a file that it keeps locked ([`take`]): the kernel gives a lock up with its process, and a number it gives
//! to another.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;
use tokio_util::sync::CancellationToken;

use crate::deadline::{self, Deadline};

/// How long the process before may be at its end, and how often that is looked at.
const TAKE_TIMEOUT: Duration = Duration::from_secs(5);
const TAKE_INTERVAL: Duration = Duration::from_millis(5);

/// lab's own executable, for starting it again. On Linux through `/proc`, so that it is this very file even where
/// another one has been installed in its place.
pub fn own_executable() -> PathBuf {
    let named = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && named.exists() {
        return named.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("lab"))
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

/// Takes the lock that this process is known by. Waits a few seconds for the process before it to end, and for who looks
/// whether one lives, and has the lock for an instant; an error of the kind `WouldBlock` where that is not enough.
pub async fn take(path: &Path) -> io::Result<File> {
    let file = crate::files::open_lock(path)?;
    let deadline = Deadline::after(TAKE_TIMEOUT);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
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

/// Kills the process of this number if it holds the lock. The number cannot pass to another process in between: a descriptor
/// of the process is held meanwhile.
#[cfg(target_os = "linux")]
pub fn kill(lock: &Path, pid: u32) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let pid = number(pid)?;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        // It has ended meanwhile.
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let lock = std::fs::metadata(lock)?;
    let is_lock = |file: std::fs::DirEntry| {
        std::fs::metadata(file.path()).is_ok_and(|open| open.dev() == lock.dev() && open.ino() == lock.ino())
    };
    let holds = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))?.flatten().any(is_lock);
    if !holds {
        return Err(io::Error::other("the process of that number is another one"));
    }
    Ok(pidfd_send_signal(process, Signal::KILL)?)
}

/// Kills the process of this number, which holds the lock: it is held, and the number stands beside it.
#[cfg(not(target_os = "linux"))]
pub fn kill(_lock: &Path, pid: u32) -> io::Result<()> {
    match rustix::process::kill_process(number(pid)?, rustix::process::Signal::KILL) {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn number(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("it names no process"))
}
