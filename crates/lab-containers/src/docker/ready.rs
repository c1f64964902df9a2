//! Probes: is a container well, are an instance's last requests over. The daemon's own health checks are too slow to wait
//! for: the first comes after a whole interval.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Inner;
use super::client::{Client, FaultKind, Inspected, State};
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_http::Request;
use lab_stack::{HealthCheck, Service};
use lab_system::deadline::Deadline;

/// How long a service may take to become healthy at least: a database makes its files first.
const HEALTHY_TIMEOUT: Duration = Duration::from_mins(1);
/// The least that a new version gets beside the one that serves, however soon its stack would call it unhealthy.
const NEW_VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an instance may take to finish its requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// How many things a new instance is asked at once, and for how long at most.
const WARM_PROBES: usize = 4;
const WARM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one probe over HTTP may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two probes over HTTP: health is not announced, it has to be asked for.
pub(super) const HTTP_INTERVAL: Duration = Duration::from_millis(10);
/// Between two probes by a command in the container, each of which is a process.
const EXEC_INTERVAL: Duration = Duration::from_millis(50);
/// For a check in a loop: longer than its 40 rounds usually take.
const LOOP_TIMEOUT: Duration = Duration::from_secs(6);
/// How often it is looked whether a container that does not answer still runs.
const ALIVE_INTERVAL: Duration = Duration::from_millis(250);

/// What the app's `/health` says.
#[derive(Deserialize)]
pub(super) struct Report {
    pub(super) instance: Option<String>,
    #[serde(default)]
    checks: std::collections::BTreeMap<String, String>,
}

/// What an instance says before it ends.
pub(super) struct LastWords {
    /// Its metrics page.
    pub(super) exposition: String,
    /// It counts what is in flight, and that is nothing.
    pub(super) idle: bool,
}

impl Inner {
    /// Waits until a container that has started is well, `patience` at most. The app and the gateway are asked over their ports; others by
    /// their health check, in the container; where there is none, that it runs is enough.
    pub(super) async fn until_healthy(
        &self,
        client: &Client,
        service: &Service,
        container: &str,
        address: Option<&str>,
        patience: Duration,
    ) -> Result<(), EngineError> {
        let begun = Instant::now();
        let deadline = Deadline::after(patience);
        let mut looked = begun;
        let mut shell = true;
        loop {
            let asked = Instant::now();
            let said = match self.probe(client, service, container, address).await {
                Ok(()) => return Ok(()),
                Err(said) => said,
            };
            let took = asked.elapsed();
            if address.is_none()
                && shell
                && let Some(check) = service.health.own()
            {
                match by_loop(client, check, container).await {
                    Looped::Passed => return Ok(()),
                    Looped::NoShell => shell = false,
                    Looped::Over => {}
                }
            }
            if looked.elapsed() > ALIVE_INTERVAL || asked.elapsed() > ALIVE_INTERVAL || said.is_empty() {
                looked = Instant::now();
                self.must_live(client, &service.name, container, &said).await?;
            }
            if deadline.is_over() {
                let said = if said.is_empty() { "its health check cannot be run".to_owned() } else { said };
                let detail = with_last_words(client, container, said).await;
                return Err(EngineError::new(EngineErrorKind::Unhealthy, detail).for_service(&service.name));
            }
            // A command is work for what is starting, too: at most half of the time goes to asking. Over HTTP, at most a
            // twentieth of the time so far is waited in vain.
            let interval = match address {
                Some(_) => (begun.elapsed() / 20).clamp(HTTP_INTERVAL, HTTP_INTERVAL * 5),
                None => EXEC_INTERVAL.max(took),
            };
            sleep(interval).await;
        }
    }

    /// Waits until a container does not run any more, and tells how it ended.
    pub(super) async fn until_ended(&self, client: &Client, service: &Service, container: &str) -> EngineError {
        loop {
            if let Err(error) = self.must_live(client, &service.name, container, "").await {
                return error;
            }
            sleep(ALIVE_INTERVAL).await;
        }
    }

