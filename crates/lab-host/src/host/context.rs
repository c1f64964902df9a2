//! State shared by the services of one stack, and their desired state in `services.json`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::health::Health;
use crate::log::Log;
use crate::protocol::HostRequest;
use crate::{logs, unreadable};
use lab_core::engine::{EngineError, EngineErrorKind, port};
use lab_dashboard::USUAL;
use lab_system::files::{self, Folder, Staged};

/// State shared by the services of a stack.
pub(super) struct Context {
    pub(super) exe: PathBuf,
    pub(super) folder: Folder,
    pub(super) health: Health,
    /// Address on which the gateway listens.
    pub(super) gateway_ip: Ipv4Addr,
    desired: Mutex<DesiredState>,
    /// Content of the file, if known.
    saved: Mutex<Option<DesiredState>>,
}

/// Desired state of the services, stored in `services.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct DesiredState {
    /// Environment variables by service.
    env: BTreeMap<String, BTreeMap<String, String>>,
    /// 0 until the gateway has started.
    gateway_port: u16,
    /// 0 until the dashboard has started.
    #[serde(default, rename = "board_port")]
    dashboard_port: u16,
}

/// Desired state that is written to a staged file and takes effect when it is committed.
pub(super) struct StagedState {
    desired: DesiredState,
    file: Staged,
}

const STATE_FILE: &str = "services.json";

impl Context {
    /// Reads the stored state and fills the gaps from the request.
    pub(super) fn new(folder: &Folder, request: &HostRequest) -> Self {
        let text = files::read_state(&folder.path(STATE_FILE), files::RECORD_LIMIT).unwrap_or_default();
        let known: Option<DesiredState> = serde_json::from_slice(&text).ok();
        let mut desired = known.clone().unwrap_or_default();
        let saved = Mutex::new(known);
        for (service, variables) in &request.up.env {
            let env = desired.env.entry(service.clone()).or_default();
            for (name, value) in variables {
                env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        // The stored port may be taken by now.
        if request.up.gateway_port != 0 || port::require_free(desired.gateway_port).is_err() {
            desired.gateway_port = request.up.gateway_port;
        }
        Self {
            exe: request.exe.clone(),
            folder: folder.clone(),
            health: Health::new(),
            gateway_ip: if request.network.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST },
            desired: Mutex::new(desired),
            saved,
        }
    }

    /// Desired environment of a service.
    pub(super) fn env(&self, service: &str) -> BTreeMap<String, String> {
        self.lock().env.get(service).cloned().unwrap_or_default()
    }

    pub(super) fn gateway_port(&self) -> u16 {
        self.lock().gateway_port
    }

    pub(super) fn remember_gateway_port(&self, port: u16) -> Result<(), EngineError> {
        self.lock().gateway_port = port;
        self.save()
    }

    pub(super) fn remember_dashboard_port(&self, port: u16) -> Result<(), EngineError> {
        self.lock().dashboard_port = port;
        self.save()
    }

    /// Port for the dashboard: the previous one, else the default port if the gateway has its default port, else 0 for a
    /// free one.
    pub(super) fn dashboard_port(&self) -> u16 {
        let desired = self.lock();
        let usual = if desired.gateway_port == USUAL.0 { USUAL.1 } else { 0 };
        if desired.dashboard_port == 0 { usual } else { desired.dashboard_port }
    }

    /// Writes the desired state with another environment of a service to a staged file. It is committed after the change, so
    /// that a full disk fails before the change and not after it.
    pub(super) fn stage_env(&self, service: &str, env: BTreeMap<String, String>) -> Result<StagedState, EngineError> {
        let mut desired = self.lock().clone();
        desired.env.insert(service.to_owned(), env);
        let staged = self.folder.stage_json(STATE_FILE, &desired).map_err(|error| not_saved(&error))?;
        Ok(StagedState { desired, file: staged })
    }

    pub(super) fn commit(&self, StagedState { desired, file }: StagedState) -> Result<(), EngineError> {
        *self.lock() = desired.clone();
        file.commit().map_err(|error| not_saved(&error))?;
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(desired);
        Ok(())
    }

    /// Writes the desired state unless the file has it already.
    pub(super) fn save(&self) -> Result<(), EngineError> {
        let desired = self.lock().clone();
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.as_ref() != Some(&desired) {
            self.folder.write_json(STATE_FILE, &desired).map_err(|error| not_saved(&error))?;
            *saved = Some(desired);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DesiredState> {
        self.desired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self, service: &str) -> Result<Arc<Log>, EngineError> {
        let folder = self.folder.path(crate::LOG_FOLDER);
        files::make_folder(&folder).map_err(|error| unreadable(&folder, &error).for_service(service))?;
        let path = logs::file(&self.folder, service);
        Log::open(path.clone()).map_err(|error| unreadable(&path, &error).for_service(service))
    }
}

fn not_saved(error: &std::io::Error) -> EngineError {
    EngineError::new(EngineErrorKind::System, format!("{STATE_FILE}: {error}"))
}
