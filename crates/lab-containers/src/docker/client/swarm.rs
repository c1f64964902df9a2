//! Calls to a Swarm manager: nodes, services, secrets and tasks.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::models::{
    LocalNodeState, Node, NodeSpecAvailabilityEnum, NodeState, SecretSpec, Service, SwarmInitRequest, Task, TaskState,
};
use bollard::query_parameters::{
    ListSecretsOptionsBuilder, ListServicesOptionsBuilder, ListTasksOptionsBuilder, LogsOptionsBuilder,
};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;

use super::service::ServiceLaunch;
use super::{CALL_TIMEOUT, Client, Fault, Platform, call};
use lab_system::deadline::timeout;

/// Time for a node to send the messages of a task.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// Role of a daemon in a Swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwarmRole {
    /// It answers the calls of this file.
    Manager,
    Worker,
    /// It is in no Swarm.
    None,
}

/// A node of the Swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SwarmNode {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Address from which the node reached the manager. `None` if the manager does not know it.
    pub(crate) address: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// It takes part in the Swarm now.
    pub(crate) is_ready: bool,
    /// It accepts tasks.
    pub(crate) is_active: bool,
    pub(crate) is_manager: bool,
    pub(crate) platform: Platform,
    /// Bytes.
    pub(crate) memory: u64,
    pub(crate) processors: u64,
    pub(crate) version: String,
}

/// A service that lab created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SwarmService {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Ports that it publishes on its node.
    pub(crate) ports: Vec<u16>,
    /// Reserved memory in bytes.
    pub(crate) memory: u64,
}

/// A task of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SwarmTask {
    pub(crate) id: String,
    pub(crate) service: String,
    pub(crate) node: Option<String>,
    pub(crate) state: TaskStage,
    /// Swarm wants it to run. The state of a task on a lost node stays as it was.
    pub(crate) is_desired: bool,
    /// Reason of a failure, or why it is pending.
    pub(crate) error: Option<String>,
    pub(crate) created: Option<DateTime<Utc>>,
}

/// Stage of a task, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskStage {
    /// No node yet.
    Pending,
    /// On its way on a node.
    Starting,
    Running,
    /// Ended without an error.
    Complete,
    /// Failed, rejected or lost.
    Failed,
}

impl Client {
    /// Role of the daemon.
    pub(crate) async fn swarm_role(&self) -> Result<SwarmRole, Fault> {
        let info = call("the daemon", CALL_TIMEOUT, self.docker.info()).await?.swarm.unwrap_or_default();
        Ok(match info.local_node_state {
            Some(LocalNodeState::ACTIVE) if info.control_available == Some(true) => SwarmRole::Manager,
            Some(LocalNodeState::ACTIVE) => SwarmRole::Worker,
            _ => SwarmRole::None,
        })
    }

    /// Makes the daemon the manager of a new Swarm, which others reach at this address.
    pub(crate) async fn init_swarm(&self, address: Option<&str>) -> Result<(), Fault> {
        let request = SwarmInitRequest {
            listen_addr: Some("0.0.0.0:2377".to_owned()),
            advertise_addr: address.map(str::to_owned),
            ..SwarmInitRequest::default()
        };
        call("the swarm", CALL_TIMEOUT, self.docker.init_swarm(request)).await.map(drop)
    }

    /// Token with which a machine joins as a worker.
    pub(crate) async fn join_token(&self) -> Result<String, Fault> {
        let swarm = call("the swarm", CALL_TIMEOUT, self.docker.inspect_swarm()).await?;
        Ok(swarm.join_tokens.and_then(|tokens| tokens.worker).unwrap_or_default())
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<SwarmNode>, Fault> {
        let nodes = call("the nodes of the swarm", CALL_TIMEOUT, self.docker.list_nodes(None)).await?;
        Ok(nodes.into_iter().map(SwarmNode::from).collect())
    }

    /// All services, or those with a label (`NAME=VALUE` or `NAME`).
    pub(crate) async fn services(&self, label: Option<&str>) -> Result<Vec<SwarmService>, Fault> {
        let options = label.map(|label| ListServicesOptionsBuilder::default().filters(&by("label", label)).build());
        let services = call("the services of the swarm", CALL_TIMEOUT, self.docker.list_services(options)).await?;
        Ok(services.into_iter().map(SwarmService::from).collect())
    }

    /// Tasks of a service, or with a service's label (`NAME=VALUE` or `NAME`). `key` is `service` or `label`.
    pub(crate) async fn tasks(&self, key: &str, value: &str) -> Result<Vec<SwarmTask>, Fault> {
        let options = ListTasksOptionsBuilder::default().filters(&by(key, value)).build();
        let listing = call("the tasks of the swarm", CALL_TIMEOUT, self.docker.list_tasks(Some(options))).await;
        Ok(listing?.into_iter().map(SwarmTask::from).collect())
    }

    /// Creates a secret and returns its id.
    pub(crate) async fn create_secret(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        content: &[u8],
    ) -> Result<String, Fault> {
        let spec = SecretSpec {
            name: Some(name.to_owned()),
            labels: Some(labels.clone().into_iter().collect()),
            data: Some(STANDARD.encode(content)),
            ..SecretSpec::default()
        };
        let created = call(&format!("secret {name}"), CALL_TIMEOUT, self.docker.create_secret(spec)).await?;
        Ok(created.id)
    }

    /// Removes all secrets with a label. A secret in use cannot be removed.
    pub(crate) async fn remove_secrets(&self, label: &str) -> Result<(), Fault> {
        let options = ListSecretsOptionsBuilder::default().filters(&by("label", label)).build();
        let secrets = call("the secrets of the swarm", CALL_TIMEOUT, self.docker.list_secrets(Some(options))).await?;
        for id in secrets.into_iter().filter_map(|secret| secret.id) {
            allow_missing(call(&format!("secret {id}"), CALL_TIMEOUT, self.docker.delete_secret(&id)).await)?;
        }
        Ok(())
    }

    /// Creates a service and returns its id.
    pub(crate) async fn create_service(&self, launch: &ServiceLaunch) -> Result<String, Fault> {
        let subject = format!("service {}", launch.name);
        let creating = self.docker.create_service(launch.spec(), None);
        Ok(call(&subject, CALL_TIMEOUT, creating).await?.id.unwrap_or_default())
    }

    /// Last line that a task wrote to its standard error. `None` if its node does not answer, or has none.
    pub(crate) async fn last_message(&self, task: &str) -> Option<String> {
        let options = LogsOptionsBuilder::default().stderr(true).tail("5").build();
        let mut pieces = std::pin::pin!(self.docker.task_logs(task, Some(options)));
        let mut text = String::new();
        let reading = async {
            while let Some(Ok(piece)) = pieces.next().await {
                text.push_str(&piece.to_string());
            }
        };
        // The lines that arrived in time are enough.
        let _ = timeout(MESSAGE_TIMEOUT, reading).await;
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
    }

    /// Removes a service with its tasks. Succeeds if there is none.
    pub(crate) async fn remove_service(&self, name: &str) -> Result<(), Fault> {
        allow_missing(call(&format!("service {name}"), CALL_TIMEOUT, self.docker.delete_service(name)).await)
    }
}

fn by(key: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(key.to_owned(), vec![value.to_owned()])])
}

