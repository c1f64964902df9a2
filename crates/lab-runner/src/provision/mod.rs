//! Provides running labs: [`Provisioner::attach`] locks an existing lab for a run, [`Provisioner::create`] makes a temporary
//! one and [`Provisioner::remove`] removes it again, and [`UpTransaction`] brings a lab up to stay. Independent of the
//! command line and the terminal. Keeps no state, so one process can provide many labs at the same time.

use std::fmt;
use std::sync::Arc;

use crate::lab::lock::Lock;
use crate::lab::{Lab, LabError, Record};
use crate::runner::Interrupt;
use crate::undo::{Pending, UndoError};
use lab_core::engine::{Description, Engine, EngineError, EngineErrorKind, ProgressFn};
use lab_scenario::Diagnostics;
use lab_stack::{Reading, Stack, StackErrors};

mod alerts;
mod attach;
mod precondition;
mod temporary;
#[cfg(test)]
mod tests;
mod up;

pub use precondition::Problem;
pub use temporary::{CreateError, TemporaryLab};
pub use up::{KeptFault, PreviousState, Repairs, RunningLab, UpOutcome, UpTransaction};

/// Connects labs to engines. Implemented by the binary, because only that knows all engines.
pub trait Connector: Send + Sync {
    /// Connects a lab. Uses the stack of the last `up` if `stack` is `None`.
    ///
    /// # Errors
    /// If the record names an unknown engine, or the files of its stack are invalid.
    fn connect(&self, lab: &Lab, record: &Record, stack: Option<Stack>) -> Result<Arc<dyn Engine>, ConnectError>;

    /// Connects a lab that is about to be removed. Does not read its stack, because the files may be broken by now.
    ///
    /// # Errors
    /// If the record names an unknown engine.
    fn connect_for_removal(&self, lab: &Lab, record: &Record) -> Result<Arc<dyn Engine>, ConnectError>;

    /// Reads the stack of a lab that is about to start. `None` if its engine has no stack files.
    ///
    /// # Errors
    /// If the files are invalid.
    fn read_stack(&self, record: &Record) -> Result<Option<Reading>, ConnectError>;
}

/// Reason why a lab's engine is not available.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The engine is unknown or cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The files of its stack are invalid.
    #[error(transparent)]
    Stack(#[from] StackErrors),
    /// The owner id of the state folder, or the stack of the last `up`, cannot be read.
    #[error(transparent)]
    State(#[from] LabError),
}

/// Reason why a lab could not be provided or removed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The lab has no engine.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The stack failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The lab is locked, or its files cannot be used.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The undo log cannot be used, or an earlier run has an undo pending.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// The lab does not support the scenario.
    #[error(transparent)]
    Scenario(#[from] Diagnostics),
    /// The lab is not as the scenario expects.
    #[error("lab {lab} is not as {scenario} expects: {}", list(problems))]
    Unexpected {
        /// Name of the lab.
        lab: String,
        /// Name of the scenario.
        scenario: String,
        /// Differences, at least one.
        problems: Vec<Problem>,
    },
    /// A reset of the lab was interrupted.
    #[error("the reset of lab {lab} was interrupted")]
    ResetPending {
        /// Name of the lab.
        lab: String,
    },
    /// The lab is up on another port than the requested one.
    #[error("lab {lab} is up already, on {gateway}")]
    OtherPort {
        /// Name of the lab.
        lab: String,
        /// Base URL of its gateway.
        gateway: String,
    },
    /// A temporary lab remains. Its removal is recorded as pending undo.
    #[error("lab {lab} could not be removed: {reason}; run lab recover --name {lab}")]
    NotRemoved {
        /// Name of the lab.
        lab: String,
        /// First error of the removal.
        reason: String,
    },
    /// Stopped by [`Provisioner::interrupt`].
    #[error("interrupted")]
    Interrupted,
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Provides labs.
#[derive(Clone)]
pub struct Provisioner {
    /// Access to the engines.
    pub connector: Arc<dyn Connector>,
    /// Callback for the progress of a starting stack.
    pub progress: ProgressFn,
    /// Stop requests. The first signal stops a start, the second one also the removal of what was started.
    pub interrupt: Interrupt,
}

impl fmt::Debug for Provisioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provisioner").field("interrupt", &self.interrupt).finish_non_exhaustive()
    }
}

/// A lab that is up, and locked for a run until it is dropped or removed.
pub struct ProvisionedLab {
    /// State on disk.
    pub lab: Lab,
    /// Engine of the lab.
    pub engine: Arc<dyn Engine>,
    /// State of the stack when the lab was provided.
    pub description: Description,
    /// The lab was created for the run and is removed with it.
    pub temporary: bool,
    /// Fault of an earlier run that was kept and reverted by hand. Its undo log is settled.
    pub fixed: Option<Pending>,
    lock: Lock,
}

impl fmt::Debug for ProvisionedLab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lab, engine, description, temporary, fixed, lock: _ } = self;
        let mut debug = f.debug_struct("ProvisionedLab");
        debug.field("lab", &lab.name()).field("engine", &engine.name()).field("temporary", temporary);
        debug
            .field("fixed", &fixed.as_ref().map(|fault| &fault.run))
            .field("description", description)
            .finish_non_exhaustive()
    }
}

/// Fails if the engine is unreachable or the lab belongs to another owner. Called before a new lab is recorded, because
/// such a record could not be removed.
async fn check_reachable(engine: &dyn Engine) -> Result<(), EngineError> {
    use EngineErrorKind::{Denied, Foreign, Unreachable};
    match engine.describe().await {
        Err(error) if matches!(error.kind, Unreachable | Denied | Foreign) => Err(error),
        _ => Ok(()),
    }
}
