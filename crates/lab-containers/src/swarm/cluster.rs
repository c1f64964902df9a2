//! [`Cluster`]: the Swarm as a whole, for `lab swarm`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::image::{self, ImageError};
use super::{connect_manager, place, up};
use crate::docker::client::Client;
use crate::docker::client::service::ServiceLaunch;
use crate::docker::client::swarm::{SwarmNode, SwarmRole, SwarmTask, TaskStage};
use crate::docker::names::NAME_LABEL;
use crate::own_image;
use lab_core::engine::{EngineError, EngineErrorKind};

/// Time for all nodes to try the image.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Time for a Swarm that was just created to list its first node.
const FIRST_NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// A Swarm through one of its managers.
pub struct Cluster {
    client: Client,
}

/// State of a Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Address of the manager in the form of `DOCKER_HOST`.
    pub host: String,
    /// Image of this lab by its id. `None` if this lab cannot make one.
    pub image: Option<String>,
    /// All nodes, by name.
    pub nodes: Vec<NodeStatus>,
    /// Labs without a node, each with the reason.
    pub pending: Vec<(String, String)>,
}

/// State of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Host name.
    pub name: String,
    /// Address for clients. `None` if Swarm does not know it.
    pub address: Option<String>,
    /// It takes part in the Swarm now.
    pub is_ready: bool,
    /// It accepts tasks.
    pub is_active: bool,
    /// It is a manager.
    pub is_manager: bool,
    /// Memory in bytes.
    pub memory: u64,
    /// Number of processors.
    pub processors: u64,
    /// Version of its Docker Engine.
    pub version: String,
    /// It has the image of this lab. `None` if that is unknown.
    pub has_image: Option<bool>,
    /// Labs on it, by name.
    pub labs: Vec<Placed>,
}

/// A lab on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    /// Name of the lab.
    pub lab: String,
    /// Memory that it reserves, in bytes.
    pub memory: u64,
}

impl NodeStatus {
    /// Number of labs that the node can still carry, by their reservation of memory.
    pub fn capacity(&self) -> u64 {
        if !(self.is_ready && self.is_active) {
            return 0;
        }
        let reserved: u64 = self.labs.iter().map(|placed| placed.memory).sum();
        self.memory.saturating_sub(reserved) / up::MEMORY.0
    }
}

impl Cluster {
    /// Connects to a manager at `host`, in the form of `DOCKER_HOST`.
    pub async fn connect(host: Option<&str>) -> Result<Self, EngineError> {
        Ok(Self { client: connect_manager(host).await? })
    }

    /// Creates a Swarm whose first manager is the daemon at `host`. Returns the command with which other machines join.
    /// `address` is the address at which they reach the manager; it is needed if the machine has several.
    pub async fn init(host: Option<&str>, address: Option<&str>) -> Result<String, EngineError> {
        let client = Client::connect(host, None).await?;
        if client.swarm_role().await? != SwarmRole::None {
            let detail = format!("the Docker daemon at {} is in a Swarm already", client.host());
            return Err(EngineError::new(EngineErrorKind::Unsupported, detail).hint("lab swarm status shows it"));
        }
        client.init_swarm(address).await.map_err(|fault| {
            let hint = "if the machine has several addresses, choose one with --advertise-addr ADDRESS";
            EngineError::from(fault).hint(hint)
        })?;
        Self { client }.join_command().await
    }

