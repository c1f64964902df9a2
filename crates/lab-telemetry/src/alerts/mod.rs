//! Alerts: the stack's rules (`stack/prometheus/`), evaluated without Prometheus. [`Rules`] reads the files, [`Monitor`] takes
//! scrapes and evaluates them as Prometheus would; what it says has the form of Prometheus' own `/api/v1/rules` ([`Answer`]),
//! so that whoever asks ([`Tracker`]) need not know which of the two answers. Only what the rules use of `PromQL` is known:
//! anything else is refused when the files are read.

mod answer;
#[cfg(test)]
mod corpus;
mod duration;
mod eval;
mod expr;
mod labels;
mod monitor;
mod number;
mod parser;
mod pattern;
mod places;
mod rate;
mod rules;
mod state;
mod store;
mod template;
#[cfg(test)]
mod tests;
mod tracker;

pub use answer::{Answer, read};
pub use labels::Labels;
pub use monitor::Monitor;
pub use rules::{Rules, RulesError, is_own, own};
pub use state::State;
pub use tracker::{Change, Standing, Tracker};

/// Where Prometheus says what its alerts are, after its base URL (<https://prometheus.io/docs/prometheus/latest/querying/api/#rules>).
pub const PATH: &str = "/api/v1/rules?type=alert";

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^52")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
