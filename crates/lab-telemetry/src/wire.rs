//! Network access to a lab: traffic, scrapes and probes. [`Wire`] is a trait, so the runner's tests need neither Docker nor a
//! network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Exposition, Page, ScrapeError, names};
use lab_http::{Http, HttpError, Limit, Request};
use lab_traffic::{Load, Summary, TrafficCommands, TrafficProgress};

/// Time limit of a scrape.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a metrics page in bytes.
const SCRAPE_LIMIT: usize = 8 << 20;
/// Maximum number of bytes to keep of a probe's body.
const PROBE_LIMIT: usize = 64 << 10;

/// Callback for the progress of traffic. It must not block.
pub type TrafficProgressFn = Arc<dyn Fn(TrafficProgress) + Send + Sync>;

/// Network access to a lab.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Sends traffic until it is complete or cancelled. Failed requests are a result, not an error.
    async fn traffic(&self, load: &Load, progress: TrafficProgressFn, cancel: &CancellationToken) -> Summary;

    /// Sends traffic that the caller controls while it runs: see [`lab_traffic::run_controlled`].
    async fn background_traffic(&self, load: &Load, commands: TrafficCommands, cancel: &CancellationToken) -> Summary;

    /// Scrapes one instance of the app, within two seconds.
    async fn scrape(&self, url: &str) -> Result<Exposition, ScrapeError>;

    /// Sends one request and returns its response.
    async fn probe(&self, probe: &Probe) -> Result<ProbeResponse, ProbeError>;
}

/// One HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The whole URL.
    pub url: String,
    /// `GET`, ….
    pub method: String,
    /// Headers of the request.
    pub headers: BTreeMap<String, String>,
    /// How long to wait for the whole response.
    pub timeout: Duration,
}

/// Response to a [`Probe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResponse {
    /// The status code.
    pub status: u16,
    /// The first 64 KiB of the body, as text.
    pub body: String,
}

/// A probe without a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url} does not answer: {detail}")]
pub struct ProbeError {
    /// URL of the probe.
    pub url: String,
    /// Cause, such as `refused` or `timeout`.
    pub detail: String,
}

/// Network access over real sockets.
#[derive(Clone, Debug, Default)]
pub struct NetWire {
    http: Http,
}

impl NetWire {
    /// Ignores proxies set in the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fetches a metrics page within two seconds, without checking its status or content.
    pub async fn page(&self, url: &str) -> Result<Page, ScrapeError> {
        let request = Request::get(url).timeout(SCRAPE_TIMEOUT).limit(Limit::Fail(SCRAPE_LIMIT));
        let response = self.http.request(&request).await.map_err(|error| match error {
            HttpError::TooLarge { limit } => ScrapeError::TooLarge { url: url.to_owned(), limit },
            error => ScrapeError::Unreachable { url: url.to_owned(), detail: error.to_string() },
        })?;
        let body = response.text();
        Ok(Page { url: url.to_owned(), status: response.status, content_type: response.content_type, body })
    }
}

#[async_trait]
impl Wire for NetWire {
    async fn traffic(&self, load: &Load, progress: TrafficProgressFn, cancel: &CancellationToken) -> Summary {
        lab_traffic::run(load, &*progress, cancel).await
    }

    async fn background_traffic(&self, load: &Load, commands: TrafficCommands, cancel: &CancellationToken) -> Summary {
        lab_traffic::run_controlled(load, commands, cancel).await
    }

    async fn scrape(&self, url: &str) -> Result<Exposition, ScrapeError> {
        Exposition::read(&self.page(url).await?, &names::REQUIRED)
    }

    async fn probe(&self, probe: &Probe) -> Result<ProbeResponse, ProbeError> {
        let mut request =
            Request::new(&probe.method, &probe.url).timeout(probe.timeout).limit(Limit::Truncate(PROBE_LIMIT));
        request.headers = probe.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        match self.http.request(&request).await {
            Ok(response) => Ok(ProbeResponse { status: response.status, body: response.text() }),
            Err(error) => Err(ProbeError { url: probe.url.clone(), detail: error.to_string() }),
        }
    }
}
