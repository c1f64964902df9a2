//! `lab app --health`: probes the app in the same container, using the same environment. Needed because the image contains only
//! this executable, with no shell or curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::service::health::{self, ProbeError};
use lab_core::error::Exit;

/// Reason why the app does not count as healthy.
#[derive(Debug, thiserror::Error)]
enum Unhealthy {
    #[error("APP_LISTEN is not set")]
    NotSet,
    #[error("APP_LISTEN is not UTF-8")]
    NotUtf8,
    #[error("APP_LISTEN must be an address, got {0:?}")]
    Address(String),
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Succeeds if `/health` returns 200. Otherwise prints the reason on standard error and fails like a failed expectation.
pub fn health() -> Exit {
    let result = match std::env::var("APP_LISTEN") {
        Ok(listen) => probe(&listen),
        Err(std::env::VarError::NotPresent) => Err(Unhealthy::NotSet),
        Err(std::env::VarError::NotUnicode(_)) => Err(Unhealthy::NotUtf8),
    };
    health::exit(result)
}

fn probe(listen: &str) -> Result<(), Unhealthy> {
    let mut address: SocketAddr = listen.parse().map_err(|_| Unhealthy::Address(listen.to_owned()))?;
    if address.ip().is_unspecified() {
        // Listening on all addresses includes the loopback address.
        let loopback = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    Ok(health::probe(address, "/health")?)
}
