//! Undo. [`UndoLog`] stores the state before each change on disk, as plain data, before the change is made. [`plan`]
//! derives the revert steps from it, a pure function, and [`Replay`] executes them through the engine. The runner does
//! so at the end of a run; [`recover`] does it for a run that could not.

mod log;
mod plan;
mod recover;
mod replay;

pub use log::{Before, Header, Pending, UndoError, UndoLog, forget, last_run, pending, record_new_lab};
pub use plan::{RevertStep, plan};
pub use recover::{RecoverError, recover};
pub use replay::{Replay, kept};
pub use replay::{TaskPanic, with_hint};

#[cfg(test)]
mod tests;
