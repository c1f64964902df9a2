//! Where the daemon is: `DOCKER_HOST`, else the sockets of Docker, of Docker Desktop and of Podman, in this order; and
//! what to do where none answers.

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

/// For a daemon on this machine to say that it is there.
const LOCAL_TIMEOUT: Duration = Duration::from_millis(500);
/// For one elsewhere, and for a version.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(5);
/// The client's own limit, as good as none.
const LONGEST: Duration = Duration::from_hours(24);
/// The oldest API that has all that is used here: Docker Engine 20.10.
const OLDEST_API: (u32, u32) = (1, 41);

impl Client {
    /// Connects to the daemon at `host` (as `DOCKER_HOST` has it), or where one usually is, and asks its version. Ports are
    /// published on the address `bind` of its machine; none: on the loopback.
    pub(in crate::docker) async fn connect(host: Option<&str>, bind: Option<IpAddr>) -> Result<Self, EngineError> {
        if let Some(host) = host {
            return at(host, bind).await;
        }
        let mut first = None;
        for socket in usual_sockets() {
            match at(&format!("unix://{}", socket.display()), bind).await {
                Ok(client) => return Ok(client),
                // A socket that is there and refuses tells more than one that is not there.
                Err(error) if socket.exists() => first = first.or(Some(error)),
                Err(_) => {}
            }
        }
        Err(first.unwrap_or_else(|| {
            let error = unreachable("no Docker daemon: there is no socket at /var/run/docker.sock, and DOCKER_HOST is not set");
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

async fn at(host: &str, bind: Option<IpAddr>) -> Result<Client, EngineError> {
    let (docker, limit, tunnel) = transport(host).await?;
    let silent = |limit: Duration| {
        let detail = format!("the Docker daemon at {host} does not answer within {} s", limit.as_secs_f64());
        unreachable(detail).hint("restart the daemon, or Docker Desktop")
    };
    let strange = async |error: bollard::errors::Error| {
        if let Some(tunnel) = &tunnel
            && let Some(said) = tunnel.said().await
        {
            return unreachable(format!("no Docker daemon answers at {host}: ssh says: {said}"))
                .hint("the account there has to be allowed to use the daemon's socket; ssh://HOST/PATH names another");
        }
        unreachable(format!("what answers at {host} is no Docker daemon: {error}"))
            .hint("DOCKER_HOST says where the daemon is")
    };
    // A ping tells at once whether anybody is there; for its version Podman asks several programs first.
    if let Err(error) = timeout(limit, docker.ping()).await.map_err(|_| silent(limit))? {
        return Err(strange(error).await);
    }
    let version = match timeout(REMOTE_TIMEOUT, docker.version()).await.map_err(|_| silent(REMOTE_TIMEOUT))? {
        Ok(version) => version,
        Err(error) => return Err(strange(error).await),
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

/// A client for an address, how long its daemon may take to answer, and what leads there. Whether it can be connected to is tried
/// first: an operating system's own error says most.
async fn transport(host: &str) -> Result<(Docker, Duration, Option<Tunnel>), EngineError> {
    // Each call has its own limit, which does not count the time during which this process was suspended.
    let seconds = LONGEST.as_secs();
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let strange = |detail: String| {
        unreachable(format!("DOCKER_HOST is {host:?}: {detail}"))
            .hint("as in unix:///var/run/docker.sock, tcp://HOST:2375 or ssh://USER@HOST")
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
            Ok((docker.map_err(|error| strange(error.to_string()))?, LOCAL_TIMEOUT, None))
        }
        "tcp" | "http" => {
            let address = rest.trim_end_matches('/');
            match timeout(REMOTE_TIMEOUT, tokio::net::TcpStream::connect(address)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(refused(address, &error)),
                Err(_) => return Err(unreachable(format!("{address} does not accept connections"))),
            }
            let docker = Docker::connect_with_http(&format!("tcp://{address}"), seconds, API_DEFAULT_VERSION);
            Ok((docker.map_err(|error| strange(error.to_string()))?, REMOTE_TIMEOUT, None))
        }
        "ssh" => {
            let tunnel = Tunnel::open(rest).await?;
            let docker = Docker::connect_with_unix(&tunnel.socket.to_string_lossy(), seconds, API_DEFAULT_VERSION);
            Ok((docker.map_err(|error| strange(error.to_string()))?, REMOTE_TIMEOUT, Some(tunnel)))
        }
        other => Err(strange(format!("{other:?} is not supported"))),
    }
}

/// Why a connection was refused, and what to do.
pub(in crate::docker) fn refused(address: &str, error: &io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => EngineError::new(
            EngineErrorKind::Denied,
            format!("this user may not talk to the Docker daemon at {address}"),
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
