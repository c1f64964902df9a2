//! Definition of a service's container: its environment, ports, volumes and names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::ops::RangeInclusive;

use super::Inner;
use super::app_image::identity;
use super::client::{Client, Launch, PublishedPort, VolumeUse};
use super::hash::{content_hash, definition};
use super::names::{INSTANCE_LABEL, NETWORK_LABEL, OVERRIDES_LABEL, new_instance};
use super::observed_state::{Overrides, ServiceContainer, merged};
use lab_stack::{Mount, Service};

/// Domain in which the app's name resolves to the gateway itself while the app is stopped.
const STOPPED: &str = "stopped";

/// Inputs of a service's container, apart from the stack.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// Name and id.
    pub(super) image: (String, String),
    pub(super) overrides: Overrides,
    /// Host ports by container port. Other ports are chosen freely.
    pub(super) ports: BTreeMap<u16, u16>,
}

impl Recipe {
    /// Recipe of an existing container.
    pub(super) fn from_container(found: &ServiceContainer) -> Self {
        let container = &found.container;
        Self {
            image: (container.image.clone(), container.image_id.clone()),
            overrides: found.overrides(),
            ports: container.ports.clone(),
        }
    }
}

impl Inner {
    /// Definition of a service's container on a network, and its new instance id.
    pub(super) fn launch(
        &self,
        client: &Client,
        service: &Service,
        recipe: &Recipe,
        network: &str,
    ) -> (Launch, String) {
        let instance = new_instance(&service.name);
        let is_app = service.name == self.stack.lab.app.service;
        let mut env = merged(&service.environment, &recipe.overrides);
        if is_app {
            env.insert("APP_INSTANCE".to_owned(), instance.clone());
        }
        let mut labels = service.labels.clone();
        labels.extend(self.names.container_labels(&service.name, &definition(service, identity(&recipe.image))));
        labels.insert(INSTANCE_LABEL.to_owned(), instance.clone());
        labels.insert(NETWORK_LABEL.to_owned(), network.to_owned());
        // A map of strings always serialises.
        labels.insert(OVERRIDES_LABEL.to_owned(), serde_json::to_string(&recipe.overrides).unwrap_or_default());
        let mut launch = Launch {
            name: self.names.container(&service.name),
            image: recipe.image.0.clone(),
            service: service.clone(),
            env,
            labels,
            ports: self.ports(client, service, &recipe.ports),
            bind: client.reach.bind(),
            volumes: self.volumes(service),
            network: Some(network.to_owned()),
            aliases: vec![service.name.clone()],
            links: Vec::new(),
            search: None,
        };
        if service.name == self.stack.lab.gateway.service && !client.podman {
            self.route(&mut launch);
        }
        (launch, instance)
    }

    /// Makes the app resolvable for the gateway. A proxy that resolves a name at its start and on a reload must find exactly one
    /// address, and that address must move from the old instance to the new one while both stay on the network. The daemon
    /// cannot change the aliases of a running container, but it can rename the container, and a link resolves the
    /// container's name on each lookup. So the app is the container with that name, and renaming it moves the route. If no
    /// container has the name, the resolver continues with the search domain and finds the gateway itself. Nothing listens
    /// there on the app's port, so a request gets a 502 at once instead of waiting for an unused address.
    fn route(&self, launch: &mut Launch) {
        let app = &self.stack.lab.app.service;
        launch.links = vec![format!("{}:{app}", self.names.container(app))];
        launch.aliases.push(format!("{app}.{STOPPED}"));
        launch.search = Some(STOPPED.to_owned());
    }

    /// Returns true if one service is the gateway, the other is the app, and the gateway starts without it (see `route`).
    pub(super) fn can_start_without(&self, client: &Client, service: &Service, other: &str) -> bool {
        let lab = &self.stack.lab;
        !client.podman && service.name == lab.gateway.service && other == lab.app.service
    }

    /// Published ports. The app always gets free ones, because its next instance starts beside it.
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
        // A port that is chosen here does not change when the container restarts.
        let free = || free_port(client);
        targets.into_iter().map(|target| PublishedPort { host: fixed(target).or_else(free), target }).collect()
    }

    fn volumes(&self, service: &Service) -> Vec<VolumeUse> {
        let volumes = service.mounts.iter().enumerate().map(|(index, mount)| match mount {
            Mount::Volume(volume) => VolumeUse {
                volume: self.names.volume(&volume.volume),
                target: volume.target.clone(),
                read_only: volume.read_only,
                starts_empty: false,
            },
            Mount::Bind(bind) => VolumeUse {
                volume: self.names.files(&service.name, index, &content_hash(&bind.entries)),
                target: bind.target.clone(),
                read_only: true,
                starts_empty: true,
            },
        });
        volumes.collect()
    }
}

/// Port range on other machines, where lab cannot check which ports are free.
const REMOTE_PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// Returns a port that is free, or probably free. It may be taken before it is used; callers then try another.
pub(super) fn free_port(client: &Client) -> Option<u16> {
    if client.reach.is_local() {
        let listener = TcpListener::bind((client.reach.bind(), 0)).ok()?;
        return Some(listener.local_addr().ok()?.port());
    }
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).ok()?;
    Some(REMOTE_PORTS.start() + u16::from_le_bytes(bytes) % 10_000)
}
