//! Result of a step: the callers' view, the app's counters and the expectations.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Phase, Role, Status, rfc3339};

/// Result of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFinished {
    /// Zero-based position in the run.
    pub index: usize,
    pub name: String,
    pub phase: Phase,
    /// Scenario list that contains the step.
    #[serde(default, skip_serializing_if = "Role::is_step")]
    pub role: Role,
    /// Key of the action in the scenario file.
    pub action: String,
    pub status: Status,
    #[serde(serialize_with = "rfc3339")]
    pub start: DateTime<Utc>,
    /// Start in seconds since the start of the run. Serialised under another name because the event has its own
    /// `elapsed`.
    #[serde(rename = "start_elapsed")]
    pub elapsed: f64,
    /// In seconds.
    pub duration: f64,
    /// Short summary, such as `server apikey-v1 > apikey-v2`. `None` for traffic.
    pub detail: Option<String>,
    /// Requests sent. `None` if the step sends no traffic.
    pub sent: Option<u64>,
    /// Requests that were due but could not be started in time.
    pub unsent: u64,
    /// Responses other than 2xx, plus transport errors.
    pub failed_requests: u64,
    /// Increase of each app counter during the step, summed over labels. `None` if a scrape failed.
    pub deltas: BTreeMap<String, Option<f64>>,
    /// Responses by status code, as seen by the caller.
    pub codes: BTreeMap<String, u64>,
    /// Requests without a response, by cause: `refused`, `reset`, `timeout`, ….
    pub errors: BTreeMap<String, u64>,
    /// `None` if there were no responses.
    pub latency_ms: Option<Latency>,
    /// Results per named caller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, CallerResult>,
    /// Results of background traffic during the step, by the name of the step that started it. Not included in the
    /// totals above, but included in `deltas`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub background: BTreeMap<String, CallerResult>,
    /// Last lines of a command's output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
    /// Traffic over time, including background traffic. Empty if nothing was sent.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// App counters over time, scraped about once a second while traffic is sent. A failed scrape leaves a gap or a
    /// longer interval.
    #[serde(default)]
    pub counters: Vec<CounterSample>,
    pub expectations: Vec<ExpectationResult>,
    /// Why the step could not be executed.
    pub error: Option<String>,
}

/// Requests that ended within an interval of at least 0.2 seconds. Intervals without requests are omitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Start of the interval, in seconds since the start of the run.
    pub at: f64,
    /// Length in seconds.
    pub duration: f64,
    /// Responses by status code.
    pub codes: BTreeMap<String, u64>,
    /// Requests without a response, by cause.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// Percentiles are accurate to 9 %. `None` if there were no responses.
    pub latency_ms: Option<Latency>,
}

/// Increase of app counters within an interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CounterSample {
    /// Start of the interval, in seconds since the start of the run.
    pub at: f64,
    /// Length in seconds.
    pub duration: f64,
    /// The increase of `app_requests_total`, `app_auth_success_total` and `app_auth_failures_total`.
    pub deltas: BTreeMap<String, f64>,
}

/// Traffic results of one caller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallerResult {
    pub sent: u64,
    /// Requests that were due but could not be started in time.
    pub unsent: u64,
    /// Responses other than 2xx, plus transport errors.
    pub failed_requests: u64,
    /// Responses by status code.
    pub codes: BTreeMap<String, u64>,
    /// Requests without a response, by cause.
    pub errors: BTreeMap<String, u64>,
    /// `None` if there were no responses.
    pub latency_ms: Option<Latency>,
}

/// Latency percentiles, in milliseconds, from the scheduled start of a request to the end of its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Result of one expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectationResult {
    /// As written in the scenario: `auth_failures.delta`.
    pub metric: String,
    /// As written in the scenario: `== 40`.
    pub expected: String,
    /// In the metric's unit (count, percent, milliseconds). `None` if unknown.
    pub observed: Option<f64>,
    /// Formatted for people: `40`, `97.5%`, `1.2ms`, `unknown: the scrape failed`.
    pub observed_text: String,
    /// `held` in older journals.
    #[serde(alias = "held")]
    pub passed: bool,
}
