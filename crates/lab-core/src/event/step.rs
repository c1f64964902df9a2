//! Result of a step: the callers' view, the app's counters and the expectations.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{Logged, Phase, Role, Status, StepStarted, rfc3339};

/// A step has ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StepFinished {
    /// Zero-based position in the run.
    pub index: usize,
    /// Result of the step.
    #[serde(flatten)]
    pub result: StepResult,
}

/// Result of a step, in events and in the journal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StepResult {
    /// Unique within the run.
    pub name: String,
    /// Stage of the incident.
    pub phase: Phase,
    /// Scenario list that contains the step. Not written for `steps`.
    #[serde(default)]
    pub role: Role,
    /// Key of the action in the scenario file.
    pub action: String,
    /// Result of the step as a whole.
    pub status: Status,
    /// Start in UTC.
    pub start: DateTime<Utc>,
    /// Start in seconds since the start of the run. In an event it is called `start_elapsed`, because the event has its
    /// own `elapsed`.
    #[serde(alias = "start_elapsed")]
    pub elapsed: f64,
    /// In seconds.
    pub duration: f64,
    /// Short summary, such as `server apikey-v1 > apikey-v2`. `None` for traffic.
    #[serde(default)]
    pub detail: Option<String>,
    /// Requests sent. `None` if the step sends no traffic.
    pub sent: Option<u64>,
    /// Attempts of these requests, if some were retried. Not written otherwise.
    #[serde(default)]
    pub attempts: Option<u64>,
    /// Requests that were due but could not be started in time.
    #[serde(default)]
    pub unsent: u64,
    /// Responses other than 2xx, plus transport errors.
    #[serde(default)]
    pub failed_requests: u64,
    /// Increase of each app counter during the step, summed over labels. `None` if a scrape failed.
    pub deltas: BTreeMap<String, Option<f64>>,
    /// Responses by status code, as seen by the caller.
    pub codes: BTreeMap<String, u64>,
    /// Requests without a response, by cause: `refused`, `reset`, `timeout`, ….
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// `None` if there were no responses.
    pub latency_ms: Option<Latency>,
    /// Results per named caller. Not written if empty.
    #[serde(default)]
    pub callers: BTreeMap<String, CallerResult>,
    /// Results of background traffic during the step, by the name of the step that started it. Not included in the
    /// totals above, but included in `deltas`. Not written if empty.
    #[serde(default)]
    pub background: BTreeMap<String, CallerResult>,
    /// Last lines of a command's output. Not written if empty.
    #[serde(default)]
    pub output: Vec<String>,
    /// Relevant log lines of the services. Empty in events, because the logs are read after the last step. Not written
    /// if empty.
    #[serde(default)]
    pub logs: Vec<Logged>,
    /// Traffic over time, including background traffic. Empty if nothing was sent.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// App counters over time, scraped about once a second while traffic is sent. A failed scrape leaves a gap or a
    /// longer interval.
    #[serde(default)]
    pub counters: Vec<CounterSample>,
    /// Results of the expectations, in the order of the scenario file.
    pub expectations: Vec<ExpectationResult>,
    /// Why the step could not be executed.
    pub error: Option<String>,
}

impl Serialize for StepFinished {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("index", &self.index)?;
        self.result.serialize_entries("start_elapsed", &mut map)?;
        map.end()
    }
}

impl Serialize for StepResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_entries("elapsed", &mut map)?;
        map.end()
    }
}

impl StepResult {
    /// Result of a step without measurements and of no duration.
    pub fn new(step: StepStarted, status: Status, start: DateTime<Utc>, elapsed: f64) -> Self {
        let StepStarted { index: _, name, phase, role, action } = step;
        Self {
            name,
            phase,
            role,
            action,
            status,
            start,
            elapsed,
            duration: 0.0,
            detail: None,
            sent: None,
            attempts: None,
            unsent: 0,
            failed_requests: 0,
            deltas: BTreeMap::new(),
            codes: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency_ms: None,
            callers: BTreeMap::new(),
            background: BTreeMap::new(),
            output: Vec::new(),
            logs: Vec::new(),
            samples: Vec::new(),
            counters: Vec::new(),
            expectations: Vec::new(),
            error: None,
        }
    }

