//! From a service of the stack to a container: its environment, ports, volumes and names, and its files, which are uploaded
//! into volumes through a container that never runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;

use super::Inner;
use super::app_image::identity;
use super::client::{Client, Launch, PublishedPort, VolumeUse};
use super::naming::{INSTANCE_LABEL, OVERRIDES_LABEL, content, definition, new_instance};
use super::survey::{Found, Overrides, merged};
use super::tar::Tar;
use crate::engine::{EngineError, EngineErrorKind};
use crate::stack::{Mount, Service};

/// The domain under which the gateway finds itself in the place of an app that is not there.
const STOPPED: &str = "stopped";

/// A file by its path in its folder.
type File = (PathBuf, Vec<u8>);

/// What a container of a service is made from, besides the stack.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// Name and id.
    pub(super) image: (String, String),
    pub(super) overrides: Overrides,
    /// The ports that it has to have, by those of the container; others are free ones.
    pub(super) ports: BTreeMap<u16, u16>,
}

impl Recipe {
    /// As an existing container was made.
    pub(super) fn like(found: &Found) -> Self {
        let container = &found.container;
        Self {
            image: (container.image.clone(), container.image_id.clone()),
            overrides: found.overrides(),
            ports: container.ports.clone(),
        }
    }
}

impl Inner {
    /// A container of a service under a name, and its instance.
    pub(super) fn launch(&self, client: &Client, service: &Service, recipe: &Recipe) -> (Launch, String) {
        let instance = new_instance(&service.name);
        let is_app = service.name == self.stack.lab.app.service;
        let mut env = merged(&service.environment, &recipe.overrides);
        if is_app {
            env.insert("APP_INSTANCE".to_owned(), instance.clone());
        }
        let mut labels = service.labels.clone();
        labels.extend(self.names.container_labels(&service.name, &definition(service, identity(&recipe.image))));
        labels.insert(INSTANCE_LABEL.to_owned(), instance.clone());
        // Names and texts alone: it always becomes JSON.
        labels.insert(OVERRIDES_LABEL.to_owned(), serde_json::to_string(&recipe.overrides).unwrap_or_default());
        let mut launch = Launch {
            name: self.names.container(&service.name),
            image: recipe.image.0.clone(),
            service: service.clone(),
            env,
            labels,
            ports: self.ports(client, service, &recipe.ports),
            volumes: self.volumes(service),
            network: Some(self.names.network()),
            aliases: vec![service.name.clone()],
            links: Vec::new(),
            search: None,
        };
        if service.name == self.stack.lab.gateway.service && !client.podman {
            self.route(&mut launch);
        }
        (launch, instance)
    }

    /// How the gateway finds the app. A proxy that resolves a name once, at its start and on a reload, has to find one
    /// address under it, and that address has to be taken away from the old instance without taking its network away.
    /// The daemon does not change the names of a container that runs, but for one: the container's own, and a link is
    /// looked up by that anew each time. So the app is whichever container bears the name, and renaming moves the route.
    /// Where none bears it, the resolver goes on with the search domain, and the gateway finds itself, where nobody
    /// listens on the app's port: 502 at once, instead of an address that nobody answers at.
    fn route(&self, launch: &mut Launch) {
        let app = &self.stack.lab.app.service;
        launch.links = vec![format!("{}:{app}", self.names.container(app))];
        launch.aliases.push(format!("{app}.{STOPPED}"));
        launch.search = Some(STOPPED.to_owned());
    }

    /// Whether one service is the gateway and the other the app, and the gateway starts without it: see `route`.
    pub(super) fn leads_anyway(&self, client: &Client, service: &Service, other: &str) -> bool {
        let lab = &self.stack.lab;
        !client.podman && service.name == lab.gateway.service && other == lab.app.service
    }

    /// The published ports: of the app always a free one, since its next instance starts beside it.
    fn ports(&self, client: &Client, service: &Service, fixed: &BTreeMap<u16, u16>) -> Vec<PublishedPort> {
        let app = &self.stack.lab.app;
        let is_app = service.name == app.service;
        let mut targets: BTreeSet<u16> = service.ports.iter().map(|port| port.target).collect();
        if is_app {
            targets.insert(app.port);
        }
        if service.name == self.stack.lab.gateway.service {
            targets.insert(self.stack.lab.gateway.port);
        }
        let fixed = |target: u16| fixed.get(&target).copied().filter(|port| *port != 0 && !is_app);
        // Chosen here, a port stays the same when the container starts again.
        let free = || if client.is_local() { free_port() } else { None };
        targets.into_iter().map(|target| PublishedPort { host: fixed(target).or_else(free), target }).collect()
    }

