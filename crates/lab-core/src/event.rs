//! [`Event`]: the only thing that passes from the runner to the reports. The timeline, the journal and every other report
//! are sinks of the same stream; `events.ndjson` is that stream, one JSON object a line.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

mod mask;
mod step;
mod undo;

pub use mask::{MASK, Secrets};
pub use step::{CallerResult, CounterSample, ExpectationResult, Latency, Sample, StepFinished};
pub use undo::{Undo, UndoItem, UndoOutcome, UndoStatus};

/// The version of the journal's and the events' format.
pub const FORMAT_VERSION: u32 = 1;

/// A time as every document has it: RFC 3339 in UTC, with milliseconds.
pub fn rfc3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
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
    /// An alert became something else.
    Alert(AlertChanged),
    /// A line of a service's log that tells the story. They are told at the end of the steps, in order.
    Logged(Logged),
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
    /// Such as `20261124T101530.123Z-7f3a`.
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
    /// What the scenario's file tells beside its steps.
    #[serde(default)]
    pub about: Box<About>,
    /// Whether alerts are a part of it: the scenario asks for them, or its pace gives them time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alerts: bool,
    /// The pace that was asked for; empty: as the scenario has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pace: String,
}

/// What a scenario's file tells: the words of a report. Runs of older versions have none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// As it is typed after `lab scenario run`: a name of the library, or the file's path.
    pub source: String,
    /// `incident`, `practice` or `part`.
    pub kind: String,
    /// A paragraph.
    pub description: String,
    /// What a customer would write.
    pub ticket: Option<String>,
    /// What is seen of it from outside.
    pub symptom: Option<String>,
    /// What it was, and what mends it.
    pub solution: Option<String>,
    /// What is to be learned from it.
    pub lessons: Vec<String>,
}

impl About {
    /// What is typed to name the scenario; of an older run nothing but its name is known.
    pub fn typed<'a>(&'a self, scenario: &'a str) -> &'a str {
        if self.source.is_empty() { scenario } else { &self.source }
    }
}

/// The key that the server expects, and the one that the caller sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// `APP_API_KEY` of the app.
    pub server: String,
    /// What the traffic sends as `X-API-Key`.
    pub caller: String,
    /// What each caller sends that has a name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, String>,
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
    /// Which list of the scenario it is from.
    #[serde(default, skip_serializing_if = "Role::is_step")]
    pub role: Role,
    /// The action's key in the scenario file: `traffic`, `rotate_key`, ….
    pub action: String,
}

/// Which list of a scenario a step is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// `steps`.
    #[default]
    Step,
    /// `steady_state`, before the first step.
    Before,
    /// `steady_state`, after the last step.
    After,
    /// `finally`.
    Finally,
}

impl Role {
    /// Whether it is one of `steps`, which is not written.
    pub fn is_step(&self) -> bool {
        *self == Self::Step
    }
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

/// An alert became something else. It is told once it is known, a moment after it became so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertChanged {
    /// The alert's name, as the rules have it.
    pub name: String,
    /// What it is now.
    pub state: AlertState,
    /// When it became so, in seconds since the run's start: the evaluation that showed it.
    pub since: f64,
    /// `page`, `ticket`; empty where the rule says nothing.
    #[serde(default)]
    pub severity: String,
    /// What it says to people; of one that is over, what it said last.
    #[serde(default)]
    pub summary: String,
}

/// What an alert has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Its condition holds, not yet for long enough.
    Pending,
    /// Its condition has held for long enough: somebody is called.
    Firing,
    /// It fired, and no longer does.
    Resolved,
    /// It was pending, and its condition no longer holds: nobody was called.
    Cleared,
}

impl AlertState {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Cleared => "cleared",
        }
    }
}

/// A line of a service's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Whose.
    pub service: String,
    /// The step in which it was written.
    pub step: String,
    /// When it was written, in seconds since the run's start.
    pub written: f64,
    /// The line, keys masked.
    pub text: String,
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
    /// The first success after which no request failed, of the caller that got through last where there are several; none
    /// where the outage lasted to the end.
    pub recovered_at: Option<f64>,
    /// Seconds between the two, or until the last failed request.
    pub duration: f64,
    /// Requests that failed.
    pub failed_requests: u64,
    /// Seconds from the beginning of the step that injected the fault to the first failed request; none where nothing was
    /// injected before it.
    #[serde(default)]
    pub time_to_effect: Option<f64>,
    /// Seconds from the beginning of the first remedy to the success that lasts; none where there was neither.
    #[serde(default)]
    pub time_to_recovery: Option<f64>,
    /// Seconds from the first failed request until the first alert fired that was called by it; none where none did.
    #[serde(default)]
    pub time_to_detect: Option<f64>,
    /// Seconds from the first failed request until callers got through for good; none where the outage lasted to the end.
    #[serde(default)]
    pub time_to_mitigate: Option<f64>,
    /// Seconds from the first failed request until the last of those alerts was resolved; none where none fired, or one
    /// still did at the end.
    #[serde(default)]
    pub time_to_resolve: Option<f64>,
}
