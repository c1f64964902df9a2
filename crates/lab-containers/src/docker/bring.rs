//! Services on their way up, side by side: each is made at once, and started as soon as what it depends on is as it has to
//! be. On an error, what this call made is gone again.

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
use super::made::Made;
use super::ready::healthy_timeout;
use super::survey::{Found, Survey};
use super::up::{Task, interrupted, needed};
use lab_core::engine::{EngineError, EngineErrorKind, Progress, ProgressFn, RunState};
use lab_stack::{Condition, Mount, Service};
use lab_system::deadline;

/// How often a container is made again because somebody took its port in the meantime.
const PORT_ATTEMPTS: usize = 3;
/// How long files may take into their volumes, and whatever else the daemon does beside.
const GROUND_TIMEOUT: Duration = Duration::from_mins(5);
/// How long a service that had ended by itself is looked at, once it was started again: most end again at once.
const RELAPSE: Duration = Duration::from_secs(1);

/// How far a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    Started,
    Healthy,
    Failed,
}

/// One call of `up`.
pub(super) struct Up<'a> {
    inner: &'a Inner,
    client: &'a Client,
    progress: &'a ProgressFn,
    /// The call ends: it was told to, or something failed.
    abort: CancellationToken,
    images: &'a Images,
    /// What was there before.
    survey: &'a Survey,
    stages: BTreeMap<String, watch::Sender<Stage>>,
    /// Services that a request passes through, and what those need.
    path: BTreeSet<String>,
    /// Those, and what another that starts needs healthy: waited for until they are well.
    pub(super) well: BTreeSet<String>,
    /// Services that a new instance of the app waits for by itself, and speaks for.
    awaited: BTreeSet<String>,
    /// What the network is addressed by, once it is there.
    network: watch::Sender<Option<String>>,
    /// The named volumes are there.
    volumes: watch::Sender<bool>,
    /// The files are in their volumes.
    files: watch::Sender<bool>,
    made: Mutex<Made>,
    error: Mutex<Option<EngineError>>,
}

