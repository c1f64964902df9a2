//! [`Checkup`]: what a daemon has to work with, for those who wonder whether a lab will run on it.

use super::Inner;
use super::client::Client;
use super::naming::{NAME_LABEL, SERVICE_LABEL};
use lab_core::engine::EngineError;

/// A daemon and what it has to work with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkup {
    /// Where it is, as `DOCKER_HOST` has it.
    pub host: String,
    /// Its name and version.
    pub version: String,
    /// It is on another machine: a lab's ports are reached there where they are published for everybody.
    pub elsewhere: bool,
    /// Bytes of memory.
    pub memory: u64,
    /// How many processors.
    pub processors: u64,
    /// The folder that it keeps everything in.
    pub folder: String,
    /// The bytes that are free there; none where that is not a folder of this machine.
    pub free: Option<u64>,
}

/// Asks it.
pub(super) async fn look(client: &Client) -> Result<Checkup, EngineError> {
    let resources = client.resources().await?;
    let name = if client.podman { "Podman" } else { "Docker" };
    // Docker Desktop has its folder in a machine of its own.
    let free = Some(&resources.folder).filter(|_| client.reach.is_local()).and_then(|folder| free(folder));
    Ok(Checkup {
        host: client.host().to_owned(),
        elsewhere: !client.reach.is_local(),
        version: format!("{name} {}", client.version),
        memory: resources.memory,
        processors: resources.processors,
        folder: resources.folder,
        free,
    })
}

fn free(folder: &str) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

impl Inner {
    /// The container that has a port of this machine: `gateway of lab room-2`, `container web`.
    pub(super) async fn holder_of(&self, client: &Client, port: u16) -> Result<Option<String>, EngineError> {
        let containers = client.running_containers().await?;
        let found = containers.into_iter().find(|container| container.ports.contains(&port));
        Ok(found.map(|container| match (container.labels.get(NAME_LABEL), container.labels.get(SERVICE_LABEL)) {
            (Some(lab), Some(service)) => format!("{service} of lab {lab}"),
            _ => format!("container {}", container.name),
        }))
    }
}
