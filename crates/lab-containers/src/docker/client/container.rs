//! Containers: lifecycle and inspection.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummaryStateEnum, EndpointSettings, HealthStatusEnum};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StopContainerOptionsBuilder, TopOptionsBuilder, UploadToContainerOptionsBuilder,
};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;

use super::image::familiar;
use super::{CALL_TIMEOUT, Client, Fault, FaultKind, by_label, call};

/// Timeout for queries.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many equal observations in a row count as stable, how many are made at most, and the interval between them.
const STABLE_COUNT: u32 = 4;
const STABLE_ATTEMPTS: u32 = 200;
const STABLE_INTERVAL: Duration = Duration::from_millis(10);

/// A container in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Listed {
    pub(in crate::docker) id: String,
    pub(in crate::docker) name: String,
    pub(in crate::docker) labels: BTreeMap<String, String>,
    pub(in crate::docker) state: State,
    /// Published ports of the host.
    pub(in crate::docker) ports: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::docker) enum State {
    /// It was never started.
    Created,
    Running,
    Paused,
    /// It has stopped or is stopping.
    Exited,
}

/// Result of the daemon's own health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) enum Health {
    /// The container has no check.
    Unchecked,
    /// The check has neither passed nor finally failed yet.
    Starting,
    Healthy,
    /// The last output of the check.
    Unhealthy(String),
}

/// Details of a container.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::docker) struct Inspected {
    pub(in crate::docker) id: String,
    pub(in crate::docker) name: String,
    pub(in crate::docker) labels: BTreeMap<String, String>,
    /// Image name as requested. `image_id` is the id that it had.
    pub(in crate::docker) image: String,
    pub(in crate::docker) image_id: String,
    pub(in crate::docker) state: State,
    pub(in crate::docker) health: Health,
    pub(in crate::docker) exit_code: i64,
    /// Error of the last start.
    pub(in crate::docker) error: String,
    pub(in crate::docker) out_of_memory: bool,
    pub(in crate::docker) started: Option<DateTime<Utc>>,
    pub(in crate::docker) restarts: u32,
    /// Port in the container → port of the host. Of a running container the actual ports, otherwise the requested ones.
    pub(in crate::docker) ports: BTreeMap<u16, u16>,
    /// Addresses while it runs, keyed by the network's name and by its id.
    pub(in crate::docker) addresses: BTreeMap<String, String>,
}

