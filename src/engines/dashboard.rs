//! lab's own dashboard for Docker labs without Grafana: a process on the user's machine that holds `dashboard.lock` in the
//! lab's folder while it runs.

use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use lab_system::background::{self, Starting};
use lab_system::files::{self, Folder};

/// Lock that identifies the dashboard process.
pub(crate) const LOCK_FILE: &str = "dashboard.lock";
/// Address of the running dashboard: a [`Serving`].
pub(crate) const FILE: &str = "dashboard.json";
/// Standard error of the process.
const LOG_FILE: &str = "dashboard.log";
/// Variable with which the built-in stack sets Grafana's port; this dashboard uses the same.
pub(super) const PORT_VARIABLE: &str = "LAB_GRAFANA_PORT";
/// Hidden command that runs the process.
pub(crate) const COMMAND: &str = "dashboard-host";

/// Time to report the port.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to exit after SIGTERM. The process has nothing to clean up.
const GRACE: Duration = Duration::from_millis(500);

/// Sent to the process once there is something to show: one line of JSON on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Folder of the lab.
    pub(crate) folder: PathBuf,
    /// Port on 127.0.0.1; 0 picks a free one.
    pub(crate) port: u16,
    /// Use another port if that one is taken.
    pub(crate) or_another: bool,
    /// Exit at the end of standard input.
    pub(crate) tied: bool,
}

/// Response of the process: one line of JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Response {
    /// The port that it serves on.
    On(u16),
    /// Reason why it exits.
    Failed(String),
}

/// Port requested in the environment, 0 for a free one. The error is a message for people.
pub(crate) fn requested_port() -> Result<Option<u16>, String> {
    let Some(value) = std::env::var_os(PORT_VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let port = value.to_str().and_then(|text| text.parse().ok());
    port.map(Some)
        .ok_or_else(|| format!("{PORT_VARIABLE} must be a port number, got {:?}", value.display().to_string()))
}

/// Running dashboard, as stored in `dashboard.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Serving {
    /// Version of lab that serves it.
    pub(crate) version: String,
    pub(crate) pid: u32,
    /// Port on 127.0.0.1.
    pub(crate) port: u16,
}

impl Serving {
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

#[derive(Debug)]
pub(super) struct Dashboard {
    folder: Folder,
}

impl Dashboard {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { folder: folder.clone() }
    }

    fn is_alive(&self) -> bool {
        background::is_running(&self.lock())
    }

    /// Address, if the process is running.
    pub(super) fn serving(&self) -> Option<Serving> {
        self.last().filter(|_| self.is_alive())
    }

    /// Last known address, whether the process is running or not.
    pub(super) fn last(&self) -> Option<Serving> {
        serde_json::from_slice(&files::read_state(&self.folder.path(FILE), files::RECORD_LIMIT).ok()?).ok()
    }

    /// Path of the lock that the process holds while it runs.
    pub(super) fn lock(&self) -> PathBuf {
        self.folder.path(LOCK_FILE)
    }

    /// Starts the process, which waits for its [`Order`]: see [`Dashboard::serve`].
    pub(super) fn prepare(&self) -> io::Result<Starting> {
        let log = self.folder.path(LOG_FILE);
        let mut command = background::hidden_command(&background::own_executable(), COMMAND, &log)?;
        // It may be killed: its temporary files are removed with the lab.
        command.env("TMPDIR", self.folder.root());
        Ok(Starting::new(command.spawn()?))
    }

    /// Sends the order and waits until the process serves. Keeps the child's standard input open, because it may be tied to it.
    pub(super) async fn serve(&self, mut starting: Starting, order: &Order) -> anyhow::Result<(Child, u16)> {
        let response = starting.exchange(order, START_TIMEOUT).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => anyhow!("its process did not report a port in time"),
            _ => error.into(),
        })?;
        match serde_json::from_str(&response) {
            Ok(Response::On(port)) => Ok((starting.keep().context("its process exited")?, port)),
            Ok(Response::Failed(why)) => Err(anyhow!(why)),
            Err(_) => Err(anyhow!("its process exited; see {}", self.folder.path(LOG_FILE).display())),
        }
    }

    /// Ends the process that holds the lock; the address file may be lost or name another process. A process that does not
    /// hold the lock yet exits by itself when the lab's folder is gone.
    pub(super) async fn end(&self) -> io::Result<()> {
        background::end_holders(&self.lock(), GRACE).await
    }
}
