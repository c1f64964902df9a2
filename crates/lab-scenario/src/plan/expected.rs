//! [`Expectation`]: what must be seen: of whose requests, what is measured, and how that is compared.

use super::super::late::LateBound;

/// What must be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Of whose requests.
    pub of: Of,
    /// What is measured.
    pub metric: Metric,
    /// The metric as written: `auth_failures.delta`.
    pub metric_text: String,
    /// How it is compared.
    pub comparator: Comparator,
    /// With what: a count, a share in percent, or milliseconds, as the metric says.
    pub bound: f64,
    /// Comparator and bound as written: `== 40`.
    pub text: String,
    /// The index of the first step that it looks at: its own, except on a `scenario` step with several steps, where it
    /// looks at all of them together.
    pub since: usize,
    /// Set where the bound comes from steps before it: [`Expectation::settled`] fills it in.
    pub late: Option<LateBound>,
}

/// Whose requests an expectation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// All that the step sends.
    All,
    /// One of its callers.
    Caller(String),
    /// The background traffic that a step of this [`Step::id`] began.
    Background(usize),
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// The increase of a counter of the app, of all series with these labels.
    Delta {
        /// The counter's full name.
        counter: String,
        /// Label names and values; empty: all series, summed up.
        labels: Vec<(String, String)>,
    },
    /// Responses with this code, as a count.
    StatusCount(u16),
    /// Responses with this code, as a share of what was sent, in percent.
    StatusShare(u16),
    /// A latency percentile, in milliseconds: 50.0 to 99.99.
    Latency(f64),
    /// Requests sent.
    Sent,
    /// Requests that failed, as a count.
    Failed,
    /// Requests that failed, as a share of what was sent, in percent.
    FailedShare,
    /// Whether an alert was so; nothing is compared.
    Alert {
        /// Its name.
        alert: String,
        /// What it must be, or have been.
        is: AlertIs,
    },
}

/// How it is compared.
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
    /// Whether `observed` compares so with `bound`.
    pub fn holds(self, observed: f64, bound: f64) -> bool {
        // Counts are whole numbers and shares come from one division: compared with a tolerance far below one request.
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
    /// How.
    pub comparator: Comparator,
    /// With what.
    pub bound: f64,
    /// Both as written: `> 0.5`.
    pub text: String,
}

/// What an alert must be, or have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertIs {
    /// Its condition holds, for long enough or not yet.
    Pending,
    /// It fires.
    Firing,
    /// It fires, or has fired: in the step, or in those that are looked at together.
    Fired,
    /// It has fired, and no longer does.
    Resolved,
    /// It has not fired.
    Quiet,
}

impl AlertIs {
    /// What can be waited for.
    pub const WAITED: [Self; 3] = [Self::Pending, Self::Firing, Self::Resolved];
    /// What can be expected.
    pub const EXPECTED: [Self; 4] = [Self::Fired, Self::Firing, Self::Resolved, Self::Quiet];

    /// As it is written in scenario files.
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
