//! Connection to the daemon: `DOCKER_HOST`, otherwise the sockets of Docker, of Docker Desktop and of Podman, in this order.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use super::reach::Reach;
use super::ssh::Tunnel;
use super::{Client, Platform};
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_system::deadline::timeout;

/// Timeout for a daemon on this machine.
const LOCAL_TIMEOUT: Duration = Duration::from_millis(500);
/// Timeout for a remote daemon, and for a version.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of the client library, effectively none.
const LONGEST: Duration = Duration::from_hours(24);
/// Oldest API version with all required features: Docker Engine 20.10.
const OLDEST_API: (u32, u32) = (1, 41);

impl Client {
    /// Connects to the daemon at `host` (in the form of `DOCKER_HOST`), or to a usual socket, and reads its version. Ports are
    /// published on the address `bind` of its machine, by default on its loopback address.
    pub(crate) async fn connect(host: Option<&str>, bind: Option<IpAddr>) -> Result<Self, EngineError> {
        if let Some(host) = host {
            return connect_to(host, bind).await;
        }
        let mut first = None;
        for socket in usual_sockets() {
            match connect_to(&format!("unix://{}", socket.display()), bind).await {
                Ok(client) => return Ok(client),
                // The error of an existing socket is more useful than that of a missing one.
                Err(error) if socket.exists() => first = first.or(Some(error)),
                Err(_) => {}
            }
        }
        Err(first.unwrap_or_else(|| {
            let error = unreachable("no Docker daemon: /var/run/docker.sock does not exist, and DOCKER_HOST is not set");
            error.hint("start Docker (sudo systemctl start docker, or Docker Desktop), or run without it: lab up --engine embedded")
        }))
    }
}

fn usual_sockets() -> Vec<PathBuf> {
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    sockets.extend(runtime.iter().map(|folder| folder.join("docker.sock")));
    if let Some(home) = std::env::var_os("HOME").map(PathBuf::from) {
        sockets.push(home.join(".docker/run/docker.sock"));
        sockets.push(home.join(".docker/desktop/docker.sock"));
    }
    sockets.extend(runtime.iter().map(|folder| folder.join("podman/podman.sock")));
    sockets.push(PathBuf::from("/run/podman/podman.sock"));
    sockets
}

async fn connect_to(host: &str, bind: Option<IpAddr>) -> Result<Client, EngineError> {
    let (docker, limit, tunnel) = transport(host).await?;
    let no_answer = |limit: Duration| {
        let detail = format!("the Docker daemon at {host} does not answer within {} s", limit.as_secs_f64());
        unreachable(detail).hint("restart the daemon, or Docker Desktop")
    };
    let invalid = async |error: bollard::errors::Error| {
        if let Some(tunnel) = &tunnel
            && let Some(message) = tunnel.last_message().await
        {
            return unreachable(format!("no Docker daemon answers at {host}: ssh: {message}")).hint(
                "the remote account needs access to the daemon's socket; use ssh://HOST/PATH for another socket",
            );
        }
        unreachable(format!("the server at {host} is not a Docker daemon: {error}")).hint("check DOCKER_HOST")
    };
    // A ping is the fastest check; Podman runs several programs to answer with its version.
    if let Err(error) = timeout(limit, docker.ping()).await.map_err(|_| no_answer(limit))? {
        return Err(invalid(error).await);
    }
    let version = match timeout(REMOTE_TIMEOUT, docker.version()).await.map_err(|_| no_answer(REMOTE_TIMEOUT))? {
        Ok(version) => version,
        Err(error) => return Err(invalid(error).await),
    };
    let api = version.api_version.unwrap_or_default();
    let podman =
        version.components.iter().flatten().any(|component| component.name.to_ascii_lowercase().contains("podman"));
    if parse_version(&api).is_none_or(|api| api < OLDEST_API) && !podman {
        let error = unreachable(format!("the Docker daemon at {host} speaks API {api:?}, older than 1.41"));
        return Err(error.hint("lab needs Docker Engine 20.10 or later"));
    }
    let platform = Platform { os: version.os.unwrap_or_default(), arch: version.arch.unwrap_or_default() };
    let reach = Reach::new(host, bind);
    let version = version.version.unwrap_or_default();
    Ok(Client { docker, host: host.to_owned(), podman, platform, version, reach, _tunnel: tunnel.map(Arc::new) })
}

/// Opens a client for an address, with the timeout for its daemon and a tunnel if needed. Connects to the socket first, because
/// the operating system's own error is the most precise.
async fn transport(host: &str) -> Result<(Docker, Duration, Option<Tunnel>), EngineError> {
    // Each call has its own limit, which does not count time during which this process was suspended.
    let seconds = LONGEST.as_secs();
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let invalid = |detail: String| {
        unreachable(format!("DOCKER_HOST is {host:?}: {detail}"))
            .hint("examples: unix:///var/run/docker.sock, tcp://HOST:2375 or ssh://USER@HOST")
    };
    match scheme {
        "unix" => {
            let connecting = tokio::net::UnixStream::connect(rest);
            match timeout(LOCAL_TIMEOUT, connecting).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(refused(rest, &error)),
                Err(_) => return Err(unreachable(format!("{rest} does not accept connections"))),
            }
            let docker = Docker::connect_with_unix(rest, seconds, API_DEFAULT_VERSION);
            Ok((docker.map_err(|error| invalid(error.to_string()))?, LOCAL_TIMEOUT, None))
        }
        "tcp" | "http" => {
            let address = rest.trim_end_matches('/');
            match timeout(REMOTE_TIMEOUT, tokio::net::TcpStream::connect(address)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(refused(address, &error)),
                Err(_) => return Err(unreachable(format!("{address} does not accept connections"))),
            }
            let docker = Docker::connect_with_http(&format!("tcp://{address}"), seconds, API_DEFAULT_VERSION);
            Ok((docker.map_err(|error| invalid(error.to_string()))?, REMOTE_TIMEOUT, None))
        }
        "ssh" => {
            let tunnel = Tunnel::open(rest).await?;
            let docker = Docker::connect_with_unix(&tunnel.socket.to_string_lossy(), seconds, API_DEFAULT_VERSION);
            Ok((docker.map_err(|error| invalid(error.to_string()))?, REMOTE_TIMEOUT, Some(tunnel)))
        }
        other => Err(invalid(format!("{other:?} is not supported"))),
    }
}

/// Error for a refused connection, with a hint.
pub(in crate::docker) fn refused(address: &str, error: &io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => EngineError::new(
            EngineErrorKind::Denied,
            format!("this user has no permission to use the Docker daemon at {address}"),
        )
        .hint("sudo usermod -aG docker $USER, then log in again; or use sudo, or rootless Docker"),
        _ => unreachable(format!("no Docker daemon answers at {address}: {error}"))
            .hint("start Docker (sudo systemctl start docker, or Docker Desktop), or run without it: lab up --engine embedded"),
    }
}

pub(super) fn unreachable(detail: impl Into<String>) -> EngineError {
    EngineError::new(EngineErrorKind::Unreachable, detail)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
