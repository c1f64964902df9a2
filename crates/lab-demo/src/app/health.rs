//! `lab app --health`: probes the app in the same container, using the same environment. Needed because the image contains only
//! this executable, with no shell or curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lab_core::error::Exit;

/// Longer than the app's own limit of one second for `/health`.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Succeeds if `/health` returns 200. Otherwise prints the reason on standard error and fails like a failed expectation.
pub fn health() -> Exit {
    let result = match std::env::var("APP_LISTEN") {
        Ok(listen) => probe(&listen),
        Err(std::env::VarError::NotPresent) => Err("APP_LISTEN is not set".to_owned()),
        Err(std::env::VarError::NotUnicode(_)) => Err("APP_LISTEN is not UTF-8".to_owned()),
    };
    match result {
        Ok(()) => Exit::Passed,
        Err(reason) => {
            // Ignore a closed standard error.
            let _ = writeln!(std::io::stderr(), "unhealthy: {reason}");
            Exit::NotPassed
        }
    }
}

fn probe(listen: &str) -> Result<(), String> {
    let mut address: SocketAddr =
        listen.parse().map_err(|_| format!("APP_LISTEN must be an address, got {listen:?}"))?;
    if address.ip().is_unspecified() {
        // Listening on all addresses includes the loopback address.
        let loopback = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    let response = exchange(address).map_err(|error| format!("{address}: {error}"))?;
    let status = response.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    if status == "200" { Ok(()) } else { Err(response.lines().last().unwrap_or_default().to_owned()) }
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: health\r\nconnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.take(64 << 10).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
