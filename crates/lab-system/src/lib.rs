//! The machine that lab runs on: atomic files in the state folder, background processes that outlive the command that
//! started them, the user's own commands, and the syntax of durations. This crate does not know what a lab is.

#![warn(missing_docs)]

pub mod background;
pub mod deadline;
pub mod duration;
pub mod files;
pub mod process;