impl<'a> Up<'a> {
    pub(super) fn new(
        inner: &'a Inner,
        client: &'a Client,
        progress: &'a ProgressFn,
        images: &'a Images,
        survey: &'a Survey,
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
            survey,
            stages: stages.collect(),
            awaited: inner.awaited(tasks, &path),
            well: needed(tasks).chain(path.iter().cloned()).collect(),
            path,
            network: watch::Sender::new(survey.network.clone()),
            volumes: watch::Sender::new(false),
            files: watch::Sender::new(false),
            made: Mutex::new(Made { all: survey.is_empty(), ..Made::default() }),
            error: Mutex::new(None),
        }
    }

    pub(super) async fn run(&self, tasks: &[(&Service, Task<'_>)]) -> Result<(), EngineError> {
        let fresh: Vec<&Service> =
            tasks.iter().filter(|(_, task)| matches!(task, Task::Make { .. })).map(|(service, _)| *service).collect();
        let services = join_all(tasks.iter().map(|(service, task)| self.bring(service, task)));
        let mut all = pin!(async { tokio::join!(self.ground(&fresh), services) });
        // One after the other, at worst.
        let patience =
            tasks.iter().fold(GROUND_TIMEOUT, |sum, (service, _)| sum.saturating_add(healthy_timeout(service)));
        tokio::select! {
            _ = &mut all => {}
            () = deadline::sleep(patience) => {
                self.fail(self.stuck(patience));
                all.await;
            }
        }
        let error = self.lock_error().take();
        let result = match error {
            Some(error) => Err(error),
            None if self.abort.is_cancelled() => Err(interrupted()),
            // It may have looked for the app before that was there, or when it was elsewhere.
            None => self.inner.lead(self.client).await,
        };
        if result.is_err() {
            let made = std::mem::take(&mut *self.lock_made());
            made.take_back(self.inner, self.client).await;
            return result;
        }
        let replaced = std::mem::take(&mut self.lock_made().replaced);
        for (service, old, _) in replaced {
            self.client.remove(&old).await.map_err(|fault| fault.service(&service))?;
        }
        if fresh.iter().any(|service| !service.mounts.is_empty()) && !self.lock_made().all {
            self.inner.remove_stale_files(self.client).await;
        }
        result
    }

    /// What the containers stand on: the network, the named volumes, the files.
    async fn ground(&self, fresh: &[&Service]) {
        let (inner, client) = (self.inner, self.client);
        if self.survey.is_empty()
            && let Err(error) = inner.claim(client).await
        {
            return self.fail(error);
        }
        let network = async {
            if self.survey.network.is_none() {
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
            Task::Keep(_) if self.inner.is_vouched_for(client, service, self.survey).await => {
                return Ok(Stage::Healthy);
            }
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
        if !self.well.contains(name) {
            if changed && !(task.had_ended() && self.ends_again(service, &id).await) {
                self.say(name, "started");
            }
            return Ok(Stage::Started);
        }
        if !self.until_well(service, &id).await? {
            return Ok(Stage::Failed);
        }
        if changed {
            self.say(name, "healthy");
        }
        Ok(Stage::Healthy)
    }

    /// Whether a service ends soon after it was started.
    async fn ends_again(&self, service: &Service, id: &str) -> bool {
        tokio::select! {
            _ = self.inner.until_ended(self.client, service, id) => true,
            () = tokio::time::sleep(RELAPSE) => false,
        }
    }

    /// Waits until a service is healthy. False where something else failed meanwhile.
    async fn until_well(&self, service: &Service, id: &str) -> Result<bool, EngineError> {
        let (inner, client) = (self.inner, self.client);
        let app = self.stages.get(&inner.stack.lab.app.service).filter(|_| self.awaited.contains(&service.name));
        if let Some(app) = app {
            return tokio::select! {
                reached = self.wait(app, |stage| *stage >= Stage::Healthy) => {
                    Ok(reached && *app.borrow() == Stage::Healthy)
                }
                error = inner.until_ended(client, service, id) => Err(error),
            };
        }
        let healthy = async {
            let address = inner.address_of(client, service, id).await?;
            inner.until_healthy(client, service, id, address.as_deref(), healthy_timeout(service)).await
        };
        tokio::select! {
            healthy = healthy => healthy.map(|()| true),
            () = self.abort.cancelled() => Ok(false),
        }
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
            self.set_aside(&service.name, old).await.map_err(|fault| fault.service(&service.name))?;
        }
        self.say(&service.name, "creating");
        for attempt in 1.. {
            // A volume that is not there is made along with the container, but without its labels.
            if !self.wait(&self.network, Option::is_some).await || !self.wait(&self.volumes, |there| *there).await {
                return Ok(None);
            }
            let network = self.network.borrow().clone().unwrap_or_default();
            let (launch, _) = self.inner.launch(self.client, service, &recipe, &network);
            let id = self.inner.create(self.client, &service.name, &launch).await?;
            self.lock_made().containers.push(id.clone());
            let has_files = service.mounts.iter().any(|mount| matches!(mount, Mount::Bind(_)));
            let has_ground = !has_files || self.wait(&self.files, |there| *there).await;
            if !has_ground || !self.may_start(service).await {
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
            recipe.ports.values_mut().for_each(|port| *port = free_port(self.client).unwrap_or_default());
        }
        Ok(None)
    }

    /// Ends what was there before: they share a port or a volume.
    async fn set_aside(&self, service: &str, old: &Found) -> Result<(), Fault> {
        let ran = old.state() != RunState::Stopped;
        self.lock_made().replaced.push((service.to_owned(), old.id().to_owned(), ran));
        self.client.rename(old.id(), &self.inner.names.passing(service, "old", old.instance())).await?;
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

    /// Waits until all is there that a service depends on. False where that will not come.
    async fn may_start(&self, service: &Service) -> bool {
        // What the app waits for takes longest: nothing that no request passes through starts beside it.
        if !self.path.contains(&service.name) {
            for stage in self.awaited.iter().filter_map(|name| self.stages.get(name)) {
                if !self.wait(stage, |stage| *stage >= Stage::Started).await {
                    return false;
                }
            }
        }
        for (other, condition) in &service.depends_on {
            // The gateway finds the app's name whether the app is there or not, and is led to it in the end. One that starts
            // soon is worth waiting for: to lead the gateway takes longer.
            if self.awaited.is_empty() && self.inner.leads_anyway(self.client, service, other) {
                continue;
            }
            // An optional service whose image is not there is not waited for.
            let Some(stage) = self.stages.get(other) else { continue };
            let enough = match condition {
                Condition::Healthy if !self.may_be_unwell(service, other) => Stage::Healthy,
                Condition::Healthy | Condition::Started => Stage::Started,
            };
            if !self.wait(stage, |stage| *stage >= enough).await || *stage.borrow() == Stage::Failed {
                return false;
            }
        }
        !self.over()
    }

    /// Whether one service is the app, which waits by itself until the other is healthy.
    fn may_be_unwell(&self, service: &Service, other: &str) -> bool {
        service.name == self.inner.stack.lab.app.service && self.awaited.contains(other)
    }

    /// Waits for something; false where the whole call ends before.
    async fn wait<T>(&self, sender: &watch::Sender<T>, enough: impl FnMut(&T) -> bool) -> bool {
        let mut receiver = sender.subscribe();
        tokio::select! {
            reached = receiver.wait_for(enough) => reached.is_ok() && !self.over(),
            () = self.abort.cancelled() => false,
        }
    }

    /// Something waits for what does not come: a defect, which is told rather than waited on.
    fn stuck(&self, patience: Duration) -> EngineError {
        let open = self.stages.iter().filter(|(_, stage)| *stage.borrow() < Stage::Started);
        let open = open.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let detail = format!("not up within {} s; not started: {open}", patience.as_secs());
        EngineError::new(EngineErrorKind::StartupTimeout, detail)
    }

    fn over(&self) -> bool {
        self.abort.is_cancelled()
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

    fn lock_made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_error(&self) -> MutexGuard<'_, Option<EngineError>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
