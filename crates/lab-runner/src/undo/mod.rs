//! What a run changes, it puts back. [`UndoLog`] is on disk before each change and holds the state before it as plain data;
//! [`plan`] makes the steps back from it, a pure function; [`replay`] takes them through the engine. The runner does so
//! at its end; [`recover`] does it for a run that could not.

mod log;
mod plan;
mod recover;
mod replay;

pub use log::{Before, Header, Pending, UndoError, UndoLog, pending, record_new_lab};
pub use plan::{BackStep, plan};
pub use recover::{RecoverError, recover};
pub use replay::{Replay, kept};
pub use replay::{explained, panic_text};

#[cfg(test)]
mod tests;
