//! Resources that a lab's containers need: the network, the named volumes, and volumes with mounted files. Files are uploaded
//! through a carrier, a container that never runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;

use super::Inner;
use super::client::{Client, FaultKind, Launch, Named, VolumeUse};
use super::hash::content_hash;
use super::names::new_instance;
use super::observed_state::foreign;
use super::tar::{Tar, TarError};
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_stack::{Content, FolderEntry, Mount, Service};

/// Mount point of the volumes in the carrier.
const FILES: &str = "/lab-files";

impl Inner {
    /// Creates the lab's network and returns its id. If other networks have its name, uses another name.
    pub(super) async fn make_network(&self, client: &Client) -> Result<String, EngineError> {
        let (name, labels) = (self.names.network(), self.names.network_labels());
        let is_taken = client.networks(None).await?.iter().any(|network| network.name == name);
        if !is_taken {
            match client.create_network(&name, &labels).await {
                Err(fault) if fault.is(FaultKind::Conflict) => {}
                made => return Ok(made?),
            }
        }
        Ok(client.create_network(&self.names.alternative_network(), &labels).await?)
    }

    /// Claims the lab's name on the daemon for its state folder. If two folders do so at once, only one succeeds, before
    /// anything else is created.
    pub(super) async fn claim(&self, client: &Client) -> Result<(), EngineError> {
        self.make_volume(client, &self.names.claim(), &self.names.labels()).await
    }

    /// Creates the volumes of the stack, with labels.
    pub(super) async fn make_volumes(&self, client: &Client) -> Result<(), EngineError> {
        let make = async |name: &String| {
            self.make_volume(client, &self.names.volume(name), &self.names.volume_labels(name)).await
        };
        try_join_all(self.stack.volumes.iter().map(make)).await.map(drop)
    }

    /// Creates a volume unless the lab has it. A volume of that name with another owner contains their data and is left alone.
    async fn make_volume(
        &self,
        client: &Client,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let made = client.create_volume(name, labels).await?;
        if self.names.owns(&made.labels) {
            return Ok(());
        }
        Err(if let Some(place) = self.names.foreign_owner(&made.labels) {
            foreign(self.names.lab(), &place)
        } else {
            let detail = format!("volume {name} exists already and does not belong to this lab");
            let hint = format!(
                "use another name with lab up --name NAME; or remove it with docker volume rm {name} if it is not needed"
            );
            EngineError::new(EngineErrorKind::Foreign, detail).hint(hint)
        })
    }

    /// File volumes of these services, with their contents.
    fn files<'a>(&self, services: &[&'a Service]) -> Vec<(String, &'a [FolderEntry])> {
        let of = |service: &&'a Service| {
            let name = service.name.clone();
            service.mounts.iter().enumerate().filter_map(move |(index, mount)| match mount {
                Mount::Bind(bind) => Some((name.clone(), index, bind.entries.as_slice())),
                Mount::Volume(_) => None,
            })
        };
        let files = services.iter().flat_map(of);
        files.map(|(service, index, files)| (self.names.files(&service, index, &content_hash(files)), files)).collect()
    }

    /// Uploads the files of these services into volumes and then calls `there`. `image` is any image that the daemon has; it
    /// is only used for the carrier, which is removed before this returns.
    pub(super) async fn upload(
        &self,
        client: &Client,
        services: &[&Service],
        image: &str,
        there: impl FnOnce(),
    ) -> Result<(), EngineError> {
        let files = self.files(services);
        if files.is_empty() {
            there();
            return Ok(());
        }
        let labels = self.names.labels();
        try_join_all(files.iter().map(|(volume, _)| self.make_volume(client, volume, &labels))).await?;
        let id = client.create(&self.carrier(client, image, files.iter().map(|(volume, _)| volume))).await?;
        let uploaded = carry(client, &id, &files).await;
        if uploaded.is_ok() {
            there();
        }
        let removed = client.remove(&id).await;
        uploaded?;
        Ok(removed?)
    }

    /// Definition of a container that mounts these volumes under [`FILES`], numbered in their order.
    fn carrier<'a>(&self, client: &Client, image: &str, volumes: impl Iterator<Item = &'a String>) -> Launch {
        let volumes = volumes.enumerate().map(|(index, volume)| VolumeUse {
            volume: volume.clone(),
            target: format!("{FILES}/{index}"),
            read_only: false,
            starts_empty: true,
        });
        Launch {
            name: self.names.temporary_container("files", "carrier", &new_instance("files")),
            image: image.to_owned(),
            service: Service { command: Some(vec!["/none".to_owned()]), ..Service::default() },
            env: BTreeMap::new(),
            labels: self.names.own_labels(),
            ports: Vec::new(),
            bind: client.reach.bind(),
            volumes: volumes.collect(),
            network: None,
            aliases: Vec::new(),
            links: Vec::new(),
            search: None,
        }
    }

    /// Removes volumes with files that no service of the stack uses any more.
    pub(super) async fn remove_stale_files(&self, client: &Client) {
        let all: Vec<&Service> = self.stack.services.iter().collect();
        let mut wanted: BTreeSet<String> = self.files(&all).into_iter().map(|(volume, _)| volume).collect();
        // Volumes with data may have similar names.
        wanted.extend(self.stack.volumes.iter().map(|name| self.names.volume(name)));
        let stale = |volume: &Named| {
            volume.name.contains("-files-") && !wanted.contains(&volume.name) && self.names.is_ours(&volume.labels)
        };
        for volume in client.volumes(&self.names.filter()).await.unwrap_or_default().iter().filter(|it| stale(it)) {
            // A volume in use remains until `down`.
            let _ = client.remove_volume(&volume.name).await;
        }
    }
}

/// Uploads files through a carrier.
async fn carry(client: &Client, carrier: &str, files: &[(String, &[FolderEntry])]) -> Result<(), EngineError> {
    let failed = |error: TarError| EngineError::new(EngineErrorKind::System, error.to_string());
    let folders = files.iter().enumerate().map(|(index, (_, files))| (PathBuf::from(index.to_string()), *files));
    if client.podman {
        // Podman unpacks into one volume at a time.
        let uploads = folders.map(async |(folder, files)| {
            let mut tar = Tar::default();
            pack(&mut tar, Path::new("."), files).map_err(failed)?;
            let place = format!("{FILES}/{}", folder.display());
            client.upload(carrier, &place, tar.finish()).await.map_err(EngineError::from)
        });
        return try_join_all(uploads).await.map(drop);
    }
    // One upload for all: Docker mounts the container and starts a process for each.
    let mut tar = Tar::default();
    for (folder, files) in folders {
        pack(&mut tar, &folder, files).map_err(failed)?;
    }
    Ok(client.upload(carrier, FILES, tar.finish()).await?)
}

/// Adds folder entries to an archive, below `under`.
fn pack(tar: &mut Tar, under: &Path, entries: &[FolderEntry]) -> Result<(), TarError> {
    for entry in entries {
        let path = under.join(&entry.path);
        match &entry.content {
            Content::Folder => tar.folder(&path, entry.mode)?,
            Content::File(bytes) => tar.file(&path, entry.mode, bytes)?,
            Content::Link(target) => tar.link(&path, target)?,
        }
    }
    Ok(())
}