    /// One probe: whether it is well, and if not, what it says; nothing where it could not be asked.
    pub(super) async fn probe(
        &self,
        client: &Client,
        service: &Service,
        container: &str,
        address: Option<&str>,
    ) -> Result<(), String> {
        let lab = &self.stack.lab;
        match (address, service.health.own()) {
            (Some(address), _) if service.name == lab.app.service => self.ask(address, &lab.app.health_path).await,
            // It answers: what becomes of a request behind it is the app's health.
            (Some(address), _) if service.name == lab.gateway.service => {
                self.get(address, &lab.app.health_path).await.map(drop)
            }
            (_, Some(check)) => by_command(client, check, container).await,
            (_, None) => Ok(()),
        }
    }

    async fn ask(&self, address: &str, path: &str) -> Result<(), String> {
        let (status, body) = self.get(address, path).await?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let checks = serde_json::from_str::<Report>(&body).map(|report| report.checks).unwrap_or_default();
        if checks.is_empty() {
            return Err(format!("{path} answers {status}"));
        }
        Err(checks.iter().map(|(part, state)| format!("{part} {state}")).collect::<Vec<_>>().join(", "))
    }

    /// That a container still runs; else how it ended, with its last line.
    async fn must_live(&self, client: &Client, service: &str, container: &str, said: &str) -> Result<(), EngineError> {
        match client.inspect(container).await? {
            Some(found) if matches!(found.state, State::Running | State::Paused) => Ok(()),
            Some(found) => Err(ended(client, service, &found).await),
            None => {
                let detail = format!("its container was removed while it was starting; {said}");
                Err(EngineError::new(EngineErrorKind::Lost, detail.trim_end_matches("; "))
                    .for_service(service)
                    .hint("lab up"))
            }
        }
    }

    /// Asks a new instance several things at once, so that it has opened its connections to the database before requests
    /// come: the first ones would wait for that.
    pub(super) async fn warm(&self, address: &str) {
        let deadline = Deadline::after(WARM_TIMEOUT);
        while !deadline.is_over() {
            let asked = (0..WARM_PROBES).map(|_| self.ask(address, &self.stack.lab.app.health_path));
            if join_all(asked).await.iter().all(Result::is_ok) {
                return;
            }
        }
    }

    /// Waits until an instance to which nothing new is sent has no request left, and returns what it then counts. None
    /// where it does not say.
    pub(super) async fn last_exposition(&self, address: &str) -> Option<LastWords> {
        let deadline = Deadline::after(IDLE_TIMEOUT);
        let mut before: Option<String> = None;
        loop {
            let (status, page) = self.get(address, &self.stack.lab.app.metrics_path).await.ok()?;
            if status != 200 {
                return None;
            }
            // Twice the same, and idle: no request is on its way between the gateway and here either. An app that does
            // not count what is in flight is idle when its page stays the same.
            let in_flight = in_flight(&page);
            let settled = in_flight.unwrap_or(0) == 0 && before.as_ref() == Some(&page);
            if settled || deadline.is_over() {
                return Some(LastWords { idle: settled && in_flight.is_some(), exposition: page });
            }
            before = Some(page);
            sleep(HTTP_INTERVAL).await;
        }
    }

    pub(super) async fn get(&self, address: &str, path: &str) -> Result<(u16, String), String> {
        let request = Request::get(format!("http://{address}{path}")).timeout(PROBE_TIMEOUT);
        match self.http.request(&request).await {
            Ok(response) => Ok((response.status, response.text())),
            Err(error) => Err(format!("{path}: {error}")),
        }
    }
}

/// How long a service may take to become healthy: longer where its health check gives it longer.
pub(super) fn healthy_timeout(service: &Service) -> Duration {
    let given = service.health.own().map(|check| until_unhealthy(check).saturating_add(check.timeout));
    HEALTHY_TIMEOUT.max(given.unwrap_or_default())
}

