//! [`Dashboard`]: lab's own dashboard of a lab on containers, where no Grafana runs: a process on the user's machine, as the
//! embedded engine has its host. It holds `dashboard.lock` in the lab's folder for as long as it lives.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

use lab_system::background::{self, Starting};
use lab_system::deadline;
use lab_system::files::{self, Folder};

/// What it is known by.
pub(crate) const LOCK_FILE: &str = "dashboard.lock";
/// How it is reached: [`Serving`].
pub(crate) const FILE: &str = "dashboard.json";
/// What it says of its own.
const LOG_FILE: &str = "dashboard.log";
/// The variable by which the stack's file lets people choose Grafana's port, and with it this one's.
pub(super) const PORT_VARIABLE: &str = "LAB_GRAFANA_PORT";
/// The command that it is.
pub(crate) const COMMAND: &str = "dashboard-host";

/// How long it may take to say where it is.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to end after SIGTERM. It has nothing to put away.
const GRACE: Duration = Duration::from_millis(500);

/// What it is told, once there is something to show: one line of JSON on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The lab's folder.
    pub(crate) folder: PathBuf,
    /// Its port on 127.0.0.1; 0 for a free one.
    pub(crate) port: u16,
    /// Whether another port will do, where that one is taken.
    pub(crate) or_another: bool,
    /// Whether it ends with its standard input.
    pub(crate) tied: bool,
}

/// What it answers: one line of JSON on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// It is on this port.
    On(u16),
    /// It is not, and ends: why.
    Failed(String),
}

/// The port that the environment asks for, if it does; 0: a free one. An error says what is wrong with it.
pub(crate) fn asked_port() -> Result<Option<u16>, String> {
    let Some(value) = std::env::var_os(PORT_VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let port = value.to_str().and_then(|text| text.parse().ok());
    port.map(Some).ok_or_else(|| format!("{PORT_VARIABLE} is no port: {}", value.display()))
}

/// How one that lives is reached: `dashboard.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Serving {
    /// Of the lab that it is.
    pub(crate) version: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
}

impl Serving {
    /// Where people find it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// The dashboard of one lab.
#[derive(Debug)]
pub(super) struct Dashboard {
    folder: Folder,
}

impl Dashboard {
    pub(super) fn of(folder: &Folder) -> Self {
        Self { folder: folder.clone() }
    }

    fn lives(&self) -> bool {
        background::lives(&self.lock())
    }

    /// How it is reached, where it lives.
    pub(super) fn serving(&self) -> Option<Serving> {
        self.last().filter(|_| self.lives())
    }

    /// How it is, or was, reached.
    pub(super) fn last(&self) -> Option<Serving> {
        serde_json::from_slice(&files::read_state(&self.folder.path(FILE), files::RECORD_LIMIT).ok()?).ok()
    }

    /// What it holds as long as it lives.
    pub(super) fn lock(&self) -> PathBuf {
        self.folder.path(LOCK_FILE)
    }

    /// Starts a process that will be one once it is told to: see [`Dashboard::serve`].
    pub(super) fn prepare(&self) -> io::Result<Starting> {
        let errors = files::append(&self.folder.path(LOG_FILE))?;
        let mut command = Command::new(background::own_executable());
        // It may be killed: what is temporary to it goes with the lab.
        command.env("TMPDIR", self.folder.root());
        command.arg0("lab").arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        Ok(Starting::new(command.spawn()?))
    }

    /// Tells it to serve, and waits until it does. Its process; its standard input, still open, is what it may be tied to.
    pub(super) async fn serve(&self, mut starting: Starting, order: &Order) -> Result<(Child, u16), String> {
        let failed = |error: io::Error| error.to_string();
        let mut line = serde_json::to_vec(order).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let pipes = starting.process().and_then(|process| process.stdin.as_mut().zip(process.stdout.take()));
        let Some((stdin, stdout)) = pipes else { return Err("its process has no pipes".to_owned()) };
        stdin.write_all(&line).map_err(failed)?;
        let stdout = tokio::process::ChildStdout::from_std(stdout).map_err(failed)?;
        let mut answer = String::new();
        let read = deadline::timeout(START_TIMEOUT, BufReader::new(stdout).read_line(&mut answer)).await;
        read.map_err(|_| "it does not say where it is".to_owned())?.map_err(failed)?;
        match serde_json::from_str(&answer) {
            Ok(Answer::On(port)) => Ok((starting.keep().ok_or("its process is gone")?, port)),
            Ok(Answer::Failed(why)) => Err(why),
            Err(_) => Err(format!("its process ended: {} has why", self.folder.path(LOG_FILE).display())),
        }
    }

    /// Ends it, found by its lock: its file may be lost or name another process. One that has not taken its lock yet ends by
    /// itself when it finds its lab's folder gone.
    pub(super) async fn end(&self) -> io::Result<()> {
        background::end_holders(&self.lock(), GRACE).await
    }
}
