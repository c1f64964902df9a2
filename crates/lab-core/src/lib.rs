//! Shared vocabulary of `lab`: the [`engine::Engine`] trait with its desired states, the [`event::Event`]s of a run,
//! and the exit codes. Knows no engine, no file format and no terminal.

#![warn(missing_docs)]

pub mod diagnosis;
pub mod engine;
pub mod error;
pub mod event;
