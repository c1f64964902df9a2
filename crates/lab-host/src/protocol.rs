//! Protocol between an engine and its host. The host reads a request from its standard input or from a file. An engine that
//! starts it as a child process reads the outcome from its standard output. Later calls are HTTP with JSON, authorised by a
//! token: on a loopback port, or over TLS on a network.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use lab_core::engine::{Description, EngineError, ServiceChange, UpRequest};
use lab_tls::ServerKey;

/// Start request, one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct HostRequest {
    /// State folder of the lab.
    pub folder: PathBuf,
    /// Executable that runs the services.
    pub exe: PathBuf,
    /// Options of the stack.
    pub up: UpRequest,
    /// Addresses on a network. `None` for a host that is only reached from its own machine.
    #[serde(default)]
    pub network: Option<Network>,
}

/// Addresses and keys of a host that serves other machines. The gateway listens there on the port of the [`UpRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Network {
    /// Address of the control port, which requires TLS and the token.
    pub control: SocketAddr,
    /// Address of the metrics port, which serves the metrics pages of the app and the gateway to everyone.
    pub metrics: SocketAddr,
    /// Bearer token of the control port.
    pub token: String,
    /// Key of the control port.
    pub key: ServerKey,
}

/// Environment variable with the id of the Swarm task that a host is.
pub const TASK_VARIABLE: &str = "LAB_TASK";

/// Token of one task. All tasks of a service read the same secret, but only one of them is the lab that its client knows.
pub fn task_token(token: &str, task: &str) -> String {
    format!("{token}.{task}")
}

/// Outcome of the start, one line of JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ready {
    /// The stack is up and healthy.
    Up(Box<Description>),
    /// The stack did not come up, and the host exits.
    Failed(EngineError),
}

/// Address of a running host on this machine, stored in `host.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct HostFile {
    /// Version of the lab executable.
    pub version: String,
    /// Process id of the host.
    pub pid: u32,
    /// Address of the control port, `host:port`.
    pub address: String,
    /// Bearer token, required in every call.
    pub token: String,
}

/// Body of `POST /ensure`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReconcileRequest {
    pub(crate) service: String,
    pub(crate) change: ServiceChange,
}

/// Generates a token: 128 random bits in hexadecimal.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
