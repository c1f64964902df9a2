//! Overall health of a stack in one word.

use super::{Description, Health, Roles, RunState, ServiceStatus};

/// Overall health of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overall {
    /// Every service runs and none is unhealthy.
    Healthy,
    /// Some services are stopped, paused, starting or unhealthy.
    Degraded,
    /// No service runs.
    Stopped,
}

impl Overall {
    /// Lower-case name, used in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
        }
    }
}

impl Description {
    /// Summarises the services.
    pub fn overall(&self) -> Overall {
        // A service without a process, such as a database file, cannot be stopped.
        let is_process = |service: &&ServiceStatus| service.state == RunState::Stopped || service.instance.is_some();
        let mut processes = self.services.iter().filter(is_process).peekable();
        if processes.peek().is_some() && processes.all(|service| service.state == RunState::Stopped) {
            return Overall::Stopped;
        }
        let is_healthy =
            |service: &ServiceStatus| service.state == RunState::Running && self.counts_as_healthy(service);
        if self.services.iter().all(is_healthy) { Overall::Healthy } else { Overall::Degraded }
    }

    /// Returns whether a running service counts as healthy. One that is still starting does, unless requests pass
    /// through it.
    fn counts_as_healthy(&self, service: &ServiceStatus) -> bool {
        match service.health {
            Health::Healthy | Health::Unchecked => true,
            Health::Starting => {
                let Roles { gateway, app, db, .. } = &self.roles;
                ![gateway, app, db].contains(&&service.name)
            }
            Health::Unhealthy => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Endpoints;

    fn overall(services: &[(&str, RunState, Health)]) -> Overall {
        let service = |(name, state, health): &(&str, RunState, Health)| ServiceStatus {
            name: (*name).to_owned(),
            state: *state,
            health: *health,
            detail: None,
            // A file-based database has none.
            instance: (*name != "file").then(|| "1".to_owned()),
            env: std::collections::BTreeMap::new(),
            address: None,
            pid: None,
            since: None,
            image: None,
            restarts: None,
        };
        let services = services.iter().map(service).collect();
        let roles = Roles::default();
        Description { services, endpoints: Endpoints::default(), notices: Vec::new(), roles }.overall()
    }

    #[test]
    fn the_worst_service_determines_the_overall_health() {
        use Health::{Healthy, Starting, Unhealthy};
        use RunState::{Paused, Running, Stopped};

        let app = ("app", Running, Healthy);
        assert_eq!(overall(&[app, ("db", Running, Healthy)]), Overall::Healthy);
        for db in [("db", Running, Unhealthy), ("db", Paused, Unhealthy), ("db", Stopped, Unhealthy)] {
            assert_eq!(overall(&[app, db]), Overall::Degraded, "{db:?}");
        }
        assert_eq!(overall(&[app, ("db", Running, Starting)]), Overall::Degraded, "requests pass through it");
        assert_eq!(overall(&[app, ("prometheus", Running, Starting)]), Overall::Healthy);
        let stopped = ("app", Stopped, Unhealthy);
        assert_eq!(overall(&[stopped, ("db", Stopped, Unhealthy)]), Overall::Stopped);
        assert_eq!(overall(&[stopped, ("file", Running, Healthy)]), Overall::Stopped, "it cannot be stopped");
        assert_eq!(overall(&[stopped, ("db", Paused, Unhealthy)]), Overall::Degraded);
    }
}
