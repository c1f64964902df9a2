//! [`Wire`]: what goes over the lab's own sockets: traffic, scrapes, probes. A trait, so that the runner's tests need
//! neither Docker nor a network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Exposition, ScrapeError};
use crate::traffic::{Load, Summary, TrafficProgress};

/// Takes progress of traffic; must return at once.
pub type TrafficProgressFn = Arc<dyn Fn(TrafficProgress) + Send + Sync>;

/// The lab's own sockets.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Sends traffic until it is all sent or cancelled. Requests that fail are a result, not an error.
    async fn traffic(&self, load: &Load, progress: TrafficProgressFn, cancel: &CancellationToken) -> Summary;

    /// One scrape of one instance, within two seconds.
    async fn scrape(&self, url: &str) -> Result<Exposition, ScrapeError>;

    /// One request, and what came back.
    async fn probe(&self, probe: &Probe) -> Result<ProbeResponse, ProbeError>;
}

/// One HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The whole URL.
    pub url: String,
    /// `GET`, ….
    pub method: String,
    /// Sent with it.
    pub headers: BTreeMap<String, String>,
    /// How long to wait for the whole response.
    pub timeout: Duration,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResponse {
    /// The status code.
    pub status: u16,
    /// The first 64 KiB of the body, as text.
    pub body: String,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url} does not answer: {detail}")]
pub struct ProbeError {
    /// What was asked.
    pub url: String,
    /// Why: `refused`, `timeout`, ….
    pub detail: String,
}
