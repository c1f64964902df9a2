//! `lab app --health`: asks the app that runs beside it, in the same container and under the same environment. An image that
//! holds nothing but this executable has no shell and no curl for it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lab_core::error::Exit;

/// The app answers within a second, well or not.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Held where `/health` is 200; otherwise [`Exit::NotPassed`], and a line on stderr says why.
pub fn health() -> Exit {
    let said = match std::env::var("APP_LISTEN") {
        Ok(listen) => ask(&listen),
        Err(std::env::VarError::NotPresent) => Err("APP_LISTEN is not set".to_owned()),
        Err(std::env::VarError::NotUnicode(_)) => Err("APP_LISTEN is not UTF-8".to_owned()),
    };
    match said {
        Ok(()) => Exit::Passed,
        Err(why) => {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "unhealthy: {why}");
            Exit::NotPassed
        }
    }
}

fn ask(listen: &str) -> Result<(), String> {
    let mut address: SocketAddr = listen.parse().map_err(|_| format!("APP_LISTEN is {listen:?}, no address"))?;
    if address.ip().is_unspecified() {
        // Listening on all addresses means on the loopback one too.
        let loopback = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    let answer = exchange(address).map_err(|error| format!("{address}: {error}"))?;
    let status = answer.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    if status == "200" { Ok(()) } else { Err(answer.lines().last().unwrap_or_default().to_owned()) }
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: health\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
