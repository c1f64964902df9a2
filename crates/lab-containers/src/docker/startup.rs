//! Starts services concurrently. Each container is created at once and started as soon as its dependencies are ready. On an
//! error, everything that this call created is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::client::{Client, Fault, FaultKind, Health};
use super::images::Images;
use super::launch::{Recipe, free_port};
use super::observed_state::{ObservedState, ServiceContainer};
use super::probe::healthy_timeout;
use super::rollback::Rollback;
use super::up::{Task, interrupted, needed};
use lab_core::engine::{EngineError, EngineErrorKind, Progress, ProgressFn, RunState};
use lab_stack::{Condition, Mount, Service};
use lab_system::deadline;

/// Attempts to start a container whose port was taken meanwhile.
const PORT_ATTEMPTS: usize = 3;
/// Time to upload files into their volumes, and for the daemon's other work.
const RESOURCES_TIMEOUT: Duration = Duration::from_mins(5);
/// Time to watch a service that had failed and was started again. Most fail again at once.
const RELAPSE_WINDOW: Duration = Duration::from_secs(1);

/// Progress of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    Started,
    Healthy,
    Failed,
}

/// One call of `up`.
pub(super) struct Startup<'a> {
    inner: &'a Inner,
    client: &'a Client,
    progress: &'a ProgressFn,
    /// Cancelled from outside or because a service failed.
    abort: CancellationToken,
    images: &'a Images,
    /// Observed state before this call.
    observed: &'a ObservedState,
    stages: BTreeMap<String, watch::Sender<Stage>>,
    /// Services on the request path and their dependencies.
    path: BTreeSet<String>,
    /// The request path, and services that another starting service needs healthy. `up` waits for their health.
    pub(super) required: BTreeSet<String>,
    /// Services that a new instance of the app waits for itself and vouches for.
    awaited: BTreeSet<String>,
    /// Id of the network, once it exists.
    network: watch::Sender<Option<String>>,
    /// Set once the named volumes exist.
    volumes: watch::Sender<bool>,
    /// Set once the files are in their volumes.
    files: watch::Sender<bool>,
    rollback: Mutex<Rollback>,
    error: Mutex<Option<EngineError>>,
}