impl Client {
    /// Lists the containers with a label, in any state.
    pub(in crate::docker) async fn containers(&self, label: &str) -> Result<Vec<Listed>, Fault> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&by_label(label)).build();
        self.list(options).await
    }

    /// Lists all running containers of the daemon, not only lab's.
    pub(in crate::docker) async fn running_containers(&self) -> Result<Vec<Listed>, Fault> {
        self.list(ListContainersOptionsBuilder::default().build()).await
    }

    async fn list(&self, options: bollard::query_parameters::ListContainersOptions) -> Result<Vec<Listed>, Fault> {
        let query = || self.docker.list_containers(Some(options.clone()));
        let found = self.query("the containers", query).await?;
        let listed = found.into_iter().map(|container| Listed {
            id: container.id.unwrap_or_default(),
            name: bare(container.names.unwrap_or_default().into_iter().next().unwrap_or_default()),
            labels: container.labels.unwrap_or_default().into_iter().collect(),
            state: match container.state {
                Some(ContainerSummaryStateEnum::RUNNING) => State::Running,
                Some(ContainerSummaryStateEnum::PAUSED) => State::Paused,
                Some(ContainerSummaryStateEnum::CREATED) => State::Created,
                _ => State::Exited,
            },
            ports: container.ports.unwrap_or_default().iter().filter_map(|port| port.public_port).collect(),
        });
        Ok(listed.collect())
    }

    /// Inspects a container by id or name.
    pub(in crate::docker) async fn inspect(&self, container: &str) -> Result<Option<Inspected>, Fault> {
        let subject = format!("container {container}");
        match self.query(&subject, || self.docker.inspect_container(container, None)).await {
            Ok(found) => Ok(Some(inspected(found))),
            Err(fault) if fault.is(FaultKind::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Queries containers, and retries if Podman reports one of its transient states (such as `stopped`, until it has been
    /// cleaned up), which the client library cannot parse.
    async fn query<T, F>(&self, subject: &str, query: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        for _ in 0..STABLE_ATTEMPTS {
            match call(subject, QUERY_TIMEOUT, query()).await {
                Err(fault) if self.podman && fault.detail.contains("unknown variant") => {}
                other => return other,
            }
            tokio::time::sleep(STABLE_INTERVAL).await;
        }
        call(subject, QUERY_TIMEOUT, query()).await
    }

    /// Starts a container. Does nothing if it is running.
    pub(in crate::docker) async fn start(&self, container: &str) -> Result<(), Fault> {
        let subject = format!("container {container}");
        call(&subject, CALL_TIMEOUT, self.docker.start_container(container, None)).await
    }

    /// Stops a container, and kills it after `grace`. Does nothing if it is not running.
    pub(in crate::docker) async fn stop(&self, container: &str, grace: Duration) -> Result<(), Fault> {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let stopping = self.docker.stop_container(container, Some(options));
        unless_gone(call(&format!("container {container}"), grace + CALL_TIMEOUT, stopping).await)
    }

    /// Kills a container and waits until it has stopped.
    pub(in crate::docker) async fn kill(&self, container: &str) -> Result<(), Fault> {
        // Podman removes the port forwarding of a killed container some time after the call. By then another container may use the
        // same port, which would lose its forwarding. A stop waits for it, but can refuse a paused container.
        if self.podman && self.stop(container, Duration::ZERO).await.is_ok() {
            return Ok(());
        }
        let subject = format!("container {container}");
        let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        match call(&subject, CALL_TIMEOUT, self.docker.kill_container(container, Some(options))).await {
            Err(fault) if fault.is(FaultKind::Conflict) || fault.is(FaultKind::NotFound) => Ok(()),
            Err(fault) => Err(fault),
            // `stop` waits for the end.
            Ok(()) => self.stop(container, Duration::ZERO).await,
        }
    }

    pub(in crate::docker) async fn pause(&self, container: &str) -> Result<(), Fault> {
        call(&format!("container {container}"), CALL_TIMEOUT, self.docker.pause_container(container)).await?;
        self.wait_for_state(container, State::Paused).await
    }

    pub(in crate::docker) async fn unpause(&self, container: &str) -> Result<(), Fault> {
        call(&format!("container {container}"), CALL_TIMEOUT, self.docker.unpause_container(container)).await?;
        self.wait_for_state(container, State::Running).await
    }

    /// Waits until the daemon reports a state consistently. It learns of a pause from its own call and from an event that may
    /// arrive late, so that a container may look paused for a moment after it runs again.
    async fn wait_for_state(&self, container: &str, wanted: State) -> Result<(), Fault> {
        let mut in_a_row = 0;
        for _ in 0..STABLE_ATTEMPTS {
            in_a_row = match self.inspect(container).await? {
                Some(found) if found.state == wanted => in_a_row + 1,
                _ => 0,
            };
            if in_a_row == STABLE_COUNT {
                break;
            }
            tokio::time::sleep(STABLE_INTERVAL).await;
        }
        Ok(())
    }

    /// Lists the processes of a running container: id and command line.
    pub(in crate::docker) async fn processes(&self, container: &str) -> Result<Vec<(String, String)>, Fault> {
        // Podman expects column names. With options it runs the container's own ps, and returns nothing if there is none.
        let columns = if self.podman { "pid,args" } else { "-eo pid,args" };
        let options = TopOptionsBuilder::default().ps_args(columns).build();
        let listing = self.docker.top_processes(container, Some(options));
        let found = call(&format!("container {container}"), QUERY_TIMEOUT, listing).await?;
        let rows = found.processes.unwrap_or_default().into_iter();
        Ok(rows.filter_map(|row| Some((row.first()?.clone(), row.get(1..)?.join(" ")))).collect())
    }

    pub(in crate::docker) async fn rename(&self, container: &str, name: &str) -> Result<(), Fault> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        call(&format!("container {container}"), CALL_TIMEOUT, self.docker.rename_container(container, options)).await
    }

    /// Kills and removes a container with its anonymous volumes. Does nothing if it is gone.
    pub(in crate::docker) async fn remove(&self, container: &str) -> Result<(), Fault> {
        let subject = format!("container {container}");
        for _ in 0..100 {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            let removed = call(&subject, CALL_TIMEOUT, self.docker.remove_container(container, Some(options))).await;
            match removed {
                Err(fault) if fault.is(FaultKind::Conflict) && fault.detail.contains("already in progress") => {}
                other => return unless_gone(other),
            }
            // Another process is removing it. No event reports the end, so poll.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Fault::timeout(subject))
    }

    /// Kills and removes a running container, and returns as soon as it is killed. The daemon completes the removal on its own;
    /// meanwhile, queries still find the container.
    pub(in crate::docker) async fn discard(&self, container: &str) -> Result<(), Fault> {
        if self.podman {
            return self.remove(container).await;
        }
        let (client, id) = (self.clone(), container.to_owned());
        let mut died = self.deaths(container);
        let removal = tokio::spawn(async move { client.remove(&id).await });
        tokio::select! {
            Some(Ok(())) = died.next() => Ok(()),
            removed = removal => removed.unwrap_or_else(|error| {
                Err(Fault::new(FaultKind::Other, format!("container {container}"), error.to_string()))
            }),
        }
    }

    /// Unpacks `tar` at `path` inside a container.
    pub(in crate::docker) async fn upload(&self, container: &str, path: &str, tar: Vec<u8>) -> Result<(), Fault> {
        let options = UploadToContainerOptionsBuilder::default().path(path).build();
        let uploading = self.docker.upload_to_container(container, Some(options), bollard::body_full(tar.into()));
        call(&format!("container {container}"), CALL_TIMEOUT, uploading).await
    }
}

pub(super) fn unless_gone(result: Result<(), Fault>) -> Result<(), Fault> {
    match result {
        Err(fault) if fault.is(FaultKind::NotFound) => Ok(()),
        other => other,
    }
}

/// Removes the slash that the API puts before a container's name.
fn bare(name: String) -> String {
    match name.strip_prefix('/') {
        Some(bare) => bare.to_owned(),
        None => name,
    }
}

fn inspected(found: ContainerInspectResponse) -> Inspected {
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let running = state.running.unwrap_or_default();
    let started = state.started_at.as_deref().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    // The year 1 means never started.
    let started = started.filter(|time| time.timestamp() > 0);
    let network = found.network_settings.unwrap_or_default();
    let address = |endpoint: EndpointSettings| endpoint.ip_address.filter(|ip| !ip.is_empty());
    let networks = network.networks.unwrap_or_default();
    let addresses = networks.into_iter().flat_map(|(name, endpoint)| {
        let id = endpoint.network_id.clone().filter(|id| !id.is_empty());
        let address = address(endpoint);
        [Some(name), id].into_iter().flatten().filter_map(move |network| Some((network, address.clone()?)))
    });
    let addresses = addresses.collect();
    let mut ports = bindings(host.port_bindings.unwrap_or_default());
    if running {
        ports.extend(bindings(network.ports.unwrap_or_default()));
    }
    Inspected {
        id: found.id.unwrap_or_default(),
        name: bare(found.name.unwrap_or_default()),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        image: familiar(&config.image.unwrap_or_default()).to_owned(),
        image_id: found.image.unwrap_or_default(),
        state: match () {
            () if state.paused.unwrap_or_default() => State::Paused,
            () if running => State::Running,
            () if started.is_none() => State::Created,
            () => State::Exited,
        },
        health: health(state.health),
        exit_code: state.exit_code.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        started,
        restarts: found.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        ports,
        addresses,
    }
}

fn health(health: Option<bollard::models::Health>) -> Health {
    let Some(health) = health else { return Health::Unchecked };
    match health.status {
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => {
            let last = health.log.unwrap_or_default().pop().and_then(|result| result.output).unwrap_or_default();
            Health::Unhealthy(last.trim().to_owned())
        }
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        _ => Health::Unchecked,
    }
}

/// Maps `8000/tcp` to its first binding with a port.
fn bindings(map: bollard::models::PortMap) -> BTreeMap<u16, u16> {
    let pairs = map.into_iter().filter_map(|(target, bindings)| {
        let target = target.split('/').next()?.parse().ok()?;
        let bound = bindings?.into_iter().find_map(|binding| binding.host_port?.parse::<u16>().ok())?;
        Some((target, bound))
    });
    pairs.filter(|(_, bound)| *bound != 0).collect()
}
