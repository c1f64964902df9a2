//! Routing of the gateway to the app's active instance: which instance it reaches, how the route changes, and when the previous
//! instance gets no more requests. nginx resolves the app on a reload, and its old workers finish their requests.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Inspected, PreparedCommand};
use super::observed_state::ServiceContainer;
use super::probe::{HTTP_INTERVAL, ProbeError, Report};
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_system::deadline::Deadline;

/// Time for the gateway to route to an instance.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter timeout if the gateway did not reach the app before either: it may have been configured that way.
const UNROUTED_TIMEOUT: Duration = Duration::from_millis(500);
/// An address in the gateway that refuses connections.
const REFUSING_ADDRESS: &str = "127.0.0.1:1";
/// Time after which the gateway is reloaded once more.
const RELOAD_INTERVAL: Duration = Duration::from_millis(500);
/// Time for old workers to exit: somewhat longer than nginx's `worker_shutdown_timeout`.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(12);
/// Shorter timeout if their pending requests are lost in any case.
pub(super) const ABRUPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Preparations for a change of the route.
#[derive(Default)]
pub(super) struct PreparedRoute {
    /// Ids of the gateway's workers, if they are known.
    workers: Option<Vec<String>>,
    /// The reload command, ready to run.
    prepared: Option<PreparedCommand>,
    /// The gateway reached the app before. Then it must do so afterwards.
    pub(super) strict: bool,
}

/// A worker of nginx.
struct Worker {
    id: String,
    /// It takes no more requests and only finishes the pending ones.
    is_leaving: bool,
}

impl Inner {
    /// Prepares to route the gateway from one instance (if any) to another.
    pub(super) async fn prepare_route(
        &self,
        client: &Client,
        gateway: &Inspected,
        unchanged: bool,
        instance: Option<&str>,
    ) -> PreparedRoute {
        let address = self.gateway_address(client, gateway);
        let leads = async {
            match (&address, instance) {
                _ if unchanged => true,
                (Some(address), Some(instance)) => self.check_route(address, Some(instance)).await.is_ok(),
                _ => false,
            }
        };
        let prepared = async {
            // With Podman the command contains an address that is not known yet.
            if client.podman {
                None
            } else {
                client.prepare_command(&gateway.id, &self.stack.lab.gateway.reload).await.ok()
            }
        };
        let (workers, prepared, strict) = tokio::join!(workers(client, &gateway.id), prepared, leads);
        let ids = |workers: Vec<Worker>| workers.into_iter().map(|worker| worker.id).collect();
        PreparedRoute { workers: workers.ok().map(ids), prepared, strict }
    }

    /// Reloads the gateway's upstream and waits until it only routes to this instance, or to none. Returns true if no remaining
    /// worker routes elsewhere.
    pub(super) async fn reroute(
        &self,
        client: &Client,
        gateway: &Inspected,
        prepared: PreparedRoute,
        instance: Option<&str>,
        limit: Duration,
    ) -> Result<bool, EngineError> {
        let strict = prepared.strict && instance.is_some();
        let routed = self.refresh_upstream(client, gateway, instance, strict, prepared.prepared).await?;
        Ok(wait_for_workers(client, &gateway.id, prepared.workers.as_deref(), limit).await && routed)
    }

    /// Reloads the gateway's upstream and waits until `/health` through the gateway is answered by this instance, or by none.
    /// Unless `strict`, a timeout is not an error and returns false.
    pub(super) async fn refresh_upstream(
        &self,
        client: &Client,
        gateway: &Inspected,
        instance: Option<&str>,
        strict: bool,
        mut prepared: Option<PreparedCommand>,
    ) -> Result<bool, EngineError> {
        let name = &self.stack.lab.gateway.service;
        let Some(address) = self.gateway_address(client, gateway) else { return Ok(false) };
        let deadline = Deadline::after(if strict { ROUTE_TIMEOUT } else { UNROUTED_TIMEOUT });
        loop {
            let mut reason = String::new();
            let mut next_reload: Option<Deadline> = None;
            let mut reload = pin!(self.reload_gateway(client, gateway, instance.is_some(), strict, prepared.take()));
            // The gateway is polled while the command is still running, because it routes correctly before the command ends.
            while next_reload.as_ref().is_none_or(|next_reload| !next_reload.is_over() && !deadline.is_over()) {
                tokio::select! {
                    reload = &mut reload, if next_reload.is_none() => {
                        next_reload = Some(Deadline::after(RELOAD_INTERVAL));
                        match reload {
                            Ok(wrong) => reason = wrong.unwrap_or_default(),
                            // The gateway was just stopped.
                            Err(fault) if matches!(fault.kind, FaultKind::Conflict | FaultKind::NotFound) => {
                                return Ok(false);
                            }
                            Err(fault) => return Err(fault.service(name)),
                        }
                    }
                    () = sleep(HTTP_INTERVAL) => match self.check_route(&address, instance).await {
                        Ok(()) => return Ok(true),
                        Err(error) if reason.is_empty() => reason = error.to_string(),
                        Err(_) => {}
                    },
                }
            }
            if deadline.is_over() {
                if !strict {
                    return Ok(false);
                }
                return Err(EngineError::new(EngineErrorKind::Unhealthy, reason).for_service(name));
            }
        }
    }

