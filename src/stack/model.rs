//! [`Stack`]: a compose file as lab understands it: interpolated, typed, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The services of a lab, and how they belong together. They share one network, on which each has its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// In the order of the file; names are unique, and `depends_on` has no cycle.
    pub services: Vec<Service>,
    /// Named volumes, by their name in the file.
    pub volumes: Vec<String>,
    /// What only lab knows.
    pub lab: XLab,
}

/// One service, as one container.
#[derive(Clone, Debug, Default, PartialEq)]
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
    pub mounts: Vec<Mount>,
    /// Paths in memory, with their options: `/tmp`, `/run:mode=1777,size=16m`.
    pub tmpfs: Vec<String>,
    /// How to know that it is well.
    pub health: Option<HealthCheck>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Relative to the stack's folder. Whether it is there is not known.
    pub context: PathBuf,
    /// Relative to the context.
    pub dockerfile: PathBuf,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// On 127.0.0.1; none: any free one.
    pub published: Option<u16>,
    /// In the container.
    pub target: u16,
}

/// Something mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// A named volume.
    Volume(VolumeMount),
    /// A folder of the stack. lab uploads it into a volume, so that a remote daemon works.
    Bind(Bind),
}

/// A named volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// Its name in the file.
    pub volume: String,
    /// Where.
    pub target: String,
    /// Cannot be written.
    pub read_only: bool,
}

/// A folder of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Relative to the stack's folder.
    pub source: PathBuf,
    /// Where.
    pub target: String,
    /// Its files: path relative to `target`, content. Symbolic links are not followed out of the stack's folder.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// How to know that a service is well.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has started.
    Started,
    /// Its health check passes.
    Healthy,
}

/// Limits of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Whole cores and parts of them.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// What only lab knows of a stack: the key `x-lab`.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Optional {
    /// Its service.
    pub service: String,
    /// What is missing without it: `dashboards`.
    pub gives: String,
}
