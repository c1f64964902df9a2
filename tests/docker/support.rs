//! Small stacks with real images, and labs that are removed after each test.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab_containers::docker::{Docker, DockerOptions};
use lab_core::engine::{APP, DB, Engine, GATEWAY, ProgressFn};
use lab_http::{Http, Request};
use lab_stack::{Service, Stack};

pub(crate) use crate::stripped::executable;

/// Time limit of a wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The complete built-in stack.
pub(crate) fn whole_stack() -> Stack {
    Stack::embedded(&BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Gateway, app and database of the built-in stack: the path of a request.
pub(crate) fn stack() -> Stack {
    let mut stack = whole_stack();
    stack.services.retain(|service| [GATEWAY, APP, DB].contains(&service.name.as_str()));
    stack.volumes.retain(|volume| volume.starts_with("db"));
    stack.lab.optional.clear();
    (stack.lab.prometheus, stack.lab.grafana, stack.lab.edge) = (None, None, None);
    let gateway = service(&mut stack, GATEWAY);
    gateway.depends_on.remove("edge");
    gateway.environment.insert("GATEWAY_EDGE".to_owned(), String::new());
    stack
}

/// A service of a stack, to be changed.
pub(crate) fn service<'a>(stack: &'a mut Stack, name: &str) -> &'a mut Service {
    stack.services.iter_mut().find(|service| service.name == name).expect("the stack has it")
}

pub(crate) fn options() -> DockerOptions {
    DockerOptions { executable: Some(executable()), ..DockerOptions::from_env() }
}

/// A lab with a unique name. [`finish`](Self::finish) removes it and asserts that nothing is left.
pub(crate) struct TestLab {
    pub(crate) name: String,
    pub(crate) engine: Docker,
}

impl TestLab {
    pub(crate) fn new(test: &str) -> Self {
        Self::with(test, stack(), options())
    }

    pub(crate) fn with(test: &str, stack: Stack, options: DockerOptions) -> Self {
        let name = format!("t-{test}-{:04x}", std::process::id() & 0xffff);
        Self { engine: Docker::new(&name, stack, options), name }
    }

    /// Another engine for the same lab, like in another process.
    pub(crate) fn another_engine(&self) -> Docker {
        Docker::new(&self.name, stack(), options())
    }

    pub(crate) async fn finish(self) {
        self.engine.down().await.unwrap_or_else(|error| panic!("down: {error}"));
        assert_eq!(self.leftovers(), "", "objects of the lab are left");
    }

    /// Objects of the lab that the daemon still has.
    pub(crate) fn leftovers(&self) -> String {
        leftovers(None, &self.name)
    }
}

/// Cleans up after a failed test.
impl Drop for TestLab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            sweep(None, &self.name);
        }
    }
}

/// Objects of a lab that a daemon (by default that of the environment) still has, read independently of the engine.
pub(crate) fn leftovers(host: Option<&str>, lab: &str) -> String {
    let filter = format!("label=lab.name={lab}");
    let project = format!("label=com.docker.compose.project=lab-{lab}");
    let mut left = String::new();
    for filter in [filter, project] {
        for kind in [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]] {
            left += &docker_on(host, &[kind, &["--filter", &filter]].concat());
        }
    }
    left
}

/// Removes the objects of a lab from a daemon, as far as possible in limited time.
pub(crate) fn sweep(host: Option<&str>, lab: &str) {
    let filter = format!("label=lab.name={lab}");
    for (list, remove) in [
        (&["ps", "-aq"][..], &["rm", "-fv"][..]),
        (&["network", "ls", "-q"], &["network", "rm"]),
        (&["volume", "ls", "-q"], &["volume", "rm"]),
    ] {
        let bounded = || {
            let mut command = Command::new("timeout");
            command.args(["20", "docker"]).args(host.iter().flat_map(|host| ["--host", host]));
            command
        };
        let found = bounded().args(list).args(["--filter", &filter]).output();
        let found = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for id in found.lines() {
            let _ = bounded().args(remove).arg(id).output();
        }
    }
}

/// Runs a docker command and returns its output.
pub(crate) fn docker(args: &[&str]) -> String {
    docker_on(None, args)
}

/// Runs a docker command on another daemon.
pub(crate) fn docker_on(host: Option<&str>, args: &[&str]) -> String {
    let host = host.iter().flat_map(|host| ["--host", host]);
    let output = crate::command::output(Command::new("docker").args(host).args(args));
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Gateway, app and database of the built-in stack, written to a folder as a user's own stack (`--stack`).
pub(crate) fn write_small_stack(folder: &Path) {
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("stack");
    let text = std::fs::read_to_string(stack.join("compose.yaml")).expect("the stack's file");
    let mut small = String::new();
    let mut dropped = false;
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        if depth <= 2 && !line.trim().is_empty() {
            let names = ["edge", "prometheus", "grafana", "prometheus-data", "optional", "folders"];
            dropped = depth == 2 && line.trim().split_once(':').is_some_and(|(name, _)| names.contains(&name));
        }
        if !dropped {
            small += line;
            small.push('\n');
        }
    }
    let small = small.replace(", edge: { condition: service_started }", "").replace("edge:5140", "\"\"");
    std::fs::create_dir_all(folder).expect("a writable path");
    std::fs::write(folder.join("compose.yaml"), small).expect("a writable path");
    for mounted in ["nginx", "postgres"] {
        let copied = Command::new("cp").arg("-r").arg(stack.join(mounted)).arg(folder).status();
        assert!(copied.is_ok_and(|status| status.success()));
    }
}

/// Images of the small stack that are not built from this project.
pub(crate) fn small_images() -> Vec<String> {
    stack().services.into_iter().filter(|service| service.name != APP).map(|service| service.image).collect()
}

/// Sends a request with a key. Returns the status, or 0 without a response.
pub(crate) async fn status(base: &str, path: &str, key: &str) -> u16 {
    let request = Request::get(format!("{base}{path}")).header("x-api-key", key).timeout(Duration::from_secs(5));
    Http::new().request(&request).await.map_or(0, |response| response.status)
}

/// Records the stages of `up`.
#[derive(Clone, Default)]
pub(crate) struct Stages(Arc<Mutex<Vec<String>>>);

impl Stages {
    pub(crate) fn sink(&self) -> ProgressFn {
        let stages = self.0.clone();
        Arc::new(move |progress| {
            let line = format!("{} {}", progress.service, progress.stage);
            stages.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        })
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Architecture of this machine, in Docker's notation.
pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Another architecture.
pub(crate) fn other_architecture() -> &'static str {
    if architecture() == "arm64" { "amd64" } else { "arm64" }
}
