//! Where the daemon is: `DOCKER_HOST`, else the sockets of Docker, of Docker Desktop and of Podman, in this order; and
//! what to do where none answers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::time::timeout;

use super::{Client, Platform};
use crate::engine::{EngineError, EngineErrorKind};

/// For a daemon on this machine to say that it is there.
const LOCAL_TIMEOUT: Duration = Duration::from_millis(500);
/// For one elsewhere, and for a version.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(5);
/// The oldest API that has all that is used here: Docker Engine 20.10.
const OLDEST_API: (u32, u32) = (1, 41);

impl Client {
    /// Connects to the daemon at `host` (as `DOCKER_HOST` has it), or where one usually is, and asks its version.
    pub(in crate::engine::docker) async fn connect(host: Option<&str>) -> Result<Self, EngineError> {
        if let Some(host) = host {
            return at(host).await;
        }
        let mut first = None;
        for socket in usual_sockets() {
            match at(&format!("unix://{}", socket.display())).await {
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

async fn at(host: &str) -> Result<Client, EngineError> {
    let (docker, limit) = transport(host).await?;
    let silent = |limit: Duration| {
        let detail = format!("the Docker daemon at {host} does not answer within {} s", limit.as_secs_f64());
        unreachable(detail).hint("restart the daemon, or Docker Desktop")
    };
    let strange = |error: bollard::errors::Error| {
        let error = unreachable(format!("what answers at {host} is no Docker daemon: {error}"));
        error.hint("DOCKER_HOST says where the daemon is")
    };
    // A ping tells at once whether anybody is there; for its version Podman asks several programs first.
    timeout(limit, docker.ping()).await.map_err(|_| silent(limit))?.map_err(strange)?;
    let version =
        timeout(REMOTE_TIMEOUT, docker.version()).await.map_err(|_| silent(REMOTE_TIMEOUT))?.map_err(strange)?;
    let api = version.api_version.unwrap_or_default();
    let podman =
        version.components.iter().flatten().any(|component| component.name.to_ascii_lowercase().contains("podman"));
    if parse_version(&api).is_none_or(|api| api < OLDEST_API) && !podman {
        let error = unreachable(format!("the Docker daemon at {host} speaks API {api:?}, older than 1.41"));
        return Err(error.hint("lab needs Docker Engine 20.10 or later"));
    }
    let platform = Platform { os: version.os.unwrap_or_default(), arch: version.arch.unwrap_or_default() };
    Ok(Client { docker, host: host.to_owned(), podman, platform, version: version.version.unwrap_or_default() })
}

/// A client for an address, and how long its daemon may take to answer. Whether it can be connected to is tried first: an
/// operating system's own error says most.
async fn transport(host: &str) -> Result<(Docker, Duration), EngineError> {
    // Each call has its own, shorter limit.
    let seconds = 120;
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let strange = |detail: String| {
        unreachable(format!("DOCKER_HOST is {host:?}: {detail}"))
            .hint("as in unix:///var/run/docker.sock or tcp://HOST:2375")
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
            Ok((docker.map_err(|error| strange(error.to_string()))?, LOCAL_TIMEOUT))
        }
        "tcp" | "http" => {
            let address = rest.trim_end_matches('/');
            match timeout(REMOTE_TIMEOUT, tokio::net::TcpStream::connect(address)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(refused(address, &error)),
                Err(_) => return Err(unreachable(format!("{address} does not accept connections"))),
            }
            let docker = Docker::connect_with_http(&format!("tcp://{address}"), seconds, API_DEFAULT_VERSION);
            Ok((docker.map_err(|error| strange(error.to_string()))?, REMOTE_TIMEOUT))
        }
        #[cfg(feature = "ssh")]
        "ssh" => {
            let docker = Docker::connect_with_ssh(host, seconds, API_DEFAULT_VERSION, None);
            Ok((docker.map_err(|error| strange(error.to_string()))?, REMOTE_TIMEOUT))
        }
        #[cfg(not(feature = "ssh"))]
        "ssh" => Err(strange("this lab was built without ssh".to_owned())
            .hint("forward the socket: ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST, then DOCKER_HOST=unix:///tmp/docker.sock")),
        other => Err(strange(format!("{other:?} is not supported"))),
    }
}

/// Why a connection was refused, and what to do.
pub(in crate::engine::docker) fn refused(address: &str, error: &io::Error) -> EngineError {
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

fn unreachable(detail: impl Into<String>) -> EngineError {
    EngineError::new(EngineErrorKind::Unreachable, detail)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
