//! Starts a lab: its secret, its service, and the wait until its host answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::place::{self, Ports};
use super::record::{Placement, Record};
use super::{Environment, Inner, cluster, endpoints, image};
use crate::docker::client::Client;
use crate::docker::client::service::{SecretUse, ServiceLaunch};
use crate::docker::client::swarm::{SwarmTask, TaskStage};
use crate::own_image;
use lab_core::engine::{APP, Description, EngineError, EngineErrorKind, GATEWAY, Progress, ProgressFn, UpRequest};
use lab_host::{HostRequest, Network, TASK_VARIABLE, new_token};
use lab_tls::ServerKey;

/// Time for Swarm to find a node.
const PENDING_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for the lab to come up on its node.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Interval at which the manager is asked. It reports no events of tasks.
const INTERVAL: Duration = Duration::from_millis(100);
/// Number of failed tasks after which the lab is given up.
const MAX_FAILURES: usize = 3;

/// Ports inside of the container.
const GATEWAY_PORT: u16 = 8080;
const CONTROL_PORT: u16 = 7000;
const METRICS_PORT: u16 = 9100;
/// A tmpfs, and the state folder of the lab in it. The tmpfs itself belongs to root.
const TMPFS: &str = "/state";
const FOLDER: &str = "/state/lab";
const FOLDER_SIZE: u64 = 128 << 20;
/// File name of the secret in `/run/secrets`.
const REQUEST_FILE: &str = "lab";
/// Memory that a lab reserves, and that it may use at most, with its tmpfs.
pub(super) const MEMORY: (u64, u64) = (64 << 20, 384 << 20);
const PIDS: u64 = 200;

impl Inner {
    pub(super) async fn up(
        self: &Arc<Self>,
        request: &UpRequest,
        progress: &ProgressFn,
    ) -> Result<Description, EngineError> {
        let _change = self.change.lock().await;
        let previous = Record::read(&self.folder)?;
        if let Some(record) = &previous {
            match self.calls().up(request).await {
                Err(error) if error.kind.is_down() => {}
                result => return result.map(|now| endpoints::from_outside(now, record)),
            }
        }
        let client = self.client().await?;
        // A task that Swarm started again has neither the keys nor the environment of the lab. On a node that is cut off, the
        // old task ends when the node returns.
        self.remove().await?;
        for service in [GATEWAY, APP] {
            progress(Progress::stage(service, "starting"));
        }
        let image = match &self.options.image {
            Some(image) => image.clone(),
            None => image::ensure(client, self.options.executable.as_deref()).await?,
        };
        let started = self.start(client, request, previous, &image, progress).await;
        if started.is_err() {
            // The first error is the one to report.
            let _ = self.remove().await;
        }
        started
    }

    /// Creates the service and waits until the lab is healthy. If nodes lack the image, tries again without them.
    async fn start(
        self: &Arc<Self>,
        client: &Client,
        request: &UpRequest,
        previous: Option<Record>,
        image: &str,
        progress: &ProgressFn,
    ) -> Result<Description, EngineError> {
        let mut launch = ServiceLaunch { image: image.to_owned(), ..self.launch(client) };
        let mut record = self.prepare(client, request, previous, &mut launch).await?;
        record.service = client.create_service(&launch).await?;
        record.write(&self.folder)?;
        let mut placed = self.wait_for_task(client, &record, progress).await;
        if placed.as_ref().is_err_and(|error| error.kind == EngineErrorKind::ImageMissing) {
            let without = cluster::without_image(client, image).await?;
            if !without.is_empty() {
                client.remove_service(&launch.name).await?;
                launch.constraints = without.iter().map(|node| format!("node.id!={}", node.id)).collect();
                record.service = client.create_service(&launch).await?;
                record.write(&self.folder)?;
                placed = self.wait_for_task(client, &record, progress).await;
            }
        }
        record.placement = Some(placed?);
        record.write(&self.folder)?;
        self.wait_for_host(client, &record).await
    }

    fn launch(&self, client: &Client) -> ServiceLaunch {
        ServiceLaunch {
            name: self.names.service(),
            labels: self.names.labels(),
            args: ["host", "--request"]
                .map(str::to_owned)
                .into_iter()
                .chain([format!("/run/secrets/{REQUEST_FILE}")])
                .collect(),
            env: vec![format!("{TASK_VARIABLE}={{{{.Task.ID}}}}")],
            user: own_image::USER.to_owned(),
            tmpfs: Some((TMPFS.to_owned(), FOLDER_SIZE)),
            memory: MEMORY,
            pids: PIDS,
            platform: client.platform.clone(),
            ..ServiceLaunch::default()
        }
    }