    fn volumes(&self, service: &Service) -> Vec<VolumeUse> {
        let volumes = service.mounts.iter().enumerate().map(|(index, mount)| match mount {
            Mount::Volume(volume) => VolumeUse {
                volume: self.names.volume(&volume.volume),
                target: volume.target.clone(),
                read_only: volume.read_only,
                bare: false,
            },
            Mount::Bind(bind) => VolumeUse {
                volume: self.names.files(&service.name, index, &content(&bind.files)),
                target: bind.target.clone(),
                read_only: true,
                bare: true,
            },
        });
        volumes.collect()
    }

    /// The volumes with the files of these services, with the files.
    fn files<'a>(&self, services: &[&'a Service]) -> Vec<(String, &'a [File])> {
        let of = |service: &&'a Service| {
            let name = service.name.clone();
            service.mounts.iter().enumerate().filter_map(move |(index, mount)| match mount {
                Mount::Bind(bind) => Some((name.clone(), index, bind.files.as_slice())),
                Mount::Volume(_) => None,
            })
        };
        let files = services.iter().flat_map(of);
        files.map(|(service, index, files)| (self.names.files(&service, index, &content(files)), files)).collect()
    }

    /// Puts the files of these services into volumes. `image` is any that is there: its container never runs.
    pub(super) async fn upload(&self, client: &Client, services: &[&Service], image: &str) -> Result<(), EngineError> {
        let files = self.files(services);
        if files.is_empty() {
            return Ok(());
        }
        let place = |index: usize| format!("/lab-files/{index}");
        try_join_all(
            files.iter().map(|(volume, _)| async move { client.create_volume(volume, &self.names.labels()).await }),
        )
        .await?;
        let volumes = files.iter().enumerate().map(|(index, (volume, _))| VolumeUse {
            volume: volume.clone(),
            target: place(index),
            read_only: false,
            bare: true,
        });
        let carrier = Launch {
            name: self.names.passing("files", "carrier", &new_instance("files")),
            image: image.to_owned(),
            service: Service { command: Some(vec!["/none".to_owned()]), ..Service::default() },
            env: BTreeMap::new(),
            labels: BTreeMap::from([
                (super::naming::NAME_LABEL.to_owned(), self.names.lab().to_owned()),
                (super::naming::VERSION_LABEL.to_owned(), super::naming::VERSION.to_owned()),
            ]),
            ports: Vec::new(),
            volumes: volumes.collect(),
            network: None,
            aliases: Vec::new(),
            links: Vec::new(),
            search: None,
        };
        let id = client.create(&carrier).await?;
        let uploads = files.iter().enumerate().map(|(index, (_, files))| {
            let (id, place) = (id.as_str(), place(index));
            async move {
                let tar = pack(files).map_err(|detail| EngineError::new(EngineErrorKind::System, detail))?;
                client.upload(id, &place, tar).await.map_err(EngineError::from)
            }
        });
        let uploaded = try_join_all(uploads).await;
        let removed = client.remove(&id).await;
        uploaded?;
        Ok(removed?)
    }

    /// Removes volumes with files that no service of the stack has any more.
    pub(super) async fn remove_stale_files(&self, client: &Client) {
        let all: Vec<&Service> = self.stack.services.iter().collect();
        let wanted: BTreeSet<String> = self.files(&all).into_iter().map(|(volume, _)| volume).collect();
        let stale = |volume: &String| volume.contains("-files-") && !wanted.contains(volume);
        for volume in client.volumes(&self.names.filter()).await.unwrap_or_default().iter().filter(|name| stale(name)) {
            // One that is in use stays; it goes with the lab.
            let _ = client.remove_volume(volume).await;
        }
    }
}

/// Files in an archive, with their folders; scripts can be run.
fn pack(files: &[File]) -> Result<Vec<u8>, String> {
    let mut tar = Tar::default();
    let folders = files.iter().flat_map(|(path, _)| path.ancestors().skip(1));
    let folders: BTreeSet<&Path> = folders.filter(|path| !path.as_os_str().is_empty()).collect();
    for folder in folders {
        tar.folder(folder, 0o755)?;
    }
    for (path, bytes) in files {
        let mode = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
        tar.file(path, mode, bytes)?;
    }
    Ok(tar.finish())
}

/// A port of 127.0.0.1 that nobody has now. Somebody may take it before it is used; then another is tried.
pub(super) fn free_port() -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    Some(listener.local_addr().ok()?.port())
}
