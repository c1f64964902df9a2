//! Connects labs to their engines and stacks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::with_dashboard::WithDashboard;
use lab_containers::docker::{self, Docker, DockerOptions};
use lab_containers::swarm::{self, Swarm, SwarmOptions};
use lab_core::engine::{Engine, EngineError, EngineErrorKind};
use lab_embedded::Embedded;
use lab_runner::lab::{Containers, Lab, Record};
use lab_runner::provision::{ConnectError, Connector};
use lab_stack::{Reading, Source, Stack, StackErrors};

/// All engines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineRegistry;

impl Connector for EngineRegistry {
    fn connect(&self, lab: &Lab, record: &Record, stack: Option<Stack>) -> Result<Arc<dyn Engine>, ConnectError> {
        lab.engine_with(record, stack)
    }

    fn connect_for_removal(&self, lab: &Lab, record: &Record) -> Result<Arc<dyn Engine>, ConnectError> {
        lab.engine_for_down(record)
    }

    fn read_stack(&self, record: &Record) -> Result<Option<Reading>, ConnectError> {
        match record.engine.as_str() {
            docker::NAME => Ok(Some(read(&record.containers)?)),
            _ => Ok(None),
        }
    }
}

/// Connects a lab to its engine: the only place that knows every engine.
pub(crate) trait Connect {
    /// Engine of a recorded lab, with the stack from the last `up`.
    fn engine(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError>;

    /// Engine of a recorded lab with a freshly read stack; `None` uses the stack from the last `up`.
    fn engine_with(&self, record: &Record, stack: Option<Stack>) -> Result<Arc<dyn Engine>, ConnectError>;

    /// Engine to take a recorded lab down. Needs no stack, because its files may be broken by now.
    fn engine_for_down(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError>;

    /// The Docker engine for this lab, with lab's own dashboard if no Grafana runs.
    fn with_dashboard(&self, containers: &Containers, stack: Stack) -> Result<Arc<dyn Engine>, ConnectError>;

    /// Docker engine for a lab that does not exist yet. Reads the stack from its files and does not contact the daemon.
    fn docker(&self, containers: &Containers) -> Result<Docker, ConnectError>;

    /// Docker engine for this lab. Does not contact the daemon.
    fn docker_with(&self, containers: &Containers, stack: Stack) -> Result<Docker, ConnectError>;

    /// Docker engine for everything that the daemon has under this name, regardless of the owner.
    fn docker_any_owner(&self) -> Result<Docker, ConnectError>;

    /// Stack of the last `up`. Falls back to the current files for labs of versions that did not store it.
    fn known_stack(&self, containers: &Containers) -> Result<Stack, ConnectError>;
}

impl Connect for Lab {
    fn engine(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError> {
        self.engine_with(record, None)
    }

    fn engine_with(&self, record: &Record, stack: Option<Stack>) -> Result<Arc<dyn Engine>, ConnectError> {
        match record.engine.as_str() {
            lab_embedded::NAME => Ok(Arc::new(Embedded::new(self.folder()))),
            docker::NAME => {
                let stack = stack.map_or_else(|| self.known_stack(&record.containers), Ok)?;
                self.with_dashboard(&record.containers, stack)
            }
            swarm::NAME => {
                let Containers { host, app_image, dashboard_port, .. } = &record.containers;
                let options = SwarmOptions { host: host.clone(), image: app_image.clone(), executable: None };
                let swarm = Swarm::new(self.name(), self.folder(), &self.owner()?, options);
                Ok(Arc::new(WithDashboard::new(self.name(), self.folder(), swarm, *dashboard_port)))
            }
            other => {
                let detail = format!("this version of lab has no engine called {other:?}");
                Err(EngineError::new(EngineErrorKind::Unsupported, detail).into())
            }
        }
    }

    fn engine_for_down(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError> {
        if record.engine == docker::NAME {
            return self.with_dashboard(&record.containers, Stack::embedded(&record.containers.secrets)?);
        }
        self.engine(record)
    }

    fn with_dashboard(&self, containers: &Containers, stack: Stack) -> Result<Arc<dyn Engine>, ConnectError> {
        let docker = self.docker_with(containers, stack)?;
        Ok(Arc::new(WithDashboard::new(self.name(), self.folder(), docker, containers.dashboard_port)))
    }

    fn docker(&self, containers: &Containers) -> Result<Docker, ConnectError> {
        self.docker_with(containers, read(containers)?.stack)
    }

    fn docker_with(&self, containers: &Containers, stack: Stack) -> Result<Docker, ConnectError> {
        let options = DockerOptions {
            host: containers.host.clone(),
            bind: containers.bind,
            owner: Some(self.owner()?),
            app_image: containers.app_image.clone(),
            offline: containers.offline,
            ..DockerOptions::default()
        };
        Ok(Docker::new(self.name(), stack, options))
    }

    fn docker_any_owner(&self) -> Result<Docker, ConnectError> {
        let stack = Stack::embedded(&BTreeMap::new())?;
        Ok(Docker::new(self.name(), stack, DockerOptions::from_env()))
    }

    fn known_stack(&self, containers: &Containers) -> Result<Stack, ConnectError> {
        match self.stack()? {
            Some(stack) => Ok(stack),
            None => Ok(read(containers)?.stack),
        }
    }
}

/// Reads the stack of a Docker lab, the user's own or the built-in one, with the lab's passwords.
fn read(containers: &Containers) -> Result<Reading, StackErrors> {
    let Some(folder) = &containers.stack else { return Stack::embedded(&containers.secrets).map(Reading::from) };
    let host = std::env::vars_os().collect();
    Source { folder, own: &containers.secrets, host, allowed: &containers.allowed }.read()
}
