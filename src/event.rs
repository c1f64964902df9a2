//! [`Event`]: the only thing that passes from the runner to the reports. The timeline, the journal and every other report
//! are sinks of the same stream; `events.ndjson` is that stream, one JSON object a line.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

/// The version of the journal's and the events' format.
pub const FORMAT_VERSION: u32 = 1;

/// A time as every document has it: RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in UTC.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
    /// Seconds since the run's start.
    pub elapsed: f64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The first event of a run.
    RunStarted(RunStarted),
    /// A step begins.
    StepStarted(StepStarted),
    /// A step is over.
    StepFinished(Box<StepFinished>),
    /// Something that the reader should know, and that changes no verdict: somebody else changed the lab, for one.
    Notice {
        /// One sentence.
        message: String,
    },
    /// The undo begins.
    UndoStarted {
        /// How many changes are put back.
        items: usize,
    },
    /// One change was put back, or could not be.
    UndoItem(UndoItem),
    /// The last event of a run.
    RunFinished(Box<RunFinished>),
}

/// What is run, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Such as `20261124T101530Z-7f3a`.
    pub id: String,
    /// The scenario's name (its file's stem).
    pub scenario: String,
    /// The scenario's title.
    pub title: String,
    /// The lab's name.
    pub lab: String,
    /// The engine's name.
    pub engine: String,
    /// The parameters as resolved.
    pub parameters: BTreeMap<String, String>,
    /// The steps that will run, in order: their names.
    pub steps: Vec<String>,
    /// The keys before the first step.
    pub keys: Keys,
}

/// The key that the server expects, and the one that the caller sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// `APP_API_KEY` of the app.
    pub server: String,
    /// What the traffic sends as `X-API-Key`.
    pub caller: String,
}

/// A step begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepStarted {
    /// From 0.
    pub index: usize,
    /// Unique in the run.
    pub name: String,
    /// Which part of the story it is.
    pub phase: Phase,
    /// The action's key in the scenario file: `traffic`, `rotate_key`, ….
    pub action: String,
}

/// Which part of the story a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The system before the fault.
    Baseline,
    /// The fault is put in.
    Inject,
    /// What the fault does.
    Observe,
    /// The fault is mended.
    Remedy,
    /// The system after the remedy.
    Verify,
}

impl Phase {
    /// All of them, in the order of the story.
    pub const ALL: [Self; 5] = [Self::Baseline, Self::Inject, Self::Observe, Self::Remedy, Self::Verify];

    /// As it is written in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Inject => "inject",
            Self::Observe => "observe",
            Self::Remedy => "remedy",
            Self::Verify => "verify",
        }
    }
}

/// How a step or a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything that was expected was seen.
    Held,
    /// An expectation did not hold, or a fault had no effect.
    Failed,
    /// It could not be carried out.
    Error,
    /// Ctrl-C or SIGTERM came.
    Interrupted,
}

/// A step and what it showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFinished {
    /// From 0.
    pub index: usize,
    /// Unique in the run.
    pub name: String,
    /// Which part of the story it is.
    pub phase: Phase,
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
    /// Every expectation and what was seen.
    pub expectations: Vec<ExpectationResult>,
    /// Why it could not be carried out.
    pub error: Option<String>,
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

/// A change that was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoItem {
    /// What was changed: a service's name, `caller`, or `lab`.
    pub target: String,
    /// Which part of it: a variable's name, `state`, `key`.
    pub name: String,
    /// The value that it has again.
    pub value: String,
    /// How it went.
    pub status: UndoStatus,
    /// Why it could not be put back.
    pub error: Option<String>,
}

/// How putting back went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoStatus {
    /// It is as before.
    Undone,
    /// It could not be put back; `lab recover` tries again.
    Failed,
}

/// The run is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// How it ended.
    pub status: Status,
    /// In seconds, the undo included.
    pub duration: f64,
    /// What the caller saw of the outage; none where no request failed.
    pub outage: Option<Outage>,
    /// What became of the changes.
    pub undo: Undo,
    /// The keys at the end.
    pub keys: Option<Keys>,
    /// Why the run is not held, beyond what its steps say: a fault without effect, for one.
    pub reason: Option<String>,
}

/// The outage as the caller saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// The first failed request, in seconds since the run's start.
    pub effect_at: f64,
    /// The first success after which no request failed; none where the outage lasted to the end.
    pub recovered_at: Option<f64>,
    /// Seconds between the two, or until the last failed request.
    pub duration: f64,
    /// Requests that failed.
    pub failed_requests: u64,
}

/// What became of the changes of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Overall.
    pub status: UndoOutcome,
    /// Each of them, in the order of the undo.
    pub items: Vec<UndoItem>,
}

/// Whether the lab is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoOutcome {
    /// All was put back, or there was nothing to put back.
    Complete,
    /// The user asked to keep the changes (`--keep`, `--until`).
    Kept,
    /// Something is owed: `lab recover`.
    Incomplete,
}
