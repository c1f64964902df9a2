//! Undo. [`UndoLog`] stores the state before each change on disk, as plain data, before the change is made. [`plan`]
//! derives the revert steps from it, a pure function, and [`Replay`] executes them through the engine. The runner does
//! so at the end of a run; [`recover`] does it for a run that could not.

mod log;
mod plan;
mod recover;
mod replay;
mod section;

pub use log::{Pending, UndoError, UndoLog, UndoState, forget, last_run, pending, record_new_lab, settle_fixed};
pub use plan::{RevertStep, plan};
pub use recover::{RecoverError, recover};
pub use replay::{Replay, kept};
pub use replay::{TaskPanic, with_hint};
pub use section::{Before, Header};

#[cfg(test)]
mod tests;
