//! The system under test: an app with API-key authentication, a gateway in front of it, the counters of what callers get at
//! the gateway, and their common service code. Of the other crates, it uses only the exit codes and the HTTP server limits.

#![warn(missing_docs)]

pub mod app;
pub mod edge;
pub mod gateway;
pub mod service;

pub use service::config::ConfigError;
