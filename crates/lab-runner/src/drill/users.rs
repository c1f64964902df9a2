//! Fingerprint of the app's data, so that deleting data is no fix.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use lab_core::API_KEY_HEADER;
use lab_core::engine::Description;
use lab_telemetry::wire::{Probe, Wire};

const PATH: &str = "/api/users";
const TIMEOUT: Duration = Duration::from_secs(3);

/// SHA-256 of the users that the app returns, as 64 hexadecimal digits. The error is what it returns instead.
pub async fn digest(wire: &dyn Wire, now: &Description) -> Result<String, String> {
    let key = now.server_key().unwrap_or_default().to_owned();
    let probe = Probe {
        url: format!("{}{PATH}", now.endpoints.gateway),
        method: "GET".to_owned(),
        headers: BTreeMap::from([(API_KEY_HEADER.to_owned(), key)]),
        timeout: TIMEOUT,
    };
    match wire.probe(&probe).await {
        Ok(response) if response.status == 200 => Ok(format!("{:x}", Sha256::digest(response.body.as_bytes()))),
        Ok(response) => Err(format!("GET {PATH} gets a {}", response.status)),
        Err(error) => Err(format!("GET {PATH}: {}", error.detail)),
    }
}
