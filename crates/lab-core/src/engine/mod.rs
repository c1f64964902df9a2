//! The interface to what runs a stack. [`Engine`] is narrow: services, up, down, describe, reconcile, logs; everything
//! else is built on these. A change is a desired state ([`ServiceChange`]) rather than a command, so applying it twice
//! is harmless and its undo is the previous state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

mod daemon;
mod database;
mod description;
pub mod environment;
mod error;
pub mod logs;
mod overall;
mod owner;
pub mod port;
mod roles;
pub mod secret;
pub mod sql;
pub mod transition;

pub use daemon::host_from_env;
pub use database::{DbError, DbQuery, DbResult, VIEWER};
pub use description::{Description, Endpoints, Health, MetricsEndpoint, ServiceStatus};
pub use environment::Settings;
pub use error::{EngineError, EngineErrorKind};
pub use logs::{LogLine, LogLines, LogRequest};
pub use overall::Overall;
pub use owner::Owner;
pub use roles::Roles;
pub use transition::{Desired, Execute, Observed, Operation, Plan, plan};

/// The reverse proxy in front of the app.
pub const GATEWAY: &str = "gateway";
/// The service under test.
pub const APP: &str = "app";
/// The app's database.
pub const DB: &str = "db";
/// Environment variable that holds the key the app expects.
pub const KEY_VARIABLE: &str = "APP_API_KEY";

/// Runs a lab's stack.
///
/// Calls to `up`, `down` and `reconcile` complete even if the future is dropped, because half a change is worse than a
/// late one. The engine sets a deadline for each.
#[async_trait]
pub trait Engine: Send + Sync {
    /// `docker`, `embedded` or `swarm`.
    fn name(&self) -> &'static str;

    /// Services of the stack and the operations that each supports.
    fn services(&self) -> Vec<ServiceSpec>;

    /// Maps the roles that scenarios use to services.
    fn roles(&self) -> Roles {
        Roles::default()
    }

    /// Brings the stack up and waits until the request path is healthy. If it is already up, stopped and paused
    /// services are started and nothing else changes.
    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError>;

    /// Stops and removes everything that `up` started. Succeeds if there is nothing to stop.
    async fn down(&self) -> Result<(), EngineError>;

    /// Current state of every service. Returns [`EngineErrorKind::NotUp`] if no stack is running.
    async fn describe(&self) -> Result<Description, EngineError>;

    /// Environment set for a service, without health checks. Empty if the service does not exist. Returns
    /// [`EngineErrorKind::NotUp`] if no stack is running.
    async fn env(&self, service: &str) -> Result<BTreeMap<String, String>, EngineError> {
        let now = self.describe().await?;
        Ok(now.service(service).map(|service| service.env.clone()).unwrap_or_default())
    }

    /// Brings one service to the desired state; a no-op if it is already there. Changing the environment is a rolling
    /// redeploy: if the new instance does not become healthy, it is removed, the old one keeps serving, and the call
    /// returns an error.
    async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError>;

    /// Replaces the data of the database by an empty one, as at the first start. The app must be stopped; it fills the
    /// database when it starts.
    async fn reset_data(&self) -> Result<(), EngineError>;

    /// Output of the services, oldest line first. An error item concerns one service; lines of other services may
    /// follow.
    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError>;

    /// SQL dialect of the app's database. `None` if the engine cannot query it.
    fn dialect(&self) -> Option<sql::Dialect> {
        None
    }

    /// Runs one statement in the app's database. When `stop` completes, the statement is canceled in the database.
    async fn query(&self, _query: &DbQuery, _stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        let error = EngineError::new(EngineErrorKind::Unsupported, "it has no database that can be queried");
        Err(error.for_service(&self.roles().db).into())
    }
}

/// A service and the operations that it supports on an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Name in the stack and in scenarios.
    pub name: String,
    /// Operations that the engine supports for this service.
    pub abilities: BTreeSet<Ability>,
    /// Environment variables that a scenario may set.
    #[serde(default)]
    pub settings: Settings,
}

/// An operation on a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ability {
    /// Redeploy with a different environment.
    SetEnv,
    /// Stop gracefully, finishing open requests.
    Stop,
    /// Stop without letting requests finish.
    Kill,
    /// Freeze, and resume later.
    Pause,
}

