//! Probes: is a container well, does the gateway lead to an instance, are its last requests over. The daemon's own health
//! checks are too slow to wait for: the first comes after a whole interval.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Inner;
use super::client::{Client, FaultKind, Inspected, State};
use crate::engine::{EngineError, EngineErrorKind};
use crate::http::Request;
use crate::stack::{HealthCheck, Service};

/// How long a service may take to become healthy: a database makes its files first.
pub(super) const HEALTHY_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the gateway may take to lead to an instance.
const ROUTED_TIMEOUT: Duration = Duration::from_secs(5);
/// The same where somebody has set the gateway's environment: it may never lead there, and that is how it was set.
const CHANGED_TIMEOUT: Duration = Duration::from_millis(500);
/// How long an instance may take to finish its requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// In the gateway, an address that refuses.
const NOWHERE: &str = "127.0.0.1:1";
/// How many things a new instance is asked at once, and for how long at most.
const WARM_PROBES: usize = 4;
const WARM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one probe over HTTP may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two probes over HTTP: health is not announced, it has to be asked for.
const HTTP_INTERVAL: Duration = Duration::from_millis(10);
/// Between two probes by a command in the container, each of which is a process.
const EXEC_INTERVAL: Duration = Duration::from_millis(50);
/// For a check in a loop: longer than its 40 rounds usually take.
const LOOP_TIMEOUT: Duration = Duration::from_secs(6);
/// How often it is looked whether a container that does not answer still runs.
const ALIVE_INTERVAL: Duration = Duration::from_millis(250);
/// After this long the gateway is told once more to look for the app.
const RELOAD_AGAIN: Duration = Duration::from_millis(500);

/// What the app's `/health` says.
#[derive(Deserialize)]
struct Report {
    instance: Option<String>,
    #[serde(default)]
    checks: std::collections::BTreeMap<String, String>,
}

