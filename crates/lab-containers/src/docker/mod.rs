//! The Docker engine: runs the stack as containers of a Docker daemon, or of Podman through its Docker-compatible socket.
//! [`Docker`] is stateless: everything is derived from the daemon and its labels. Only `client` uses bollard.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use lab_core::engine::sql::Dialect;
use lab_core::engine::{
    Ability, DbError, DbQuery, DbResult, Description, Engine, EngineError, EngineErrorKind, LogLines, LogRequest,
    ProgressFn, Reconciliation, Roles, ServiceChange, ServiceSpec, Settings, UpRequest,
};
use lab_http::Http;
use lab_stack::{Optional, Service, Stack};

mod app_image;
mod archive;
mod change;
mod checkup;
pub(crate) mod client;
mod deploy;
mod describe;
mod down;
mod export;
mod hash;
mod images;
mod inventory;
mod launch;
mod leftovers;
mod logs;
pub(crate) mod names;
mod observed_state;
mod ports;
mod probe;
mod query;
mod resources;
mod rollback;
mod route;
mod startup;
pub(crate) mod tar;
#[cfg(test)]
mod tests;
mod transition;
mod up;

pub use archive::{ArchiveError, Archived, Manifest};
pub use checkup::Checkup;
pub use images::ImageReport;
pub use inventory::{Origin, StackImage, StoredImage};
pub use lab_core::engine::{Owner, host_from_env};

use client::Client;
use names::Names;

/// Name of this engine in records and options.
pub const NAME: &str = "docker";
/// The lab that uses the ports of the stack file.
const DEFAULT_LAB: &str = "default";

/// Options of the Docker engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerOptions {
    /// Address of the daemon in the form of `DOCKER_HOST`. `None` uses the platform's default.
    pub host: Option<String>,
    /// Address of the daemon's machine on which ports are published. `None` uses its loopback address.
    pub bind: Option<IpAddr>,
    /// Owner of the lab. Labs of the same name that belong to another owner are left alone. `None` selects them all.
    pub owner: Option<Owner>,
    /// Image for the app, instead of one built from lab's own executable.
    pub app_image: Option<String>,
    /// Static executable for the app's image, instead of lab's own. For tests.
    pub executable: Option<PathBuf>,
    /// Checkout of lab's sources from which the app's image is built, even if lab's executable could be used. For tests.
    pub sources: Option<PathBuf>,
    /// Do not pull images; a missing image is an error.
    pub offline: bool,
    /// Time that a pull may go without progress. `None` means 45 s.
    pub pull_idle: Option<Duration>,
}

impl DockerOptions {
    /// Options with the host from `DOCKER_HOST` and defaults for the rest.
    pub fn from_env() -> Self {
        Self { host: host_from_env(), ..Self::default() }
    }
}

/// Returns true if both names refer to the same image.
pub fn is_same_image(one: &str, other: &str) -> bool {
    client::whole_name(one) == client::whole_name(other)
}

/// The stack of one lab as containers. Cheap to create: the connection is made on first use.
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

/// Changes to one lab in this process, shared by all of its handles: after Ctrl-C, the handle that calls `down` may not be the
/// one that called `up`.
#[derive(Default)]
struct Changes {
    /// Held during a change.
    mutex: tokio::sync::Mutex<()>,
    /// Parent of the tokens that stop an `up` in progress.
    ups: Mutex<CancellationToken>,
}