    /// Writes all fields. Derived code cannot give one field a different name in each document.
    fn serialize_entries<M: SerializeMap>(&self, elapsed_name: &str, map: &mut M) -> Result<(), M::Error> {
        let Self { name, phase, role, action, status, start, elapsed, duration, detail, .. } = self;
        map.serialize_entry("name", name)?;
        map.serialize_entry("phase", phase)?;
        if !role.is_step() {
            map.serialize_entry("role", role)?;
        }
        map.serialize_entry("action", action)?;
        map.serialize_entry("status", status)?;
        map.serialize_entry("start", &Rfc3339(start))?;
        map.serialize_entry(elapsed_name, elapsed)?;
        map.serialize_entry("duration", duration)?;
        map.serialize_entry("detail", detail)?;
        self.serialize_measurements(map)
    }

    fn serialize_measurements<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self {
            name: _,
            phase: _,
            role: _,
            action: _,
            status: _,
            start: _,
            elapsed: _,
            duration: _,
            detail: _,
            sent,
            attempts,
            unsent,
            failed_requests,
            deltas,
            codes,
            errors,
            latency_ms,
            callers,
            background,
            output,
            logs,
            samples,
            counters,
            expectations,
            error,
        } = self;
        map.serialize_entry("sent", sent)?;
        if let Some(attempts) = attempts {
            map.serialize_entry("attempts", attempts)?;
        }
        map.serialize_entry("unsent", unsent)?;
        map.serialize_entry("failed_requests", failed_requests)?;
        map.serialize_entry("deltas", deltas)?;
        map.serialize_entry("codes", codes)?;
        map.serialize_entry("errors", errors)?;
        map.serialize_entry("latency_ms", latency_ms)?;
        for (name, results) in [("callers", callers), ("background", background)] {
            if !results.is_empty() {
                map.serialize_entry(name, results)?;
            }
        }
        if !output.is_empty() {
            map.serialize_entry("output", output)?;
        }
        if !logs.is_empty() {
            map.serialize_entry("logs", logs)?;
        }
        map.serialize_entry("samples", samples)?;
        map.serialize_entry("counters", counters)?;
        map.serialize_entry("expectations", expectations)?;
        map.serialize_entry("error", error)
    }
}

/// Serialises a time like [`rfc3339`].
struct Rfc3339<'a>(&'a DateTime<Utc>);

impl Serialize for Rfc3339<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rfc3339(self.0, serializer)
    }
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
    /// Requests that were started.
    pub sent: u64,
    /// Attempts of these requests, if some were retried. Not written otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
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
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest latency.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventKind};

    fn result() -> StepResult {
        let (name, action) = ("drive".to_owned(), "traffic".to_owned());
        let started = StepStarted { index: 2, name, phase: Phase::Observe, role: Role::Step, action };
        StepResult::new(started, Status::Passed, DateTime::UNIX_EPOCH, 1.5)
    }

    #[test]
    fn the_event_and_the_journal_differ_in_the_position_and_in_the_name_of_the_offset() {
        let journal = serde_json::to_string(&result()).unwrap();
        let measured = r#""duration":0.0,"detail":null,"sent":null,"unsent":0,"failed_requests":0,"deltas":{},"codes":{},"errors":{},"latency_ms":null,"samples":[],"counters":[],"expectations":[],"error":null}"#;
        let described = r#""name":"drive","phase":"observe","action":"traffic","status":"passed","start":"1970-01-01T00:00:00.000Z""#;
        assert_eq!(journal, format!(r#"{{{described},"elapsed":1.5,{measured}"#));
        assert_eq!(serde_json::from_str::<StepResult>(&journal).unwrap(), result());

        let kind = EventKind::StepFinished(Box::new(StepFinished { index: 2, result: result() }));
        let event = Event { at: DateTime::UNIX_EPOCH, elapsed: 4.0, kind };
        let text = serde_json::to_string(&event).unwrap();
        let head = r#""at":"1970-01-01T00:00:00.000Z","elapsed":4.0,"event":"step_finished","index":2"#;
        assert_eq!(text, format!(r#"{{{head},{described},"start_elapsed":1.5,{measured}"#));
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn a_journal_of_an_older_version_is_read() {
        let text = r#"{"name":"drive","phase":"observe","action":"traffic","status":"held","start":"1970-01-01T00:00:00Z",
            "elapsed":1.5,"duration":0.0,"sent":null,"deltas":{},"codes":{},"latency_ms":null,"expectations":[],"error":null}"#;
        assert_eq!(serde_json::from_str::<StepResult>(text).unwrap(), result());
    }
}
