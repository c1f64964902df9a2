//! [`Backend`]: what a room needs of the labs behind its seats. The binary implements it with the engines and with its own
//! command line; tests implement it in memory.

use async_trait::async_trait;
use lab_core::event::Secrets;
use lab_drill::choice::Secret;
use lab_drill::event::Ending;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::event::DrillOrder;

/// A line of a console that was accepted: the arguments of one command of lab, without the program's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The arguments, as the command line accepted them.
    pub arguments: Vec<String>,
    /// The line for people, with secrets masked.
    pub shown: String,
}

/// Result of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit code. `None` if it was ended, because it took too long or printed too much.
    pub exit: Option<u8>,
    /// Text of both streams, cut to the console's limit.
    pub text: String,
}

/// State of a seat's lab as it can be seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Services in the order of the request path, with their state, such as `running`. Empty if the lab does not answer.
    pub services: Vec<(String, String)>,
    /// Alerts that fire, by name.
    pub alerts: Vec<String>,
}

/// Why something could not be done with a lab, for the trainer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

/// The scenarios among which the incident of a drill is drawn, as the trainer selected them. Without any restriction, these are
/// all incidents of the library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names of the library, or paths of files.
    pub scenarios: Vec<String>,
    /// Only scenarios with this tag.
    pub tag: Option<String>,
    /// Only scenarios of this difficulty.
    pub difficulty: Option<String>,
}

/// The labs behind the seats of a room. Labs are named as in the room's configuration.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Names of the incidents that can be played, for the trainer's form.
    fn scenarios(&self) -> Vec<String>;

    /// Draws the scenario of a drill.
    ///
    /// # Errors
    /// The text for the trainer, if a scenario does not exist or cannot be played in a room.
    fn choose(&self, selection: &Selection, secret: &Secret) -> Result<String, String>;

    /// Brings a lab up, or back up after its processes were killed, with the fault of a drill in progress. Does little if it
    /// is up.
    async fn bring_up(&self, lab: &str) -> Result<(), BackendError>;

    /// Takes a lab back to how it was first brought up, whatever state it is in. Can be repeated.
    async fn reset(&self, lab: &str) -> Result<(), BackendError>;

    /// Returns the current state of a lab. Called every few seconds.
    async fn snapshot(&self, lab: &str) -> Snapshot;

    /// Returns the secret values in a lab, such as keys.
    async fn secrets(&self, lab: &str) -> Secrets;

    /// Begins a drill in a lab: draws its values from the secret of the seat and writes the start of its log. The incident is
    /// that of the order, and so is the same for every seat. Returns the id of the drill, also of one that was begun with this
    /// secret before, so that it can be repeated after the server was killed. Nothing happens in the drill until
    /// [`Backend::watch`] runs.
    async fn start_drill(&self, lab: &str, order: &DrillOrder, secret: &Secret) -> Result<String, BackendError>;

    /// Referees a drill until it is over or `end` is cancelled. Its clock stands still while `paused` is true. Returns how
    /// the drill ended, or `None` if it can be continued.
    async fn watch(
        &self,
        lab: &str,
        drill: &str,
        paused: watch::Receiver<bool>,
        end: CancellationToken,
    ) -> Result<Option<Ending>, BackendError>;

    /// Ends a drill, restores its lab and publishes its log. Called when [`Backend::watch`] does not run. Can be repeated.
    async fn end_drill(&self, lab: &str, drill: &str, by: Ending) -> Result<(), BackendError>;

    /// Parses a line of a console.
    ///
    /// # Errors
    /// The text for the participant, if it is malformed or not offered.
    fn parse(&self, line: &str) -> Result<Line, String>;

    /// Runs an accepted line against a lab.
    async fn run(&self, lab: &str, line: &Line) -> Output;
}
