//! Health checks of services in containers: the image contains only this executable, with no shell or curl.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lab_core::error::Exit;

/// Longer than the app's own limit of one second for `/health`.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reason why a probe failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("{address}: {source}")]
    Io { address: SocketAddr, source: io::Error },
    /// A status other than 200. Contains the last line of the response.
    #[error("{0}")]
    Response(String),
}

/// Exit code of a health check. Prints the reason of a failure on standard error.
pub(crate) fn exit(result: Result<(), impl Display>) -> Exit {
    match result {
        Ok(()) => Exit::Passed,
        Err(reason) => {
            // Ignore a closed standard error.
            let _ = writeln!(io::stderr(), "unhealthy: {reason}");
            Exit::NotPassed
        }
    }
}

/// Succeeds if a GET request is answered with 200.
pub(crate) fn probe(address: SocketAddr, path: &str) -> Result<(), ProbeError> {
    let response = exchange(address, path).map_err(|source| ProbeError::Io { address, source })?;
    let status = response.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    Err(ProbeError::Response(response.lines().last().unwrap_or_default().to_owned()))
}

fn exchange(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: health\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    stream.take(64 << 10).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
