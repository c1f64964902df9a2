//! `lab app --health`: probes the app in the same container, using the same environment. Needed because the image contains only
//! this executable, with no shell or curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lab_core::error::Exit;

/// Longer than the app's own limit of one second for `/health`.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reason why the app does not count as healthy.
#[derive(Debug, thiserror::Error)]
enum Unhealthy {
    #[error("APP_LISTEN is not set")]
    NotSet,
    #[error("APP_LISTEN is not UTF-8")]
    NotUtf8,
    #[error("APP_LISTEN must be an address, got {0:?}")]
    Address(String),
    #[error("{address}: {source}")]
    Io { address: SocketAddr, source: io::Error },
    /// A status other than 200. Contains the last line of the response.
    #[error("{0}")]
    Response(String),
}

/// Succeeds if `/health` returns 200. Otherwise prints the reason on standard error and fails like a failed expectation.
pub fn health() -> Exit {
    let result = match std::env::var("APP_LISTEN") {
        Ok(listen) => probe(&listen),
        Err(std::env::VarError::NotPresent) => Err(Unhealthy::NotSet),
        Err(std::env::VarError::NotUnicode(_)) => Err(Unhealthy::NotUtf8),
    };
    match result {
        Ok(()) => Exit::Passed,
        Err(reason) => {
            // Ignore a closed standard error.
            let _ = writeln!(io::stderr(), "unhealthy: {reason}");
            Exit::NotPassed
        }
    }
}

fn probe(listen: &str) -> Result<(), Unhealthy> {
    let mut address: SocketAddr = listen.parse().map_err(|_| Unhealthy::Address(listen.to_owned()))?;
    if address.ip().is_unspecified() {
        // Listening on all addresses includes the loopback address.
        let loopback = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    let response = exchange(address).map_err(|source| Unhealthy::Io { address, source })?;
    let status = response.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    Err(Unhealthy::Response(response.lines().last().unwrap_or_default().to_owned()))
}

fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: health\r\nconnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.take(64 << 10).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
