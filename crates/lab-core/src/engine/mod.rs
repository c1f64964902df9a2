//! What runs a stack. [`Engine`] is narrow: services, up, down, describe, ensure, logs; everything else is built on these.
//! A change is a wanted state ([`ServiceChange`]), never a command, so that applying it twice is harmless and its undo is
//! the state before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

mod daemon;
pub mod environment;
mod error;
mod keeper;
pub mod logs;
mod overall;
pub mod port;
mod roles;

pub use daemon::host_from_env;
pub use environment::Settings;
pub use error::{EngineError, EngineErrorKind};
pub use keeper::Keeper;
pub use logs::{LogLine, LogLines, LogRequest};
pub use overall::Overall;
pub use roles::Roles;

/// The reverse proxy in front of the app.
pub const GATEWAY: &str = "gateway";
/// The service under test.
pub const APP: &str = "app";
/// The app's database.
pub const DB: &str = "db";
/// The environment variable of the app that holds the key it expects.
pub const KEY_VARIABLE: &str = "APP_API_KEY";

/// Something that runs a lab's stack.
///
/// A call to `up`, `down` or `ensure` is carried to its end or to an error even when the future is dropped: half a change
/// is worse than a late one. Each has a deadline of its own inside the engine.
#[async_trait]
pub trait Engine: Send + Sync {
    /// `docker`, `embedded`.
    fn name(&self) -> &'static str;

    /// The services of the stack, and what can be done to each.
    fn services(&self) -> Vec<ServiceSpec>;

    /// Which of them plays which part.
    fn roles(&self) -> Roles {
        Roles::default()
    }

    /// Brings the stack up and waits until the request path is healthy. Where it runs already, every service that is
    /// stopped or paused is running afterwards, and nothing else changes.
    async fn up(&self, request: &UpRequest, progress: ProgressFn) -> Result<Description, EngineError>;

    /// Ends everything that `up` started. Nothing to end is no error.
    async fn down(&self) -> Result<(), EngineError>;

    /// The state of every service now. [`EngineErrorKind::NotUp`] where no stack runs.
    async fn describe(&self) -> Result<Description, EngineError>;

    /// The environment that was set for a service, without asking whether anything is well; empty where it is not there.
    /// [`EngineErrorKind::NotUp`] where no stack runs.
    async fn env(&self, service: &str) -> Result<BTreeMap<String, String>, EngineError> {
        let now = self.describe().await?;
        Ok(now.service(service).map(|service| service.env.clone()).unwrap_or_default())
    }

    /// Brings one service to the wanted state; does nothing where it is in it already. A change of the environment is a
    /// rolling redeploy: a new instance that never becomes healthy is removed, the old one keeps serving, and the call is an error.
    async fn ensure(&self, service: &str, change: &ServiceChange) -> Result<Ensured, EngineError>;

    /// The services' own output, oldest line first. An item that is an error concerns one service: others' lines follow.
    async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError>;
}

/// A service, and what can be done to it on an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// `gateway`, `app`, `db`, ….
    pub name: String,
    /// What can be done to it.
    pub abilities: BTreeSet<Ability>,
    /// The environment variables that a scenario may set.
    #[serde(default)]
    pub settings: Settings,
}

/// Something that can be done to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ability {
    /// Redeploy it with another environment.
    SetEnv,
    /// Stop it, letting it finish its requests.
    Stop,
    /// Kill it.
    Kill,
    /// Freeze it.
    Pause,
}

impl Ability {
    /// As it is written in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetEnv => "set_env",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
        }
    }
}

/// Whether a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It runs.
    Running,
    /// It is frozen: it holds its sockets and answers nothing.
    Paused,
    /// It does not run.
    Stopped,
}

impl RunState {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The state that a service shall be in. What is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Environment variables and their wanted values; `None`: not set.
    #[serde(default)]
    pub env: BTreeMap<String, Option<String>>,
    /// Whether it shall run.
    #[serde(default)]
    pub run: Option<RunState>,
    /// Get there at once, without letting requests finish. Part of the way, not of the state.
    #[serde(default)]
    pub abrupt: bool,
}

impl ServiceChange {
    /// One environment variable with a value.
    pub fn env(name: &str, value: &str) -> Self {
        Self { env: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]), ..Self::default() }
    }

    /// Running, paused or stopped.
    pub fn run(state: RunState) -> Self {
        Self { run: Some(state), ..Self::default() }
    }

    /// Stopped, without letting requests finish.
    pub fn kill() -> Self {
        Self { run: Some(RunState::Stopped), abrupt: true, ..Self::default() }
    }

    /// The inverse: the present state of all that this change names.
    #[must_use]
    pub fn before(&self, now: &ServiceStatus) -> Self {
        Self {
            env: self.env.keys().map(|name| (name.clone(), now.env.get(name).cloned())).collect(),
            run: self.run.map(|_| now.state),
            abrupt: false,
        }
    }

    /// The key that the server has after this change of a service, where it is about that.
    pub fn server_key(&self, service: &str, roles: &Roles) -> Option<&str> {
        self.env.get(&roles.key_variable).filter(|_| service == roles.app)?.as_deref()
    }

    /// Whether a service is in this state already.
    pub fn is_met_by(&self, now: &ServiceStatus) -> bool {
        self.run.is_none_or(|run| run == now.state)
            && self.env.iter().all(|(name, value)| now.env.get(name) == value.as_ref())
    }
}

