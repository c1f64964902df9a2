//! Evaluates the stack's alert rules (`stack/prometheus/`) without Prometheus. [`Rules`] reads the files and [`Monitor`]
//! evaluates them over scrapes as Prometheus would. Its result has the form of Prometheus' `/api/v1/rules` ([`RulesResponse`]), so
//! a [`Tracker`] works with both. Only the part of `PromQL` that the rules use is supported; anything else is refused when the
//! files are read.

mod client;
#[cfg(test)]
mod corpus;
mod duration;
mod error;
mod eval;
mod expr;
mod labels;
mod monitor;
mod number;
mod parser;
mod pattern;
mod places;
mod rate;
mod response;
mod rules;
mod state;
mod store;
mod template;
#[cfg(test)]
mod tests;
mod tracker;

pub(crate) use rate::quantile as histogram_quantile;

pub use client::fetch_names;
pub use error::{
    ExprError, PatternError, PatternReason, ResponseError, RuleReason, RulesError, RulesReason, TemplateError,
};
pub use labels::Labels;
pub use monitor::Monitor;
pub use response::RulesResponse;
pub use rules::{Rules, built_in_rules, is_built_in};
pub use state::State;
pub use tracker::{AlertStatus, Change, Tracker};

/// Path of Prometheus' alerts, relative to its base URL (<https://prometheus.io/docs/prometheus/latest/querying/api/#rules>).
pub const PATH: &str = "/api/v1/rules?type=alert";

/// Converts milliseconds to seconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^52")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
