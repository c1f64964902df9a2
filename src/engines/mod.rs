//! The registry of engines. Nothing else matches on engine names.

mod connect;
pub(crate) mod dashboard;
pub(crate) mod observed_lab;
mod with_dashboard;

pub(crate) use connect::{Connect, EngineRegistry};
