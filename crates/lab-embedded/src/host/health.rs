//! Probes of the stack's processes: is an instance healthy, does the gateway lead to it, are its last requests over.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::child::Child;
use crate::log::Log;
use lab_core::engine::{EngineError, EngineErrorKind, GATEWAY};
use lab_http::{Http, Request};

/// How long an instance may take to become healthy.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the gateway may take to lead to it.
const ROUTED_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an instance may take to finish its requests. The gateway gives up on them after two seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long between two probes: health is not announced, it has to be asked for.
const INTERVAL: Duration = Duration::from_millis(5);

/// The client of the probes.
pub(super) struct Health {
    http: Http,
}

/// What the app's `/health` says.
#[derive(Deserialize)]
struct Report {
    instance: String,
    checks: std::collections::BTreeMap<String, String>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { http: Http::new() }
    }

    /// One probe: whether it is well, and if not, what it says.
    pub(super) async fn ask(&self, address: &str) -> Result<(), String> {
        let (status, body) = self.get(address, "/health").await?;
        if status == 200 {
            return Ok(());
        }
        Err(match serde_json::from_str::<Report>(&body) {
            Ok(report) => {
                report.checks.iter().map(|(part, state)| format!("{part} {state}")).collect::<Vec<_>>().join(", ")
            }
            Err(_) => format!("/health answers {status}"),
        })
    }

    /// Waits until an instance is healthy, or ends, or has had its time.
    pub(super) async fn until_healthy(&self, child: &Child, service: &str, log: &Log) -> Result<(), EngineError> {
        let deadline = Instant::now() + HEALTHY_TIMEOUT;
        loop {
            let Err(said) = self.ask(&child.address).await else { return Ok(()) };
            if child.ended().is_some() {
                return Err(child.exited(service, log).await);
            }
            if Instant::now() > deadline {
                let detail = log.last_note().map_or_else(|| said.clone(), |note| format!("{said} ({note})"));
                return Err(EngineError::new(EngineErrorKind::Unhealthy, detail).for_service(service));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until `/health` through the gateway comes from this instance of the app, healthy or not. If one of the two ends,
    /// there is nothing to wait for.
    pub(super) async fn until_routed(&self, gateway: &Child, app: &Child) -> Result<(), EngineError> {
        let deadline = Instant::now() + ROUTED_TIMEOUT;
        loop {
            let observed = match self.get(&gateway.address, "/health").await {
                Ok((status, body)) => match serde_json::from_str::<Report>(&body) {
                    Ok(report) if report.instance == app.instance => return Ok(()),
                    _ => format!("/health answers {status}, and not from the new instance"),
                },
                Err(error) => error,
            };
            if gateway.ended().is_some() || app.ended().is_some() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(EngineError::new(EngineErrorKind::Unhealthy, observed).for_service(GATEWAY));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until an instance to which nothing new is sent has no request left, and returns what it then counts. None where it
    /// does not say.
    pub(super) async fn last_exposition(&self, address: &str) -> Option<String> {
        let deadline = Instant::now() + IDLE_TIMEOUT;
        let mut before: Option<String> = None;
        loop {
            let (status, page) = self.get(address, "/metrics").await.ok()?;
            if status != 200 {
                return None;
            }
            // Twice the same, and idle: no request is on its way between the gateway and here either.
            if (in_flight(&page) == Some(0) && before.as_ref() == Some(&page)) || Instant::now() > deadline {
                return Some(page);
            }
            before = Some(page);
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn get(&self, address: &str, path: &str) -> Result<(u16, String), String> {
        let request = Request::get(format!("http://{address}{path}")).timeout(PROBE_TIMEOUT);
        match self.http.request(&request).await {
            Ok(response) => Ok((response.status, response.text())),
            Err(error) => Err(format!("{path}: {error}")),
        }
    }
}

/// The app's gauge of requests that are being served.
fn in_flight(page: &str) -> Option<u64> {
    let line = page.lines().find(|line| line.starts_with("app_http_requests_in_flight "))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// An id for a new instance: `app-3f9a01bc`.
pub(super) fn new_instance(service: &str) -> String {
    let mut bytes = [0; 4];
    // Without random bytes the time has to do: an id needs to be new, not secret.
    if getrandom::fill(&mut bytes).is_err() {
        let nanos = chrono::Utc::now().timestamp_subsec_nanos();
        bytes = nanos.to_le_bytes();
    }
    format!("{service}-{:08x}", u32::from_le_bytes(bytes))
}
