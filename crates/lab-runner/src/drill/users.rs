//! Fingerprint of the app's data, so that deleting data is no fix.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use lab_core::API_KEY_HEADER;
use lab_core::engine::{Description, EngineError};
use lab_telemetry::wire::{Probe, Wire};

const PATH: &str = "/api/users";
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why the users cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The app answers with another status than 200.
    #[error("GET {PATH} gets a {0}")]
    Status(u16),
    /// There is no answer.
    #[error("GET {PATH}: {0}")]
    NoResponse(String),
    /// The stack cannot be observed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// SHA-256 of the users that the app returns, as 64 hexadecimal digits.
///
/// # Errors
/// If it returns something else.
pub async fn digest(wire: &dyn Wire, now: &Description) -> Result<String, UsersError> {
    let key = now.server_key().unwrap_or_default().to_owned();
    let probe = Probe {
        url: format!("{}{PATH}", now.endpoints.gateway),
        method: "GET".to_owned(),
        headers: BTreeMap::from([(API_KEY_HEADER.to_owned(), key)]),
        timeout: TIMEOUT,
    };
    match wire.probe(&probe).await {
        Ok(response) if response.status == 200 => Ok(format!("{:x}", Sha256::digest(response.body.as_bytes()))),
        Ok(response) => Err(UsersError::Status(response.status)),
        Err(error) => Err(UsersError::NoResponse(error.detail)),
    }
}