impl Ability {
    /// Name in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetEnv => "set_env",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
        }
    }
}

/// Run state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// A process or container runs. It may be unhealthy.
    Running,
    /// Frozen: it keeps its sockets open but answers nothing.
    Paused,
    /// No process runs, for any reason.
    Stopped,
}

impl RunState {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Desired state of a service. Anything not mentioned stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Desired values of environment variables; `None` means unset.
    #[serde(default)]
    pub env: BTreeMap<String, Option<String>>,
    /// Desired run state.
    #[serde(default)]
    pub run: Option<RunState>,
    /// Apply the change immediately, without letting requests finish. Describes the transition, not the state.
    #[serde(default)]
    pub abrupt: bool,
}

impl ServiceChange {
    /// Sets one environment variable.
    pub fn env(name: &str, value: &str) -> Self {
        Self { env: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]), ..Self::default() }
    }

    /// Changes the run state.
    pub fn run(state: RunState) -> Self {
        Self { run: Some(state), ..Self::default() }
    }

    /// Stops the service without letting requests finish.
    pub fn kill() -> Self {
        Self { run: Some(RunState::Stopped), abrupt: true, ..Self::default() }
    }

    /// The inverse change: the current values of everything that this change mentions.
    #[must_use]
    pub fn before(&self, now: &ServiceStatus) -> Self {
        Self {
            env: self.env.keys().map(|name| (name.clone(), now.env.get(name).cloned())).collect(),
            run: self.run.map(|_| now.state),
            abrupt: false,
        }
    }

    /// Server key after this change, if the change sets it.
    pub fn server_key(&self, service: &str, roles: &Roles) -> Option<&str> {
        self.env.get(&roles.key_variable).filter(|_| service == roles.app)?.as_deref()
    }

    /// Abilities that a service needs for this change.
    pub fn abilities(&self) -> impl Iterator<Item = Ability> {
        let run = self.run.and_then(|run| match run {
            RunState::Running => None,
            RunState::Paused => Some(Ability::Pause),
            RunState::Stopped if self.abrupt => Some(Ability::Kill),
            RunState::Stopped => Some(Ability::Stop),
        });
        (!self.env.is_empty()).then_some(Ability::SetEnv).into_iter().chain(run)
    }

    /// The environment after this change.
    #[must_use]
    pub fn env_after(&self, before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut env = before.clone();
        for (name, value) in &self.env {
            match value {
                Some(value) => env.insert(name.clone(), value.clone()),
                None => env.remove(name),
            };
        }
        env
    }

    /// Returns whether the service is already in the desired state.
    pub fn is_met_by(&self, now: &ServiceStatus) -> bool {
        self.run.is_none_or(|run| run == now.state)
            && self.env.iter().all(|(name, value)| now.env.get(name) == value.as_ref())
    }
}

/// Options for bringing up a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpRequest {
    /// Port of the gateway on 127.0.0.1; 0 picks a free one.
    pub gateway_port: u16,
    /// Initial environment in addition to the stack's own: `app` → `APP_API_KEY` → value.
    pub env: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the stack stops with the process that started it.
    pub tied: bool,
}

/// Progress of `up`. Best effort, never part of the run history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Service that changes its stage.
    pub service: String,
    /// Such as `starting` or `healthy`.
    pub stage: String,
    /// For an image pull: bytes downloaded, and the total as far as it is known.
    pub bytes: Option<(u64, u64)>,
}

impl Progress {
    /// Reports the stage of a service.
    pub fn stage(service: &str, stage: &str) -> Self {
        Self { service: service.to_owned(), stage: stage.to_owned(), bytes: None }
    }

    /// Reports the download progress of a service's image.
    pub fn pulling(service: &str, done: u64, total: u64) -> Self {
        Self { service: service.to_owned(), stage: "pulling".to_owned(), bytes: Some((done, total)) }
    }
}

/// Callback for [`Progress`].
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// Result of [`Engine::reconcile`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// False if the service was already in the desired state.
    pub changed: bool,
    /// Instances that were removed, each with its last metrics if available.
    pub retired: Vec<Retired>,
}

/// An instance that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Engine id of the instance, which is never used again.
    pub instance: String,
    /// Last response of `/metrics`, in the text format.
    pub exposition: Option<String>,
}
