//! The machine that lab runs on: atomic files in the state folder, background processes that outlive the command that
//! started them, and the user's own commands. This crate does not know what a lab is.

pub mod background;
pub mod deadline;
pub mod files;
pub mod process;
