//! [`Expectation`]: a metric of a step, its comparator and its bound.

use super::super::deferred::DeferredBound;

/// An expected measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Sender of the requests that are measured.
    pub sender: Sender,
    /// Quantity that is measured.
    pub metric: Metric,
    /// The metric as written: `auth_failures.delta`.
    pub metric_text: String,
    /// Comparison of the measured value (left) with the bound (right).
    pub comparator: Comparator,
    /// A count, a percentage, or milliseconds, depending on the metric.
    pub bound: f64,
    /// Comparator and bound as written: `== 40`.
    pub text: String,
    /// Index of the first step that is measured. It is the step itself, except for an include with several steps,
    /// which are measured together.
    pub since: usize,
    /// Set if the bound comes from an earlier step; see [`Expectation::resolve_deferred`].
    pub deferred: Option<DeferredBound>,
}

/// Sender of measured requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// All senders of the step.
    All,
    /// One caller of the step.
    Caller(String),
    /// Background traffic, by the [`super::Step::id`] of the step that started it.
    Background(usize),
}

/// A measured quantity.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// Increase of a counter of the app, over all series with these labels.
    Delta {
        /// Full name.
        counter: String,
        /// Names and values. Empty: the sum of all series.
        labels: Vec<(String, String)>,
    },
    /// Responses with this status, as a count.
    StatusCount(u16),
    /// Responses with this status, in percent of the requests sent.
    StatusShare(u16),
    /// Latency percentile in milliseconds: 50.0 to 99.99.
    Latency(f64),
    /// Requests sent.
    Sent,
    /// Attempts of the requests sent.
    Attempts,
    /// Failed requests, as a count.
    Failed,
    /// Failed requests, in percent of the requests sent.
    FailedShare,
    /// State of an alert. Has no bound.
    Alert {
        /// Name of the alert.
        alert: String,
        /// Expected state.
        is: AlertIs,
    },
}

/// Comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Comparator {
    /// Compares `observed` with `bound`.
    pub fn holds(self, observed: f64, bound: f64) -> bool {
        // The tolerance is far below one request: counts are whole, and shares are the result of one division.
        let equal = (observed - bound).abs() < 1e-9;
        match self {
            Self::Equal => equal,
            Self::NotEqual => !equal,
            Self::Less => observed < bound && !equal,
            Self::AtMost => observed < bound || equal,
            Self::Greater => observed > bound && !equal,
            Self::AtLeast => observed > bound || equal,
        }
    }
}

/// A comparison with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Comparison of the observed value (left) with the bound (right).
    pub comparator: Comparator,
    /// Any finite number.
    pub bound: f64,
    /// Comparator and bound as written: `> 0.5`.
    pub text: String,
}

/// Expected state of an alert, now or during the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertIs {
    /// The condition is true, whether or not the alert fires yet.
    Pending,
    /// Fires now.
    Firing,
    /// Fires now, or has fired during the measured steps.
    Fired,
    /// Has fired, and no longer does.
    Resolved,
    /// Has not fired.
    Quiet,
}

impl AlertIs {
    /// States that `wait_for` accepts.
    pub const WAITED: [Self; 3] = [Self::Pending, Self::Firing, Self::Resolved];
    /// States that `expect` accepts.
    pub const EXPECTED: [Self; 4] = [Self::Fired, Self::Firing, Self::Resolved, Self::Quiet];

    /// Name in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Fired => "fired",
            Self::Resolved => "resolved",
            Self::Quiet => "quiet",
        }
    }
}