    /// Runs the reload command. Returns the reason if it fails.
    async fn reload_gateway(
        &self,
        client: &Client,
        gateway: &Inspected,
        there: bool,
        strict: bool,
        prepared: Option<PreparedCommand>,
    ) -> Result<Option<String>, Fault> {
        let command = self.route_command(client, there, strict).await?;
        let ran = match prepared {
            Some(prepared) => prepared.run(ROUTE_TIMEOUT).await?,
            None => client.exec(&gateway.id, &command, ROUTE_TIMEOUT).await?,
        };
        let wrong = || format!("{} ends with {}: {}", command.join(" "), ran.code, ran.output);
        Ok((ran.code != 0).then(wrong))
    }

    /// Command that updates the gateway's upstream. Podman has no links, and moving a name would mean to disconnect a container.
    /// There the gateway gets the address itself if possible, unless it has been configured otherwise.
    async fn route_command(&self, client: &Client, there: bool, strict: bool) -> Result<Vec<String>, Fault> {
        let lab = &self.stack.lab;
        let Some(route) = lab.gateway.route.as_ref().filter(|_| client.podman && (strict || !there)) else {
            return Ok(lab.gateway.reload.clone());
        };
        let address = if there {
            let app = self.current(client, &lab.app.service).await?;
            let app = app.map(|container| ServiceContainer { service: lab.app.service.clone(), container });
            let ip = app.as_ref().and_then(|app| app.network_address(&self.names));
            format!("{}:{}", ip.unwrap_or_default(), lab.app.port)
        } else {
            // Nothing listens there, so requests are refused at once.
            REFUSING_ADDRESS.to_owned()
        };
        Ok(route.iter().map(|word| word.replace("{address}", &address)).collect())
    }

    /// Checks that `/health` at an address is answered by this instance, or by none.
    pub(super) async fn check_route(&self, address: &str, instance: Option<&str>) -> Result<(), ProbeError> {
        let path = &self.stack.lab.app.health_path;
        let (status, body) = self.get(address, path).await?;
        let named = serde_json::from_str::<Report>(&body).ok().and_then(|report| report.instance);
        match (instance, named) {
            (Some(wanted), Some(named)) if wanted == named => Ok(()),
            // If the app does not report its instance, any successful answer is enough.
            (Some(_), None) if (200..300).contains(&status) => Ok(()),
            (None, None) if status >= 500 => Ok(()),
            (Some(expected), _) => {
                Err(ProbeError::OtherInstance { path: path.clone(), status, expected: expected.to_owned() })
            }
            (None, _) => Err(ProbeError::Status { path: path.clone(), status }),
        }
    }

    /// Address at which the gateway is probed.
    pub(super) fn gateway_address(&self, client: &Client, gateway: &Inspected) -> Option<String> {
        gateway.ports.get(&self.stack.lab.gateway.port).map(|port| client.reach.address(*port))
    }
}

/// Lists nginx's workers. Other proxies have none, and their reload is trusted.
async fn workers(client: &Client, gateway: &str) -> Result<Vec<Worker>, Fault> {
    let processes = client.processes(gateway).await?.into_iter();
    let workers = processes.filter(|(_, command)| command.contains("worker process"));
    Ok(workers.map(|(id, command)| Worker { id, is_leaving: command.contains("shutting down") }).collect())
}

/// Waits until these workers, and others that are shutting down after a late reload, are gone. For a moment nginx's old workers
/// keep accepting beside the new ones, and they route as before. Returns false if this cannot be determined.
async fn wait_for_workers(client: &Client, gateway: &str, before: Option<&[String]>, limit: Duration) -> bool {
    let deadline = Deadline::after(limit);
    while !deadline.is_over() {
        match workers(client, gateway).await {
            Ok(now) if !now.iter().any(|it| it.is_leaving || before.is_some_and(|ids| ids.contains(&it.id))) => {
                return before.is_some();
            }
            // The gateway exited, or its processes cannot be listed.
            Err(fault) if !fault.is(FaultKind::Timeout) => return false,
            _ => {}
        }
        sleep(HTTP_INTERVAL).await;
    }
    false
}
