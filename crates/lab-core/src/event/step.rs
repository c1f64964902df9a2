//! [`StepFinished`]: a step and what it showed: the callers' view, the app's counts, and what was expected.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Phase, Role, Status, rfc3339};

/// A step and what it showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFinished {
    /// From 0.
    pub index: usize,
    /// Unique in the run.
    pub name: String,
    /// Which part of the story it is.
    pub phase: Phase,
    /// Which list of the scenario it is from.
    #[serde(default, skip_serializing_if = "Role::is_step")]
    pub role: Role,
    /// The action's key in the scenario file.
    pub action: String,
    /// How it ended.
    pub status: Status,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub start: DateTime<Utc>,
    /// When it began, in seconds since the run's start. Written under another name, since the event's own is beside it.
    #[serde(rename = "start_elapsed")]
    pub elapsed: f64,
    /// How long it took, in seconds.
    pub duration: f64,
    /// What it changed or saw, in a few words: `server apikey-v1 > apikey-v2`; none for traffic.
    pub detail: Option<String>,
    /// Requests sent; none where the step sends none.
    pub sent: Option<u64>,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Not 2xx, and transport errors.
    pub failed_requests: u64,
    /// The increase of each counter of the app during the step, labels summed up; null where it is unknown (a scrape failed).
    pub deltas: BTreeMap<String, Option<f64>>,
    /// Responses by status code, as the caller saw them.
    pub codes: BTreeMap<String, u64>,
    /// Requests without a response, by cause: `refused`, `reset`, `timeout`, ….
    pub errors: BTreeMap<String, u64>,
    /// Latency of the responses; none where there were none.
    pub latency_ms: Option<Latency>,
    /// The same by caller, where callers have names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, CallerResult>,
    /// What each background traffic saw during the step, by the name of the step that began it; not part of the above, but
    /// of the deltas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub background: BTreeMap<String, CallerResult>,
    /// The last lines of a command's output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
    /// The traffic over the time of the step, as callers saw it, that in the background as well; empty where none is sent.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// The app's counters over the time of the step, about once a second while traffic is sent. A scrape that failed
    /// leaves a gap, or a longer interval.
    #[serde(default)]
    pub counters: Vec<CounterSample>,
    /// Every expectation and what was seen.
    pub expectations: Vec<ExpectationResult>,
    /// Why it could not be carried out.
    pub error: Option<String>,
}

/// What became of the requests that ended in an interval, a fifth of a second or longer. Intervals without one are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The interval's beginning, in seconds since the run's start.
    pub at: f64,
    /// Its length in seconds.
    pub duration: f64,
    /// Responses by status code.
    pub codes: BTreeMap<String, u64>,
    /// Requests without a response, by cause.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// Latency of the responses, the percentiles to 9 %; none where there were none.
    pub latency_ms: Option<Latency>,
}

/// What the app counted in an interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CounterSample {
    /// The interval's beginning, in seconds since the run's start.
    pub at: f64,
    /// Its length in seconds.
    pub duration: f64,
    /// The increase of `app_requests_total`, `app_auth_success_total` and `app_auth_failures_total`.
    pub deltas: BTreeMap<String, f64>,
}

/// What one of several callers saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallerResult {
    /// Requests sent.
    pub sent: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Not 2xx, and transport errors.
    pub failed_requests: u64,
    /// Responses by status code.
    pub codes: BTreeMap<String, u64>,
    /// Requests without a response, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Latency of the responses; none where there were none.
    pub latency_ms: Option<Latency>,
}

/// Latency percentiles, in milliseconds, from the scheduled start of a request to the end of its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// An expectation and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectationResult {
    /// As written: `auth_failures.delta`.
    pub metric: String,
    /// As written: `== 40`.
    pub expected: String,
    /// A number in the metric's unit (count, percent, milliseconds); null where it is unknown.
    pub observed: Option<f64>,
    /// What a person reads: `40`, `97.5%`, `1.2ms`, `unknown: the scrape failed`.
    pub observed_text: String,
    /// Whether it held.
    pub held: bool,
}