fn allow_missing(result: Result<(), Fault>) -> Result<(), Fault> {
    match result {
        Err(fault) if fault.is(super::FaultKind::NotFound) => Ok(()),
        result => result,
    }
}

impl From<Node> for SwarmNode {
    fn from(node: Node) -> Self {
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        let description = node.description.unwrap_or_default();
        let platform = description.platform.unwrap_or_default();
        let resources = description.resources.unwrap_or_default();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        let is_known = |address: &String| !address.is_empty() && address != "0.0.0.0";
        // A manager does not always know its own address as a node.
        let manager = node.manager_status.as_ref().and_then(|manager| manager.addr.as_deref());
        let manager = manager.and_then(|address| Some(address.rsplit_once(':')?.0.to_owned()));
        Self {
            id: node.id.unwrap_or_default(),
            name: description.hostname.unwrap_or_default(),
            address: status.addr.filter(is_known).or(manager).filter(is_known),
            labels: spec.labels.unwrap_or_default().into_iter().collect(),
            is_ready: status.state == Some(NodeState::READY),
            is_active: spec.availability == Some(NodeSpecAvailabilityEnum::ACTIVE),
            is_manager: node.manager_status.is_some(),
            platform: Platform {
                os: platform.os.unwrap_or_default(),
                arch: familiar_architecture(platform.architecture.unwrap_or_default()),
            },
            memory: number(resources.memory_bytes),
            processors: number(resources.nano_cpus) / 1_000_000_000,
            version: description.engine.and_then(|engine| engine.engine_version).unwrap_or_default(),
        }
    }
}

/// Nodes report the names of `uname`, images those of Go.
fn familiar_architecture(name: String) -> String {
    match name.as_str() {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        _ => name,
    }
}

impl From<Service> for SwarmService {
    fn from(service: Service) -> Self {
        let spec = service.spec.unwrap_or_default();
        let ports = spec.endpoint_spec.and_then(|endpoint| endpoint.ports).unwrap_or_default();
        let resources = spec.task_template.and_then(|task| task.resources).and_then(|found| found.reservations);
        let memory = resources.and_then(|reserved| reserved.memory_bytes);
        Self {
            id: service.id.unwrap_or_default(),
            name: spec.name.unwrap_or_default(),
            labels: spec.labels.unwrap_or_default().into_iter().collect(),
            ports: ports.iter().filter_map(|port| u16::try_from(port.published_port?).ok()).collect(),
            memory: memory.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
        }
    }
}

impl From<Task> for SwarmTask {
    fn from(task: Task) -> Self {
        let status = task.status.unwrap_or_default();
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            id: task.id.unwrap_or_default(),
            service: task.service_id.unwrap_or_default(),
            node: text(task.node_id),
            state: status.state.map_or(TaskStage::Pending, TaskStage::from),
            is_desired: matches!(task.desired_state, Some(TaskState::RUNNING | TaskState::READY)),
            error: text(status.err),
            created: task.created_at.and_then(|time| DateTime::parse_from_rfc3339(&time).ok()).map(Into::into),
        }
    }
}

impl From<TaskState> for TaskStage {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::NEW | TaskState::ALLOCATED | TaskState::PENDING => Self::Pending,
            TaskState::ASSIGNED
            | TaskState::ACCEPTED
            | TaskState::PREPARING
            | TaskState::READY
            | TaskState::STARTING => Self::Starting,
            TaskState::RUNNING => Self::Running,
            TaskState::COMPLETE | TaskState::SHUTDOWN | TaskState::REMOVE => Self::Complete,
            TaskState::FAILED | TaskState::REJECTED | TaskState::ORPHANED => Self::Failed,
        }
    }
}
