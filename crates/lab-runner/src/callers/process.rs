//! The process that sends the callers' requests. It holds `callers.lock` in the lab's folder while it runs, and writes its
//! counts to `callers.json` once a second.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use super::CallerMix;
use crate::lab::Lab;
use lab_system::background::{self, Starting};
use lab_system::files::{self, Folder};

/// Lock that identifies the process.
pub const LOCK_FILE: &str = "callers.lock";
/// State of the process: a [`CallersState`].
pub const STATE_FILE: &str = "callers.json";
/// Standard error of the process.
const LOG_FILE: &str = "callers.log";
/// Hidden command that runs the process.
pub const COMMAND: &str = "callers-host";
/// Time after which the callers stop by themselves, unless another one is given.
pub const DEFAULT_DURATION: Duration = Duration::from_hours(1);
/// Number of seconds that [`CallerState::recent`] covers.
pub const RECENT: usize = 10;

/// Time for the process to send its first request.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// Time to exit after SIGTERM. It abandons the requests in flight.
const GRACE: Duration = Duration::from_secs(2);

/// Error of the callers' process.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// The process could not be started, reached or ended.
    #[error("cannot run the callers: {0}")]
    Process(#[from] io::Error),
    /// The process refused its order.
    #[error("the callers did not start: {0}")]
    Refused(String),
    /// The process exited without a response.
    #[error("the callers' process exited; see {}", .0.display())]
    Exited(PathBuf),
}

/// Sent to the process: one line of JSON on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// Folder of the lab.
    pub folder: PathBuf,
    /// What to send.
    pub mix: CallerMix,
    /// When to stop.
    pub until: DateTime<Utc>,
}

/// Response of the process: one line of JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// It sends.
    Sending,
    /// Reason why it exits.
    Failed(String),
}

/// State of the process, at most a second old while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallersState {
    /// Process id.
    pub pid: u32,
    /// Start of the traffic.
    pub since: DateTime<Utc>,
    /// Time limit.
    pub until: DateTime<Utc>,
    /// What is sent.
    pub mix: CallerMix,
    /// Counts by sender, in the order of the mix.
    pub callers: Vec<CallerState>,
    /// When and why the process ended. `None` while it runs, or if it was killed.
    pub ended: Option<(DateTime<Utc>, String)>,
}

impl CallersState {
    /// Requests and successes of all senders in the last [`RECENT`] seconds.
    pub fn last_seconds(&self) -> (u64, u64) {
        let counts = self.callers.iter().map(CallerState::last_seconds);
        counts.fold((0, 0), |(sent, succeeded), one| (sent + one.0, succeeded + one.1))
    }
}

/// Counts of one sender.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallerState {
    /// Name of the sender.
    pub name: String,
    /// Requests per second.
    pub rate: f64,
    /// Requests that ended.
    pub sent: u64,
    /// Attempts of these requests. More than `sent` if some were retried.
    #[serde(default)]
    pub attempts: u64,
    /// Responses with a status of 2xx.
    pub succeeded: u64,
    /// Requests that could not be sent in time.
    pub unsent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a complete response, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Requests and successes in each of the last [`RECENT`] seconds, oldest first.
    pub recent: Vec<(u64, u64)>,
}

impl CallerState {
    /// Requests and successes in the last [`RECENT`] seconds.
    pub fn last_seconds(&self) -> (u64, u64) {
        self.recent.iter().fold((0, 0), |(sent, succeeded), second| (sent + second.0, succeeded + second.1))
    }
}

/// The callers' process of one lab.
#[derive(Clone, Debug)]
pub struct CallersProcess {
    folder: Folder,
}

/// Returns true if the callers of a lab are sending.
pub fn is_running(lab: &Lab) -> bool {
    CallersProcess::new(lab).is_running()
}

/// Stops the callers of a lab. Returns true if they were sending.
///
/// # Errors
/// If the process does not end.
pub async fn stop(lab: &Lab) -> Result<bool, CallersError> {
    CallersProcess::new(lab).stop().await
}

impl CallersProcess {
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

    /// Last written state, whether the process runs or not. `None` if there never was one.
    pub fn state(&self) -> Option<CallersState> {
        serde_json::from_slice(&files::read_state(&self.folder.path(STATE_FILE), files::RECORD_LIMIT).ok()?).ok()
    }

    /// Starts the process and waits until it sends. It outlives this process and its terminal.
    ///
    /// # Errors
    /// If another process is running, or the lab's gateway has no address.
    pub async fn start(&self, mix: CallerMix, duration: Duration) -> Result<(), CallersError> {
        let log = self.folder.path(LOG_FILE);
        let mut command = background::hidden_command(&background::own_executable(), COMMAND, &log)?;
        let mut starting = Starting::new(command.spawn()?);
        let until =
            Utc::now().trunc_subsecs(3) + chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX);
        let order = Order { folder: self.folder.root().to_owned(), mix, until };
        let response = starting.exchange(&order, START_TIMEOUT).await?;
        match serde_json::from_str(&response) {
            Ok(Response::Sending) => {
                starting.keep();
                Ok(())
            }
            Ok(Response::Failed(why)) => Err(CallersError::Refused(why)),
            Err(_) => Err(CallersError::Exited(log)),
        }
    }

    /// Ends the process. Returns true if it was running.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&self) -> Result<bool, CallersError> {
        if !self.is_running() {
            return Ok(false);
        }
        background::end_holders(&self.lock(), GRACE).await?;
        Ok(true)
    }
}
