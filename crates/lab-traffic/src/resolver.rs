//! Resolves host names, at most once per second and name for any number of connections. Each lookup takes a thread, and a
//! thousand of them at once would distort the measurement.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Cause;
use super::target::{Endpoint, Host};

/// Time for which an answer, or its absence, is cached. Short, since addresses change when services are redeployed.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// Resolves the host of one endpoint.
#[derive(Debug)]
pub(super) struct Resolver {
    endpoint: Endpoint,
    known: Mutex<Option<Lookup>>,
}

#[derive(Clone, Debug)]
struct Lookup {
    at: Instant,
    addresses: Vec<SocketAddr>,
}

impl Resolver {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, known: Mutex::new(None) }
    }

    /// Returns at least one address.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, Cause> {
        let name = match &self.endpoint.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, self.endpoint.port)]),
            Host::Name(name) => name,
        };
        let mut known = self.known.lock().await;
        let fresh = known.as_ref().filter(|answer| answer.at.elapsed() < CACHE_TIME);
        let answer = if let Some(answer) = fresh {
            answer.clone()
        } else {
            let found = lookup_host((name.as_str(), self.endpoint.port)).await;
            let addresses = found.map(Iterator::collect).unwrap_or_default();
            known.insert(Lookup { at: Instant::now(), addresses }).clone()
        };
        if answer.addresses.is_empty() { Err(Cause::Dns) } else { Ok(answer.addresses) }
    }
}
