//! [`Stack`]: a compose file as lab understands it: interpolated, typed, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The services of a lab, and how they belong together. They share one network, on which each has its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// In the order of the file; names are unique, and `depends_on` has no cycle.
    pub services: Vec<Service>,
    /// Named volumes, by their name in the file.
    pub volumes: Vec<String>,
    /// What only lab knows.
    pub lab: XLab,
}

/// One service, as one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// `gateway`, `app`, `db`, `prometheus`, `grafana`.
    pub name: String,
    /// `nginx:1.30`, with a digest where one is known.
    pub image: String,
    /// How the image is built where it is not there. lab builds [`super::APP_IMAGE`] from its own executable instead.
    pub build: Option<Build>,
    /// Instead of the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's.
    pub command: Option<Vec<String>>,
    /// Interpolated.
    pub environment: BTreeMap<String, String>,
    /// Published on the host.
    pub ports: Vec<Port>,
    /// Volumes, and folders of the stack.
    #[serde(rename = "volumes")]
    pub mounts: Vec<Mount>,
    /// Paths in memory, with their options: `/tmp`, `/run:mode=1777,size=16m`.
    pub tmpfs: Vec<String>,
    /// Its health check.
    #[serde(rename = "healthcheck")]
    pub health: HealthSetting,
    /// What has to be there first.
    pub depends_on: BTreeMap<String, Condition>,
    /// `uid:gid` or a name.
    pub user: Option<String>,
    /// Its root file system is read-only.
    pub read_only: bool,
    /// Capabilities taken away: `ALL`.
    pub cap_drop: Vec<String>,
    /// Capabilities given back.
    pub cap_add: Vec<String>,
    /// `no-new-privileges:true`.
    pub security_opt: Vec<String>,
    /// Memory, CPUs, processes.
    pub limits: Limits,
    /// The log driver's name and options.
    pub logging: Option<(String, BTreeMap<String, String>)>,
    /// How long it may take to stop.
    #[serde(rename = "stop_grace_period")]
    pub stop_grace: Option<Duration>,
    /// The signal that stops it.
    pub stop_signal: Option<String>,
    /// Run an init process in it.
    pub init: bool,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<u64>,
    /// Beyond Compose's and lab's own.
    pub labels: BTreeMap<String, String>,
}

impl Service {
    /// What has to be healthy before it starts.
    pub fn needs_healthy(&self) -> impl Iterator<Item = &str> {
        let needs = self.depends_on.iter().filter(|(_, condition)| **condition == Condition::Healthy);
        needs.map(|(other, _)| other.as_str())
    }
}

/// How an image is built from a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Relative to the stack's folder. Whether it is there is not known.
    pub context: PathBuf,
    /// Relative to the context.
    pub dockerfile: PathBuf,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// On 127.0.0.1; none: any free one.
    pub published: Option<u16>,
    /// In the container.
    pub target: u16,
}

/// Something mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A named volume.
    Volume(VolumeMount),
    /// A folder of the stack. lab uploads it into a volume, so that a remote daemon works.
    Bind(Bind),
}

/// A named volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Its name in the file.
    pub volume: String,
    /// Where.
    pub target: String,
    /// Cannot be written.
    pub read_only: bool,
}

/// A folder of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Relative to the stack's folder.
    pub source: PathBuf,
    /// Where.
    pub target: String,
    /// The folder itself and all that is in it, in the order of the paths.
    pub entries: Vec<FolderEntry>,
}

/// The folder itself, or something in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderEntry {
    /// Relative to the folder; empty for the folder itself.
    pub path: PathBuf,
    /// Permissions, as chmod(1) has them.
    pub mode: u32,
    /// What it holds.
    pub content: Content,
}

/// What an entry of a folder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Other entries.
    Folder,
    /// These bytes.
    #[serde(with = "super::bytes")]
    File(Vec<u8>),
    /// Another path, relative to the link.
    Link(PathBuf),
}

/// The health check of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthSetting {
    /// The file has none. The daemon runs the image's own, if the image has one.
    #[default]
    Inherited,
    /// Switched off, the image's own included.
    Off,
    /// The file's.
    Own(HealthCheck),
}

impl HealthSetting {
    /// The file's check, if it has one.
    pub fn own(&self) -> Option<&HealthCheck> {
        match self {
            Self::Own(check) => Some(check),
            Self::Inherited | Self::Off => None,
        }
    }
}

/// How to know that a service is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// A command with its arguments, run in the container; a `CMD-SHELL` test is `["/bin/sh", "-c", …]`.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Failures in a row until it counts as unhealthy.
    pub retries: u32,
    /// In which failures do not count.
    pub start_period: Duration,
}

/// What has to be true of a service before one that depends on it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// It has started.
    Started,
    /// Its health check passes.
    Healthy,
}

/// Limits of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Whole cores and parts of them.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// What only lab knows of a stack: the key `x-lab`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XLab {
    /// The service under test.
    pub app: XLabApp,
    /// The service that requests go through.
    pub gateway: XLabGateway,
    /// Services without which the lab goes on, where their image cannot be had: with the reason why they are wanted.
    pub optional: Vec<Optional>,
    /// The service that is asked `PromQL`, and its port, if there is one.
    pub prometheus: Option<(String, u16)>,
    /// The service with the dashboards, and its port, if there is one.
    pub grafana: Option<(String, u16)>,
    /// The database's service, if there is one.
    pub database: Option<String>,
}

/// The service under test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XLabApp {
    /// Its service.
    pub service: String,
    /// The environment variable with the key that it expects.
    pub key_variable: String,
    /// Its port in the container.
    pub port: u16,
    /// `/metrics`.
    pub metrics_path: String,
    /// `/health`.
    pub health_path: String,
    /// Services that it waits for by itself: it may start before they are healthy, and its health page speaks for theirs.
    pub awaits: Vec<String>,
}

/// The service that requests go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XLabGateway {
    /// Its service.
    pub service: String,
    /// Its port in the container.
    pub port: u16,
    /// The command, run in its container, after which it resolves the app's name anew: `nginx -s reload`.
    pub reload: Vec<String>,
    /// The command, run in its container, after which requests go to the address and port that stand for `{address}` in
    /// its words, until the next reload; where there is one.
    pub route: Option<Vec<String>>,
}

/// A service without which the lab goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Optional {
    /// Its service.
    pub service: String,
    /// What is missing without it: `dashboards`.
    pub gives: String,
}
