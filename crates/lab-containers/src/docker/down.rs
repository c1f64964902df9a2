//! Takes a lab down: removes everything with its label that has no other owner, in any state. Its data is throwaway, so
//! containers are killed.

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Named};
use lab_core::engine::EngineError;

/// The second round finds what the daemon created late. If the third still finds something, it cannot be removed.
const ROUNDS: u32 = 3;

impl Inner {
    pub(super) async fn down(&self) -> Result<(), EngineError> {
        let client = self.client().await?;
        self.remove_all(client).await
    }

    /// Removes the containers, the network and the volumes until nothing is listed any more, because the daemon may still create
    /// objects for a command that was killed. Every removal is attempted; returns the first error of the last round.
    pub(super) async fn remove_all(&self, client: &Client) -> Result<(), EngineError> {
        let mut removed = Ok(());
        for _ in 0..ROUNDS {
            let (listed, found) = self.list_all(client).await;
            if listed.is_ok() && found.is_empty() {
                return Ok(());
            }
            removed = listed.and(remove(client, &found).await);
        }
        removed
    }

    /// Lists what the daemon has of the lab, as far as it can.
    async fn list_all(&self, client: &Client) -> (Result<(), EngineError>, Everything) {
        let label = self.names.filter();
        let (containers, networks, volumes) =
            tokio::join!(client.containers(&label), client.networks(Some(&label)), client.volumes(&label));
        let mut listed = Ok(());
        let mut ours = |named: Result<Vec<Named>, Fault>| -> Vec<Named> {
            let named = named.unwrap_or_else(|fault| {
                listed = Err(EngineError::from(fault));
                Vec::new()
            });
            named.into_iter().filter(|named| self.names.is_ours(&named.labels)).collect()
        };
        let (networks, volumes) = (ours(networks), ours(volumes));
        let containers = match containers {
            Ok(containers) => {
                containers.into_iter().filter(|it| self.names.is_ours(&it.labels)).map(|it| it.id).collect()
            }
            Err(fault) => {
                listed = Err(fault.into());
                Vec::new()
            }
        };
        (listed, Everything { containers, networks, volumes })
    }
}

struct Everything {
    containers: Vec<String>,
    networks: Vec<Named>,
    volumes: Vec<Named>,
}

impl Everything {
    fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }
}

async fn remove(client: &Client, found: &Everything) -> Result<(), EngineError> {
    let Everything { containers, networks, volumes } = found;
    let removed = CancellationToken::new();
    let removal = async {
        let containers = join_all(containers.iter().map(|id| client.remove(id))).await;
        removed.cancel();
        let volumes = join_all(volumes.iter().map(|volume| client.remove_volume(&volume.name))).await;
        all(containers).and(all(volumes))
    };
    let networks = join_all(networks.iter().map(|network| remove_network(client, network, containers, &removed)));
    let (removal, networks) = tokio::join!(removal, networks);
    removal?;
    all(networks)
}

/// Removes a network, at the latest when all the lab's containers are `removed`. It takes as long as removing a container and
/// is possible once nothing is connected, so the containers are disconnected while they are killed.
async fn remove_network(
    client: &Client,
    network: &Named,
    containers: &[String],
    removed: &CancellationToken,
) -> Result<(), Fault> {
    let is_in_use = |fault: &Fault| fault.detail.contains("active endpoints");
    // Podman's answer is not specific enough.
    if !client.podman {
        // Containers that are gone or were never started do not matter.
        let _ = join_all(containers.iter().map(|id| client.disconnect(&network.id, id))).await;
        match client.remove_network(network).await {
            Err(fault) if is_in_use(&fault) => {}
            other => return other,
        }
    }
    removed.cancelled().await;
    match client.remove_network(network).await {
        Err(fault) if is_in_use(&fault) => {
            let (name, id) = (&network.name, &network.id);
            let detail = format!("containers outside of the lab use it; list them with docker network inspect {id}");
            Err(Fault::new(FaultKind::Other, format!("network {name}"), detail))
        }
        other => other,
    }
}

fn all(results: Vec<Result<(), Fault>>) -> Result<(), EngineError> {
    results.into_iter().collect::<Result<Vec<()>, Fault>>().map(drop).map_err(EngineError::from)
}
