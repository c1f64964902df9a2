//! Probes of the stack's processes: whether an instance is healthy, routed to by the gateway, or idle.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::child::Child;
use crate::log::Log;
use lab_core::engine::{EngineError, EngineErrorKind, GATEWAY};
use lab_http::{Http, HttpError, Request};

/// Time for an instance to become healthy.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the gateway to route to a new instance.
const ROUTED_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for an instance to finish its requests. The gateway times out after two seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of one probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two probes.
const INTERVAL: Duration = Duration::from_millis(5);

/// Path of the app's health check.
const HEALTH: &str = "/health";

/// Client for probes.
pub(super) struct Health {
    http: Http,
}

/// Body of the app's `/health`.
#[derive(Deserialize)]
struct Report {
    instance: String,
    checks: std::collections::BTreeMap<String, String>,
}

/// Reason why a probe did not pass.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("{path}: {error}")]
    Request { path: &'static str, error: HttpError },
    #[error("{path} returned {status}")]
    Status { path: &'static str, status: u16 },
    #[error("{path} returned {status}, not from the new instance")]
    OtherInstance { path: &'static str, status: u16 },
    /// Checks of the app, each with its state.
    #[error("{0}")]
    Checks(String),
}

impl Health {
    pub(super) fn new() -> Self {
        Self { http: Http::new() }
    }

    /// Probes [`HEALTH`] once.
    pub(super) async fn probe(&self, address: &str) -> Result<(), ProbeError> {
        let (status, body) = self.get(address, HEALTH).await?;
        if status == 200 {
            return Ok(());
        }
        Err(match serde_json::from_str::<Report>(&body) {
            Ok(report) => {
                let checks: Vec<_> = report.checks.iter().map(|(part, state)| format!("{part} {state}")).collect();
                ProbeError::Checks(checks.join(", "))
            }
            Err(_) => ProbeError::Status { path: HEALTH, status },
        })
    }

    /// Waits until an instance is healthy. Fails if it exits or times out.
    pub(super) async fn until_healthy(&self, child: &Child, service: &str, log: &Log) -> Result<(), EngineError> {
        let deadline = Instant::now() + HEALTHY_TIMEOUT;
        loop {
            let Err(problem) = self.probe(&child.address).await else { return Ok(()) };
            if child.exit_status().is_some() {
                return Err(child.exited(service, log).await);
            }
            if Instant::now() > deadline {
                let detail = log.last_note().map_or_else(|| problem.to_string(), |note| format!("{problem} ({note})"));
                return Err(EngineError::new(EngineErrorKind::Unhealthy, detail).for_service(service));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until `/health` through the gateway is answered by this instance of the app, healthy or not. Stops waiting if
    /// either process exits.
    pub(super) async fn until_routed(&self, gateway: &Child, app: &Child) -> Result<(), EngineError> {
        let deadline = Instant::now() + ROUTED_TIMEOUT;
        loop {
            let observed = match self.get(&gateway.address, HEALTH).await {
                Ok((status, body)) => match serde_json::from_str::<Report>(&body) {
                    Ok(report) if report.instance == app.instance => return Ok(()),
                    _ => ProbeError::OtherInstance { path: HEALTH, status },
                },
                Err(error) => error,
            };
            if gateway.exit_status().is_some() || app.exit_status().is_some() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(EngineError::new(EngineErrorKind::Unhealthy, observed.to_string()).for_service(GATEWAY));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until an instance that receives no new requests is idle, and returns its metrics page. Returns `None` if the
    /// page is not available.
    pub(super) async fn last_exposition(&self, address: &str) -> Option<String> {
        let deadline = Instant::now() + IDLE_TIMEOUT;
        let mut before: Option<String> = None;
        loop {
            let (status, page) = self.get(address, "/metrics").await.ok()?;
            if status != 200 {
                return None;
            }
            // Idle and unchanged since the last probe: no request is in flight between the gateway and the app either.
            if (in_flight(&page) == Some(0) && before.as_ref() == Some(&page)) || Instant::now() > deadline {
                return Some(page);
            }
            before = Some(page);
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn get(&self, address: &str, path: &'static str) -> Result<(u16, String), ProbeError> {
        let request = Request::get(format!("http://{address}{path}")).timeout(PROBE_TIMEOUT);
        match self.http.request(&request).await {
            Ok(response) => Ok((response.status, response.text())),
            Err(error) => Err(ProbeError::Request { path, error }),
        }
    }
}

/// Value of the app's gauge of requests in flight.
fn in_flight(page: &str) -> Option<u64> {
    let line = page.lines().find(|line| line.starts_with("app_http_requests_in_flight "))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Generates an instance id, such as `app-3f9a01bc`.
pub(super) fn new_instance(service: &str) -> String {
    let mut bytes = [0; 4];
    // Fall back to the clock: an id must be unique, not secret.
    if getrandom::fill(&mut bytes).is_err() {
        let nanos = chrono::Utc::now().timestamp_subsec_nanos();
        bytes = nanos.to_le_bytes();
    }
    format!("{service}-{:08x}", u32::from_le_bytes(bytes))
}