    /// Chooses the ports and creates the secret with the request for the host.
    async fn prepare(
        &self,
        client: &Client,
        request: &UpRequest,
        previous: Option<Record>,
        launch: &mut ServiceLaunch,
    ) -> Result<Record, EngineError> {
        let used: Vec<u16> = client.services(None).await?.into_iter().flat_map(|service| service.ports).collect();
        let kept = previous.as_ref().map(|record| record.ports).filter(|ports| {
            request.gateway_port == 0
                && ![ports.gateway, ports.control, ports.metrics].iter().any(|port| used.contains(port))
        });
        let ports = match kept {
            Some(ports) => ports,
            None => Ports::choose(&used, request.gateway_port, random()?)?,
        };
        let env = merge(previous.map(|record| record.env).unwrap_or_default(), &request.env);
        let (token, key) = (new_token().map_err(system)?, ServerKey::generate().map_err(system)?);
        let record = Record {
            service: String::new(),
            token: token.clone(),
            key: key.public().map_err(system)?,
            ports,
            placement: None,
            env: env.clone(),
        };
        let at = |port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let host = HostRequest {
            folder: PathBuf::from(FOLDER),
            exe: PathBuf::from("/lab"),
            up: UpRequest { gateway_port: GATEWAY_PORT, env, tied: false },
            network: Some(Network { control: at(CONTROL_PORT), metrics: at(METRICS_PORT), token, key }),
        };
        let content = serde_json::to_vec(&host).map_err(system)?;
        // Before anything is created, so that `down` knows that there may be something to remove.
        record.write(&self.folder)?;
        let id = client.create_secret(&launch.name, &self.names.secret_labels(), &content).await?;
        launch.secret = Some(SecretUse { id, name: launch.name.clone(), file: REQUEST_FILE.to_owned() });
        launch.ports =
            vec![(ports.gateway, GATEWAY_PORT), (ports.control, CONTROL_PORT), (ports.metrics, METRICS_PORT)];
        Ok(record)
    }

    /// Waits until the task of the lab runs on a node.
    async fn wait_for_task(
        &self,
        client: &Client,
        record: &Record,
        progress: &ProgressFn,
    ) -> Result<Placement, EngineError> {
        let start = Instant::now();
        let mut shown = None;
        loop {
            let tasks = client.tasks("service", &record.service).await?;
            let task = place::current(&tasks);
            if let Some(task) = task.filter(|task| task.state == TaskStage::Running)
                && let Some(id) = &task.node
            {
                let nodes = client.nodes().await?;
                let node =
                    nodes.iter().find(|node| node.id == *id).ok_or_else(|| system(format!("node {id} is gone")))?;
                let (task, name, address) = (task.id.clone(), node.name.clone(), place::address(node)?);
                return Ok(Placement { task, node: name, address });
            }
            check_failures(client, &tasks).await?;
            let is_pending = task.is_none_or(|task| task.state == TaskStage::Pending);
            let reason = task.and_then(|task| task.error.clone());
            if is_pending && start.elapsed() > PENDING_TIMEOUT {
                return Err(place::no_node(reason.as_deref()));
            }
            if start.elapsed() > START_TIMEOUT {
                let detail = reason.unwrap_or_else(|| "its task does not start".to_owned());
                return Err(EngineError::new(EngineErrorKind::StartupTimeout, detail));
            }
            if is_pending && reason.is_some() && shown != reason {
                progress(Progress::stage(APP, &format!("pending: {}", reason.as_deref().unwrap_or_default())));
                shown = reason;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until the host of the running task answers. It opens its port when the stack is healthy.
    async fn wait_for_host(self: &Arc<Self>, client: &Client, record: &Record) -> Result<Description, EngineError> {
        let start = Instant::now();
        loop {
            let error = match self.calls().describe().await {
                Ok(now) => return Ok(endpoints::from_outside(now, record)),
                Err(error) => error,
            };
            let tasks = client.tasks("service", &record.service).await?;
            if let Some((task, reason)) = place::last_failure(&tasks) {
                return Err(host_failed(client, task, reason).await);
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(error);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// Gives up on a lab whose tasks fail for a reason that will not go away.
async fn check_failures(client: &Client, tasks: &[SwarmTask]) -> Result<(), EngineError> {
    let Some((task, reason)) = place::last_failure(tasks) else { return Ok(()) };
    if place::lacks_image(reason) {
        return Err(EngineError::new(EngineErrorKind::ImageMissing, reason)
            .hint("lab swarm status shows which nodes lack the image; lab swarm save and load bring it to a node"));
    }
    let failures = tasks.iter().filter(|task| task.state == TaskStage::Failed).count();
    if failures < MAX_FAILURES {
        return Ok(());
    }
    if reason.contains("port is already allocated") || reason.contains("programming external connectivity") {
        let detail = format!("another program of the node uses a port: {reason}");
        return Err(EngineError::new(EngineErrorKind::PortTaken, detail).hint("choose another --port, or --port 0"));
    }
    Err(host_failed(client, task, reason).await)
}

/// Error of a host that ended. Its own message says more than its exit code.
async fn host_failed(client: &Client, task: &SwarmTask, reason: &str) -> EngineError {
    let message = client.last_message(&task.id).await;
    let detail = message.map_or_else(
        || reason.to_owned(),
        |message| format!("{} ({reason})", message.strip_prefix("error: ").unwrap_or(&message)),
    );
    EngineError::new(EngineErrorKind::Exited, detail).for_service("lab host")
}

/// The remembered environment; the request fills its gaps, and sets the keys.
fn merge(mut known: Environment, request: &Environment) -> Environment {
    for (service, variables) in request {
        known.entry(service.clone()).or_default().extend(variables.clone());
    }
    known
}

fn random() -> Result<u16, EngineError> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(system)?;
    Ok(u16::from_le_bytes(bytes))
}

fn system(error: impl std::fmt::Display) -> EngineError {
    EngineError::new(EngineErrorKind::System, error.to_string())
}
