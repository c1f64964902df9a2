//! Networks and volumes. Names of networks need not be unique, so a network is addressed by its id.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{Network, NetworkCreateRequest, NetworkDisconnectRequest, Volume, VolumeCreateRequest};
use bollard::query_parameters::{ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};

use super::container::{QUERY_TIMEOUT, unless_gone};
use super::{CALL_TIMEOUT, Client, Fault, by_label, call};

/// A network or a volume in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Named {
    /// Id of a network. For volumes, and for networks with Podman, the name, which is unique there.
    pub(in crate::docker) id: String,
    pub(in crate::docker) name: String,
    pub(in crate::docker) labels: BTreeMap<String, String>,
}

impl Client {
    /// Creates a bridge network and returns its id.
    pub(in crate::docker) async fn create_network(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, Fault> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(owned(labels)),
            ..NetworkCreateRequest::default()
        };
        let made = call(&format!("network {name}"), CALL_TIMEOUT, self.docker.create_network(request)).await?;
        Ok(if self.podman { name.to_owned() } else { made.id })
    }

    /// Lists the networks with a label, or all networks of the daemon.
    pub(in crate::docker) async fn networks(&self, label: Option<&str>) -> Result<Vec<Named>, Fault> {
        let filters = label.map(by_label).unwrap_or_default();
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found = call("the networks", QUERY_TIMEOUT, self.docker.list_networks(Some(options))).await?;
        let named = |network: Network| {
            let (name, id) = (network.name?, network.id);
            let id = id.filter(|_| !self.podman).unwrap_or_else(|| name.clone());
            Some(Named { id, name, labels: network.labels.unwrap_or_default().into_iter().collect() })
        };
        Ok(found.into_iter().filter_map(named).collect())
    }

    /// Disconnects a container from a network, even while it is being killed.
    pub(in crate::docker) async fn disconnect(&self, network: &str, container: &str) -> Result<(), Fault> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
        call(&format!("network {network}"), CALL_TIMEOUT, self.docker.disconnect_network(network, request)).await
    }

    /// Removes a network. Does nothing if it is gone.
    pub(in crate::docker) async fn remove_network(&self, network: &Named) -> Result<(), Fault> {
        let subject = format!("network {}", network.name);
        unless_gone(call(&subject, CALL_TIMEOUT, self.docker.remove_network(&network.id)).await)
    }

    /// Creates a volume. An existing volume of this name is not changed, and is returned with its own labels.
    pub(in crate::docker) async fn create_volume(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Named, Fault> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(owned(labels)),
            ..VolumeCreateRequest::default()
        };
        let made = call(&format!("volume {name}"), CALL_TIMEOUT, self.docker.create_volume(request)).await?;
        Ok(named_volume(made))
    }

    /// Lists the volumes with a label.
    pub(in crate::docker) async fn volumes(&self, label: &str) -> Result<Vec<Named>, Fault> {
        let options = ListVolumesOptionsBuilder::default().filters(&by_label(label)).build();
        let found = call("the volumes", QUERY_TIMEOUT, self.docker.list_volumes(Some(options))).await?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(named_volume).collect())
    }

    /// Removes a volume. Does nothing if it is gone.
    pub(in crate::docker) async fn remove_volume(&self, name: &str) -> Result<(), Fault> {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        unless_gone(call(&format!("volume {name}"), CALL_TIMEOUT, self.docker.remove_volume(name, Some(options))).await)
    }
}

fn named_volume(volume: Volume) -> Named {
    Named { id: volume.name.clone(), name: volume.name, labels: volume.labels.into_iter().collect() }
}

fn owned(labels: &BTreeMap<String, String>) -> HashMap<String, String> {
    labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
