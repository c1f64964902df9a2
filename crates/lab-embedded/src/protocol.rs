//! Protocol between the engine and its host. The host reads a request from its standard input and answers on its standard
//! output. Later calls are HTTP with JSON on a loopback port, authorised by a token in a file that only the user can read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use lab_core::engine::{Description, EngineError, ServiceChange, UpRequest};

/// Start request, one line of JSON on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostRequest {
    /// State folder of the lab.
    pub(super) folder: PathBuf,
    /// Executable that runs the services.
    pub(super) exe: PathBuf,
    pub(super) up: UpRequest,
}

/// Outcome of the start, one line of JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ready {
    /// The stack is up and healthy.
    Up(Box<Description>),
    /// The stack did not come up, and the host exits.
    Failed(EngineError),
}

/// Address of a running host, stored in `host.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostFile {
    /// Version of the lab executable.
    pub(super) version: String,
    pub(super) pid: u32,
    /// Address of the control port, `host:port`.
    pub(super) address: String,
    /// Bearer token, required in every call.
    pub(super) token: String,
}

/// Body of `POST /ensure`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReconcileRequest {
    pub(super) service: String,
    pub(super) change: ServiceChange,
}

/// Generates a token: 128 random bits in hexadecimal.
pub(super) fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
