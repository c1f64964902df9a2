//! Exporter for nginx, run by `lab edge`: receives a copy of nginx's access log as syslog over UDP (RFC 3164), and serves the
//! counts as a metrics page. nginx never waits for it: a datagram that cannot be delivered is lost, and the request is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::metrics::{self, Metrics};
use crate::service::config::{ConfigError, Lookup, Variable, host_port};
use crate::service::log::Log;
use crate::service::stop::Stop;
use crate::service::{self, health, serve};
use lab_core::error::Exit;

const LISTEN: Variable =
    Variable { name: "EDGE_LISTEN", expected: "HOST:PORT of the metrics page, such as 0.0.0.0:9145" };
const SYSLOG: Variable =
    Variable { name: "EDGE_SYSLOG", expected: "HOST:PORT for syslog over UDP, such as 0.0.0.0:5140" };

const GATEWAY: Variable =
    Variable { name: "EDGE_GATEWAY", expected: "HOST:PORT at which the gateway answers HTTP, such as gateway:8081" };

/// Time between two probes of the gateway.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of a probe. A frozen gateway accepts connections, but does not answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum size of a datagram. nginx truncates messages at 2 KiB.
const MAX_DATAGRAM: usize = 4 << 10;

struct Config {
    listen: String,
    syslog: String,
    /// Gateway to probe. Must not be the port of callers, whose requests are counted.
    gateway: Option<String>,
}

impl Config {
    fn from_env(env: Lookup) -> Result<Self, ConfigError> {
        Ok(Self {
            listen: LISTEN.required(env, host_port)?,
            syslog: SYSLOG.required(env, host_port)?,
            gateway: GATEWAY.optional(env, host_port)?,
        })
    }
}

/// Serves until SIGTERM. Configured by environment variables only. Prints `ready ADDRESS:PORT` on standard output once it
/// listens.
pub fn run() -> Exit {
    match Config::from_env(&|name| std::env::var_os(name)) {
        Ok(config) => service::run(host(config)),
        Err(error) => service::fail(Exit::Usage, error),
    }
}

async fn host(config: Config) -> Exit {
    let Config { listen, syslog, gateway } = config;
    let cannot = |what: &str, error: &dyn std::fmt::Display| {
        service::fail(Exit::Failed, format_args!("the edge exporter cannot {what}: {error}"))
    };
    let bound = serve::listen(&listen, false).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = match bound {
        Ok(bound) => bound,
        Err(error) => return cannot(&format!("listen on {listen}"), &error),
    };
    let socket = match UdpSocket::bind(&syslog).await {
        Ok(socket) => socket,
        Err(error) => return cannot(&format!("receive syslog on {syslog}"), &error),
    };
    let metrics = match Metrics::new() {
        Ok(metrics) => Arc::new(metrics),
        Err(error) => return cannot("set up its metrics", &error),
    };
    let stop = Stop::new();
    if let Err(error) = stop.on_signals() {
        return cannot("install its shutdown handlers", &error);
    }
    let up = gateway.map(|gateway| metrics.gateway_up().map(|up| (gateway, up))).transpose();
    let up = match up {
        Ok(up) => up,
        Err(error) => return cannot("set up its metrics", &error),
    };
    let log = Log::stdout();
    log.ready(address, None);
    tokio::select! {
        () = receive(&socket, &metrics) => {}
        () = probe_gateway(up) => {}
        () = metrics::serve(listener, Arc::clone(&metrics), stop, log.clone()) => {}
    }
    log.note(format_args!("stopped"));
    log.close();
    Exit::Passed
}

/// Counts messages for ever.
async fn receive(socket: &UdpSocket, metrics: &Metrics) {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        // An error concerns one datagram; the socket stays usable.
        let Ok(length) = socket.recv(&mut buffer).await else { continue };
        if let Some((status, took)) = parse(&buffer[..length]) {
            metrics.count(status, took);
        }
    }
}

/// Probes the gateway for ever, and sets `gateway_up` to 1 or 0. Without a gateway it only waits.
async fn probe_gateway(gateway: Option<(String, IntGauge)>) {
    let Some((name, up)) = gateway else { return std::future::pending().await };
    let mut address = None;
    loop {
        let answers = match address {
            Some(address) => timeout(PROBE_TIMEOUT, answers(address)).await.unwrap_or(false),
            None => false,
        };
        up.set(answers.into());
        if !answers {
            // A new container has another address. Without a container, a lookup may take longer than a probe.
            address = tokio::net::lookup_host(&name).await.ok().and_then(|mut found| found.next());
        }
        sleep(PROBE_INTERVAL).await;
    }
}

/// Returns true if an HTTP server answers, with whatever status.
async fn answers(address: SocketAddr) -> bool {
    const VERSION: &[u8] = b"HTTP/";
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut start = [0; VERSION.len()];
        stream.read_exact(&mut start).await.map(|_| start == *VERSION)
    };
    let answered: std::io::Result<bool> = exchange.await;
    answered.unwrap_or(false)
}

/// Reads status and duration from a message whose text ends with `status=200 request_time=0.004`.
fn parse(message: &[u8]) -> Option<(u16, Duration)> {
    let text = std::str::from_utf8(message).ok()?;
    let value =
        |name: &str| text.trim_end().rsplit(' ').take(2).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let status = value("status")?.parse().ok().filter(|status| (100..1000).contains(status))?;
    let took = Duration::try_from_secs_f64(value("request_time")?.parse().ok()?).ok()?;
    Some((status, took))
}

/// Succeeds if the metrics page of the exporter with the same environment answers. For containers without a shell.
pub fn health() -> Exit {
    let listen = std::env::var("EDGE_LISTEN").map_err(|_| "EDGE_LISTEN is not set".to_owned());
    let port = listen.and_then(|listen| {
        let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.ok_or_else(|| "EDGE_LISTEN has no port".to_owned())
    });
    health::exit(port.and_then(|port: u16| {
        health::probe(SocketAddr::from(([127, 0, 0, 1], port)), metrics::PATH).map_err(|error| error.to_string())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_nginx_are_read_and_others_ignored() {
        let read = |text: &str| parse(text.as_bytes());
        let message = "<190>Nov 30 09:46:11 nginx: status=502 request_time=0.004";
        assert_eq!(read(message), Some((502, Duration::from_millis(4))));
        assert_eq!(read("status=200 request_time=2.001\n"), Some((200, Duration::from_millis(2001))));
        for other in [
            "",
            "status=200",
            "status=20 request_time=0.1",
            "status=2000 request_time=0.1",
            "status=x request_time=0.1",
            "status=200 request_time=-1",
            "status=200 request_time=inf",
            "status=200 request_time=0.1 more",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(parse(b"\xff status=200 request_time=0.1"), None);
    }
}
