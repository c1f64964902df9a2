//! The dashboard process of a Docker lab without Grafana. `lab up` starts it next to the containers and sends it an order when
//! they are up; see `engines/dashboard.rs`. It exits when its lab's folder is gone.

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve_lab;
use crate::engines::dashboard::{FILE, LOCK_FILE, Order, Response, Serving};
use lab_core::engine::port;
use lab_core::error::Exit;
use lab_runner::lab::StateFolder;
use lab_system::background;
use lab_system::files::{self, Folder};

/// Interval of the check that the lab still exists.
const INTERVAL: Duration = Duration::from_secs(1);

pub(in crate::commands) fn run() -> Exit {
    background::detach();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error.to_string()),
    };
    let mut line = String::new();
    if !matches!(std::io::stdin().lock().read_line(&mut line), Ok(1..)) {
        // No order: the parent exited, or Grafana runs.
        return Exit::Passed;
    }
    let Ok(order) = serde_json::from_str::<Order>(&line) else {
        let _ = std::io::stderr().write_all(b"error: this command is started by lab up and not for direct use\n");
        return Exit::Usage;
    };
    let exit = runtime.block_on(serve(&order));
    runtime.shutdown_background();
    exit.unwrap_or_else(|error| failed(error.to_string()))
}

fn respond(response: &Response) {
    let text = serde_json::to_string(response).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // The parent may have exited; the lab still exists.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn failed(why: String) -> Exit {
    respond(&Response::Failed(why));
    Exit::Failed
}

async fn serve(order: &Order) -> anyhow::Result<Exit> {
    let folder = Folder::new(order.folder.clone());
    let path = folder.path(LOCK_FILE);
    let lock = background::acquire_lock(&path).await?;
    let listener = listen(order).await?;
    let port = listener.local_addr()?.port();
    let serving = Serving { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), port };
    folder.write_json(FILE, &serving)?;
    let lab = lab_in(&order.folder)?;
    respond(&Response::On(port));
    let end = CancellationToken::new();
    if order.tied {
        background::end_with_stdin(end.clone());
    }
    background::end_with_signals(end.clone());
    tokio::select! {
        () = serve_lab(&lab, listener, end) => {}
        () = until_gone(&lock, &path) => {}
    }
    Ok(Exit::Passed)
}

/// Lab with this state folder.
fn lab_in(folder: &Path) -> anyhow::Result<lab_runner::lab::Lab> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let root = folder.parent().and_then(Path::parent).unwrap_or(folder);
    Ok(StateFolder::at(root).and_then(|state| state.lab(name))?)
}

async fn listen(order: &Order) -> anyhow::Result<TcpListener> {
    if order.or_another {
        return lab_dashboard::listen(order.port).await.context("no port of 127.0.0.1 is free");
    }
    TcpListener::bind(("127.0.0.1", order.port)).await.map_err(|error| match port::require_free(order.port) {
        Err(taken) => anyhow::Error::msg(taken.detail),
        Ok(()) => error.into(),
    })
}

/// Waits until the lock file is replaced or removed: the lab is gone, or is another one.
async fn until_gone(lock: &File, path: &Path) {
    let mut ticks = tokio::time::interval(INTERVAL);
    while files::is_named(lock, path) {
        ticks.tick().await;
    }
}
