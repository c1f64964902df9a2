//! Which engine a lab runs on, and what it is asked to bring up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shown::Shown;
use super::{Containers, FIRST_KEY, Lab, LabError, Record};
use crate::engine::docker::{self, Docker, DockerOptions};
use crate::engine::embedded::{self, Embedded};
use crate::engine::{Engine, EngineError, EngineErrorKind, Roles, UpRequest};
use crate::stack::{Stack, StackErrors};

/// Why a lab's engine cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
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

impl Lab {
    /// The engine that its record names.
    pub fn engine(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError> {
        match record.engine.as_str() {
            embedded::NAME => Ok(Arc::new(Embedded::new(self.folder()))),
            docker::NAME => self.shown(&record.containers),
            other => {
                let detail = format!("this version of lab has no engine called {other:?}");
                Err(EngineError::new(EngineErrorKind::Unsupported, detail).into())
            }
        }
    }

    /// The engine that its record names, to take the lab down with: that needs no stack, whose files may be broken by now.
    pub fn engine_for_down(&self, record: &Record) -> Result<Arc<dyn Engine>, ConnectError> {
        if record.engine == docker::NAME {
            return self.shown(&Containers { stack: None, ..record.containers.clone() });
        }
        self.engine(record)
    }

    /// The Docker engine for this lab, with lab's own dashboard where no Grafana runs.
    fn shown(&self, containers: &Containers) -> Result<Arc<dyn Engine>, ConnectError> {
        Ok(Arc::new(Shown::new(self.name(), self.folder(), self.docker(containers)?)))
    }

    /// The Docker engine for this lab, without asking the daemon anything.
    pub fn docker(&self, containers: &Containers) -> Result<Docker, ConnectError> {
        let options = DockerOptions {
            host: containers.host.clone(),
            bind: containers.bind,
            keeper: Some(self.keeper()?),
            app_image: containers.app_image.clone(),
            offline: containers.offline,
            ..DockerOptions::default()
        };
        Ok(Docker::new(self.name(), stack(containers)?, options))
    }

    /// The Docker engine for all that the daemon has under this name, whoever keeps it.
    pub fn docker_of_anybody(&self) -> Result<Docker, ConnectError> {
        Ok(Docker::new(self.name(), stack(&Containers::default())?, DockerOptions::from_env()))
    }

    /// What its engine is to bring up.
    pub fn up_request(&self, record: &Record) -> Result<UpRequest, ConnectError> {
        let Roles { app, key_variable, .. } = self.engine(record)?.roles();
        let key = record.expected_server_key().unwrap_or(FIRST_KEY);
        let env = BTreeMap::from([(key_variable, key.to_owned())]);
        Ok(UpRequest { gateway_port: record.gateway_port, env: BTreeMap::from([(app, env)]), tied: false })
    }
}

/// The stack of a lab on containers: the user's own or the one that comes with lab, with the lab's passwords.
fn stack(containers: &Containers) -> Result<Stack, StackErrors> {
    match &containers.stack {
        Some(folder) => {
            // Their own file may ask for variables of theirs.
            let mut env: BTreeMap<String, String> = std::env::vars().collect();
            env.extend(containers.secrets.clone());
            Stack::read(folder, &env)
        }
        None => Stack::embedded(&containers.secrets),
    }
}
