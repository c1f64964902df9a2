//! The gateway's way to the app: which instance it leads to, how it is led to another, and when nothing more comes to the one
//! before. nginx looks for the app when it is told to, and its old workers finish what they have in hand.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::client::{Armed, Client, Fault, FaultKind, Inspected};
use super::ready::{HTTP_INTERVAL, Report};
use super::survey::Found;
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_system::deadline::Deadline;

/// How long the gateway may take to lead to an instance.
const ROUTED_TIMEOUT: Duration = Duration::from_secs(5);
/// The same where it did not lead to the app before either: it may never do, and that is how somebody set it.
const CHANGED_TIMEOUT: Duration = Duration::from_millis(500);
/// In the gateway, an address that refuses.
const NOWHERE: &str = "127.0.0.1:1";
/// After this long the gateway is told once more to look for the app.
const RELOAD_AGAIN: Duration = Duration::from_millis(500);
/// How long old workers may take to end: somewhat longer than nginx gives them (`worker_shutdown_timeout`).
pub(super) const DRAINED_TIMEOUT: Duration = Duration::from_secs(12);
/// The same where what they have in hand is lost in any case.
pub(super) const ABRUPT_TIMEOUT: Duration = Duration::from_secs(3);

/// What is ready before the gateway is told to look for the app.
#[derive(Default)]
pub(super) struct Ready {
    /// Its workers; none where they are not known.
    workers: Option<Vec<String>>,
    /// The command that tells it.
    armed: Option<Armed>,
    /// It leads to the app: so it must, when it has been told.
    pub(super) strict: bool,
}

/// A worker of nginx.
struct Worker {
    id: String,
    /// It takes no more requests, and finishes those that it has.
    is_leaving: bool,
}

impl Inner {
    /// Gets ready to lead the gateway from one instance (if any) to another.
    pub(super) async fn get_ready(
        &self,
        client: &Client,
        gateway: &Inspected,
        unchanged: bool,
        instance: Option<&str>,
    ) -> Ready {
        let address = self.gateway_address(client, gateway);
        let leads = async {
            match (&address, instance) {
                _ if unchanged => true,
                (Some(address), Some(instance)) => self.leads_to(address, Some(instance)).await.is_ok(),
                _ => false,
            }
        };
        let armed = async {
            // Podman's command has an address in it, which is not known yet.
            if client.podman { None } else { client.arm(&gateway.id, &self.stack.lab.gateway.reload).await.ok() }
        };
        let (workers, armed, strict) = tokio::join!(workers(client, &gateway.id), armed, leads);
        let ids = |workers: Vec<Worker>| workers.into_iter().map(|worker| worker.id).collect();
        Ready { workers: workers.ok().map(ids), armed, strict }
    }

    /// Has the gateway look for the app anew, and waits until it leads to this instance alone; without one, to none. Whether
    /// it is sure that no worker is left which leads elsewhere.
    pub(super) async fn reroute(
        &self,
        client: &Client,
        gateway: &Inspected,
        ready: Ready,
        instance: Option<&str>,
        patience: Duration,
    ) -> Result<bool, EngineError> {
        let strict = ready.strict && instance.is_some();
        let led = self.look_anew(client, gateway, instance, strict, ready.armed).await?;
        Ok(until_gone(client, &gateway.id, ready.workers.as_deref(), patience).await && led)
    }