/// How long a health check gives a service at its start: as many failures in a row as make it unhealthy.
fn until_unhealthy(check: &HealthCheck) -> Duration {
    check.start_period.saturating_add(check.interval.saturating_mul(check.retries))
}

async fn by_command(client: &Client, check: &HealthCheck, container: &str) -> Result<(), String> {
    match client.exec(container, &check.test, check.timeout.max(Duration::from_secs(1))).await {
        Ok(ran) if ran.code == 0 => Ok(()),
        Ok(ran) if ran.output.is_empty() => Err(format!("its health check ends with {}", ran.code)),
        Ok(ran) => Err(ran.output.lines().last().unwrap_or_default().to_owned()),
        Err(fault) if fault.is(FaultKind::Timeout) => Err("its health check does not end".to_owned()),
        // It does not run, or not yet: that is looked at.
        Err(_) => Err(String::new()),
    }
}

/// How a check in a loop went.
enum Looped {
    Passed,
    /// It did not pass in its time, or the container ended.
    Over,
    /// The image has no shell.
    NoShell,
}

/// A health check again and again until it passes, by a loop in the container: to start a process in there from outside
/// each time takes longer than the check, and work from what is starting.
async fn by_loop(client: &Client, check: &HealthCheck, container: &str) -> Looped {
    const LOOP: &str = r#"n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 40 ] || exit 1; sleep 0.05; done"#;
    let loop_in_shell = ["/bin/sh", "-c", LOOP, "sh"].map(str::to_owned);
    let command: Vec<String> = loop_in_shell.into_iter().chain(check.test.iter().cloned()).collect();
    match client.exec(container, &command, LOOP_TIMEOUT).await {
        Ok(ran) if ran.code == 0 => Looped::Passed,
        // 126 and 127: it cannot be run, or is not there.
        Ok(ran) if matches!(ran.code, 126 | 127) => Looped::NoShell,
        Err(fault) if fault.is(FaultKind::Other) => Looped::NoShell,
        Ok(_) | Err(_) => Looped::Over,
    }
}

/// How long a new version may take to become well while the old one serves. All that it needs is there already, so it gets
/// what the stack's health check gives it.
pub(super) fn patience_with_new(service: &Service) -> Duration {
    service.health.own().map_or(HEALTHY_TIMEOUT, |check| until_unhealthy(check).max(NEW_VERSION_TIMEOUT))
}

/// How a container ended that should run.
pub(super) async fn ended(client: &Client, service: &str, found: &Inspected) -> EngineError {
    let how = match found {
        found if !found.error.is_empty() => found.error.clone(),
        found if found.out_of_memory => "it took more memory than its limit".to_owned(),
        found => format!("exit code {}", found.exit_code),
    };
    EngineError::new(EngineErrorKind::Exited, with_last_words(client, &found.id, how).await).for_service(service)
}

/// What is wrong with a container, and the last lines that it wrote.
async fn with_last_words(client: &Client, container: &str, what: String) -> String {
    let mut text = what;
    for line in client.last_words(container).await {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    text
}

/// The app's gauge of requests that are being served.
fn in_flight(page: &str) -> Option<u64> {
    let line = page.lines().find(|line| line.starts_with("app_http_requests_in_flight "))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_stack::HealthSetting;

    #[test]
    fn a_new_version_gets_what_its_health_check_says_and_a_moment_at_least() {
        let seconds = Duration::from_secs;
        for (start_period, interval, retries, patience) in
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
            assert_eq!(patience_with_new(&service), seconds(patience));
        }
        assert_eq!(patience_with_new(&Service::default()), HEALTHY_TIMEOUT);
    }

    #[test]
    fn a_service_has_a_minute_or_as_long_as_its_health_check_gives_it() {
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
