//! Monitoring of a lab: metrics pages, alert rules and their states, live series, and [`wire::Wire`], the trait over a lab's
//! sockets. This crate does not know engines or scenarios.

#![warn(missing_docs)]

pub mod alerts;
pub mod live;
pub mod metrics;
pub mod wire;
