//! Undo. [`UndoLog`] stores the state before each change on disk, as plain data, before the change is made. [`plan`]
//! derives the revert steps from it, a pure function, and [`Replay`] executes them through the engine. The runner does
//! so at the end of a run; [`recover`] does it for a run that could not.
//!
//! The end is the last step, an error, Ctrl-C or SIGTERM. The log is replayed backwards, with a deadline for each entry. What
//! cannot be reverted stays in it: exit code 4, every later command prints a note, and `lab recover` tries again. `--keep` and
//! `--until` mark it as kept: nothing is pending then, but `lab recover` still reverts it, unless a person has done so already
//! ([`settle_fixed`]). For a temporary lab the first record states that the lab must not exist, so that `lab recover` removes it
//! even after a SIGKILL.

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
