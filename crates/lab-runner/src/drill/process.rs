//! The referee's process. It holds `drill.lock` in the lab's folder while it runs, and outlives the command that started it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DrillError;
use crate::lab::Lab;
use lab_system::background::{self, Starting};
use lab_system::files::{self, Folder};

/// Lock that identifies the process.
pub const LOCK_FILE: &str = "drill.lock";
/// Hidden command that runs the process.
pub const COMMAND: &str = "drill-host";
/// Standard error of the process.
const LOG_FILE: &str = "drill.log";
/// Time for the process to prepare the lab. On containers every service is redeployed.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// Time to exit after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);

/// Sent to the process: one line of JSON on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// Folder of the lab.
    pub folder: PathBuf,
    /// Id of the drill.
    pub drill: String,
}

/// Response of the process: one line of JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// It watches the lab.
    Watching,
    /// Reason why it exits.
    Failed(String),
}

/// The referee's process of one lab.
#[derive(Clone, Debug)]
pub struct DrillProcess {
    folder: Folder,
}

impl DrillProcess {
    /// The process need not run.
    pub fn new(lab: &Lab) -> Self {
        Self { folder: lab.folder().clone() }
    }

    /// Path of the lock that the process holds while it runs.
    pub fn lock(&self) -> PathBuf {
        self.folder.path(LOCK_FILE)
    }

    /// Returns true if the process runs.
    pub fn is_running(&self) -> bool {
        background::is_running(&self.lock())
    }

    /// Starts the process and waits until it watches. It outlives this process and its terminal.
    ///
    /// # Errors
    /// [`DrillError::Refused`] if it exits, with its reason.
    pub async fn start(&self, drill: &str) -> Result<(), DrillError> {
        let log = self.folder.path(LOG_FILE);
        let mut command = background::hidden_command(&background::own_executable(), COMMAND, &log)?;
        let mut starting = Starting::new(command.spawn()?);
        let order = Order { folder: self.folder.root().to_owned(), drill: drill.to_owned() };
        let response = starting.exchange(&order, START_TIMEOUT).await?;
        match serde_json::from_str(&response) {
            Ok(Response::Watching) => {
                starting.keep();
                Ok(())
            }
            Ok(Response::Failed(why)) => Err(DrillError::Refused(why)),
            Err(_) => Err(DrillError::Refused(format!("its process exited; see {}", log.display()))),
        }
    }

    /// Waits until the process has ended by itself, and ends it otherwise.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&self, patience: Duration) -> Result<(), DrillError> {
        if !self.is_running() {
            return Ok(());
        }
        let file = match files::open_state(&self.lock(), u64::MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        if background::wait_until_free(file, patience).await.is_ok() {
            return Ok(());
        }
        Ok(background::end_holders(&self.lock(), GRACE).await?)
    }
}
