//! Probes of containers: health, and whether an instance has finished its requests. The daemon's own health checks are too slow,
//! because the first one runs after a whole interval.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Inner;
use super::client::{Client, FaultKind, Inspected, State};
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_http::{HttpError, Request};
use lab_stack::{HealthCheck, Service};
use lab_system::deadline::Deadline;

/// Minimum time for a service to become healthy. A database first creates its files.
const HEALTHY_TIMEOUT: Duration = Duration::from_mins(1);
/// Minimum time for a new instance beside the active one, even if the stack's health check allows less.
const NEW_VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for an instance to finish its requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Number of concurrent warm-up requests, and the time for all of them.
const WARM_PROBES: usize = 4;
const WARM_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of one probe over HTTP.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval between probes over HTTP.
pub(super) const HTTP_INTERVAL: Duration = Duration::from_millis(10);
/// Interval between probes by a command in the container, each of which starts a process.
const EXEC_INTERVAL: Duration = Duration::from_millis(50);
/// Timeout of a check in a loop: longer than its 40 rounds usually take.
const LOOP_TIMEOUT: Duration = Duration::from_secs(6);
/// Interval at which a container that does not answer is inspected.
const ALIVE_INTERVAL: Duration = Duration::from_millis(250);

/// Answer of the app's `/health`.
#[derive(Deserialize)]
pub(super) struct Report {
    pub(super) instance: Option<String>,
    #[serde(default)]
    checks: std::collections::BTreeMap<String, String>,
}

/// Final metrics of an instance.
pub(super) struct FinalMetrics {
    pub(super) exposition: String,
    /// Its gauge of requests in flight is zero. False if it has none.
    pub(super) idle: bool,
}

/// Reason why a probe did not pass.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("{path}: {error}")]
    Request { path: String, error: HttpError },
    #[error("{path} answers {status}")]
    Status { path: String, status: u16 },
    #[error("{path} answers {status}, but not from {expected}")]
    OtherInstance { path: String, status: u16, expected: String },
    /// Checks of the app, each with its state.
    #[error("{0}")]
    Checks(String),
    /// Last line that the health check printed.
    #[error("{0}")]
    Output(String),
    #[error("the health check exits with {0}")]
    ExitCode(i64),
    #[error("the health check timed out")]
    Timeout,
    /// The container is not running, or not yet. The caller inspects it.
    #[error("the health check cannot be run")]
    NotRun,
}

impl Inner {
    /// Waits until a container that has started is healthy, `limit` at most. The app and the gateway are probed over their ports,
    /// other services by their health check inside the container. Without a check, a running container is enough.
    pub(super) async fn wait_until_healthy(
        &self,
        client: &Client,
        service: &Service,
        container: &str,
        address: Option<&str>,
        limit: Duration,
    ) -> Result<(), EngineError> {
        let started = Instant::now();
        let deadline = Deadline::after(limit);
        let mut last_inspection = started;
        let mut shell = true;
        loop {
            let probed = Instant::now();
            let reason = match self.probe(client, service, container, address).await {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            };
            let took = probed.elapsed();
            if address.is_none()
                && shell
                && let Some(check) = service.health.own()
            {
                match check_in_loop(client, check, container).await {
                    LoopResult::Passed => return Ok(()),
                    LoopResult::NoShell => shell = false,
                    LoopResult::Failed => {}
                }
            }
            if last_inspection.elapsed() > ALIVE_INTERVAL
                || probed.elapsed() > ALIVE_INTERVAL
                || matches!(reason, ProbeError::NotRun)
            {
                last_inspection = Instant::now();
                self.check_alive(client, &service.name, container, Some(&reason)).await?;
            }
            if deadline.is_over() {
                let detail = with_last_lines(client, container, reason.to_string()).await;
                return Err(EngineError::new(EngineErrorKind::Unhealthy, detail).for_service(&service.name));
            }
            // A command also slows down the starting service, so probes use at most half of the time. Over HTTP, the interval adds
            // at most a twentieth to the time so far.
            let interval = match address {
                Some(_) => (started.elapsed() / 20).clamp(HTTP_INTERVAL, HTTP_INTERVAL * 5),
                None => EXEC_INTERVAL.max(took),
            };
            sleep(interval).await;
        }
    }

    /// Waits until a container has stopped, and returns how it ended.
    pub(super) async fn wait_until_stopped(&self, client: &Client, service: &Service, container: &str) -> EngineError {
        loop {
            if let Err(error) = self.check_alive(client, &service.name, container, None).await {
                return error;
            }
            sleep(ALIVE_INTERVAL).await;
        }
    }

