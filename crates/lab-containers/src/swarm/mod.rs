//! The Swarm engine: runs a lab as one service with one task, `lab host` in a container of lab's own image. Swarm places the task on
//! a node, spreads the labs and starts a lost task elsewhere. Faults happen inside the container, so Swarm never heals them.
//!
//! - A lab publishes three ports on its node, unique in the Swarm: the gateway, the control port (TLS and a token), and the
//!   metrics pages. Host-mode ports bind all addresses of the node.
//! - A task that Swarm started again is a new lab: its data, keys and environment are those of the first start. The id of the
//!   task is in `swarm.json`; a call to another task fails, and `up` starts the lab again with what it had.
//! - A lab ends when its service is removed. Its host never ends it, because Swarm would start it again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OnceCell};

use crate::docker::client::Client;
use crate::docker::client::swarm::SwarmRole;
use crate::docker::run_to_completion;
use lab_core::engine::sql::Dialect;
use lab_core::engine::{
    DbError, DbQuery, DbResult, Description, Engine, EngineError, EngineErrorKind, LogLines, LogRequest, Owner,
    ProgressFn, Reconciliation, ServiceChange, ServiceSpec, UpRequest,
};
use lab_host::HostClient;
use lab_system::files::Folder;

mod cluster;
mod endpoints;
mod image;
mod names;
mod place;
mod record;
mod task_host;
mod up;

pub use cluster::{Cluster, ClusterStatus, NodeStatus, Placed};
pub use image::ImageError;

use names::Names;
use record::Record;
use task_host::TaskHost;

/// Name of this engine in records and options.
pub const NAME: &str = "swarm";

/// Options of the Swarm engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwarmOptions {
    /// Address of a manager in the form of `DOCKER_HOST`. `None` uses the platform's default.
    pub host: Option<String>,
    /// Image of lab by the digest of a registry, instead of one made from lab's own executable.
    pub image: Option<String>,
    /// Static executable for the image, instead of lab's own. For tests.
    pub executable: Option<PathBuf>,
}

/// One lab as a service of a Swarm. Cheap to create: the connection is made on first use.
pub struct Swarm {
    inner: Arc<Inner>,
}

struct Inner {
    names: Names,
    folder: Folder,
    options: SwarmOptions,
    client: OnceCell<Client>,
    /// Held during `up` and `down`.
    change: Mutex<()>,
}

impl Swarm {
    /// Creates the engine of a lab whose state is in this folder.
    pub fn new(lab: &str, folder: &Folder, owner: &Owner, options: SwarmOptions) -> Self {
        let names = Names::new(lab, owner);
        let (client, change) = (OnceCell::new(), Mutex::default());
        Self { inner: Arc::new(Inner { names, folder: folder.clone(), options, client, change }) }
    }

    fn calls(&self) -> HostClient<TaskHost> {
        self.inner.calls()
    }
}

impl Inner {
    fn calls(self: &Arc<Self>) -> HostClient<TaskHost> {
        HostClient::new(TaskHost::new(self))
    }

    async fn client(&self) -> Result<&Client, EngineError> {
        self.client.get_or_try_init(|| connect_manager(self.options.host.as_deref())).await
    }

    async fn describe(self: &Arc<Self>) -> Result<Description, EngineError> {
        let now = self.calls().describe().await?;
        let record = Record::read(&self.folder)?;
        Ok(record.map_or(now.clone(), |record| endpoints::from_outside(now, &record)))
    }

    async fn down(&self) -> Result<(), EngineError> {
        let _change = self.change.lock().await;
        // Without a record, nothing was created. A damaged one does not matter here.
        if matches!(Record::read(&self.folder), Ok(None)) {
            return Ok(());
        }
        self.remove().await?;
        Record::remove(&self.folder)
    }

    /// Removes the service and the secret of the lab. Its container ends within seconds.
    async fn remove(&self) -> Result<(), EngineError> {
        let client = self.client().await?;
        client.remove_service(&self.names.service()).await?;
        Ok(client.remove_secrets(&self.names.filter()).await?)
    }

    /// Remembers the environment of a service, for the next start of the lab.
    async fn remember(self: &Arc<Self>, service: &str) -> Result<(), EngineError> {
        let now = self.calls().describe().await?;
        let Some(status) = now.service(service) else { return Ok(()) };
        let Some(mut record) = Record::read(&self.folder)? else { return Ok(()) };
        if record.env.get(service) == Some(&status.env) {
            return Ok(());
        }
        record.env.insert(service.to_owned(), status.env.clone());
        record.write(&self.folder)
    }
}

/// Returns true if a lab with this folder was on a Swarm, whatever its record says.
pub fn has_record(folder: &Folder) -> bool {
    folder.path(record::FILE).exists()
}

/// Connects to a daemon, which must be a manager of a Swarm.
async fn connect_manager(host: Option<&str>) -> Result<Client, EngineError> {
    let client = Client::connect(host, None).await?;
    let unsupported = |detail: String| EngineError::new(EngineErrorKind::Unsupported, detail);
    if client.podman {
        return Err(unsupported(format!("{} is Podman, which has no Swarm", client.host())));
    }
    match client.swarm_role().await? {
        SwarmRole::Manager => Ok(client),
        SwarmRole::Worker => {
            Err(unsupported(format!("the Docker daemon at {} is only a worker of its Swarm", client.host()))
                .hint("set DOCKER_HOST to a manager: ssh://MANAGER"))
        }
        SwarmRole::None => Err(unsupported(format!("the Docker daemon at {} is in no Swarm", client.host()))
            .hint("create one with lab swarm init, or set DOCKER_HOST to a manager")),
    }
}

#[async_trait]
impl Engine for Swarm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn services(&self) -> Vec<ServiceSpec> {
        lab_host::services()
    }

    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError> {
        let (inner, request) = (self.inner.clone(), request.clone());
        run_to_completion(async move { inner.up(&request, &progress).await }).await
    }

    async fn down(&self) -> Result<(), EngineError> {
        let inner = self.inner.clone();
        run_to_completion(async move { inner.down().await }).await
    }

    async fn describe(&self) -> Result<Description, EngineError> {
        self.inner.describe().await
    }

    async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let (inner, name, change) = (self.inner.clone(), service.to_owned(), change.clone());
        run_to_completion(async move {
            let done = inner.calls().reconcile(&name, &change).await?;
            if !change.env.is_empty() {
                inner.remember(&name).await?;
            }
            Ok(done)
        })
        .await
    }

    async fn reset_data(&self) -> Result<(), EngineError> {
        self.calls().reset_data().await
    }

    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        self.calls().logs(request).await
    }

    fn dialect(&self) -> Option<Dialect> {
        Some(Dialect::Sqlite)
    }

    async fn query(&self, query: &DbQuery, stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        self.calls().query(query, stop).await
    }
}

/// Environment by service, then variable.
type Environment = BTreeMap<String, BTreeMap<String, String>>;
