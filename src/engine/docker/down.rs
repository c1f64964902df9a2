//! Taking a lab down: everything that has its label and is nobody else's, whatever state it is in. Its data is throwaway, so nothing is asked to
//! end by itself.

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Named};
use crate::engine::EngineError;

/// What a daemon makes late is there after the first; a third that still finds something has met what cannot go.
const ROUNDS: u32 = 3;

impl Inner {
    pub(super) async fn down(&self) -> Result<(), EngineError> {
        let client = self.client().await?;
        self.remove_all(client).await
    }

    /// Removes the containers, the network and the volumes, until nothing is listed any more: what the daemon was still making
    /// for a command that was killed shows up late. Each is tried; the first error of the last round is told.
    pub(super) async fn remove_all(&self, client: &Client) -> Result<(), EngineError> {
        let label = self.names.filter();
        let mut removed = Ok(());
        for _ in 0..ROUNDS {
            let (containers, networks, volumes) =
                tokio::try_join!(client.containers(&label), client.networks(&label), client.volumes(&label))?;
            let containers = containers.into_iter().filter(|container| self.names.is_ours(&container.labels));
            let containers: Vec<String> = containers.map(|container| container.id).collect();
            let names = |named: Vec<Named>| -> Vec<String> {
                named.into_iter().filter(|named| self.names.is_ours(&named.labels)).map(|named| named.name).collect()
            };
            let (networks, volumes) = (names(networks), names(volumes));
            if containers.is_empty() && networks.is_empty() && volumes.is_empty() {
                return Ok(());
            }
            removed = remove(client, &containers, &networks, &volumes).await;
        }
        removed
    }
}

async fn remove(
    client: &Client,
    containers: &[String],
    networks: &[String],
    volumes: &[String],
) -> Result<(), EngineError> {
    let removed = CancellationToken::new();
    let removal = async {
        let containers = join_all(containers.iter().map(|id| client.remove(id))).await;
        removed.cancel();
        all(containers)?;
        all(join_all(volumes.iter().map(|volume| client.remove_volume(volume))).await)
    };
    let networks = join_all(networks.iter().map(|network| remove_network(client, network, containers, &removed)));
    let (removal, networks) = tokio::join!(removal, networks);
    removal?;
    all(networks)
}

/// Removes a network, at the latest when all the lab's containers are `removed`. It takes as long to go as a container, and
/// can go as soon as nothing is on it: the containers are taken off while they are killed.
async fn remove_network(
    client: &Client,
    name: &str,
    containers: &[String],
    removed: &CancellationToken,
) -> Result<(), Fault> {
    let is_in_use = |fault: &Fault| fault.detail.contains("active endpoints");
    // Of Podman's answer nothing is known but that it is no success.
    if !client.podman {
        // One that is gone already, or was never started, is no hindrance.
        let _ = join_all(containers.iter().map(|id| client.disconnect(name, id))).await;
        match client.remove_network(name).await {
            Err(fault) if is_in_use(&fault) => {}
            other => return other,
        }
    }
    removed.cancelled().await;
    match client.remove_network(name).await {
        Err(fault) if is_in_use(&fault) => {
            let detail =
                format!("containers that are not the lab's are on it; docker network inspect {name} shows them");
            Err(Fault::new(FaultKind::Other, format!("network {name}"), detail))
        }
        other => other,
    }
}

fn all(results: Vec<Result<(), Fault>>) -> Result<(), EngineError> {
    results.into_iter().collect::<Result<Vec<()>, Fault>>().map(drop).map_err(EngineError::from)
}
