//! From a service of the stack to a container: its environment, ports, volumes and names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::ops::RangeInclusive;

use super::Inner;
use super::app_image::identity;
use super::client::{Client, Launch, PublishedPort, VolumeUse};
use super::naming::{INSTANCE_LABEL, NETWORK_LABEL, OVERRIDES_LABEL, content, definition, new_instance};
use super::survey::{Found, Overrides, merged};
use lab_stack::{Mount, Service};

/// The domain under which the gateway finds itself in the place of an app that is not there.
const STOPPED: &str = "stopped";

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
    /// A container of a service under a name, on a network, and its instance.
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
        // Names and texts alone: it always becomes JSON.
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
        let free = || free_port(client);
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
                volume: self.names.files(&service.name, index, &content(&bind.entries)),
                target: bind.target.clone(),
                read_only: true,
                bare: true,
            },
        });
        volumes.collect()
    }
}

/// Of a machine elsewhere nobody can say which are free.
const PORTS_ELSEWHERE: RangeInclusive<u16> = 20_000..=29_999;

/// A port that nobody has now, or is likely to have. Somebody may take it before it is used; then another is tried.
pub(super) fn free_port(client: &Client) -> Option<u16> {
    if client.reach.is_local() {
        let listener = TcpListener::bind((client.reach.bind(), 0)).ok()?;
        return Some(listener.local_addr().ok()?.port());
    }
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).ok()?;
    Some(PORTS_ELSEWHERE.start() + u16::from_le_bytes(bytes) % 10_000)
}
