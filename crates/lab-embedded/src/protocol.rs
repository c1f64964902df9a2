//! What passes between the engine and its host: a request on the host's standard input, an answer on its standard
//! output, then HTTP with JSON on a loopback port, with a token that stands in a file only the user can read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use lab_core::engine::{Description, EngineError, ServiceChange, UpRequest};

/// What a host is started with: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostRequest {
    /// The lab's folder.
    pub(super) folder: PathBuf,
    /// lab's own executable.
    pub(super) exe: PathBuf,
    /// What to bring up.
    pub(super) up: UpRequest,
}

/// What a host says when it is up, or why it is not: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ready {
    /// The stack is up and healthy.
    Up(Description),
    /// It is not, and the host ends.
    Failed(EngineError),
}

/// How a host that runs is reached: `host.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostFile {
    /// Of the lab that runs it.
    pub(super) version: String,
    pub(super) pid: u32,
    /// Of its control port.
    pub(super) address: String,
    /// Must come with every call.
    pub(super) token: String,
}

/// `POST /ensure`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EnsureRequest {
    pub(super) service: String,
    pub(super) change: ServiceChange,
}

/// 128 bits from the operating system, in hexadecimal.
pub(super) fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
