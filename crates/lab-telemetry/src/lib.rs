//! What monitoring knows of a lab: pages of metrics, alert rules and their states, live series, and [`wire::Wire`], the
//! trait over the sockets of a lab. It knows no engine and no scenario.

pub mod alerts;
pub mod live;
pub mod metrics;
pub mod wire;
