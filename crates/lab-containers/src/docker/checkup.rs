//! [`Checkup`] of a daemon, for `lab doctor`.

use super::Inner;
use super::client::Client;
use super::names::{NAME_LABEL, SERVICE_LABEL};
use lab_core::engine::EngineError;

/// A daemon and its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkup {
    /// Address in the form of `DOCKER_HOST`.
    pub host: String,
    /// Product name and version.
    pub version: String,
    /// It is on another machine, so that a lab's ports have to be published on the network.
    pub is_remote: bool,
    /// Memory in bytes.
    pub memory: u64,
    /// Number of processors of the daemon's machine.
    pub processors: u64,
    /// Data folder of the daemon.
    pub folder: String,
    /// Number of nodes, if the daemon manages a Swarm.
    pub swarm_nodes: Option<u64>,
    /// Free bytes in that folder, if it is on this machine.
    pub free: Option<u64>,
}

pub(super) async fn inspect(client: &Client) -> Result<Checkup, EngineError> {
    let resources = client.resources().await?;
    let name = if client.podman { "Podman" } else { "Docker" };
    // Docker Desktop's folder is inside a virtual machine.
    let free = Some(&resources.folder).filter(|_| client.reach.is_local()).and_then(|folder| free(folder));
    Ok(Checkup {
        host: client.host().to_owned(),
        is_remote: !client.reach.is_local(),
        version: format!("{name} {}", client.version),
        memory: resources.memory,
        processors: resources.processors,
        folder: resources.folder,
        swarm_nodes: resources.swarm_nodes,
        free,
    })
}

fn free(folder: &str) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

impl Inner {
    /// Describes the container that uses a port of this machine: `gateway of lab room-2`, `container web`.
    pub(super) async fn holder_of(&self, client: &Client, port: u16) -> Result<Option<String>, EngineError> {
        let containers = client.running_containers().await?;
        let found = containers.into_iter().find(|container| container.ports.contains(&port));
        Ok(found.map(|container| match (container.labels.get(NAME_LABEL), container.labels.get(SERVICE_LABEL)) {
            (Some(lab), Some(service)) => format!("{service} of lab {lab}"),
            _ => format!("container {}", container.name),
        }))
    }
}
