//! [`Record`]: what is remembered of a lab between two commands. It is `lab.json` in the lab's folder.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use lab_core::engine::host_from_env;

/// The key on both sides of a new lab.
pub const FIRST_KEY: &str = "apikey-v1";
/// The version of the files in a lab's folder.
pub(super) const VERSION: u32 = 1;
/// The passwords that the stack's file asks for.
const SECRETS: [&str; 2] = ["POSTGRES_PASSWORD", GRAFANA_PASSWORD];
/// The password of Grafana's admin.
pub const GRAFANA_PASSWORD: &str = "GRAFANA_PASSWORD";

/// What is remembered of a lab: `lab.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the format.
    pub version: u32,
    /// The engine that runs it.
    pub engine: String,
    /// When it was brought up first.
    pub created: DateTime<Utc>,
    /// The port that was asked for; 0: a free one.
    pub gateway_port: u16,
    /// What the caller sends as `X-API-Key`.
    pub caller_key: String,
    /// The key that the server was given last; none: an older version of lab made this, and did not remember it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_key: Option<String>,
    /// The key of a change that was announced and not confirmed: the server has this one or [`Record::server_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_server_key: Option<String>,
    /// What each caller of a scenario sends, by its name, while that scenario runs or is kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, String>,
    /// The run that made it for itself, and with which it goes.
    pub owner: Option<String>,
    /// What only a lab on containers has.
    #[serde(default)]
    pub containers: Containers,
}

/// What is remembered of a lab on containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    /// The folder of the user's own stack; none: the one that comes with lab.
    pub stack: Option<PathBuf>,
    /// Folders that the user allows that stack to read, beside its own files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<PathBuf>,
    /// The app's image, instead of one made from lab's own executable.
    pub app_image: Option<String>,
    /// No image of it is fetched.
    #[serde(default)]
    pub offline: bool,
    /// Where the daemon is, as `DOCKER_HOST` had it when the lab was made.
    pub host: Option<String>,
    /// The address of the daemon's machine on which its ports are published; none: the loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// The port that was asked for when it came up last, for lab's own dashboard; 0: a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard_port: Option<u16>,
    /// Passwords made for this lab, by the name under which the stack's file asks for them.
    pub secrets: BTreeMap<String, String>,
}

impl Containers {
    /// For a new lab: passwords of its own, and the daemon that the environment names.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secrets = BTreeMap::new();
        for name in SECRETS {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)?;
            secrets.insert(name.to_owned(), format!("{:032x}", u128::from_le_bytes(bytes)));
        }
        Ok(Self { secrets, ..Self::from_env() })
    }

    /// On the daemon that the environment names, of a lab of which nothing else is known.
    pub fn from_env() -> Self {
        Self { host: host_from_env(), ..Self::default() }
    }
}

impl Record {
    /// The key with which a server comes back of which nothing is left: the one that was asked for last.
    pub fn expected_server_key(&self) -> Option<&str> {
        self.next_server_key.as_deref().or(self.server_key.as_deref())
    }

    /// A new lab.
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
