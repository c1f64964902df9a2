//! [`User`]: a state folder and the command line of one user of the Swarm.

use std::path::Path;
use std::process::Command;

use crate::cluster::Cluster;
use crate::command::{CommandOutput, output};
use crate::stripped::executable;

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
