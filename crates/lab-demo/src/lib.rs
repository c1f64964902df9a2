//! The system under test: an app with API-key authentication, a gateway in front of it, and what the two share. It knows
//! nothing of the rest of lab but the exit codes.

pub mod app;
pub mod gateway;
pub mod service;
