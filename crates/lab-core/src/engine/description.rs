//! Observed state of a stack and of its services.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Roles, RunState};

/// Observed state of a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Every service, in request path order.
    pub services: Vec<ServiceStatus>,
    /// Addresses of the stack at this moment; they change when an instance is replaced.
    pub endpoints: Endpoints,
    /// Notes for the user, such as a service that was left out.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Services behind the roles that scenarios use.
    #[serde(default)]
    pub roles: Roles,
}

impl Description {
    /// Status of the service under test.
    pub fn app(&self) -> Option<&ServiceStatus> {
        self.service(&self.roles.app)
    }

    /// Status of a service by name.
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Key that the server expects.
    pub fn server_key(&self) -> Option<&str> {
        self.app()?.env.get(&self.roles.key_variable).map(String::as_str)
    }
}

/// Observed state of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Name in the stack.
    pub name: String,
    /// Run state. A service that failed by itself is stopped, with an explanation in `detail`.
    pub state: RunState,
    /// Result of the health check at the time of the call.
    pub health: Health,
    /// Explains why the service is unhealthy, such as the last line of its log.
    pub detail: Option<String>,
    /// Engine id of the instance that serves now.
    pub instance: Option<String>,
    /// Environment that lab or the stack sets; without the variables of an image.
    pub env: BTreeMap<String, String>,
    /// `host:port`, if it listens on a port.
    pub address: Option<String>,
    /// Process id, if the instance runs on this machine.
    pub pid: Option<u32>,
    /// Start of the instance, or of the pause of a database file.
    pub since: Option<DateTime<Utc>>,
    /// `None` if the service is not a container.
    #[serde(default)]
    pub image: Option<String>,
    /// Automatic restarts. `None` if the engine does not count them.
    #[serde(default)]
    pub restarts: Option<u32>,
}

impl ServiceStatus {
    /// Run state and health in one word.
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

/// Health of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// The health check passes.
    Healthy,
    /// The health check has not passed since the start, and has not failed for good.
    Starting,
    /// The health check fails, or the service is not running.
    Unhealthy,
    /// Running, but without a health check.
    Unchecked,
}

/// Addresses of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Base URL without a trailing slash.
    pub gateway: String,
    /// Metrics URL of each running app instance. Empty if the app is not running.
    pub metrics: Vec<MetricsEndpoint>,
    /// Metrics URL of the edge: what callers get at the gateway. `None` if the stack does not count that, or the gateway's
    /// counters are not available now.
    #[serde(default)]
    pub edge: Option<MetricsEndpoint>,
    /// Base URL, if Prometheus is part of the lab.
    #[serde(default)]
    pub prometheus: Option<String>,
    /// Base URL, if Grafana is part of the lab.
    #[serde(default)]
    pub grafana: Option<String>,
    /// lab's own dashboard, if there is no Grafana.
    #[serde(default)]
    pub dashboard: Option<String>,
}

impl Endpoints {
    /// Base URL that serves alerts in the format of Prometheus' `/api/v1/rules`: Prometheus, or lab's own dashboard,
    /// which evaluates the same rules. No trailing slash.
    pub fn alerts(&self) -> Option<&str> {
        self.prometheus.as_deref().or(self.dashboard.as_deref()).map(|url| url.trim_end_matches('/'))
    }
}

/// Metrics endpoint of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsEndpoint {
    /// Engine id of the instance.
    pub instance: String,
    /// URL in the Prometheus text format.
    pub url: String,
}
