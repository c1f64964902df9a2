//! [`Record`]: `swarm.json` in the lab's folder, readable by the user only.

use serde::{Deserialize, Serialize};

use super::Environment;
use super::place::Ports;
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_host::unreadable;
use lab_system::files::{self, Folder};
use lab_tls::PublicKey;

pub(super) const FILE: &str = "swarm.json";

/// Place of a lab, with the secrets for its control port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Id of the service.
    pub(super) service: String,
    /// Bearer token of the control port.
    pub(super) token: String,
    /// Key of the control port.
    pub(super) key: PublicKey,
    pub(super) ports: Ports,
    /// The task that is the lab, once it runs.
    pub(super) placement: Option<Placement>,
    /// Environments of the services.
    pub(super) env: Environment,
}

/// The task of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placement {
    /// Id of the task.
    pub(super) task: String,
    /// Name of its node.
    pub(super) node: String,
    /// Address of the node.
    pub(super) address: String,
}

impl Record {
    /// Reads the record. `None` if the lab has none.
    pub(super) fn read(folder: &Folder) -> Result<Option<Self>, EngineError> {
        let path = folder.path(FILE);
        match files::read_state(&path, files::RECORD_LIMIT) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                EngineError::new(EngineErrorKind::System, format!("{}: {error}", path.display()))
                    .hint("run `lab down` to remove the lab")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<(), EngineError> {
        let written = files::make_folder(folder.root()).and_then(|()| folder.write_json(FILE, self));
        written.map_err(|error| unreadable(&folder.path(FILE), &error))
    }

    pub(super) fn remove(folder: &Folder) -> Result<(), EngineError> {
        let path = folder.path(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unreadable(&path, &error)),
            _ => Ok(()),
        }
    }
}