    /// Probes once.
    pub(super) async fn probe(
        &self,
        client: &Client,
        service: &Service,
        container: &str,
        address: Option<&str>,
    ) -> Result<(), ProbeError> {
        let lab = &self.stack.lab;
        match (address, service.health.own()) {
            (Some(address), _) if service.name == lab.app.service => {
                self.probe_http(address, &lab.app.health_path).await
            }
            // An answer is enough. Failures of requests behind it are part of the app's health.
            (Some(address), _) if service.name == lab.gateway.service => {
                self.get(address, &lab.app.health_path).await.map(drop)
            }
            (_, Some(check)) => check_by_command(client, check, container).await,
            (_, None) => Ok(()),
        }
    }

    async fn probe_http(&self, address: &str, path: &str) -> Result<(), ProbeError> {
        let (status, body) = self.get(address, path).await?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let checks = serde_json::from_str::<Report>(&body).map(|report| report.checks).unwrap_or_default();
        if checks.is_empty() {
            return Err(ProbeError::Status { path: path.to_owned(), status });
        }
        let checks: Vec<_> = checks.iter().map(|(part, state)| format!("{part} {state}")).collect();
        Err(ProbeError::Checks(checks.join(", ")))
    }

    /// Fails if a container has stopped or was removed, with its exit reason and last output.
    async fn check_alive(
        &self,
        client: &Client,
        service: &str,
        container: &str,
        reason: Option<&ProbeError>,
    ) -> Result<(), EngineError> {
        match client.inspect(container).await? {
            Some(found) if matches!(found.state, State::Running | State::Paused) => Ok(()),
            Some(found) => Err(exit_error(client, service, &found).await),
            None => {
                let mut detail = "its container was removed while it was starting".to_owned();
                if let Some(reason) = reason.filter(|reason| !matches!(reason, ProbeError::NotRun)) {
                    detail = format!("{detail}; {reason}");
                }
                Err(EngineError::new(EngineErrorKind::Lost, detail).for_service(service).hint("lab up"))
            }
        }
    }

    /// Sends concurrent requests to a new instance, so that it opens its database connections before it gets traffic.
    pub(super) async fn warm(&self, address: &str) {
        let deadline = Deadline::after(WARM_TIMEOUT);
        while !deadline.is_over() {
            let probed = (0..WARM_PROBES).map(|_| self.probe_http(address, &self.stack.lab.app.health_path));
            if join_all(probed).await.iter().all(Result::is_ok) {
                return;
            }
        }
    }

    /// Waits until an instance without new traffic has finished its requests, and returns its final metrics. `None` if it has no
    /// metrics page.
    pub(super) async fn final_metrics(&self, address: &str) -> Option<FinalMetrics> {
        let deadline = Deadline::after(IDLE_TIMEOUT);
        let mut before: Option<String> = None;
        loop {
            let (status, page) = self.get(address, &self.stack.lab.app.metrics_path).await.ok()?;
            if status != 200 {
                return None;
            }
            // Idle and the same page twice: no request is between the gateway and the app either. An app without a gauge of requests in
            // flight counts as idle once its page stays the same.
            let in_flight = in_flight(&page);
            let settled = in_flight.unwrap_or(0) == 0 && before.as_ref() == Some(&page);
            if settled || deadline.is_over() {
                return Some(FinalMetrics { idle: settled && in_flight.is_some(), exposition: page });
            }
            before = Some(page);
            sleep(HTTP_INTERVAL).await;
        }
    }

    pub(super) async fn get(&self, address: &str, path: &str) -> Result<(u16, String), ProbeError> {
        let request = Request::get(format!("http://{address}{path}")).timeout(PROBE_TIMEOUT);
        match self.http.request(&request).await {
            Ok(response) => Ok((response.status, response.text())),
            Err(error) => Err(ProbeError::Request { path: path.to_owned(), error }),
        }
    }
}

/// Time for a service to become healthy: at least a minute, and as long as its health check allows.
pub(super) fn healthy_timeout(service: &Service) -> Duration {
    let given = service.health.own().map(|check| time_until_unhealthy(check).saturating_add(check.timeout));
    HEALTHY_TIMEOUT.max(given.unwrap_or_default())
}

/// Time that a health check allows at the start: as many failures in a row as make the service unhealthy.
fn time_until_unhealthy(check: &HealthCheck) -> Duration {
    check.start_period.saturating_add(check.interval.saturating_mul(check.retries))
}

