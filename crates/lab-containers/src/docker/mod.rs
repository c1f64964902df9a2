//! The Docker engine: the stack as containers of a Docker daemon, or of Podman behind its Docker-compatible socket.
//! [`Docker`] keeps nothing of its own: what a lab is stands in the labels of its containers. `client` alone knows bollard.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use lab_core::engine::{
    Ability, Description, Engine, EngineError, EngineErrorKind, LogLines, LogRequest, ProgressFn, Reconciliation,
    Roles, ServiceChange, ServiceSpec, Settings, UpRequest,
};
use lab_http::Http;
use lab_stack::{Optional, Service, Stack};

mod app_image;
mod archive;
mod bring;
mod change;
mod checkup;
mod client;
mod deploy;
mod describe;
mod down;
mod export;
mod ground;
mod images;
mod inventory;
mod launch;
mod logs;
mod made;
mod naming;
mod ports;
mod ready;
mod route;
mod survey;
mod tar;
#[cfg(test)]
mod tests;
mod tidy;
mod up;

pub use archive::{ArchiveError, Archived, Manifest};
pub use checkup::Checkup;
pub use images::ImageReport;
pub use inventory::{Origin, StackImage, StoredImage};
pub use lab_core::engine::{Owner, host_from_env};

use client::Client;
use naming::Names;

/// The engine's name.
pub const NAME: &str = "docker";
/// The lab that takes the ports of the stack's file.
const DEFAULT_LAB: &str = "default";

/// What can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerOptions {
    /// Where the daemon is, as `DOCKER_HOST` has it; none: where one usually is.
    pub host: Option<String>,
    /// The address of the daemon's machine on which ports are published; none: its loopback.
    pub bind: Option<IpAddr>,
    /// Who keeps the lab: what others keep under its name is left alone. None: all of that name is this lab's.
    pub keeper: Option<Owner>,
    /// The app's image, instead of one made from lab's own executable.
    pub app_image: Option<String>,
    /// A static executable for the app's image, instead of lab's own; for tests.
    pub executable: Option<PathBuf>,
    /// A checkout of lab's sources to build the app's image from, though lab's executable would do; for tests.
    pub sources: Option<PathBuf>,
    /// Fetch no image: what is not here is an error.
    pub offline: bool,
    /// How long a pull may go without a sign of life; none: 45 s.
    pub pull_idle: Option<Duration>,
}

impl DockerOptions {
    /// What `DOCKER_HOST` says; the rest as it is by default.
    pub fn from_env() -> Self {
        Self { host: host_from_env(), ..Self::default() }
    }
}

/// Whether two names mean the same image.
pub fn is_same_image(one: &str, other: &str) -> bool {
    client::whole_name(one) == client::whole_name(other)
}

/// The stack of one lab, as containers. Cheap to make: the daemon is asked when it is needed.
pub struct Docker {
    inner: Arc<Inner>,
}

struct Inner {
    names: Names,
    stack: Stack,
    options: DockerOptions,
    client: OnceCell<Client>,
    http: Http,
    changes: Arc<Changes>,
}

/// The changes of one lab in this process, by whichever handle they come: who takes a lab down after Ctrl-C need not be who
/// brings it up.
#[derive(Default)]
struct Changes {
    /// Held during a change.
    one: tokio::sync::Mutex<()>,
    /// Ends every `up` that has begun and not ended.
    ups: Mutex<CancellationToken>,
}

impl Changes {
    fn of(lab: &str, host: Option<&str>) -> Arc<Self> {
        /// By the lab and its daemon.
        type All = BTreeMap<(String, Option<String>), Weak<Changes>>;
        static ALL: Mutex<All> = Mutex::new(All::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, changes| changes.strong_count() > 0);
        let key = (lab.to_owned(), host.map(str::to_owned));
        if let Some(changes) = all.get(&key).and_then(Weak::upgrade) {
            return changes;
        }
        let changes = Arc::new(Self::default());
        all.insert(key, Arc::downgrade(&changes));
        changes
    }

    /// What ends an `up` that begins now.
    fn begin_up(&self) -> CancellationToken {
        self.ups.lock().unwrap_or_else(PoisonError::into_inner).child_token()
    }

