//! Starting a host, and knowing whether one lives: by the lock that it holds, never by a process id.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::protocol::{HostRequest, Ready};
use crate::engine::{Description, EngineError, EngineErrorKind, UpRequest};
use crate::files::{self, Folder};

/// How long a stack may take until it is up; the host has shorter limits for each part.
const UP_TIMEOUT: Duration = Duration::from_secs(30);

/// A host that has started, and its stack.
pub(super) struct Started {
    /// Its standard input, still open, is what it is tied to.
    pub(super) process: std::process::Child,
    pub(super) description: Description,
}

/// Starts a host and waits until its stack is healthy.
pub(super) async fn host(folder: &Folder, exe: &Path, request: &UpRequest) -> Result<Started, EngineError> {
    let system = |error: io::Error| EngineError::new(EngineErrorKind::System, format!("lab host: {error}"));
    files::make_folder(folder.root()).map_err(system)?;
    let errors = files::append(&folder.path("host.log")).map_err(system)?;
    let request = HostRequest { folder: folder.root().to_owned(), exe: exe.to_owned(), up: request.clone() };
    let mut line = serde_json::to_vec(&request).map_err(|error| system(error.into()))?;
    line.push(b'\n');
    let mut command = Command::new(exe);
    command.arg("host").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
    let mut starting = Starting(Some(command.spawn().map_err(system)?));
    let pipes = starting.0.as_mut().and_then(|process| process.stdin.as_mut().zip(process.stdout.take()));
    let Some((stdin, stdout)) = pipes else {
        return Err(EngineError::new(EngineErrorKind::System, "lab host has no pipes"));
    };
    io::Write::write_all(stdin, &line).map_err(system)?;
    let stdout = tokio::process::ChildStdout::from_std(stdout).map_err(system)?;
    let mut answer = String::new();
    let read = tokio::time::timeout(UP_TIMEOUT, BufReader::new(stdout).read_line(&mut answer)).await;
    let failed = match read {
        Ok(Ok(1..)) => match serde_json::from_str(&answer) {
            Ok(Ready::Up(description)) => {
                let process = starting.0.take();
                let gone = || EngineError::new(EngineErrorKind::System, "lab host is gone");
                return Ok(Started { process: process.ok_or_else(gone)?, description });
            }
            Ok(Ready::Failed(error)) => error,
            Err(_) => EngineError::new(EngineErrorKind::System, format!("lab host says {answer:?}")),
        },
        Ok(_) => EngineError::new(EngineErrorKind::Exited, last_words(folder)).of("lab host"),
        Err(_) => EngineError::new(EngineErrorKind::StartupTimeout, last_words(folder)).of("lab host"),
    };
    Err(failed)
}

/// A host that is not up yet. It is ended where nobody waits for it any more, and its services end with it.
struct Starting(Option<std::process::Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(process) = &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn last_words(folder: &Folder) -> String {
    let text = std::fs::read_to_string(folder.path("host.log")).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

/// Whether a host of this folder lives, or a service that it started.
pub(super) fn lives(folder: &Folder) -> bool {
    std::fs::File::open(folder.path(super::LOCK_FILE))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Waits until no host of this folder lives, nor any service that it started.
pub(super) async fn until_gone(folder: &Folder, patience: Duration) -> Result<(), EngineError> {
    let Ok(file) = std::fs::File::open(folder.path(super::LOCK_FILE)) else { return Ok(()) };
    let (told, gone) = tokio::sync::oneshot::channel();
    // The kernel wakes this thread when the host gives up its lock, be it by dying.
    std::thread::spawn(move || {
        let locked = file.lock_shared();
        let _ = told.send(locked);
    });
    match tokio::time::timeout(patience, gone).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(_) => Err(EngineError::new(EngineErrorKind::System, "its lock cannot be watched")),
        Err(_) => Err(EngineError::new(EngineErrorKind::System, "its host does not end").of("lab host")),
    }
}
