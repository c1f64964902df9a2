//! The server's process of a room. It holds `room.lock` while it runs, and outlives the command that started it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lab_core::error::Failure;
use lab_room::config::describe;
use lab_runner::lab::StateFolder;
use lab_system::background::{self, Starting};
use lab_system::files::Folder;
use serde::{Deserialize, Serialize};

/// Lock that identifies the process.
pub(super) const LOCK_FILE: &str = "room.lock";
/// Hidden command that runs the process.
const COMMAND: &str = "room-host";
/// Standard error of the process.
const LOG_FILE: &str = "room.log";
/// Time for the process to read the room's log and to listen.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Time to exit after SIGTERM. Referees complete their injections.
const GRACE: Duration = Duration::from_secs(15);

/// Sent to the process: one line of JSON on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// State folder.
    pub(super) state: PathBuf,
    /// Name of the room.
    pub(super) room: String,
}

/// Response of the process: one line of JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Response {
    /// Address that it listens on.
    Serving(SocketAddr),
    /// Reason why it exits.
    Failed(String),
}

/// The server's process of one room.
#[derive(Clone, Debug)]
pub(super) struct RoomProcess {
    folder: Folder,
}

impl RoomProcess {
    /// The process need not run.
    pub(super) fn new(folder: &Folder) -> Self {
        Self { folder: folder.clone() }
    }

    fn lock(&self) -> PathBuf {
        self.folder.path(LOCK_FILE)
    }

    /// Returns true if the process runs.
    pub(super) fn is_running(&self) -> bool {
        background::is_running(&self.lock())
    }

    /// Starts the process and waits until it serves.
    pub(super) async fn start(&self, state: &StateFolder, room: &str) -> anyhow::Result<SocketAddr> {
        let log = self.folder.path(LOG_FILE);
        let mut command = background::hidden_command(&background::own_executable(), COMMAND, &log)?;
        command.env("LAB_STATE_DIR", state.root());
        let mut starting = Starting::new(command.spawn()?);
        let order = Order { state: state.root().to_owned(), room: room.to_owned() };
        let response = starting.exchange(&order, START_TIMEOUT).await?;
        match serde_json::from_str(&response) {
            Ok(Response::Serving(address)) => {
                starting.keep();
                Ok(address)
            }
            Ok(Response::Failed(why)) => {
                Err(Failure::failed(format!("{} does not start: {why}", describe(room))).into())
            }
            Err(_) => {
                let message = format!("{} does not start: its process exited", describe(room));
                Err(Failure::failed(message).hint(format!("see {}", log.display())).into())
            }
        }
    }

    /// Ends the process, if it runs. Drills in progress stand still.
    pub(super) async fn stop(&self) -> io::Result<()> {
        background::end_holders(&self.lock(), GRACE).await
    }
}