impl Changes {
    fn shared(lab: &str, host: Option<&str>) -> Arc<Self> {
        /// Keyed by lab and daemon.
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

    /// Returns the token that stops an `up` that starts now.
    fn begin_up(&self) -> CancellationToken {
        self.ups.lock().unwrap_or_else(PoisonError::into_inner).child_token()
    }

    /// Makes every `up` in progress stop and roll back, even if its caller is gone.
    fn end_ups(&self) {
        std::mem::take(&mut *self.ups.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
    }
}

impl Docker {
    /// Engine for the lab called `lab`.
    pub fn new(lab: &str, stack: Stack, options: DockerOptions) -> Self {
        let changes = Changes::shared(lab, options.host.as_deref());
        let names = Names::new(lab, options.owner.clone());
        let inner = Inner { names, stack, options, client: OnceCell::new(), http: Http::new(), changes };
        Self { inner: Arc::new(inner) }
    }

    /// Checks that the daemon answers, and which images it has. Pulls and builds nothing.
    pub async fn images(&self) -> Result<ImageReport, EngineError> {
        images::report(&self.inner, self.inner.client().await?).await
    }

    /// Describes the daemon and its resources.
    pub async fn checkup(&self) -> Result<Checkup, EngineError> {
        checkup::inspect(self.inner.client().await?).await
    }

    /// Describes the container that uses a port of this machine, for messages.
    pub async fn holder_of(&self, port: u16) -> Result<Option<String>, EngineError> {
        self.inner.holder_of(self.inner.client().await?, port).await
    }

    /// Returns true if Grafana will run once the lab is up: it is not optional, or its image is available.
    pub async fn has_grafana(&self) -> Result<bool, EngineError> {
        let Some((name, _)) = &self.inner.stack.lab.grafana else { return Ok(false) };
        let (Some(service), Some(_)) = (self.inner.service(name), self.inner.optional(name)) else { return Ok(true) };
        Ok(self.inner.client().await?.image(&service.image).await?.is_some())
    }

    /// Port of this machine that the stack file publishes for Grafana.
    pub fn grafana_port(&self) -> Option<u16> {
        let (name, target) = self.inner.stack.lab.grafana.as_ref()?;
        self.inner.service(name)?.ports.iter().find(|port| port.target == *target)?.published
    }

    /// Checks that the registry has an image. Pulls nothing.
    pub async fn in_registry(&self, image: &str) -> Result<(), EngineError> {
        Ok(self.inner.client().await?.in_registry(image).await?)
    }

    /// Lists the images of the stack and their state on the daemon. Pulls and builds nothing.
    pub async fn inventory(&self) -> Result<Vec<StackImage>, EngineError> {
        inventory::list(&self.inner, self.inner.client().await?).await
    }

    /// Pulls an image of the stack from its registry, even if an image of that name exists.
    pub async fn pull(&self, image: &StackImage, progress: &ProgressFn) -> Result<StoredImage, EngineError> {
        inventory::pull(&self.inner, self.inner.client().await?, image, progress).await
    }

    /// Writes those of these images that the daemon has to a file. On an error, no file is left.
    pub async fn save(
        &self,
        images: &[StackImage],
        path: &Path,
        progress: &ProgressFn,
        stop: &CancellationToken,
    ) -> Result<Manifest, ArchiveError> {
        archive::save(self.inner.client().await?, images, path, progress, stop).await
    }

    /// Loads the images of a file into the daemon, after verifying every byte.
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

/// Number of times that `up` observes the lab and starts it, if containers disappear meanwhile.
const UP_ROUNDS: usize = 3;

/// Runs a change to completion, even if the caller stops waiting for it.
pub(crate) async fn run_to_completion<T: Send + 'static>(
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
        run_to_completion(async move {
            let _change = inner.changes.mutex.lock().await;
            inner.client().await?.reach.check_reachable()?;
            for _ in 1..UP_ROUNDS {
                match Box::pin(inner.up(&request, &progress, &stop)).await {
                    // A container disappeared after the lab was observed: the daemon is still executing a `down` that was killed.
                    Err(error) if error.kind == EngineErrorKind::Lost => {}
                    result => return result,
                }
            }
            Box::pin(inner.up(&request, &progress, &stop)).await
        })
        .await
    }

    async fn down(&self) -> Result<(), EngineError> {
        let inner = self.inner.clone();
        inner.changes.end_ups();
        run_to_completion(async move {
            // Connect before taking the lock, because an `up` takes long to stop if the daemon hangs.
            inner.client().await?;
            let _change = inner.changes.mutex.lock().await;
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
        run_to_completion(async move {
            let _change = inner.changes.mutex.lock().await;
            Box::pin(inner.reconcile(&service, &change)).await
        })
        .await
    }

    async fn reset_data(&self) -> Result<(), EngineError> {
        let inner = self.inner.clone();
        run_to_completion(async move {
            let _change = inner.changes.mutex.lock().await;
            Box::pin(inner.reset_data()).await
        })
        .await
    }

    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        self.inner.logs(request).await
    }

    fn dialect(&self) -> Option<Dialect> {
        Some(Dialect::Postgres)
    }

    async fn query(&self, query: &DbQuery, stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        self.inner.query(query, stop).await
    }
}
