//! Drills in a lab. The [`Referee`] is a process of its own: it drives the callers, injects the fault at its time, looks at the
//! lab, and writes facts into the drill's log. It decides nothing: verdicts are computed from the log by [`lab_drill`].
//! [`conclude`] ends a drill, also if its referee is dead.

use std::io;

use crate::lab::{ChangeError, Lab, LabError};
use crate::runner::RegisterError;
use crate::undo::UndoError;
use lab_core::engine::EngineError;
use lab_drill::log::{Drills, LogError};
use lab_scenario::Diagnostics;
use lab_system::files::Folder;

mod brief;
mod check;
mod clock;
mod data;
mod end;
mod hosting;
mod inject;
mod lookout;
mod pending;
mod prepare;
mod process;
mod referee;
mod restore;
mod traffic;
mod users;
mod watch;
mod wire;
mod wrong_fix;

pub use brief::brief;
pub use data::DataError;
pub use end::{Concluded, conclude, end, ending, is_ended, is_over, publish};
pub use hosting::{Hosting, Process};
pub use pending::pending;
pub use prepare::{prepare, revive};
pub use process::{COMMAND, DrillProcess, LOCK_FILE, Order, Response};
pub use referee::Referee;
pub use traffic::callers;
pub use users::{UsersError, digest as users_digest};
pub use watch::{Pause, Watch};
pub use wire::ProbeWire;
pub use wrong_fix::contains as contains_fix;

/// Name in locks, and instead of a scenario's name in the undo log.
pub const HOLDER: &str = "a drill";

/// Why a step of a drill failed.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log does not begin with the start of a drill.
    #[error("the log of the drill is empty; end the drill with lab drill give-up")]
    NotStarted,
    /// The lab is locked, or its files cannot be used.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The scenario cannot be read any more.
    #[error("cannot read the scenario of the drill: {0}")]
    Scenario(#[from] Diagnostics),
    /// The undo log cannot be used.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// The stack failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The referee's process could not be started, reached or ended.
    #[error("cannot run the referee: {0}")]
    Process(#[from] io::Error),
    /// The referee's process refused its order, or exited.
    #[error("the referee did not start: {0}")]
    Refused(String),
    /// A harmless change before the fault could not be made.
    #[error("{service} could not be redeployed: {source}")]
    Redeploy {
        /// Name of the service.
        service: String,
        /// What failed.
        source: ChangeError,
    },
    /// The callers of the scenario could not be registered.
    #[error(transparent)]
    Callers(#[from] RegisterError),
    /// The users could not be saved.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A step of the fault could not be executed.
    #[error("{name}: {reason}")]
    Step {
        /// Name of the step.
        name: String,
        /// What failed.
        reason: String,
    },
    /// A signal stopped the steps of the fault.
    #[error("it was interrupted")]
    Interrupted,
}

/// Folder of a drill of this lab.
pub fn folder(lab: &Lab, id: &str) -> Folder {
    // STATE/labs/NAME
    let state = lab.folder().root().ancestors().nth(2).unwrap_or_else(|| lab.folder().root());
    Drills::new(state).folder(id)
}
