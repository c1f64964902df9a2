//! [`Overall`]: how a stack is as a whole, in one word.

use super::{Description, Health, Roles, RunState, ServiceStatus};

/// How a stack is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overall {
    /// Every service runs, and none is unhealthy.
    Healthy,
    /// Some services are stopped, paused or unhealthy.
    Degraded,
    /// No service runs.
    Stopped,
}

impl Overall {
    /// As people and programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
        }
    }
}

impl Description {
    /// How the stack is as a whole.
    pub fn overall(&self) -> Overall {
        // What is no process, such as a database that is a file, cannot be stopped.
        let is_process = |service: &&ServiceStatus| service.state == RunState::Stopped || service.instance.is_some();
        let mut processes = self.services.iter().filter(is_process).peekable();
        if processes.peek().is_some() && processes.all(|service| service.state == RunState::Stopped) {
            return Overall::Stopped;
        }
        let is_well = |service: &ServiceStatus| service.state == RunState::Running && self.counts_as_well(service);
        if self.services.iter().all(is_well) { Overall::Healthy } else { Overall::Degraded }
    }

    /// Whether a running service does not degrade the stack. One that still starts and that no request passes through does
    /// not.
    fn counts_as_well(&self, service: &ServiceStatus) -> bool {
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
            // A database that is a file has none.
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
    fn a_stack_is_as_good_as_its_worst_service() {
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
