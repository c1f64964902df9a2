//! Persistent record of a lab: `lab.json` in the lab's folder.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use lab_core::engine::host_from_env;

/// Initial key of server and caller.
pub const FIRST_KEY: &str = "apikey-v1";
/// Version of the files in a lab's folder.
pub(super) const VERSION: u32 = 1;
/// Passwords used by the stack file.
const SECRETS: [&str; 4] =
    ["POSTGRES_PASSWORD", "POSTGRES_SUPERUSER_PASSWORD", "POSTGRES_VIEWER_PASSWORD", GRAFANA_PASSWORD];
/// Password of the Grafana admin.
pub const GRAFANA_PASSWORD: &str = "GRAFANA_PASSWORD";

/// Contents of `lab.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub version: u32,
    /// Name of the engine: `docker`, `embedded` or `swarm`.
    pub engine: String,
    /// When the lab was first brought up.
    pub created: DateTime<Utc>,
    /// Requested port; 0 picks a free one.
    pub gateway_port: u16,
    /// Key that the caller sends as `X-API-Key`.
    pub caller_key: String,
    /// Last key set on the server. `None` for labs created by older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_key: Option<String>,
    /// Announced but unconfirmed key: the server has this key or [`Record::server_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_server_key: Option<String>,
    /// Keys of named callers, while their scenario runs or is kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, String>,
    /// The run that created the lab and removes it.
    pub owner: Option<String>,
    /// Settings of labs on containers or a Swarm.
    #[serde(default)]
    pub containers: Containers,
}

/// Settings of a container lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    /// Folder of a custom stack. `None` for the built-in one.
    pub stack: Option<PathBuf>,
    /// Additional folders that the stack may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<PathBuf>,
    /// Image of the app. `None` builds one from lab's own executable.
    pub app_image: Option<String>,
    /// Never pull images.
    #[serde(default)]
    pub offline: bool,
    /// Value of `DOCKER_HOST` when the lab was created.
    pub host: Option<String>,
    /// Host address on which ports are published. `None` for loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// Port last requested for lab's own dashboard; 0 picks a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard_port: Option<u16>,
    /// Generated passwords, by their name in the stack file.
    pub secrets: BTreeMap<String, String>,
}

impl Containers {
    /// Settings of a new lab: generated passwords, and the daemon from the environment.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secrets = BTreeMap::new();
        for name in SECRETS {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)?;
            secrets.insert(name.to_owned(), format!("{:032x}", u128::from_le_bytes(bytes)));
        }
        Ok(Self { secrets, ..Self::from_env() })
    }

    /// Only the daemon from the environment, for a lab without a record.
    pub fn from_env() -> Self {
        Self { host: host_from_env(), ..Self::default() }
    }
}

impl Record {
    /// Key for recreating a lost server: the one requested last.
    pub fn expected_server_key(&self) -> Option<&str> {
        self.next_server_key.as_deref().or(self.server_key.as_deref())
    }

    /// Record of a new lab, with the same key for server and caller.
    pub fn new(engine: &str, gateway_port: u16) -> Self {
        let caller_key = FIRST_KEY.to_owned();
        let containers = Containers::default();
        let (engine, created) = (engine.to_owned(), Utc::now());
        let callers = BTreeMap::new();
        let server_key = Some(FIRST_KEY.to_owned());
        Self {
            version: VERSION,
            engine,
            created,
            gateway_port,
            caller_key,
            server_key,
            next_server_key: None,
            callers,
            owner: None,
            containers,
        }
    }
}
