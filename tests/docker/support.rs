//! A small stack of the real images, and a lab of it that leaves nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lab::engine::docker::{Docker, DockerOptions};
use lab::engine::{APP, DB, Engine, GATEWAY, ProgressFn};
use lab::http::{Http, Request};
use lab::stack::{Service, Stack};

/// For what takes a moment on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The stack that comes with lab, whole.
pub(crate) fn whole_stack() -> Stack {
    Stack::embedded(&BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Gateway, app and database of it: what a request passes through.
pub(crate) fn stack() -> Stack {
    let mut stack = whole_stack();
    stack.services.retain(|service| [GATEWAY, APP, DB].contains(&service.name.as_str()));
    stack.volumes.retain(|volume| volume.starts_with("db"));
    stack.lab.optional.clear();
    (stack.lab.prometheus, stack.lab.grafana) = (None, None);
    stack
}

/// A service of it, to be changed.
pub(crate) fn service<'a>(stack: &'a mut Stack, name: &str) -> &'a mut Service {
    stack.services.iter_mut().find(|service| service.name == name).expect("the stack has it")
}

/// The executable under test, without its symbols: a tenth of the size.
pub(crate) fn executable() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    let strip = || {
        let original = PathBuf::from(env!("CARGO_BIN_EXE_lab"));
        let stripped = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lab-stripped");
        let status = std::process::Command::new("strip").arg("-o").arg(&stripped).arg(&original).status();
        if status.is_ok_and(|status| status.success()) { stripped } else { original }
    };
    STRIPPED.get_or_init(strip).clone()
}

pub(crate) fn options() -> DockerOptions {
    DockerOptions { executable: Some(executable()), ..DockerOptions::from_env() }
}

/// A lab under a name of its own. After each test it is taken down, and nothing of it may be left.
pub(crate) struct Bench {
    pub(crate) name: String,
    pub(crate) engine: Docker,
}

impl Bench {
    pub(crate) fn new(test: &str) -> Self {
        Self::with(test, stack(), options())
    }

    pub(crate) fn with(test: &str, stack: Stack, options: DockerOptions) -> Self {
        let name = format!("t-{test}-{:04x}", std::process::id() & 0xffff);
        Self { engine: Docker::new(&name, stack, options), name }
    }

    /// The same lab, as another process would see it.
    pub(crate) fn again(&self) -> Docker {
        Docker::new(&self.name, stack(), options())
    }

    pub(crate) async fn finish(self) {
        self.engine.down().await.unwrap_or_else(|error| panic!("down: {error}"));
        assert_eq!(self.leftovers(), "", "nothing is left");
    }

    /// What the daemon still has of the lab, by another way than the engine's.
    pub(crate) fn leftovers(&self) -> String {
        let filter = format!("label=lab.name={}", self.name);
        let project = format!("label=com.docker.compose.project=lab-{}", self.name);
        let mut left = String::new();
        for filter in [filter, project] {
            for kind in [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]] {
                left += &docker(&[kind, &["--filter", &filter]].concat());
            }
        }
        left
    }
}

/// A test that failed leaves nothing either.
impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let filter = format!("label=lab.name={}", self.name);
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-fv"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
        ] {
            let found = std::process::Command::new("docker").args(list).args(["--filter", &filter]).output();
            let found = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            for id in found.lines() {
                let _ = std::process::Command::new("docker").args(remove).arg(id).output();
            }
        }
    }
}

/// The docker command's own view.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = std::process::Command::new("docker").args(args).output().expect("the docker command is there");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A request with a key; the status, or 0 where there was no answer.
pub(crate) async fn status(base: &str, path: &str, key: &str) -> u16 {
    let request = Request::get(format!("{base}{path}")).header("x-api-key", key).timeout(Duration::from_secs(5));
    Http::new().request(&request).await.map_or(0, |response| response.status)
}

/// Takes what happens during `up`.
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
