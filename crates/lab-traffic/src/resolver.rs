//! [`Resolver`]: the addresses of the hosts that are asked. A name is looked up at most once a second, whatever the number of
//! connections: a look-up takes a thread, and a thousand of them at once would be a load of their own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Cause;
use super::target::{Endpoint, Host};

/// For how long an answer, or that there is none, is believed. Short: names move when services are redeployed.
const FRESH: Duration = Duration::from_secs(1);

/// Of one endpoint.
#[derive(Debug)]
pub(super) struct Resolver {
    endpoint: Endpoint,
    known: Mutex<Option<Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    at: Instant,
    addresses: Vec<SocketAddr>,
}

impl Resolver {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, known: Mutex::new(None) }
    }

    /// At least one address.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, Cause> {
        let name = match &self.endpoint.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, self.endpoint.port)]),
            Host::Name(name) => name,
        };
        let mut known = self.known.lock().await;
        let fresh = known.as_ref().filter(|answer| answer.at.elapsed() < FRESH);
        let answer = if let Some(answer) = fresh {
            answer.clone()
        } else {
            let found = lookup_host((name.as_str(), self.endpoint.port)).await;
            let addresses = found.map(Iterator::collect).unwrap_or_default();
            known.insert(Answer { at: Instant::now(), addresses }).clone()
        };
        if answer.addresses.is_empty() { Err(Cause::Dns) } else { Ok(answer.addresses) }
    }
}
