//! The metrics of `expect`: how each is written, what it is compared with, and what it is. `expect.rs` reads them.

use super::super::plan::AlertIs;
use lab_telemetry::metrics::names;

/// A metric, or all of one form.
#[derive(Debug)]
pub(crate) struct MetricForm {
    /// As it is written: `status.CODE`.
    pub(crate) form: &'static str,
    /// A regular expression for the whole of its name.
    pub(crate) pattern: fn() -> String,
    pub(crate) bound: Bound,
    /// Whether only traffic of the step's own can answer it.
    pub(crate) of_traffic: bool,
    pub(crate) meaning: &'static str,
    /// A metric and a bound that fits, in YAML.
    pub(crate) example: (&'static str, &'static str),
}

/// What a metric is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Count,
    ShareOrCount,
    Duration,
    Alert,
}

impl Bound {
    /// As the reference says it.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Count => "a count: `\"== 40\"`",
            Self::ShareOrCount => "a share or a count: `\">= 95%\"`",
            Self::Duration => "a duration: `\"< 250ms\"`",
            Self::Alert => "`fired`, `firing`, `resolved` or `quiet`",
        }
    }

    /// A regular expression for a bound that is a text.
    pub(crate) fn pattern(self) -> String {
        let number = match self {
            Self::Count => "[0-9.]+",
            Self::ShareOrCount => r"[0-9.]+\s*%?",
            Self::Duration => "[0-9.]+(ms|s|m)",
            Self::Alert => return format!("^({})$", AlertIs::EXPECTED.map(AlertIs::name).join("|")),
        };
        format!(r"^\s*(==|!=|<=|>=|<|>)?\s*{number}\s*$")
    }

    /// Whether a plain number is one.
    pub(crate) fn is_number(self) -> bool {
        !matches!(self, Self::Duration | Self::Alert)
    }
}

/// Every metric.
pub(crate) static METRICS: &[MetricForm] = &[
    MetricForm {
        form: "COUNTER.delta",
        pattern: || format!(r"({})(\{{.*\}})?\.delta", counters().join("|")),
        bound: Bound::Count,
        of_traffic: false,
        meaning: "by how much the app's counter grew during the step; with labels, such as `{code=\"401\"}`, that series alone",
        example: ("auth_failures.delta", "\"== 40\""),
    },
    MetricForm {
        form: "status.CODE",
        pattern: || r"status\.[1-5][0-9][0-9]".to_owned(),
        bound: Bound::ShareOrCount,
        of_traffic: true,
        meaning: "the requests that were answered so",
        example: ("status.200", "\">= 95%\""),
    },
    MetricForm {
        form: "latency.pN",
        pattern: || r"latency\.p[0-9.]+".to_owned(),
        bound: Bound::Duration,
        of_traffic: true,
        meaning: "a percentile of the answers' latency, from `latency.p50` to `latency.p99.99`",
        example: ("latency.p99", "\"< 250ms\""),
    },
    MetricForm {
        form: "sent",
        pattern: || "sent".to_owned(),
        bound: Bound::Count,
        of_traffic: true,
        meaning: "requests sent",
        example: ("sent", "40"),
    },
    MetricForm {
        form: "failed",
        pattern: || "failed".to_owned(),
        bound: Bound::ShareOrCount,
        of_traffic: true,
        meaning: "requests that were not answered with 2xx",
        example: ("failed", "\"< 5%\""),
    },
    MetricForm {
        form: "alert.NAME",
        pattern: || r"alert\.[A-Za-z0-9_:.-]+".to_owned(),
        bound: Bound::Alert,
        of_traffic: false,
        meaning: "an alert of the stack's rules: it fired at any time of the step, fires at its end, fired and no longer does, \
                  or did not fire",
        example: ("alert.AppDown", "quiet"),
    },
];

/// What stands before a metric of a caller, or of background traffic: before those that traffic answers.
pub(crate) const WHOSE: &str = r"(caller\.[A-Za-z0-9][A-Za-z0-9_-]*|background\..+)\.";

/// The counters, short names first.
pub(crate) fn counters() -> Vec<&'static str> {
    names::SHORT.iter().map(|(short, _)| *short).chain(names::COUNTERS).collect()
}
