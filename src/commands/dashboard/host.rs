//! The dashboard process of a Docker lab without Grafana. `lab up` starts it next to the containers and sends it an order when
//! they are up; see `engines/dashboard.rs`. It exits when its lab's folder is gone.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve_lab;
use crate::commands::host_process::{self, lab_in, respond};
use crate::engines::dashboard::{FILE, LOCK_FILE, Order, Response, Serving};
use lab_core::engine::port;
use lab_core::error::Exit;
use lab_system::background;
use lab_system::files::{self, Folder};

/// Interval of the check that the lab still exists.
const INTERVAL: Duration = Duration::from_secs(1);

pub(in crate::commands) fn run() -> Exit {
    host_process::run("lab up", Response::Failed, serve)
}

async fn serve(order: Order) -> anyhow::Result<Exit> {
    let folder = Folder::new(order.folder.clone());
    let path = folder.path(LOCK_FILE);
    let lock = background::acquire_lock(&path).await?;
    let listener = listen(&order).await?;
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
