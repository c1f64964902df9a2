//! Metrics of the edge: what callers get, by status code and with latency, counted at the gateway. The gateway of the embedded
//! engine counts its own responses ([`metrics`]); for nginx, [`exporter`] counts the lines of its access log.

pub mod exporter;
pub(crate) mod metrics;
