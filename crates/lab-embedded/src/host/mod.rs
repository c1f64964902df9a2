//! `lab host`: the process that an embedded stack lives in. It starts `lab app` and `lab gateway` as its children, takes
//! the engine's calls on a loopback port, and holds a lock for as long as it lives.

use std::fs::File;
use std::io::{BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::call::unreadable;
use super::protocol::{HostFile, HostRequest, Ready, new_token};
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_core::error::Exit;
use lab_dashboard::Look;
use lab_system::background;
use lab_system::files::{self, Folder};

mod app;
mod control;
mod database;
mod gateway;
mod health;
mod supervisor;

use control::End;
use supervisor::Supervisor;

/// How long the last answers may take to be read: somebody who follows the logs may have stopped reading.
const LINGER: Duration = Duration::from_millis(500);
/// How often the host looks at its files.
const ATTEND_INTERVAL: Duration = Duration::from_millis(500);

/// Runs a stack: reads a [`HostRequest`] from standard input, says on standard output that the stack is [`Ready`], or why
/// not, and serves until it is told to end. Until it is up, and where it is tied also later, it ends when standard input does.
pub fn run() -> Exit {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line).is_err() {
        return Exit::Usage;
    }
    let Ok(request) = serde_json::from_str::<HostRequest>(&line) else {
        let _ = std::io::stderr().write_all(b"error: lab host is started by lab up; it is not for typing\n");
        return Exit::Usage;
    };
    background::detach();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&Ready::Failed(EngineError::new(EngineErrorKind::System, error.to_string())));
            return Exit::Failed;
        }
    };
    let exit = runtime.block_on(host(request));
    runtime.shutdown_background();
    exit
}

/// Tells the process that started us.
fn say(ready: &Ready) {
    let text = serde_json::to_string(ready).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // That process may be gone, which is no reason to end a stack that shall outlive it.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

async fn host(request: HostRequest) -> Exit {
    let end = CancellationToken::new();
    // Whoever starts it keeps its standard input open until the stack is up: one that nobody waits for any more is not wanted.
    let orphaned = if request.up.tied { end.clone() } else { CancellationToken::new() };
    background::end_with_stdin(orphaned.clone());
    background::end_with_signals(end.clone());
    match serve(request, end, orphaned).await {
        Ok(()) => Exit::Passed,
        Err(error) => {
            say(&Ready::Failed(error));
            Exit::Failed
        }
    }
}

async fn serve(request: HostRequest, end: CancellationToken, orphaned: CancellationToken) -> Result<(), EngineError> {
    let folder = Folder::new(request.folder.clone());
    let lock = take_lock(&folder.path(super::LOCK_FILE)).await?;
    let supervisor = Arc::new(Supervisor::new(&folder, &request)?);
    let up = tokio::select! {
        up = supervisor.up(&request.up) => up,
        () = end.cancelled() => Err(EngineError::new(EngineErrorKind::Lost, "it was told to end")),
        () = orphaned.cancelled() => Err(EngineError::new(EngineErrorKind::Lost, "who started it is gone")),
    };
    match up {
        Ok(()) => control(&folder, &lock, &supervisor, end).await,
        Err(error) => {
            supervisor.down().await;
            Err(error)
        }
    }
}

/// Takes calls until it is told to end, then ends the services.
async fn control(
    folder: &Folder,
    lock: &File,
    supervisor: &Arc<Supervisor>,
    end: CancellationToken,
) -> Result<(), EngineError> {
    let end = End { asked: end, over: CancellationToken::new() };
    let called = match open(folder).await {
        Ok((listener, file)) => {
            show_board(folder, supervisor, &end.asked).await;
            say(&Ready::Up(supervisor.describe().await));
            let (supervisor, token, until) = (supervisor.clone(), file.token.clone(), end.clone());
            let served = tokio::spawn(async move { control::serve(listener, supervisor, &token, until).await });
            tokio::select! {
                () = end.asked.cancelled() => {}
                () = attend(folder, lock, &file) => {}
            }
            Ok(served)
        }
        Err(error) => Err(error),
    };
    // From now on nobody finds it: a new host waits for the lock.
    end.asked.cancel();
    let _ = std::fs::remove_file(folder.path(super::HOST_FILE));
    supervisor.down().await;
    end.over.cancel();
    let _ = tokio::time::timeout(LINGER, called?).await;
    Ok(())
}

/// Opens the control port, and writes how it is reached.
async fn open(folder: &Folder) -> Result<(TcpListener, HostFile), EngineError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(system)?;
    let address = listener.local_addr().map_err(system)?.to_string();
    let token = new_token().map_err(system)?;
    let file = HostFile { version: super::VERSION.to_owned(), pid: std::process::id(), address, token };
    folder.write_json(super::HOST_FILE, &file).map_err(system)?;
    Ok((listener, file))
}

/// Writes `host.json` again if it is lost or altered. Returns once the lab's folder is gone: nobody can end this host then.
async fn attend(folder: &Folder, lock: &File, file: &HostFile) {
    let path = folder.path(super::HOST_FILE);
    let mut written = stamp(&path);
    let mut ticks = tokio::time::interval(ATTEND_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while files::is_named(lock, &folder.path(super::LOCK_FILE)) {
        if (written.is_none() || stamp(&path) != written) && folder.write_json(super::HOST_FILE, file).is_ok() {
            written = stamp(&path);
        }
        ticks.tick().await;
    }
}

/// What changes when a file is replaced or written to; none if there is no such file.
fn stamp(path: &Path) -> Option<(u64, u64, SystemTime)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

/// Serves the dashboard beside the stack. A stack without one is a stack all the same.
async fn show_board(folder: &Folder, supervisor: &Arc<Supervisor>, end: &CancellationToken) {
    let Some(listener) = lab_dashboard::listen(supervisor.board_port()).await else { return };
    let Ok(address) = listener.local_addr() else { return };
    if supervisor.board_is_on(address.port()).is_ok() {
        let (folder, supervisor, end) = (folder.clone(), supervisor.clone(), end.clone());
        tokio::spawn(async move { lab_dashboard::serve(listener, folder.root(), supervisor, end).await });
    }
}

#[async_trait::async_trait]
impl lab_dashboard::Source for Supervisor {
    async fn look(&self) -> Look {
        Look { gateway: self.gateway_url(), services: self.states(), metrics: self.metrics(), prometheus: None }
    }
}

/// Takes the lock of the host, and hands it down to the services: it is free again when the last of them has ended too,
/// however the host ended, so that nobody removes the folder, or wants the port, under their hands.
async fn take_lock(path: &Path) -> Result<File, EngineError> {
    let file = background::take(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => system("another host of this lab runs already").hint("lab down ends it"),
        _ => unreadable(path, &error),
    })?;
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).map_err(system)?;
    Ok(file)
}

fn system(error: impl std::fmt::Display) -> EngineError {
    EngineError::new(EngineErrorKind::System, error.to_string())
}
