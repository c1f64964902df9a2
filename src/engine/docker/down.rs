//! Taking a lab down: everything that has its label, whatever state it is in. Its data is throwaway, so nothing is asked to
//! end by itself.

use futures_util::future::join_all;

use super::Inner;
use super::client::{Client, Fault, FaultKind};
use crate::engine::EngineError;

impl Inner {
    pub(super) async fn down(&self) -> Result<(), EngineError> {
        let client = self.client().await?;
        self.remove_all(client).await
    }

    /// Removes the containers, then the network and the volumes. Each is tried; the first error is told.
    pub(super) async fn remove_all(&self, client: &Client) -> Result<(), EngineError> {
        let label = self.names.filter();
        let (containers, networks, volumes) =
            tokio::try_join!(client.containers(&label), client.networks(&label), client.volumes(&label))?;
        all(join_all(containers.iter().map(|container| client.remove(&container.id))).await)?;
        let (networks, volumes) = tokio::join!(
            join_all(networks.iter().map(|network| remove_network(client, network))),
            join_all(volumes.iter().map(|volume| client.remove_volume(volume))),
        );
        all(networks)?;
        all(volumes)
    }
}

async fn remove_network(client: &Client, name: &str) -> Result<(), Fault> {
    match client.remove_network(name).await {
        Err(fault) if fault.detail.contains("active endpoints") => {
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