impl Inner {
    /// Waits until a container that has started is well. The app and the gateway are asked over their ports; others by
    /// their health check, in the container; where there is none, that it runs is enough.
    pub(super) async fn until_healthy(
        &self,
        client: &Client,
        service: &Service,
        container: &str,
        address: Option<&str>,
    ) -> Result<(), EngineError> {
        let deadline = Instant::now() + HEALTHY_TIMEOUT;
        let mut looked = Instant::now();
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
                && let Some(check) = &service.health
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
            if Instant::now() > deadline {
                let said = if said.is_empty() { "its health check cannot be run".to_owned() } else { said };
                let detail = with_last_words(client, container, said).await;
                return Err(EngineError::new(EngineErrorKind::Unhealthy, detail).of(&service.name));
            }
            // A command is work for what is starting, too: at most half of the time goes to asking.
            let interval = if address.is_some() { HTTP_INTERVAL } else { EXEC_INTERVAL.max(took) };
            sleep(interval).await;
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
        match (address, &service.health) {
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
                Err(EngineError::new(EngineErrorKind::Lost, detail.trim_end_matches("; ")).of(service).hint("lab up"))
            }
        }
    }

    /// Has the gateway look for the app anew, and waits until it leads to this instance alone; without one, to none.
    pub(super) async fn reroute(
        &self,
        client: &Client,
        gateway: &Inspected,
        instance: Option<&str>,
        strict: bool,
    ) -> Result<(), EngineError> {
        let before = workers(client, &gateway.id).await;
        self.look_anew(client, gateway, instance, strict).await?;
        until_gone(client, &gateway.id, &before).await;
        Ok(())
    }

    /// Has the gateway look for the app anew, and waits until `/health` through it is answered by this instance; without
    /// one, until it is answered by none. Where not `strict`, it may never be.
    pub(super) async fn look_anew(
        &self,
        client: &Client,
        gateway: &Inspected,
        instance: Option<&str>,
        strict: bool,
    ) -> Result<(), EngineError> {
        let lab = &self.stack.lab;
        let name = &lab.gateway.service;
        let Some(port) = gateway.ports.get(&lab.gateway.port) else { return Ok(()) };
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + if strict { ROUTED_TIMEOUT } else { CHANGED_TIMEOUT };
        loop {
            let command = self.route_command(client, instance.is_some(), strict).await?;
            let ran = client.exec(&gateway.id, &command, ROUTED_TIMEOUT).await;
            let mut said = match ran {
                Ok(ran) if ran.code == 0 => String::new(),
                Ok(ran) => format!("{} ends with {}: {}", command.join(" "), ran.code, ran.output),
                // It was stopped in this instant: there is nobody to tell.
                Err(fault) if matches!(fault.kind, FaultKind::Conflict | FaultKind::NotFound) => return Ok(()),
                Err(fault) => return Err(fault.service(name)),
            };
            let again = Instant::now() + RELOAD_AGAIN;
            while Instant::now() < again.min(deadline) {
                match self.leads_to(&address, instance).await {
                    Ok(()) => return Ok(()),
                    Err(other) if said.is_empty() => said = other,
                    Err(_) => {}
                }
                sleep(HTTP_INTERVAL).await;
            }
            if Instant::now() >= deadline {
                if !strict {
                    return Ok(());
                }
                return Err(EngineError::new(EngineErrorKind::Unhealthy, said).of(name));
            }
        }
    }

    /// What makes the gateway look for the app. Podman has no links, and to move a name means to take a container off its
    /// network: there the gateway is told an address, where it can be, unless somebody has set another.
    async fn route_command(&self, client: &Client, there: bool, strict: bool) -> Result<Vec<String>, EngineError> {
        let lab = &self.stack.lab;
        let Some(route) = lab.gateway.route.as_ref().filter(|_| client.podman && (strict || !there)) else {
            return Ok(lab.gateway.reload.clone());
        };
        let address = if there {
            let app = client.inspect(&self.names.container(&lab.app.service)).await?;
            let ip = app.and_then(|app| app.ip).unwrap_or_default();
            format!("{ip}:{}", lab.app.port)
        } else {
            // Nobody listens there: refused at once.
            NOWHERE.to_owned()
        };
        Ok(route.iter().map(|word| word.replace("{address}", &address)).collect())
    }

    /// Whether `/health` at an address is answered by this instance; without one, by none.
    pub(super) async fn leads_to(&self, address: &str, instance: Option<&str>) -> Result<(), String> {
        let path = &self.stack.lab.app.health_path;
        let (status, body) = self.get(address, path).await?;
        let named = serde_json::from_str::<Report>(&body).ok().and_then(|report| report.instance);
        match (instance, named) {
            (Some(wanted), Some(named)) if wanted == named => Ok(()),
            // An app that does not say which instance it is: that it answers has to do.
            (Some(_), None) if (200..300).contains(&status) => Ok(()),
            (None, None) if status >= 500 => Ok(()),
            (Some(wanted), _) => Err(format!("{path} answers {status}, and not from {wanted}")),
            (None, _) => Err(format!("{path} answers {status}")),
        }
    }

    /// Asks a new instance several things at once, so that it has opened its connections to the database before requests
    /// come: the first ones would wait for that.
    pub(super) async fn warm(&self, address: &str) {
        let deadline = Instant::now() + WARM_TIMEOUT;
        while Instant::now() < deadline {
            let asked = (0..WARM_PROBES).map(|_| self.ask(address, &self.stack.lab.app.health_path));
            if join_all(asked).await.iter().all(Result::is_ok) {
                return;
            }
        }
    }

    /// Waits until an instance to which nothing new is sent has no request left, and returns what it then counts. None
    /// where it does not say.
    pub(super) async fn last_exposition(&self, address: &str) -> Option<String> {
        let deadline = Instant::now() + IDLE_TIMEOUT;
        let mut before: Option<String> = None;
        loop {
            let (status, page) = self.get(address, &self.stack.lab.app.metrics_path).await.ok()?;
            if status != 200 {
                return None;
            }
            // Twice the same, and idle: no request is on its way between the gateway and here either. An app that does
            // not count what is in flight is idle when its page stays the same.
            let idle = in_flight(&page).unwrap_or(0) == 0;
            if (idle && before.as_ref() == Some(&page)) || Instant::now() > deadline {
                return Some(page);
            }
            before = Some(page);
            sleep(HTTP_INTERVAL).await;
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

/// nginx's workers. Other proxies have none by this name, and are taken at their word.
async fn workers(client: &Client, gateway: &str) -> Vec<String> {
    let processes = client.processes(gateway).await.unwrap_or_default();
    processes.into_iter().filter(|(_, command)| command.contains("worker process")).map(|(id, _)| id).collect()
}

/// Waits until none of these workers is there any more. For a moment nginx's old workers go on accepting beside the new
/// ones; what they still have in hand they send where they always did.
async fn until_gone(client: &Client, gateway: &str, before: &[String]) {
    let deadline = Instant::now() + IDLE_TIMEOUT;
    while Instant::now() < deadline {
        let now = workers(client, gateway).await;
        if !before.iter().any(|id| now.contains(id)) {
            return;
        }
        sleep(HTTP_INTERVAL).await;
    }
}

/// How a container ended that should run.
pub(super) async fn ended(client: &Client, service: &str, found: &Inspected) -> EngineError {
    let how = match found {
        found if !found.error.is_empty() => found.error.clone(),
        found if found.out_of_memory => "it took more memory than its limit".to_owned(),
        found => format!("exit code {}", found.exit_code),
    };
    EngineError::new(EngineErrorKind::Exited, with_last_words(client, &found.id, how).await).of(service)
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
