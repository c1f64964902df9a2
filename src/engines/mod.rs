//! The registry of engines: which one a lab has, and what it is asked to bring up. Nothing else matches over engines.

mod connect;
pub(crate) mod dashboard;
pub(crate) mod present;
mod with_dashboard;

pub(crate) use connect::{Connect, ConnectError};