async fn check_by_command(client: &Client, check: &HealthCheck, container: &str) -> Result<(), ProbeError> {
    match client.exec(container, &check.test, check.timeout.max(Duration::from_secs(1))).await {
        Ok(ran) if ran.code == 0 => Ok(()),
        Ok(ran) => Err(match ran.output.lines().last().filter(|line| !line.is_empty()) {
            Some(line) => ProbeError::Output(line.to_owned()),
            None => ProbeError::ExitCode(ran.code),
        }),
        Err(fault) if fault.is(FaultKind::Timeout) => Err(ProbeError::Timeout),
        Err(_) => Err(ProbeError::NotRun),
    }
}

/// Result of a check in a loop.
enum LoopResult {
    Passed,
    /// It did not pass in time, or the container stopped.
    Failed,
    /// The image has no shell.
    NoShell,
}

/// Repeats a health check with a loop inside the container until it passes. Starting a process from outside for every check
/// takes longer than the check and slows down the starting service.
async fn check_in_loop(client: &Client, check: &HealthCheck, container: &str) -> LoopResult {
    const LOOP: &str = r#"n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 40 ] || exit 1; sleep 0.05; done"#;
    let loop_in_shell = ["/bin/sh", "-c", LOOP, "sh"].map(str::to_owned);
    let command: Vec<String> = loop_in_shell.into_iter().chain(check.test.iter().cloned()).collect();
    match client.exec(container, &command, LOOP_TIMEOUT).await {
        Ok(ran) if ran.code == 0 => LoopResult::Passed,
        // 126 and 127: not executable, or not found.
        Ok(ran) if matches!(ran.code, 126 | 127) => LoopResult::NoShell,
        Err(fault) if fault.is(FaultKind::Other) => LoopResult::NoShell,
        Ok(_) | Err(_) => LoopResult::Failed,
    }
}

/// Time for a new instance to become healthy while the old one serves. Its dependencies are running, so the stack's health check
/// decides.
pub(super) fn new_instance_timeout(service: &Service) -> Duration {
    service.health.own().map_or(HEALTHY_TIMEOUT, |check| time_until_unhealthy(check).max(NEW_VERSION_TIMEOUT))
}

/// Error for a container that stopped although it should run.
pub(super) async fn exit_error(client: &Client, service: &str, found: &Inspected) -> EngineError {
    let how = match found {
        found if !found.error.is_empty() => found.error.clone(),
        found if found.out_of_memory => "it exceeded its memory limit".to_owned(),
        found => format!("exit code {}", found.exit_code),
    };
    EngineError::new(EngineErrorKind::Exited, with_last_lines(client, &found.id, how).await).for_service(service)
}

/// An error message with the last lines of the container's log.
async fn with_last_lines(client: &Client, container: &str, what: String) -> String {
    let mut text = what;
    for line in client.last_lines(container).await {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    text
}

/// Value of the app's gauge of requests in flight.
fn in_flight(page: &str) -> Option<u64> {
    let line = page.lines().find(|line| line.starts_with("app_http_requests_in_flight "))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_stack::HealthSetting;

    #[test]
    fn a_new_instance_gets_the_time_of_its_health_check_and_at_least_ten_seconds() {
        let seconds = Duration::from_secs;
        for (start_period, interval, retries, limit) in
            [(0, 1, 30, 30), (20, 5, 3, 35), (0, 1, 1, 10), (0, 90, 3, 270), (120, 1, 1, 121)]
        {
            let health = HealthCheck {
                test: Vec::new(),
                interval: seconds(interval),
                timeout: seconds(1),
                retries,
                start_period: seconds(start_period),
            };
            let service = Service { health: HealthSetting::Own(health), ..Service::default() };
            assert_eq!(new_instance_timeout(&service), seconds(limit));
        }
        assert_eq!(new_instance_timeout(&Service::default()), HEALTHY_TIMEOUT);
    }

    #[test]
    fn a_service_gets_a_minute_or_the_time_of_its_health_check() {
        let of = |start: u64, interval: u64, retries: u32| {
            let [start_period, interval, timeout] = [start, interval, 5].map(Duration::from_secs);
            let check = HealthCheck { test: Vec::new(), interval, timeout, retries, start_period };
            healthy_timeout(&Service { health: HealthSetting::Own(check), ..Service::default() }).as_secs()
        };
        assert_eq!(healthy_timeout(&Service::default()), HEALTHY_TIMEOUT);
        assert_eq!(of(0, 1, 3), 60);
        assert_eq!(of(120, 10, 6), 185);
        assert!(of(86_400, 86_400, u32::MAX) > 86_400);
    }
}