    /// Has the gateway look for the app anew, and waits until `/health` through it is answered by this instance; without
    /// one, until it is answered by none. Where not `strict`, it may never be, which is told.
    pub(super) async fn look_anew(
        &self,
        client: &Client,
        gateway: &Inspected,
        instance: Option<&str>,
        strict: bool,
        mut armed: Option<Armed>,
    ) -> Result<bool, EngineError> {
        let name = &self.stack.lab.gateway.service;
        let Some(address) = self.gateway_address(client, gateway) else { return Ok(false) };
        let deadline = Deadline::after(if strict { ROUTED_TIMEOUT } else { CHANGED_TIMEOUT });
        loop {
            let mut said = String::new();
            let mut again: Option<Deadline> = None;
            let mut told = pin!(self.tell_gateway(client, gateway, instance.is_some(), strict, armed.take()));
            // It is asked while the command still ends: it leads there before.
            while again.as_ref().is_none_or(|again| !again.is_over() && !deadline.is_over()) {
                tokio::select! {
                    told = &mut told, if again.is_none() => {
                        again = Some(Deadline::after(RELOAD_AGAIN));
                        match told {
                            Ok(wrong) => said = wrong.unwrap_or_default(),
                            // It was stopped in this instant: there is nobody to tell.
                            Err(fault) if matches!(fault.kind, FaultKind::Conflict | FaultKind::NotFound) => {
                                return Ok(false);
                            }
                            Err(fault) => return Err(fault.service(name)),
                        }
                    }
                    () = sleep(HTTP_INTERVAL) => match self.leads_to(&address, instance).await {
                        Ok(()) => return Ok(true),
                        Err(other) if said.is_empty() => said = other,
                        Err(_) => {}
                    },
                }
            }
            if deadline.is_over() {
                if !strict {
                    return Ok(false);
                }
                return Err(EngineError::new(EngineErrorKind::Unhealthy, said).for_service(name));
            }
        }
    }

    /// Tells the gateway to look for the app; what is wrong with the answer, if anything is.
    async fn tell_gateway(
        &self,
        client: &Client,
        gateway: &Inspected,
        there: bool,
        strict: bool,
        armed: Option<Armed>,
    ) -> Result<Option<String>, Fault> {
        let command = self.route_command(client, there, strict).await?;
        let ran = match armed {
            Some(armed) => armed.fire(ROUTED_TIMEOUT).await?,
            None => client.exec(&gateway.id, &command, ROUTED_TIMEOUT).await?,
        };
        let wrong = || format!("{} ends with {}: {}", command.join(" "), ran.code, ran.output);
        Ok((ran.code != 0).then(wrong))
    }

    /// What makes the gateway look for the app. Podman has no links, and to move a name means to take a container off its
    /// network: there the gateway is told an address, where it can be, unless somebody has set another.
    async fn route_command(&self, client: &Client, there: bool, strict: bool) -> Result<Vec<String>, Fault> {
        let lab = &self.stack.lab;
        let Some(route) = lab.gateway.route.as_ref().filter(|_| client.podman && (strict || !there)) else {
            return Ok(lab.gateway.reload.clone());
        };
        let address = if there {
            let app = self.current(client, &lab.app.service).await?;
            let app = app.map(|container| Found { service: lab.app.service.clone(), container });
            let ip = app.as_ref().and_then(|app| app.network_address(&self.names));
            format!("{}:{}", ip.unwrap_or_default(), lab.app.port)
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

    /// Where the gateway is asked.
    pub(super) fn gateway_address(&self, client: &Client, gateway: &Inspected) -> Option<String> {
        gateway.ports.get(&self.stack.lab.gateway.port).map(|port| client.reach.address(*port))
    }
}

/// nginx's workers. Other proxies have none by this name, and are taken at their word.
async fn workers(client: &Client, gateway: &str) -> Result<Vec<Worker>, Fault> {
    let processes = client.processes(gateway).await?.into_iter();
    let workers = processes.filter(|(_, command)| command.contains("worker process"));
    Ok(workers.map(|(id, command)| Worker { id, is_leaving: command.contains("shutting down") }).collect())
}

/// Waits until none of these workers is there any more, nor any other that is on its way out: of a reload that came late. For
/// a moment nginx's old workers go on accepting beside the new ones; what they still have in hand they send where they always
/// did. False where that is not known.
async fn until_gone(client: &Client, gateway: &str, before: Option<&[String]>, patience: Duration) -> bool {
    let deadline = Deadline::after(patience);
    while !deadline.is_over() {
        match workers(client, gateway).await {
            Ok(now) if !now.iter().any(|it| it.is_leaving || before.is_some_and(|ids| ids.contains(&it.id))) => {
                return before.is_some();
            }
            // It has ended itself, or its processes cannot be looked at.
            Err(fault) if !fault.is(FaultKind::Timeout) => return false,
            _ => {}
        }
        sleep(HTTP_INTERVAL).await;
    }
    false
}
