//! Bringing a lab up: images first, then containers side by side, each started as soon as what it depends on is as it has
//! to be. On an error, what this call made is gone again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures_util::future::{join_all, try_join_all};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::app_image::identity;
use super::client::{Client, FaultKind, Health};
use super::images::Images;
use super::launch::{Recipe, free_port};
use super::naming::definition;
use super::survey::{Found, Overrides, Survey};
use crate::engine::{Description, EngineError, EngineErrorKind, Progress, ProgressFn, RunState, UpRequest};
use crate::stack::{Condition, Mount, Service};

/// How often a container is made again because somebody took its port in the meantime.
const PORT_ATTEMPTS: usize = 3;

/// How far a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    Started,
    Healthy,
    Failed,
}

/// What has to be done to a service.
enum Task<'a> {
    /// It runs, as it should.
    Keep(&'a Found),
    /// It is stopped.
    Start(&'a Found),
    /// It is frozen.
    Thaw(&'a Found),
    /// It is not there, or it was made from something else: then `old` goes first.
    Make { recipe: Recipe, old: Option<&'a Found> },
}

/// What this call made, to be removed where it fails.
#[derive(Default)]
struct Made {
    containers: Vec<String>,
    /// The lab was not there before.
    all: bool,
}

/// One call of `up`.
struct Up<'a> {
    inner: &'a Inner,
    client: &'a Client,
    progress: &'a ProgressFn,
    /// The call ends: it was told to, or something failed.
    abort: CancellationToken,
    images: &'a Images,
    stages: BTreeMap<String, watch::Sender<Stage>>,
    /// Services that a request passes through, and what those need.
    path: BTreeSet<String>,
    /// The network is there.
    network: watch::Sender<bool>,
    /// The named volumes are there.
    volumes: watch::Sender<bool>,
    /// The files are in their volumes.
    files: watch::Sender<bool>,
    made: Mutex<Made>,
    error: Mutex<Option<EngineError>>,
}

impl Inner {
    pub(super) async fn up(
        &self,
        request: &UpRequest,
        progress: &ProgressFn,
        stop: &CancellationToken,
    ) -> Result<Description, EngineError> {
        let client = self.client().await?;
        let survey = Survey::of(client, &self.names).await?;
        survey.check_version(self.names.lab())?;
        for leftover in &survey.leftovers {
            client.remove(leftover).await?;
        }
        let images = tokio::select! {
            images = super::images::prepare(self, client, progress) => images?,
            () = stop.cancelled() => return Err(interrupted()),
        };
        let wanted: Vec<&Service> =
            self.stack.services.iter().filter(|service| images.found.contains_key(&service.name)).collect();
        let tasks: Vec<(&Service, Task<'_>)> =
            wanted.iter().map(|service| (*service, self.task(service, &survey, &images, request))).collect();
        let up = Up {
            inner: self,
            client,
            progress,
            abort: stop.child_token(),
            images: &images,
            stages: wanted.iter().map(|service| (service.name.clone(), watch::Sender::new(Stage::Waiting))).collect(),
            path: self.request_path(),
            network: watch::Sender::new(!survey.is_empty()),
            volumes: watch::Sender::new(false),
            files: watch::Sender::new(false),
            made: Mutex::new(Made { all: survey.is_empty(), ..Made::default() }),
            error: Mutex::new(None),
        };
        up.run(&tasks).await?;
        let mut description = self.describe().await?;
        description.notices.extend(images.missing.into_values());
        Ok(description)
    }

    fn task<'a>(&self, service: &Service, survey: &'a Survey, images: &Images, request: &UpRequest) -> Task<'a> {
        let image = images.found.get(&service.name).cloned().unwrap_or_default();
        let Some(found) = survey.get(&service.name) else {
            let asked = request.env.get(&service.name).cloned().unwrap_or_default();
            let overrides = asked.into_iter().map(|(name, value)| (name, Some(value))).collect::<Overrides>();
            return Task::Make {
                recipe: Recipe { image, overrides, ports: self.wanted_ports(service, request) },
                old: None,
            };
        };
        if found.definition() != definition(service, identity(&image)) {
            return Task::Make { recipe: Recipe { image, ..Recipe::like(found) }, old: Some(found) };
        }
        match found.state() {
            RunState::Running => Task::Keep(found),
            RunState::Paused => Task::Thaw(found),
            // Its instance is another one then, as everywhere.
            RunState::Stopped if service.name == self.stack.lab.app.service => {
                Task::Make { recipe: Recipe { image, ..Recipe::like(found) }, old: Some(found) }
            }
            RunState::Stopped => Task::Start(found),
        }
    }

    /// The ports of the host that a service is to have. The lab `default` has those of the stack's file, others free ones.
    fn wanted_ports(&self, service: &Service, request: &UpRequest) -> BTreeMap<u16, u16> {
        let gateway = &self.stack.lab.gateway;
        let fixed = self.names.lab() == crate::engine::docker::DEFAULT_LAB && request.gateway_port != 0;
        let published = service.ports.iter().filter(|_| fixed).filter_map(|port| Some((port.target, port.published?)));
        let mut ports: BTreeMap<u16, u16> = published.collect();
        if service.name == gateway.service {
            ports.remove(&gateway.port);
            if request.gateway_port != 0 {
                ports.insert(gateway.port, request.gateway_port);
            }
        }
        ports
    }

    /// The services that a request passes through, and all that those need.
    pub(super) fn request_path(&self) -> BTreeSet<String> {
        let lab = &self.stack.lab;
        let mut open: Vec<&str> = vec![&lab.gateway.service, &lab.app.service];
        open.extend(lab.database.as_deref());
        let mut path = BTreeSet::new();
        while let Some(name) = open.pop() {
            if path.insert(name.to_owned())
                && let Some(service) = self.service(name)
            {
                open.extend(service.depends_on.keys().map(String::as_str));
            }
        }
        path
    }
}

pub(super) fn interrupted() -> EngineError {
    EngineError::new(EngineErrorKind::System, "it was interrupted")
}

impl Up<'_> {
    async fn run(&self, tasks: &[(&Service, Task<'_>)]) -> Result<(), EngineError> {
        let fresh: Vec<&Service> =
            tasks.iter().filter(|(_, task)| matches!(task, Task::Make { .. })).map(|(service, _)| *service).collect();
        let services = join_all(tasks.iter().map(|(service, task)| self.bring(service, task)));
        tokio::join!(self.ground(&fresh), services);
        let error = self.lock_error().take();
        let result = match error {
            Some(error) => Err(error),
            None if self.abort.is_cancelled() => Err(interrupted()),
            None => self.lead().await,
        };
        if result.is_err() {
            self.take_back().await;
        } else if fresh.iter().any(|service| !service.mounts.is_empty()) && !self.lock_made().all {
            self.inner.remove_stale_files(self.client).await;
        }
        result
    }

    /// What the containers stand on: the network, the named volumes, the files.
    async fn ground(&self, fresh: &[&Service]) {
        let (inner, client) = (self.inner, self.client);
        let network = async {
            if !*self.network.borrow() {
                client.create_network(&inner.names.network(), &inner.names.network_labels()).await?;
                self.network.send_replace(true);
            }
            Ok::<(), EngineError>(())
        };
        // The volumes of the stack, by the labels under which they are found again.
        let volumes = try_join_all(inner.stack.volumes.iter().map(|name| async move {
            client.create_volume(&inner.names.volume(name), &inner.names.volume_labels(name)).await
        }));
        let volumes = async {
            if !fresh.is_empty() {
                volumes.await?;
            }
            self.volumes.send_replace(true);
            Ok::<(), EngineError>(())
        };
        let files = async {
            let image = self.images.found.values().next().map(|(name, _)| name.clone()).unwrap_or_default();
            let image = self.images.found.get(&inner.stack.lab.app.service).map_or(image, |(name, _)| name.clone());
            inner.upload(client, fresh, &image).await?;
            self.files.send_replace(true);
            Ok::<(), EngineError>(())
        };
        let (network, volumes, files) = tokio::join!(network, volumes, files);
        for result in [network, volumes, files] {
            if let Err(error) = result {
                self.fail(error);
            }
        }
    }

    async fn bring(&self, service: &Service, task: &Task<'_>) {
        let stage = match self.try_bring(service, task).await {
            Ok(stage) => stage,
            Err(error) => {
                self.fail(error);
                Stage::Failed
            }
        };
        if let Some(sender) = self.stages.get(&service.name) {
            sender.send_replace(stage);
        }
    }

    async fn try_bring(&self, service: &Service, task: &Task<'_>) -> Result<Stage, EngineError> {
        let name = &service.name;
        let client = self.client;
        let (id, changed) = match task {
            // The daemon has looked after it all the time.
            Task::Keep(found) if found.container.health == Health::Healthy => return Ok(Stage::Healthy),
            Task::Keep(found) => (found.id().to_owned(), false),
            Task::Thaw(found) => {
                client.unpause(found.id()).await.map_err(|fault| fault.service(name))?;
                (found.id().to_owned(), true)
            }
            Task::Start(found) => {
                self.say(name, "starting");
                if !self.may_start(service).await {
                    return Ok(Stage::Failed);
                }
                self.start(service, found.id()).await?;
                (found.id().to_owned(), true)
            }
            Task::Make { recipe, old } => match self.make(service, recipe, *old).await? {
                Some(id) => (id, true),
                None => return Ok(Stage::Failed),
            },
        };
        self.reached(name, Stage::Started);
        if !self.path.contains(name) {
            if changed {
                self.say(name, "started");
            }
            return Ok(Stage::Started);
        }
        let address = self.inner.address_of(client, service, &id).await?;
        tokio::select! {
            healthy = self.inner.until_healthy(client, service, &id, address.as_deref()) => healthy?,
            () = self.abort.cancelled() => return Ok(Stage::Failed),
        }
        if changed {
            self.say(name, "healthy");
        }
        Ok(Stage::Healthy)
    }

    /// Makes a container and starts it; none where something else failed meanwhile.
    async fn make(
        &self,
        service: &Service,
        recipe: &Recipe,
        old: Option<&Found>,
    ) -> Result<Option<String>, EngineError> {
        let mut recipe = recipe.clone();
        if let Some(old) = old {
            self.client.remove(old.id()).await.map_err(|fault| fault.service(&service.name))?;
        }
        self.say(&service.name, "creating");
        for attempt in 1.. {
            // Docker looks for the network when the container starts, Podman when it is made. A volume that is not there is
            // made along with the container, but without its labels.
            let network = !self.client.podman || self.wait(&self.network, |there| *there).await;
            if !network || !self.wait(&self.volumes, |there| *there).await {
                return Ok(None);
            }
            let (launch, _) = self.inner.launch(self.client, service, &recipe);
            let id = self.client.create(&launch).await.map_err(|fault| fault.service(&service.name))?;
            self.lock_made().containers.push(id.clone());
            let has_files = service.mounts.iter().any(|mount| matches!(mount, Mount::Bind(_)));
            let ground = self.wait(&self.network, |there| *there).await
                && (!has_files || self.wait(&self.files, |there| *there).await);
            if !ground || !self.may_start(service).await {
                return Ok(None);
            }
            self.say(&service.name, "starting");
            let error = match self.start(service, &id).await {
                Ok(()) => return Ok(Some(id)),
                Err(error) => error,
            };
            let wanted =
                launch.ports.iter().filter_map(|port| port.host).any(|port| recipe.ports.values().any(|p| *p == port));
            let on_path = self.path.contains(&service.name);
            if error.kind != EngineErrorKind::PortTaken || attempt == PORT_ATTEMPTS || (wanted && on_path) {
                return Err(error);
            }
            // A free one that is free no more; or one that was asked for, of a service that does with another.
            self.client.remove(&id).await?;
            recipe.ports.values_mut().for_each(|port| *port = free_port().unwrap_or_default());
        }
        Ok(None)
    }

    async fn start(&self, service: &Service, id: &str) -> Result<(), EngineError> {
        match self.client.start(id).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.is(FaultKind::Port) => {
                Err(self.inner.port_taken(self.client, service, id, fault).await)
            }
            Err(fault) => Err(fault.service(&service.name)),
        }
    }

    /// Waits until all is there that a service depends on. False where that will not come.
    async fn may_start(&self, service: &Service) -> bool {
        for (other, condition) in &service.depends_on {
            // The gateway finds the app's name whether the app is there or not, and is led to it in the end.
            if self.inner.leads_anyway(self.client, service, other) {
                continue;
            }
            // An optional service whose image is not there is not waited for.
            let Some(stage) = self.stages.get(other) else { continue };
            let enough = match condition {
                Condition::Healthy if self.path.contains(other) => Stage::Healthy,
                _ => Stage::Started,
            };
            if !self.wait(stage, |stage| *stage >= enough).await || *stage.borrow() == Stage::Failed {
                return false;
            }
        }
        !self.over()
    }

    /// Waits for something; false where the whole call ends before.
    async fn wait<T>(&self, sender: &watch::Sender<T>, enough: impl FnMut(&T) -> bool) -> bool {
        let mut receiver = sender.subscribe();
        tokio::select! {
            reached = receiver.wait_for(enough) => reached.is_ok() && !self.over(),
            () = self.abort.cancelled() => false,
        }
    }

    fn over(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// The gateway leads to the app: it may have looked for it before it was there, or when it was elsewhere.
    async fn lead(&self) -> Result<(), EngineError> {
        self.inner.lead(self.client).await
    }

    /// The first error is the one that is told; the others come from it.
    fn fail(&self, error: EngineError) {
        self.lock_error().get_or_insert(error);
        self.abort.cancel();
    }

    fn reached(&self, service: &str, stage: Stage) {
        if let Some(sender) = self.stages.get(service) {
            sender.send_replace(stage);
        }
    }

    fn say(&self, service: &str, stage: &str) {
        (self.progress)(Progress::stage(service, stage));
    }

    async fn take_back(&self) {
        let (containers, all) = {
            let made = self.lock_made();
            (made.containers.clone(), made.all)
        };
        // What is wrong has been found; that it cannot be cleared away either would only hide it, and `lab down` says so.
        if all {
            let _ = self.inner.remove_all(self.client).await;
        } else {
            let _ = join_all(containers.iter().map(|id| self.client.remove(id))).await;
        }
    }

    fn lock_made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_error(&self) -> std::sync::MutexGuard<'_, Option<EngineError>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
