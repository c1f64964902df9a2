//! The host of a lab that runs as plain processes ([`mod@host`]) and its client ([`HostClient`]). The embedded engine starts hosts
//! on this machine, the Swarm engine in containers on other machines. This crate does not know where a host runs: its client
//! finds it through [`Locate`].

#![warn(missing_docs)]

use std::collections::BTreeSet;

use lab_core::engine::{APP, Ability, DB, EngineError, EngineErrorKind, GATEWAY, ServiceSpec};
use lab_system::files;

mod child;
mod client;
pub mod host;
mod log;
pub mod logs;
mod protocol;
mod query;
mod settings;

pub use client::{HostAddress, HostClient, Locate};
pub use protocol::{HostFile, HostRequest, Network, Ready, TASK_VARIABLE, new_token, task_token};
pub use query::run as query_database;
pub use settings::{APP_SETTINGS, GATEWAY_SETTINGS};

/// File with the address of a running host: a [`HostFile`].
pub const HOST_FILE: &str = "host.json";
/// Lock that a host and its services hold while they run.
pub const LOCK_FILE: &str = "host.lock";
/// Name of the app's database in the lab's folder.
pub const DATABASE_FILE: &str = "users.db";
/// Services that are processes and therefore have logs.
pub const PROCESSES: [&str; 2] = [GATEWAY, APP];
/// Folder of the logs in the lab's folder.
const LOG_FOLDER: &str = "logs";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Services that a host runs, with the operations that each supports.
pub fn services() -> Vec<ServiceSpec> {
    let process = BTreeSet::from([Ability::SetEnv, Ability::Stop, Ability::Kill, Ability::Pause]);
    let spec = |name: &str, abilities: BTreeSet<Ability>| ServiceSpec {
        name: name.to_owned(),
        abilities,
        settings: settings::allowed_settings(name),
    };
    vec![spec(GATEWAY, process.clone()), spec(APP, process), spec(DB, BTreeSet::from([Ability::Pause]))]
}

/// Error for a state file that cannot be used.
pub fn unreadable(path: &std::path::Path, error: &std::io::Error) -> EngineError {
    let shown = EngineError::new(EngineErrorKind::System, format!("{}: {error}", path.display()));
    match files::Unusable::in_error(error) {
        Some(reason) => shown.hint(reason.hint()),
        None => shown,
    }
}