    /// Those that are under way give up, though nobody may wait for them any more, and take back what they made.
    fn end_ups(&self) {
        std::mem::take(&mut *self.ups.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
    }
}

impl Docker {
    /// The stack of the lab `lab`.
    pub fn new(lab: &str, stack: Stack, options: DockerOptions) -> Self {
        let changes = Changes::of(lab, options.host.as_deref());
        let names = Names::new(lab, options.keeper.clone());
        let inner = Inner { names, stack, options, client: OnceCell::new(), http: Http::new(), changes };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the daemon answers, and which images are there; fetches and makes nothing.
    pub async fn images(&self) -> Result<ImageReport, EngineError> {
        images::report(&self.inner, self.inner.client().await?).await
    }

    /// The daemon, and what it has to work with.
    pub async fn checkup(&self) -> Result<Checkup, EngineError> {
        checkup::look(self.inner.client().await?).await
    }

    /// The container that has a port of this machine, as people name it.
    pub async fn holder_of(&self, port: u16) -> Result<Option<String>, EngineError> {
        self.inner.holder_of(self.inner.client().await?, port).await
    }

    /// Whether the stack's Grafana runs once the lab is up: it is no optional service, or its image is here.
    pub async fn has_grafana(&self) -> Result<bool, EngineError> {
        let Some((name, _)) = &self.inner.stack.lab.grafana else { return Ok(false) };
        let (Some(service), Some(_)) = (self.inner.service(name), self.inner.optional(name)) else { return Ok(true) };
        Ok(self.inner.client().await?.image(&service.image).await?.is_some())
    }

    /// The port of this machine that the stack's file has for Grafana; none where it has none.
    pub fn grafana_port(&self) -> Option<u16> {
        let (name, target) = self.inner.stack.lab.grafana.as_ref()?;
        self.inner.service(name)?.ports.iter().find(|port| port.target == *target)?.published
    }

    /// Whether a registry has an image; fetches nothing.
    pub async fn in_registry(&self, image: &str) -> Result<(), EngineError> {
        Ok(self.inner.client().await?.in_registry(image).await?)
    }

    /// Every image of the stack, and what the daemon has of it; fetches and makes nothing.
    pub async fn inventory(&self) -> Result<Vec<StackImage>, EngineError> {
        inventory::look(&self.inner, self.inner.client().await?).await
    }

    /// Fetches an image of the stack from its registry, also where there is one of that name already.
    pub async fn pull(&self, image: &StackImage, progress: &ProgressFn) -> Result<StoredImage, EngineError> {
        inventory::fetch(&self.inner, self.inner.client().await?, image, progress).await
    }

    /// Writes those of these images that are here to a file: all of it, or nothing.
    pub async fn save(
        &self,
        images: &[StackImage],
        path: &Path,
        progress: &ProgressFn,
        stop: &CancellationToken,
    ) -> Result<Manifest, ArchiveError> {
        archive::save(self.inner.client().await?, images, path, progress, stop).await
    }

    /// Gives the daemon the images in a file, once every byte of it was checked.
    pub async fn load(
        &self,
        path: &Path,
        progress: &ProgressFn,
        stop: &CancellationToken,
    ) -> Result<Manifest, ArchiveError> {
        archive::load(self.inner.client().await?, path, progress, stop).await
    }
}

impl Inner {
    async fn client(&self) -> Result<&Client, EngineError> {
        self.client.get_or_try_init(|| Client::connect(self.options.host.as_deref(), self.options.bind)).await
    }

    fn service(&self, name: &str) -> Option<&Service> {
        self.stack.services.iter().find(|service| service.name == name)
    }

    fn roles(&self) -> Roles {
        let lab = &self.stack.lab;
        let known = Roles::default();
        Roles {
            gateway: lab.gateway.service.clone(),
            app: lab.app.service.clone(),
            db: lab.database.clone().unwrap_or(known.db),
            key_variable: lab.app.key_variable.clone(),
        }
    }

    fn optional(&self, name: &str) -> Option<&Optional> {
        self.stack.lab.optional.iter().find(|optional| optional.service == name)
    }
}

/// How often `up` surveys the lab at most, if containers vanish while it is at work.
const UP_ROUNDS: usize = 3;

/// Carries a change to its end even where the caller does not wait for it.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(EngineError::new(EngineErrorKind::System, error.to_string())),
    }
}

#[async_trait]
impl Engine for Docker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn services(&self) -> Vec<ServiceSpec> {
        let all = BTreeSet::from([Ability::SetEnv, Ability::Stop, Ability::Kill, Ability::Pause]);
        let services = self.inner.stack.services.iter();
        let spec = |name: &str| ServiceSpec { name: name.to_owned(), abilities: all.clone(), settings: Settings::Open };
        services.map(|service| spec(&service.name)).collect()
    }

    fn roles(&self) -> Roles {
        self.inner.roles()
    }

    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError> {
        let (inner, request) = (self.inner.clone(), request.clone());
        let stop = inner.changes.begin_up();
        to_the_end(async move {
            let _change = inner.changes.one.lock().await;
            inner.client().await?.reach.must_be_possible()?;
            for _ in 1..UP_ROUNDS {
                match inner.up(&request, &progress, &stop).await {
                    // A container was there at the survey and is not any more: the daemon still carries out what a `down` asked
                    // for that was killed.
                    Err(error) if error.kind == EngineErrorKind::Lost => {}
                    result => return result,
                }
            }
            inner.up(&request, &progress, &stop).await
        })
        .await
    }

    async fn down(&self) -> Result<(), EngineError> {
        let inner = self.inner.clone();
        inner.changes.end_ups();
        to_the_end(async move {
            // First, since of a daemon that hangs an `up` takes long to give up.
            inner.client().await?;
            let _change = inner.changes.one.lock().await;
            inner.down().await
        })
        .await
    }

    async fn describe(&self) -> Result<Description, EngineError> {
        self.inner.describe().await
    }

    async fn env(&self, service: &str) -> Result<BTreeMap<String, String>, EngineError> {
        self.inner.env(service).await
    }

    async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let (inner, service, change) = (self.inner.clone(), service.to_owned(), change.clone());
        to_the_end(async move {
            let _change = inner.changes.one.lock().await;
            inner.reconcile(&service, &change).await
        })
        .await
    }

    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        self.inner.logs(request).await
    }
}