    /// Command with which other machines join as workers.
    pub async fn join_command(&self) -> Result<String, EngineError> {
        let token = self.client.join_token().await?;
        let start = Instant::now();
        loop {
            let nodes = self.client.nodes().await?;
            if let Some(address) = nodes.iter().find(|node| node.is_manager).and_then(|node| node.address.clone()) {
                let address = super::endpoints::bracketed(&address);
                return Ok(format!("docker swarm join --token {token} {address}:2377"));
            }
            if start.elapsed() > FIRST_NODE_TIMEOUT {
                let detail = "the new Swarm does not know the address of its manager";
                return Err(EngineError::new(EngineErrorKind::System, detail));
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    /// Loads lab's image into the daemon at `host`, which may be any node. Returns its id, and true if it was not there.
    pub async fn load_image(host: Option<&str>) -> Result<(String, bool), EngineError> {
        let client = Client::connect(host, None).await?;
        image::load(&client, image::pack(None).await?).await
    }

    /// Writes lab's image to a file for `docker load`. Returns its id.
    pub async fn save_image(file: &Path) -> Result<String, ImageError> {
        let archive = image::pack(None).await?;
        let unwritable = |error| ImageError::Unreadable { path: file.to_owned(), error };
        tokio::fs::write(file, &archive.bytes).await.map_err(unwritable)?;
        Ok(archive.names.id)
    }

    /// Inspects the nodes, their labs, and which of them have the image: the given one, or the one of this lab.
    pub async fn status(&self, image: Option<&str>) -> Result<ClusterStatus, EngineError> {
        let image = match image {
            Some(image) => Some(image.to_owned()),
            None => self.own_image().await?,
        };
        let probed = match &image {
            Some(image) => probe(&self.client, image).await?,
            None => BTreeMap::new(),
        };
        let nodes = self.client.nodes().await?;
        let services = self.client.services(Some(NAME_LABEL)).await?;
        let tasks = self.client.tasks("label", NAME_LABEL).await?;
        let mut by_node: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
        let mut pending = Vec::new();
        for service in &services {
            let Some(lab) = service.labels.get(NAME_LABEL) else { continue };
            let own: Vec<SwarmTask> = tasks.iter().filter(|task| task.service == service.id).cloned().collect();
            match place::current(&own).map(|task| (task.node.as_deref(), task.error.as_deref())) {
                Some((Some(node), _)) => {
                    let placed = Placed { lab: lab.clone(), memory: service.memory };
                    by_node.entry(node.to_owned()).or_default().push(placed);
                }
                Some((None, reason)) => pending.push((lab.clone(), reason.unwrap_or("no node yet").to_owned())),
                None => pending.push((lab.clone(), "no task".to_owned())),
            }
        }
        let mut states: Vec<NodeStatus> = nodes
            .iter()
            .map(|node| {
                let has_image = probed.get(&node.id).copied();
                let mut labs = by_node.remove(&node.id).unwrap_or_default();
                labs.sort();
                NodeStatus {
                    name: node.name.clone(),
                    address: place::address(node).ok(),
                    is_ready: node.is_ready,
                    is_active: node.is_active,
                    is_manager: node.is_manager,
                    memory: node.memory,
                    processors: node.processors,
                    version: node.version.clone(),
                    has_image,
                    labs,
                }
            })
            .collect();
        states.sort_by(|one, other| one.name.cmp(&other.name));
        pending.sort();
        Ok(ClusterStatus { host: self.client.host().to_owned(), image, nodes: states, pending })
    }

    /// Id of this lab's image on the manager.
    async fn own_image(&self) -> Result<Option<String>, EngineError> {
        let Ok(archive) = image::pack(None).await else { return Ok(None) };
        Ok(Some(image::find(&self.client, &archive.names).await?.unwrap_or(archive.names.id)))
    }
}

/// Nodes that do not have an image.
pub(super) async fn without_image(client: &Client, image: &str) -> Result<Vec<SwarmNode>, EngineError> {
    let probed = probe(client, image).await?;
    let nodes = client.nodes().await?;
    Ok(nodes.into_iter().filter(|node| probed.get(&node.id) == Some(&false)).collect())
}

/// Tries an image on all nodes: true for nodes that have it. A manager does not know the images of other nodes, so a service
/// with a task on each node runs `lab --version`. Jobs would leave their tasks and containers behind on Docker 20.10.
async fn probe(client: &Client, image: &str) -> Result<BTreeMap<String, bool>, EngineError> {
    let mut suffix = [0; 4];
    getrandom::fill(&mut suffix)
        .map_err(|error| EngineError::new(EngineErrorKind::System, format!("no random numbers: {error}")))?;
    let launch = ServiceLaunch {
        name: format!("lab-probe-{:08x}", u32::from_le_bytes(suffix)),
        image: image.to_owned(),
        args: vec!["--version".to_owned()],
        user: own_image::USER.to_owned(),
        memory: (0, up::MEMORY.1),
        pids: 50,
        platform: client.platform.clone(),
        everywhere: true,
        ..ServiceLaunch::default()
    };
    let service = client.create_service(&launch).await?;
    let result = results(client, &service).await;
    let removed = client.remove_service(&launch.name).await;
    let result = result?;
    removed?;
    Ok(result)
}

/// Waits for the tasks of a probe, which end at once. Nodes that do not answer in time are left out.
async fn results(client: &Client, service: &str) -> Result<BTreeMap<String, bool>, EngineError> {
    let start = Instant::now();
    loop {
        let tasks = client.tasks("service", service).await?;
        let nodes = client.nodes().await?;
        let mut found = BTreeMap::new();
        for task in &tasks {
            let Some(node) = &task.node else { continue };
            match task.state {
                TaskStage::Complete | TaskStage::Running => drop(found.insert(node.clone(), true)),
                TaskStage::Failed => {
                    let lacks = task.error.as_deref().is_some_and(place::lacks_image);
                    found.insert(node.clone(), !lacks);
                }
                TaskStage::Pending | TaskStage::Starting => {}
            }
        }
        let is_complete =
            nodes.iter().filter(|node| node.is_ready && node.is_active).all(|node| found.contains_key(&node.id));
        if is_complete || start.elapsed() > PROBE_TIMEOUT {
            return Ok(found);
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
