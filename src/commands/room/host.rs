//! The server's process of a room. `lab room up` and `lab room resume` start it. It exits after a signal, and when the
//! room's folder is removed; then `lab room resume` continues it.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::labs::Labs;
use super::process::{LOCK_FILE, Order, Response};
use crate::commands::host_process::{self, respond};
use lab_core::engine::port;
use lab_core::error::Exit;
use lab_room::config::{RoomConfig, Rooms};
use lab_room::host::{Address, Host};
use lab_room::server;
use lab_runner::lab::StateFolder;
use lab_system::{background, files};

/// Threads of the process. Referees and pages wait for disks, and must not wait for one another.
const THREADS: usize = 2;
/// Interval of the check that the room still exists.
const INTERVAL: Duration = Duration::from_secs(1);
/// Open files that a large room needs.
const FILES: u32 = 8192;
/// Address in a network for documentation. Choosing a route to it sends nothing.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

pub(in crate::commands) fn run() -> Exit {
    host_process::run_parallel("lab room up", Response::Failed, serve, THREADS)
}

async fn serve(order: Order) -> anyhow::Result<Exit> {
    let state = StateFolder::at(&order.state)?;
    let folder = Rooms::new(state.root()).folder(&order.room);
    let path = folder.path(LOCK_FILE);
    let lock = background::acquire_lock(&path).await?;
    let Some(config) = RoomConfig::read(&folder)? else { anyhow::bail!("the room does not exist") };
    // A room with fewer open files still serves a few participants.
    let _ = lab_traffic::raise_file_limit(FILES);
    let listener = listen(config.address).await?;
    let listen = listener.local_addr()?;
    let address = Address { listen, url: url(listen) };
    let labs = Arc::new(Labs::new(state, &config.engine));
    let host = tokio::task::spawn_blocking(move || Host::open(config, &folder, labs, address)).await??;
    respond(&Response::Serving(listen));
    let end = CancellationToken::new();
    background::end_with_signals(end.clone());
    let until_end = async {
        tokio::select! {
            () = until_gone(&lock, &path) => end.cancel(),
            () = end.cancelled() => {}
        }
    };
    let serving = server::serve(listener, Arc::clone(&host), end.clone());
    tokio::join!(host.run(end.clone()), serving, until_end);
    Ok(Exit::Passed)
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match port::require_free(address.port()) {
        Err(taken) => anyhow::Error::msg(taken.detail),
        Ok(()) => anyhow::Error::from(error).context(format!("cannot listen on {address}")),
    })
}

/// Waits until the lock file is replaced or removed: the room is gone.
async fn until_gone(lock: &File, path: &Path) {
    while files::is_named(lock, path) {
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Address that participants open. If the server listens on every address, that of this machine in its network.
pub(super) fn url(listen: SocketAddr) -> String {
    let address = if listen.ip().is_unspecified() { SocketAddr::new(own_address(), listen.port()) } else { listen };
    format!("http://{address}")
}

fn own_address() -> IpAddr {
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    });
    found.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn participants_open_an_address_of_this_machine() {
        assert_eq!(url(([127, 0, 0, 1], 7000).into()), "http://127.0.0.1:7000");
        assert_eq!(url("[::1]:7000".parse().unwrap()), "http://[::1]:7000");
        let any = url(([0, 0, 0, 0], 7000).into());
        assert!(!any.contains("0.0.0.0") && any.ends_with(":7000"), "{any}");
    }
}
