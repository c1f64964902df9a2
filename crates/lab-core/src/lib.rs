//! The vocabulary of `lab`, shared by all other crates: the [`engine::Engine`] trait with its desired states, the
//! [`event::Event`]s that leave a run, and the exit codes. It knows no engine, no file format and no terminal.

pub mod engine;
pub mod error;
pub mod event;
