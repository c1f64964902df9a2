//! `lab host`: the supervisor process of a stack of plain processes. It runs `lab app` and `lab gateway` as children, serves the
//! engine's calls on its control port, and holds a lock while it is running.
//!
//! - Started by an engine on the same machine, it listens on loopback ports. With a request file, in a container, it serves a
//!   network (see [`network`]): it writes no `host.json`, serves no dashboard, and prints neither keys nor its description.
//! - It runs in a session of its own. `lab up` leaves it running; the host of a temporary lab is tied to its run.
//! - Its services inherit `host.lock`, so the lock is free only when all of them have ended. No process id is guessed.
//! - A service prints `ready ADDRESS` on stdout, then its log, and exits when its stdin closes.
//! - A redeployment starts a new app, waits until it is healthy, routes the gateway to it, waits until `/health` through the
//!   gateway shows the new instance, lets the old one finish its requests, scrapes it one last time, and stops it.
//! - Stop, kill and pause are signals. A paused database is an exclusive lock on the `SQLite` file.
//! - The dashboard scrapes the app and the gateway once a second, reads the events of the lab's runs, which do not know about
//!   it, and evaluates the rules of `stack/prometheus/`, so that alerts are read the same way on both engines.
//! - `host.json` has the control address and the token, readable by the user only. The host rewrites the file if it is lost, and
//!   exits if the lab's folder is removed. Without the file it is still found by its lock.
//! - Dashboard and control port have separate limits of connections, so that idle clients of one cannot block the other.

use std::fs::File;
use std::io::{BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::protocol::{HostFile, HostRequest, Network, Ready, new_token};
use crate::{HOST_FILE, LOCK_FILE, VERSION, unreadable};
use lab_core::engine::{EngineError, EngineErrorKind, Roles};
use lab_core::error::Exit;
use lab_dashboard::Snapshot;
use lab_system::background;
use lab_system::files::{self, Folder};

mod app;
mod context;
mod control;
mod database;
mod gateway;
mod health;
mod logs;
mod network;
mod slot;
mod supervisor;
mod transition;

use control::{Control, Port, Shutdown};
use supervisor::Supervisor;

/// Time for clients to read the last responses. A log follower may have stopped reading.
const LINGER: Duration = Duration::from_millis(500);
/// Interval at which the host checks its files.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Runs a stack that an engine on this machine starts: reads a `HostRequest` from standard input, writes a `Ready` message to
/// standard output, and serves until shutdown is requested. The host exits when standard input closes: a tied host always,
/// others only until the stack is up.
pub fn run() -> Exit {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line).is_err() {
        return Exit::Usage;
    }
    let Ok(request) = serde_json::from_str::<HostRequest>(&line) else {
        let _ = std::io::stderr().write_all(b"error: `lab host` is internal; use `lab up` to start a lab\n");
        return Exit::Usage;
    };
    background::detach();
    match block_on(host(request)) {
        Ok(exit) => exit,
        Err(error) => {
            report(&Ready::Failed(EngineError::new(EngineErrorKind::System, error.to_string())));
            Exit::Failed
        }
    }
}

