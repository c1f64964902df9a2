//! The Docker engine: the stack as containers of a Docker daemon, or of Podman behind its Docker-compatible socket.
//! [`Docker`] keeps nothing of its own: what a lab is stands in the labels of its containers. `client` alone knows bollard.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{
    Ability, Description, Engine, EngineError, EngineErrorKind, Ensured, LogLine, LogRequest, ProgressFn,
    ServiceChange, ServiceSpec, UpRequest,
};
use crate::http::Http;
use crate::stack::{Optional, Service, Stack};

mod app_image;
mod change;
mod client;
mod deploy;
mod describe;
mod down;
mod images;
mod launch;
mod logs;
mod naming;
mod ports;
mod ready;
mod survey;
mod tar;
#[cfg(test)]
mod tests;
mod up;

pub use images::ImageReport;

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
    /// The app's image, instead of one made from lab's own executable.
    pub app_image: Option<String>,
    /// A static executable for the app's image, instead of lab's own; for tests.
    pub executable: Option<PathBuf>,
    /// Fetch the images of optional services too, where they are missing.
    pub pull_optional: bool,
    /// How long a pull may go without a sign of life; none: 45 s.
    pub pull_idle: Option<Duration>,
}

impl DockerOptions {
    /// What `DOCKER_HOST` says; the rest as it is by default.
    pub fn from_env() -> Self {
        Self { host: host_from_env(), ..Self::default() }
    }
}

/// What `DOCKER_HOST` says, if it says anything.
pub fn host_from_env() -> Option<String> {
    std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty())
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
    /// Held during a change.
    change: tokio::sync::Mutex<()>,
    /// Ends the `up` that is under way.
    bringing_up: Mutex<CancellationToken>,
}

impl Docker {
    /// The stack of the lab `lab`.
    pub fn new(lab: &str, stack: Stack, options: DockerOptions) -> Self {
        let inner = Inner {
            names: Names::new(lab),
            stack,
            options,
            client: OnceCell::new(),
            http: Http::new(),
            change: tokio::sync::Mutex::new(()),
            bringing_up: Mutex::new(CancellationToken::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the daemon answers, and which images are there; fetches and makes nothing.
    pub async fn images(&self) -> Result<ImageReport, EngineError> {
        images::report(&self.inner, self.inner.client().await?).await
    }
}

impl Inner {
    async fn client(&self) -> Result<&Client, EngineError> {
        self.client.get_or_try_init(|| Client::connect(self.options.host.as_deref())).await
    }

    fn service(&self, name: &str) -> Option<&Service> {
        self.stack.services.iter().find(|service| service.name == name)
    }

    fn optional(&self, name: &str) -> Option<&Optional> {
        self.stack.lab.optional.iter().find(|optional| optional.service == name)
    }
}

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
        services.map(|service| ServiceSpec { name: service.name.clone(), abilities: all.clone() }).collect()
    }

    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError> {
        let (inner, request) = (self.inner.clone(), request.clone());
        to_the_end(async move {
            let _change = inner.change.lock().await;
            let stop = CancellationToken::new();
            *inner.bringing_up.lock().unwrap_or_else(PoisonError::into_inner) = stop.clone();
            inner.up(&request, &progress, &stop).await
        })
        .await
    }

    async fn down(&self) -> Result<(), EngineError> {
        let inner = self.inner.clone();
        // An `up` that is under way, though nobody waits for it any more, gives up, and takes back what it made.
        inner.bringing_up.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        to_the_end(async move {
            let _change = inner.change.lock().await;
            inner.down().await
        })
        .await
    }

    async fn describe(&self) -> Result<Description, EngineError> {
        self.inner.describe().await
    }

    async fn ensure(&self, service: &str, change: &ServiceChange) -> Result<Ensured, EngineError> {
        let (inner, service, change) = (self.inner.clone(), service.to_owned(), change.clone());
        to_the_end(async move {
            let _change = inner.change.lock().await;
            inner.ensure(&service, &change).await
        })
        .await
    }

    async fn logs(
        &self,
        request: &LogRequest,
    ) -> Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError> {
        self.inner.logs(request).await
    }
}
