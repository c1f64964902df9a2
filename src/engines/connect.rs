//! Which engine a lab runs on, and what it is asked to bring up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::with_dashboard::WithDashboard;
use lab_containers::docker::{self, Docker, DockerOptions};
use lab_core::engine::{Engine, EngineError, EngineErrorKind, Roles, UpRequest};
use lab_embedded::Embedded;
use lab_runner::lab::{Containers, FIRST_KEY, Lab, LabError, Record};
use lab_stack::{Reading, Source, Stack, StackErrors};

/// Why a lab's engine cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The engine's own reason.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The files of its stack are wrong.
    #[error(transparent)]
    Stack(#[from] StackErrors),
    /// The state folder cannot say whose it is.
    #[error(transparent)]
    State(#[from] LabError),
}

/// Connects a lab with its engine: the only place that knows every engine.
pub(crate) trait Connect {
    /// The engine that its record names, with the stack that it was brought up with.
    fn engine(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError>;

    /// The engine that its record names, with a stack that was just read; none: with the one that it was brought up with.
    fn engine_with(&self, record: &Record, stack: Option<Stack>) -> Result<Arc<dyn Engine>, ConnectError>;

    /// The engine that its record names, to take the lab down with: that needs no stack, whose files may be broken by now.
    fn engine_for_down(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError>;

    /// The Docker engine for this lab, with lab's own dashboard if no Grafana runs.
    fn with_dashboard(&self, containers: &Containers, stack: Stack) -> Result<Arc<dyn Engine>, ConnectError>;

    /// The Docker engine for a lab that does not exist yet, without asking the daemon anything. Its stack is read from its
    /// files.
    fn docker(&self, containers: &Containers) -> Result<Docker, ConnectError>;

    /// The Docker engine for this lab, without asking the daemon anything.
    fn docker_with(&self, containers: &Containers, stack: Stack) -> Result<Docker, ConnectError>;

    /// The Docker engine for all that the daemon has under this name, whoever keeps it.
    fn docker_of_anybody(&self) -> Result<Docker, ConnectError>;

    /// Reads the stack of a lab that is about to come up from its files; none if its engine has none.
    fn read_stack(&self, record: &Record) -> Result<Option<Reading>, ConnectError>;

    /// The stack that the lab was brought up with. An older version of lab did not remember it: then as its files are now.
    fn known_stack(&self, containers: &Containers) -> Result<Stack, ConnectError>;

    /// What its engine is to bring up.
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
            keeper: Some(self.owner()?),
            app_image: containers.app_image.clone(),
            offline: containers.offline,
            ..DockerOptions::default()
        };
        Ok(Docker::new(self.name(), stack, options))
    }

    fn docker_of_anybody(&self) -> Result<Docker, ConnectError> {
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

/// The stack of a lab on containers, from its files: the user's own or the one that comes with lab, with the lab's passwords.
fn read(containers: &Containers) -> Result<Reading, StackErrors> {
    let Some(folder) = &containers.stack else { return Stack::embedded(&containers.secrets).map(Reading::from) };
    let host = std::env::vars_os().collect();
    Source { folder, own: &containers.secrets, host, allowed: &containers.allowed }.read()
}
