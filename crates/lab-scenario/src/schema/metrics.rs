//! Metrics of `expect`: notation, bound and description. `expect.rs` parses them.

use super::super::plan::AlertIs;
use lab_telemetry::metrics::names;

/// A metric, or a family of metrics with the same notation.
#[derive(Debug)]
pub(crate) struct MetricForm {
    /// Notation, such as `status.CODE`.
    pub(crate) form: &'static str,
    /// Regular expression for the whole name.
    pub(crate) pattern: fn() -> String,
    pub(crate) bound: Bound,
    /// True if only traffic of the step can answer it.
    pub(crate) of_traffic: bool,
    pub(crate) description: &'static str,
    /// A metric with a valid bound, in YAML.
    pub(crate) example: (&'static str, &'static str),
}

/// Type of the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Count,
    ShareOrCount,
    Duration,
    Alert,
}

impl Bound {
    /// Name in the reference.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Count => "a count: `\"== 40\"`",
            Self::ShareOrCount => "a share or a count: `\">= 95%\"`",
            Self::Duration => "a duration: `\"< 250ms\"`",
            Self::Alert => "`fired`, `firing`, `resolved` or `quiet`",
        }
    }

    /// Regular expression for a bound written as text.
    pub(crate) fn pattern(self) -> String {
        let number = match self {
            Self::Count => "[0-9.]+",
            Self::ShareOrCount => r"[0-9.]+\s*%?",
            Self::Duration => "[0-9.]+(ms|s|m)",
            Self::Alert => return format!("^({})$", AlertIs::EXPECTED.map(AlertIs::name).join("|")),
        };
        format!(r"^\s*(==|!=|<=|>=|<|>)?\s*{number}\s*$")
    }

    /// Returns true if a plain number is a valid bound.
    pub(crate) fn is_number(self) -> bool {
        !matches!(self, Self::Duration | Self::Alert)
    }
}

pub(crate) static METRICS: &[MetricForm] = &[
    MetricForm {
        form: "COUNTER.delta",
        pattern: || format!(r"({})(\{{.*\}})?\.delta", counters().join("|")),
        bound: Bound::Count,
        of_traffic: false,
        description: "increase of a counter of the app during the step; with labels such as `{code=\"401\"}`, only of \
         that series",
        example: ("auth_failures.delta", "\"== 40\""),
    },
    MetricForm {
        form: "status.CODE",
        pattern: || r"status\.[1-5][0-9][0-9]".to_owned(),
        bound: Bound::ShareOrCount,
        of_traffic: true,
        description: "requests answered with this status",
        example: ("status.200", "\">= 95%\""),
    },
    MetricForm {
        form: "latency.pN",
        pattern: || r"latency\.p[0-9.]+".to_owned(),
        bound: Bound::Duration,
        of_traffic: true,
        description: "a latency percentile, from `latency.p50` to `latency.p99.99`",
        example: ("latency.p99", "\"< 250ms\""),
    },
    MetricForm {
        form: "sent",
        pattern: || "sent".to_owned(),
        bound: Bound::Count,
        of_traffic: true,
        description: "requests sent",
        example: ("sent", "40"),
    },
    MetricForm {
        form: "attempts",
        pattern: || "attempts".to_owned(),
        bound: Bound::Count,
        of_traffic: true,
        description: "attempts of the requests sent: more than `sent` if callers have `retries`",
        example: ("attempts", "\">= 40\""),
    },
    MetricForm {
        form: "failed",
        pattern: || "failed".to_owned(),
        bound: Bound::ShareOrCount,
        of_traffic: true,
        description: "requests without a 2xx response",
        example: ("failed", "\"< 5%\""),
    },
    MetricForm {
        form: "alert.NAME",
        pattern: || r"alert\.[A-Za-z0-9_:.-]+".to_owned(),
        bound: Bound::Alert,
        of_traffic: false,
        description: "an alert of the stack's rules: fired at any time during the step, firing at its end, resolved \
         after firing, or quiet",
        example: ("alert.AppDown", "quiet"),
    },
];

/// Prefix of metrics of a caller or of background traffic.
pub(crate) const WHOSE: &str = r"(caller\.[A-Za-z0-9][A-Za-z0-9_-]*|background\..+)\.";

/// All counters; short names first.
pub(crate) fn counters() -> Vec<&'static str> {
    names::SHORT.iter().map(|(short, _)| *short).chain(names::COUNTERS).collect()
}