impl<'a> Startup<'a> {
    pub(super) fn new(
        inner: &'a Inner,
        client: &'a Client,
        progress: &'a ProgressFn,
        images: &'a Images,
        observed: &'a ObservedState,
        tasks: &[(&Service, Task<'_>)],
        abort: CancellationToken,
    ) -> Self {
        let path = inner.request_path();
        let stages = tasks.iter().map(|(service, _)| (service.name.clone(), watch::Sender::new(Stage::Waiting)));
        Self {
            inner,
            client,
            progress,
            abort,
            images,
            observed,
            stages: stages.collect(),
            awaited: inner.awaited(tasks, &path),
            required: needed(tasks).chain(path.iter().cloned()).collect(),
            path,
            network: watch::Sender::new(observed.network.clone()),
            volumes: watch::Sender::new(false),
            files: watch::Sender::new(false),
            rollback: Mutex::new(Rollback { is_new_lab: observed.is_empty(), ..Rollback::default() }),
            error: Mutex::new(None),
        }
    }

    pub(super) async fn run(&self, tasks: &[(&Service, Task<'_>)]) -> Result<(), EngineError> {
        let fresh: Vec<&Service> =
            tasks.iter().filter(|(_, task)| matches!(task, Task::Create { .. })).map(|(service, _)| *service).collect();
        let services = join_all(tasks.iter().map(|(service, task)| self.start_service(service, task)));
        let mut all = pin!(async { tokio::join!(self.provision(&fresh), services) });
        // Worst case: they start one after the other.
        let limit =
            tasks.iter().fold(RESOURCES_TIMEOUT, |sum, (service, _)| sum.saturating_add(healthy_timeout(service)));
        tokio::select! {
            _ = &mut all => {}
            () = deadline::sleep(limit) => {
                self.fail(self.deadlock(limit));
                all.await;
            }
        }
        let error = self.lock_error().take();
        let result = match error {
            Some(error) => Err(error),
            None if self.abort.is_cancelled() => Err(interrupted()),
            // The gateway may have resolved the app before it existed, or at its previous address.
            None => self.inner.route_to_active_app(self.client).await,
        };
        if result.is_err() {
            let rollback = std::mem::take(&mut *self.lock_rollback());
            rollback.run(self.inner, self.client).await;
            return result;
        }
        let replaced = std::mem::take(&mut self.lock_rollback().replaced);
        for (service, old, _) in replaced {
            self.client.remove(&old).await.map_err(|fault| fault.service(&service))?;
        }
        if fresh.iter().any(|service| !service.mounts.is_empty()) && !self.lock_rollback().is_new_lab {
            self.inner.remove_stale_files(self.client).await;
        }
        result
    }

    /// Provides what the containers need: the network, the named volumes and the files.
    async fn provision(&self, fresh: &[&Service]) {
        let (inner, client) = (self.inner, self.client);
        if self.observed.is_empty()
            && let Err(error) = inner.claim(client).await
        {
            return self.fail(error);
        }
        let network = async {
            if self.observed.network.is_none() {
                self.network.send_replace(Some(inner.make_network(client).await?));
            }
            Ok(())
        };
        let volumes = async {
            if !fresh.is_empty() {
                inner.make_volumes(client).await?;
            }
            self.volumes.send_replace(true);
            Ok(())
        };
        let files = async {
            let images = &self.images.found;
            let image = images.get(&inner.stack.lab.app.service).or_else(|| images.values().next());
            let image = image.map(|(name, _)| name.as_str()).unwrap_or_default();
            inner
                .upload(client, fresh, image, || {
                    self.files.send_replace(true);
                })
                .await
        };
        let (network, volumes, files) = tokio::join!(network, volumes, files);
        for error in [network, volumes, files].into_iter().filter_map(Result::err) {
            self.fail(error);
        }
    }

    async fn start_service(&self, service: &Service, task: &Task<'_>) {
        let stage = match self.try_start_service(service, task).await {
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

    async fn try_start_service(&self, service: &Service, task: &Task<'_>) -> Result<Stage, EngineError> {
        let name = &service.name;
        let client = self.client;
        let (id, changed) = match task {
            // The daemon has checked its health all the time.
            Task::Keep(found) if found.container.health == Health::Healthy => return Ok(Stage::Healthy),
            Task::Keep(_) if self.inner.is_vouched_for(client, service, self.observed).await => {
                return Ok(Stage::Healthy);
            }
            Task::Keep(found) => (found.id().to_owned(), false),
            Task::Unpause(found) => {
                client.unpause(found.id()).await.map_err(|fault| fault.service(name))?;
                (found.id().to_owned(), true)
            }
            Task::Start(found) => {
                self.report(name, "starting");
                if !self.may_start(service).await {
                    return Ok(Stage::Failed);
                }
                self.start(service, found.id()).await?;
                (found.id().to_owned(), true)
            }
            Task::Create { recipe, old } => match self.make(service, recipe, *old).await? {
                Some(id) => (id, true),
                None => return Ok(Stage::Failed),
            },
        };
        self.set_stage(name, Stage::Started);
        if !self.required.contains(name) {
            if changed && !(task.had_failed() && self.fails_again(service, &id).await) {
                self.report(name, "started");
            }
            return Ok(Stage::Started);
        }
        if !self.wait_until_healthy(service, &id).await? {
            return Ok(Stage::Failed);
        }
        if changed {
            self.report(name, "healthy");
        }
        Ok(Stage::Healthy)
    }

    /// Returns true if a service exits soon after it was started.
    async fn fails_again(&self, service: &Service, id: &str) -> bool {
        tokio::select! {
            _ = self.inner.wait_until_stopped(self.client, service, id) => true,
            () = tokio::time::sleep(RELAPSE_WINDOW) => false,
        }
    }

    /// Waits until a service is healthy. Returns false if something else failed meanwhile.
    async fn wait_until_healthy(&self, service: &Service, id: &str) -> Result<bool, EngineError> {
        let (inner, client) = (self.inner, self.client);
        let app = self.stages.get(&inner.stack.lab.app.service).filter(|_| self.awaited.contains(&service.name));
        if let Some(app) = app {
            return tokio::select! {
                reached = self.wait(app, |stage| *stage >= Stage::Healthy) => {
                    Ok(reached && *app.borrow() == Stage::Healthy)
                }
                error = inner.wait_until_stopped(client, service, id) => Err(error),
            };
        }
        let healthy = async {
            let address = inner.address_of(client, service, id).await?;
            inner.wait_until_healthy(client, service, id, address.as_deref(), healthy_timeout(service)).await
        };
        tokio::select! {
            healthy = healthy => healthy.map(|()| true),
            () = self.abort.cancelled() => Ok(false),
        }
    }

    /// Creates and starts a container. Returns `None` if something else failed meanwhile.
    async fn make(
        &self,
        service: &Service,
        recipe: &Recipe,
        old: Option<&ServiceContainer>,
    ) -> Result<Option<String>, EngineError> {
        let mut recipe = recipe.clone();
        if let Some(old) = old {
            self.rename_and_kill(&service.name, old).await.map_err(|fault| fault.service(&service.name))?;
        }
        self.report(&service.name, "creating");
        for attempt in 1.. {
            // Creating a container would also create its missing volumes, but without labels.
            if !self.wait(&self.network, Option::is_some).await || !self.wait(&self.volumes, |exist| *exist).await {
                return Ok(None);
            }
            let network = self.network.borrow().clone().unwrap_or_default();
            let (launch, _) = self.inner.launch(self.client, service, &recipe, &network);
            let id = self.inner.create(self.client, &service.name, &launch).await?;
            self.lock_rollback().containers.push(id.clone());
            let has_files = service.mounts.iter().any(|mount| matches!(mount, Mount::Bind(_)));
            let has_resources = !has_files || self.wait(&self.files, |exist| *exist).await;
            if !has_resources || !self.may_start(service).await {
                return Ok(None);
            }
            self.report(&service.name, "starting");
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
            // Retry with a free port: this one was taken meanwhile, or it was requested for a service that can use another.
            self.client.remove(&id).await?;
            recipe.ports.values_mut().for_each(|port| *port = free_port(self.client).unwrap_or_default());
        }
        Ok(None)
    }

    /// Renames and kills the previous container, which shares a port or a volume with the new one.
    async fn rename_and_kill(&self, service: &str, old: &ServiceContainer) -> Result<(), Fault> {
        let ran = old.state() != RunState::Stopped;
        self.lock_rollback().replaced.push((service.to_owned(), old.id().to_owned(), ran));
        self.client.rename(old.id(), &self.inner.names.temporary_container(service, "old", old.instance())).await?;
        self.client.kill(old.id()).await
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

    /// Waits until the dependencies of a service are ready. Returns false if one of them failed.
    async fn may_start(&self, service: &Service) -> bool {
        // The services that the app waits for take longest, so services off the request path start after them.
        if !self.path.contains(&service.name) {
            for stage in self.awaited.iter().filter_map(|name| self.stages.get(name)) {
                if !self.wait(stage, |stage| *stage >= Stage::Started).await {
                    return false;
                }
            }
        }
        for (other, condition) in &service.depends_on {
            // The gateway can start without its dependency if it is routed to the app in the end. If the app starts soon, waiting
            // for it is faster.
            if self.awaited.is_empty() && self.inner.can_start_without(self.client, service, other) {
                continue;
            }
            // An optional service without an image is not waited for.
            let Some(stage) = self.stages.get(other) else { continue };
            let enough = match condition {
                Condition::Healthy if !self.waits_by_itself(service, other) => Stage::Healthy,
                Condition::Healthy | Condition::Started => Stage::Started,
            };
            if !self.wait(stage, |stage| *stage >= enough).await || *stage.borrow() == Stage::Failed {
                return false;
            }
        }
        !self.is_aborted()
    }

    /// Returns true if the service is the app and waits for the other service's health itself.
    fn waits_by_itself(&self, service: &Service, other: &str) -> bool {
        service.name == self.inner.stack.lab.app.service && self.awaited.contains(other)
    }

    /// Waits for a condition. Returns false if the whole call ends first.
    async fn wait<T>(&self, sender: &watch::Sender<T>, enough: impl FnMut(&T) -> bool) -> bool {
        let mut receiver = sender.subscribe();
        tokio::select! {
            reached = receiver.wait_for(enough) => reached.is_ok() && !self.is_aborted(),
            () = self.abort.cancelled() => false,
        }
    }

    /// Error for a deadlock between services. It is a defect, reported instead of waiting forever.
    fn deadlock(&self, limit: Duration) -> EngineError {
        let open = self.stages.iter().filter(|(_, stage)| *stage.borrow() < Stage::Started);
        let open = open.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let detail = format!("not up within {} s; not started: {open}", limit.as_secs());
        EngineError::new(EngineErrorKind::StartupTimeout, detail)
    }

    fn is_aborted(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// Keeps the first error; later ones follow from it.
    fn fail(&self, error: EngineError) {
        self.lock_error().get_or_insert(error);
        self.abort.cancel();
    }

    fn set_stage(&self, service: &str, stage: Stage) {
        if let Some(sender) = self.stages.get(service) {
            sender.send_replace(stage);
        }
    }

    fn report(&self, service: &str, stage: &str) {
        (self.progress)(Progress::stage(service, stage));
    }

    fn lock_rollback(&self) -> MutexGuard<'_, Rollback> {
        self.rollback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_error(&self) -> MutexGuard<'_, Option<EngineError>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