/// Runs a stack in a container: reads a `HostRequest` from a file and serves until it receives a signal.
pub fn run_from_file(path: &Path) -> Exit {
    let complain = |error: &dyn std::fmt::Display| {
        let _ = writeln!(std::io::stderr().lock(), "error: {error}");
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            complain(&format_args!("{}: {error}", path.display()));
            return Exit::Usage;
        }
    };
    let Ok(request) = serde_json::from_slice::<HostRequest>(&text) else {
        // The reason could quote a secret of the file.
        complain(&format_args!("{} is not a request for `lab host`", path.display()));
        return Exit::Usage;
    };
    let end = CancellationToken::new();
    let serving = async {
        background::end_with_signals(end.clone());
        files::make_folder(&request.folder).map_err(|error| unreadable(&request.folder, &error))?;
        serve(request, end, CancellationToken::new()).await
    };
    match block_on(serving) {
        Ok(Ok(())) => Exit::Passed,
        Ok(Err(error)) => {
            complain(&error);
            Exit::Failed
        }
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

fn block_on<T>(task: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(task);
    runtime.shutdown_background();
    Ok(result)
}

/// Reports to the parent process.
fn report(ready: &Ready) {
    let text = serde_json::to_string(ready).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // The parent may have exited; the stack continues without it.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

async fn host(request: HostRequest) -> Exit {
    let end = CancellationToken::new();
    // The parent keeps standard input open until the stack is up. If it closes earlier, the start was abandoned.
    let orphaned = if request.up.tied { end.clone() } else { CancellationToken::new() };
    background::end_with_stdin(orphaned.clone());
    background::end_with_signals(end.clone());
    match serve(request, end, orphaned).await {
        Ok(()) => Exit::Passed,
        Err(error) => {
            report(&Ready::Failed(error));
            Exit::Failed
        }
    }
}

async fn serve(request: HostRequest, end: CancellationToken, orphaned: CancellationToken) -> Result<(), EngineError> {
    let folder = Folder::new(request.folder.clone());
    let lock = take_lock(&folder.path(LOCK_FILE)).await?;
    let supervisor = Arc::new(Supervisor::new(&folder, &request)?);
    let up = tokio::select! {
        up = supervisor.up(&request.up) => up,
        () = end.cancelled() => Err(EngineError::new(EngineErrorKind::Lost, "shutdown was requested")),
        () = orphaned.cancelled() => Err(EngineError::new(EngineErrorKind::Lost, "the parent process has exited")),
    };
    match up {
        Ok(()) => control(&folder, &lock, &supervisor, request.network.as_ref(), end).await,
        Err(error) => {
            supervisor.down().await;
            Err(error)
        }
    }
}

/// Serves calls until shutdown is requested, then stops the services.
async fn control(
    folder: &Folder,
    lock: &File,
    supervisor: &Arc<Supervisor>,
    network: Option<&Network>,
    end: CancellationToken,
) -> Result<(), EngineError> {
    let shutdown = Shutdown { requested: end, complete: CancellationToken::new() };
    let state = Control { supervisor: supervisor.clone(), shutdown: shutdown.clone() };
    let called = match network {
        None => serve_locally(folder, lock, state).await,
        Some(network) => network::serve(network, state).await,
    };
    // Unpublish the address. A new host waits for the lock.
    shutdown.requested.cancel();
    let _ = std::fs::remove_file(folder.path(HOST_FILE));
    supervisor.down().await;
    shutdown.complete.cancel();
    let _ = tokio::time::timeout(LINGER, called?).await;
    Ok(())
}

/// Serves calls from this machine until shutdown is requested or the lab's folder is removed. Returns the task that serves.
async fn serve_locally(folder: &Folder, lock: &File, control: Control) -> Result<JoinHandle<()>, EngineError> {
    let (port, file) = open(folder).await?;
    let requested = control.shutdown.requested.clone();
    serve_dashboard(folder, &control.supervisor, &requested).await;
    report(&Ready::Up(Box::new(control.supervisor.describe().await)));
    let called = tokio::spawn(control::serve(port, control));
    tokio::select! {
        () = requested.cancelled() => {}
        () = watch_files(folder, lock, &file) => {}
    }
    Ok(called)
}

/// Opens the control port and publishes its address in `host.json`.
async fn open(folder: &Folder) -> Result<(Port, HostFile), EngineError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(system)?;
    let address = listener.local_addr().map_err(system)?.to_string();
    let token = new_token().map_err(system)?;
    let file = HostFile { version: VERSION.to_owned(), pid: std::process::id(), address, token: token.clone() };
    folder.write_json(HOST_FILE, &file).map_err(system)?;
    Ok((Port { listener, token, tls: None }, file))
}

/// Rewrites `host.json` if it is lost or modified. Returns once the lab's folder is gone, because nothing could stop this host
/// then.
async fn watch_files(folder: &Folder, lock: &File, file: &HostFile) {
    let path = folder.path(HOST_FILE);
    let mut written = fingerprint(&path);
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while files::is_named(lock, &folder.path(LOCK_FILE)) {
        if (written.is_none() || fingerprint(&path) != written) && folder.write_json(HOST_FILE, file).is_ok() {
            written = fingerprint(&path);
        }
        ticks.tick().await;
    }
}

/// Inode, length and modification time of a file, to detect changes. `None` if the file does not exist.
fn fingerprint(path: &Path) -> Option<(u64, u64, SystemTime)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

/// Serves the dashboard in the background. The stack works without it, so failures are ignored.
async fn serve_dashboard(folder: &Folder, supervisor: &Arc<Supervisor>, end: &CancellationToken) {
    let Some(listener) = lab_dashboard::listen(supervisor.dashboard_port()).await else { return };
    let Ok(address) = listener.local_addr() else { return };
    if supervisor.set_dashboard_port(address.port()).is_ok() {
        let (folder, supervisor, end) = (folder.clone(), supervisor.clone(), end.clone());
        tokio::spawn(async move { lab_dashboard::serve(listener, folder.root(), supervisor, end).await });
    }
}

#[async_trait::async_trait]
impl lab_dashboard::Source for Supervisor {
    async fn snapshot(&self) -> Snapshot {
        Snapshot {
            gateway: self.gateway_url(),
            services: self.states(),
            roles: Roles::default(),
            metrics: self.metrics(),
            edge: self.edge_metrics(),
            prometheus: None,
        }
    }
}

/// Takes the host's lock and lets the services inherit it. It is released only when the last of them has exited, however the
/// host ended, so that the folder and the port are not reused before.
async fn take_lock(path: &Path) -> Result<File, EngineError> {
    let file = background::acquire_lock(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            system("another host of this lab is already running").hint("run `lab down` to stop it")
        }
        _ => unreadable(path, &error),
    })?;
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).map_err(system)?;
    Ok(file)
}

fn system(error: impl std::fmt::Display) -> EngineError {
    EngineError::new(EngineErrorKind::System, error.to_string())
}
