//! [`Stack`]: a compose file after interpolation and checks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Services of a lab. They share a network and are reachable by their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// In the order of the file. Names are unique and `depends_on` has no cycle.
    pub services: Vec<Service>,
    /// Named volumes as in the file.
    pub volumes: Vec<String>,
    /// Settings in `x-lab`.
    pub lab: XLab,
}

/// A service, which is one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Such as `gateway`, `app` or `db`.
    pub name: String,
    /// Such as `nginx:1.30`, with a digest if one is known.
    pub image: String,
    /// Build instructions. lab builds [`super::APP_IMAGE`] from its own executable instead.
    pub build: Option<Build>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// After interpolation.
    pub environment: BTreeMap<String, String>,
    /// Ports published on the host.
    pub ports: Vec<Port>,
    /// Volumes and folders of the stack.
    #[serde(rename = "volumes")]
    pub mounts: Vec<Mount>,
    /// Paths in memory with options: `/tmp`, `/run:mode=1777,size=16m`.
    pub tmpfs: Vec<String>,
    /// Health check of the file, of the image, or none.
    #[serde(rename = "healthcheck")]
    pub health: HealthSetting,
    /// Services that must start first.
    pub depends_on: BTreeMap<String, Condition>,
    /// `uid:gid` or a name.
    pub user: Option<String>,
    /// True for a read-only root file system.
    pub read_only: bool,
    /// Dropped capabilities, such as `ALL`.
    pub cap_drop: Vec<String>,
    /// Capabilities that are kept.
    pub cap_add: Vec<String>,
    /// `no-new-privileges:true`.
    pub security_opt: Vec<String>,
    /// Limits of memory, CPUs and processes.
    pub limits: Limits,
    /// Name and options of the log driver.
    pub logging: Option<(String, BTreeMap<String, String>)>,
    /// Time to stop before it is killed.
    #[serde(rename = "stop_grace_period")]
    pub stop_grace: Option<Duration>,
    /// Signal for stopping it.
    pub stop_signal: Option<String>,
    /// Runs an init process as process 1.
    pub init: bool,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Labels in addition to those of Compose and lab.
    pub labels: BTreeMap<String, String>,
}

impl Service {
    /// Services that must be healthy before this one starts.
    pub fn needs_healthy(&self) -> impl Iterator<Item = &str> {
        let needs = self.depends_on.iter().filter(|(_, condition)| **condition == Condition::Healthy);
        needs.map(|(other, _)| other.as_str())
    }
}

/// Build of an image from a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Relative to the stack's folder. May not exist.
    pub context: PathBuf,
    /// Relative to the context.
    pub dockerfile: PathBuf,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Port on 127.0.0.1. `None` means any free port.
    pub published: Option<u16>,
    /// Port in the container.
    pub target: u16,
}

/// A mount of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A named volume, which lives as long as the lab.
    Volume(VolumeMount),
    /// A folder of the stack. lab uploads it into a volume, so that remote daemons work.
    Bind(Bind),
}

/// A mounted named volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Name in the file.
    pub volume: String,
    /// Path in the container.
    pub target: String,
    /// True if the container cannot write to it.
    pub read_only: bool,
}

/// A mounted folder of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Relative to the stack's folder.
    pub source: PathBuf,
    /// Path in the container.
    pub target: String,
    /// The folder itself and its contents, sorted by path.
    pub entries: Vec<FolderEntry>,
}

/// The folder itself, or something inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderEntry {
    /// Relative to the folder; empty for the folder itself.
    pub path: PathBuf,
    /// Permissions as in chmod(1).
    pub mode: u32,
    /// Folder, file or link.
    pub content: Content,
}

/// Content of a folder's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A folder; its contents are separate entries.
    Folder,
    /// A file with its bytes.
    #[serde(with = "super::bytes")]
    File(Vec<u8>),
    /// A symbolic link with its target, relative to the link.
    Link(PathBuf),
}

/// Health check setting of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthSetting {
    /// Not set in the file. The daemon runs the image's check, if there is one.
    #[default]
    Inherited,
    /// Disabled, including the image's check.
    Off,
    /// Set in the file.
    Own(HealthCheck),
}

impl HealthSetting {
    /// Returns the check that is set in the file.
    pub fn own(&self) -> Option<&HealthCheck> {
        match self {
            Self::Own(check) => Some(check),
            Self::Inherited | Self::Off => None,
        }
    }
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Command with arguments, run in the container. A `CMD-SHELL` test becomes `["/bin/sh", "-c", …]`.
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time limit of one check.
    pub timeout: Duration,
    /// Consecutive failures until the service counts as unhealthy.
    pub retries: u32,
    /// Initial time during which failures do not count.
    pub start_period: Duration,
}

/// Condition that a dependency must meet before a service starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Has started.
    Started,
    /// Has passed its health check.
    Healthy,
}

/// Resource limits of a container. `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// In bytes.
    pub memory: Option<u64>,
    /// Number of cores, with fractions.
    pub cpus: Option<f64>,
    /// Number of processes and threads.
    pub pids: Option<i64>,
}

/// lab's own settings for a stack: the key `x-lab`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XLab {
    /// The service under test.
    pub app: XLabApp,
    /// The service that receives all requests.
    pub gateway: XLabGateway,
    /// Services that a lab can run without if their image is missing.
    pub optional: Vec<Optional>,
    /// Service and port of the exporter that counts what callers get at the gateway.
    #[serde(default)]
    pub edge: Option<(String, u16)>,
    /// Service and port of Prometheus.
    pub prometheus: Option<(String, u16)>,
    /// Service and port of Grafana.
    pub grafana: Option<(String, u16)>,
    /// Service of the database.
    pub database: Option<String>,
}

/// The `app` in `x-lab`: the service under test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XLabApp {
    /// Name of the service.
    pub service: String,
    /// Environment variable with the key that it expects.
    pub key_variable: String,
    /// Port in the container.
    pub port: u16,
    /// `/metrics`.
    pub metrics_path: String,
    /// `/health`.
    pub health_path: String,
    /// Services that it waits for itself. It may start before they are healthy, and its health includes theirs.
    pub awaits: Vec<String>,
}

/// The `gateway` in `x-lab`: the service that receives all requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XLabGateway {
    /// Name of the service.
    pub service: String,
    /// Port in the container.
    pub port: u16,
    /// Command for its container that makes it resolve the app's name again, such as `nginx -s reload`.
    pub reload: Vec<String>,
    /// Command for its container that routes requests to the address and port in place of `{address}`, until the next reload.
    pub route: Option<Vec<String>>,
}

/// A service that a lab can run without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Optional {
    /// Name of the service.
    pub service: String,
    /// Feature that is missing without it, such as `dashboards`.
    pub gives: String,
}
