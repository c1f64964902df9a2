//! Connects a lab to its engine and stack.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::with_dashboard::WithDashboard;
use lab_containers::docker::{self, Docker, DockerOptions};
use lab_core::engine::{Engine, EngineError, EngineErrorKind, Roles, UpRequest};
use lab_embedded::Embedded;
use lab_runner::lab::{Containers, FIRST_KEY, Lab, LabError, Record};
use lab_stack::{Reading, Source, Stack, StackErrors};

/// Reason why a lab's engine is not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The files of its stack are invalid.
    #[error(transparent)]
    Stack(#[from] StackErrors),
    /// The owner id of the state folder cannot be read.
    #[error(transparent)]
    State(#[from] LabError),
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

    /// Reads the stack of a lab that is about to start. `None` if its engine has no stack files.
    fn read_stack(&self, record: &Record) -> Result<Option<Reading>, ConnectError>;

    /// Stack of the last `up`. Falls back to the current files for labs of versions that did not store it.
    fn known_stack(&self, containers: &Containers) -> Result<Stack, ConnectError>;

    /// Request to bring up the recorded lab, with its server key.
    fn up_request(&self, record: &Record) -> Result<UpRequest, ConnectError>;
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

    fn read_stack(&self, record: &Record) -> Result<Option<Reading>, ConnectError> {
        match record.engine.as_str() {
            docker::NAME => Ok(Some(read(&record.containers)?)),
            _ => Ok(None),
        }
    }

    fn known_stack(&self, containers: &Containers) -> Result<Stack, ConnectError> {
        match self.stack()? {
            Some(stack) => Ok(stack),
            None => Ok(read(containers)?.stack),
        }
    }

    fn up_request(&self, record: &Record) -> Result<UpRequest, ConnectError> {
        let Roles { app, key_variable, .. } = self.engine(record)?.roles();
        let key = record.expected_server_key().unwrap_or(FIRST_KEY);
        let env = BTreeMap::from([(key_variable, key.to_owned())]);
        Ok(UpRequest { gateway_port: record.gateway_port, env: BTreeMap::from([(app, env)]), tied: false })
    }
}

/// Reads the stack of a Docker lab, the user's own or the built-in one, with the lab's passwords.
fn read(containers: &Containers) -> Result<Reading, StackErrors> {
    let Some(folder) = &containers.stack else { return Stack::embedded(&containers.secrets).map(Reading::from) };
    let host = std::env::vars_os().collect();
    Source { folder, own: &containers.secrets, host, allowed: &containers.allowed }.read()
}