/// What `up` is to bring up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpRequest {
    /// The gateway's port on 127.0.0.1; 0 for a free one.
    pub gateway_port: u16,
    /// Environment variables a service starts with, beyond the stack's own: `app` → `APP_API_KEY` → value.
    pub env: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the stack ends with the process that brought it up.
    pub tied: bool,
}

/// What happens during `up`; may be lost, never journalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which service.
    pub service: String,
    /// `starting`, `healthy`.
    pub stage: String,
    /// Of a pull: bytes that are here, and bytes in all as far as that is known.
    pub bytes: Option<(u64, u64)>,
}

impl Progress {
    /// A service has come to a stage.
    pub fn stage(service: &str, stage: &str) -> Self {
        Self { service: service.to_owned(), stage: stage.to_owned(), bytes: None }
    }

    /// So many bytes of a service's image are here.
    pub fn pulling(service: &str, done: u64, total: u64) -> Self {
        Self { service: service.to_owned(), stage: "pulling".to_owned(), bytes: Some((done, total)) }
    }
}

/// Takes [`Progress`].
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// A stack as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Every service, in the order of the request path.
    pub services: Vec<ServiceStatus>,
    /// Where it is reached.
    pub endpoints: Endpoints,
    /// What people should know of it: a service that it goes without.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Which service plays which part.
    #[serde(default)]
    pub roles: Roles,
}

impl Description {
    /// The service under test.
    pub fn app(&self) -> Option<&ServiceStatus> {
        self.service(&self.roles.app)
    }

    /// A service by its name.
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The key that the server expects.
    pub fn server_key(&self) -> Option<&str> {
        self.app()?.env.get(&self.roles.key_variable).map(String::as_str)
    }
}

/// A service as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// `gateway`, `app`, `db`, ….
    pub name: String,
    /// Whether it runs.
    pub state: RunState,
    /// Whether it is well.
    pub health: Health,
    /// What it says of itself where it is not well: the last line of its log, for one.
    pub detail: Option<String>,
    /// The engine's id of the instance that serves now.
    pub instance: Option<String>,
    /// The environment that was set for it.
    pub env: BTreeMap<String, String>,
    /// `host:port`, where it listens on one.
    pub address: Option<String>,
    /// The instance's process, where it is one of this machine's.
    pub pid: Option<u32>,
    /// When the instance started.
    pub since: Option<DateTime<Utc>>,
    /// The image that it was made from, where it was made from one.
    #[serde(default)]
    pub image: Option<String>,
    /// How often it was started again by itself, where the engine counts that.
    #[serde(default)]
    pub restarts: Option<u32>,
}

impl ServiceStatus {
    /// One word for whether it runs and is well.
    pub fn word(&self) -> &'static str {
        match (self.state, self.health) {
            (RunState::Running, Health::Healthy) => "healthy",
            (RunState::Running, Health::Starting) => "starting",
            (RunState::Running, Health::Unhealthy) => "unhealthy",
            (RunState::Running, Health::Unchecked) => "running",
            (RunState::Paused | RunState::Stopped, _) => self.state.name(),
        }
    }
}

/// Whether a service is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Its health check passes.
    Healthy,
    /// Its health check has not passed since it started, and has not failed for good.
    Starting,
    /// Its health check does not pass, or it is not running.
    Unhealthy,
    /// It is running, and has no health check.
    Unchecked,
}

/// Where a stack is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The gateway's base URL, without a slash at the end.
    pub gateway: String,
    /// Where each running instance of the app shows its metrics. Empty: the app does not run.
    pub metrics: Vec<MetricsEndpoint>,
    /// Prometheus' base URL, where it runs.
    #[serde(default)]
    pub prometheus: Option<String>,
    /// Grafana's base URL, where it runs.
    #[serde(default)]
    pub grafana: Option<String>,
    /// lab's own dashboard, where Grafana does not run.
    #[serde(default)]
    pub dashboard: Option<String>,
}

impl Endpoints {
    /// Who says what the alerts are, as Prometheus does under `/api/v1/rules`: Prometheus, or lab's own dashboard, which
    /// evaluates the same rules where no Prometheus runs. A base URL, without a slash at the end.
    pub fn alerts(&self) -> Option<&str> {
        self.prometheus.as_deref().or(self.dashboard.as_deref()).map(|url| url.trim_end_matches('/'))
    }
}

/// Where an instance shows its metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsEndpoint {
    /// The engine's id of the instance.
    pub instance: String,
    /// The URL of the exposition.
    pub url: String,
}

/// What `ensure` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ensured {
    /// False where the service was in the wanted state already.
    pub changed: bool,
    /// Instances that are gone now, each with its last exposition where it could be had.
    pub retired: Vec<Retired>,
}

/// An instance that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The engine's id of it.
    pub instance: String,
    /// Its last `/metrics`, in the text format.
    pub exposition: Option<String>,
}
