//! Shared vocabulary of `lab`: the [`engine::Engine`] trait with its desired states, the [`event::Event`]s of a run,
//! and the exit codes. Knows no engine, no file format and no terminal.

#![warn(missing_docs)]

/// Header that marks a request of lab's own checks. The app and the gateway answer it like any other request, but neither count
/// nor log it, so that looking at a lab leaves no trace in it.
pub const PROBE_HEADER: &str = "X-Lab-Probe";

/// Header with the caller's API key.
pub const API_KEY_HEADER: &str = "X-API-Key";

pub mod diagnosis;
pub mod engine;
pub mod error;
pub mod event;
