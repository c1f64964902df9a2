//! [`User`]: a state folder and the command line of one user of the Swarm.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::cluster::Cluster;
use crate::command::{CommandOutput, output};

pub(crate) struct User {
    state: tempfile::TempDir,
    host: String,
}

impl User {
    /// A user whose `DOCKER_HOST` is the manager.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self::on(cluster, 1)
    }

    /// A user whose `DOCKER_HOST` is this node.
    pub(crate) fn on(cluster: &Cluster, node: usize) -> Self {
        Self { state: tempfile::tempdir().expect("a temporary folder"), host: cluster.host(node) }
    }

    /// Runs lab with `--engine swarm` as the default engine.
    #[track_caller]
    pub(crate) fn lab(&self, args: &[&str]) -> CommandOutput {
        let mut command = Command::new(executable());
        command.args(args).env("LAB_STATE_DIR", self.state.path()).env("LAB_ENGINE", "swarm");
        command.env("DOCKER_HOST", &self.host).env_remove("LAB_NAME").env_remove("RUST_BACKTRACE");
        CommandOutput::new(args.join(" "), &output(&mut command))
    }

    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }
}

/// Ends the labs of a failed test.
impl Drop for User {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = Command::new(executable())
                .args(["down", "--all"])
                .env("LAB_STATE_DIR", self.state.path())
                .env("DOCKER_HOST", &self.host)
                .output();
        }
    }
}

/// The executable under test without symbols, which has a tenth of the size.
pub(crate) fn executable() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    let strip = || {
        let original = PathBuf::from(env!("CARGO_BIN_EXE_lab"));
        let stripped = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lab-swarm-stripped");
        let fresh = stripped.with_extension(std::process::id().to_string());
        let status = Command::new("strip").arg("-o").arg(&fresh).arg(&original).status();
        let done = status.is_ok_and(|status| status.success()) && std::fs::rename(&fresh, &stripped).is_ok();
        if done { stripped } else { original }
    };
    STRIPPED.get_or_init(strip).clone()
}
