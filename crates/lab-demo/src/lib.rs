//! The system under test: an app with API-key authentication, a gateway in front of it, the counters of what callers get at
//! the gateway, and their common service code. It
//! uses nothing of the rest of lab but the exit codes and the HTTP server limits.

pub mod app;
pub mod edge;
pub mod gateway;
pub mod service;

pub use service::config::ConfigError;
