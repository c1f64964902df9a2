//! Events, the only output of a run. The timeline, the run history and all other reports consume the same stream;
//! `events.ndjson` is that stream, one JSON object per line.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

mod mask;
mod step;
mod undo;

pub use mask::{MASK, Secrets};
pub use step::{CallerResult, CounterSample, ExpectationResult, Latency, Sample, StepFinished, StepResult};
pub use undo::{Undo, UndoItem, UndoOutcome, UndoStatus, UndoTarget};

/// Version of the run history and event format.
pub const FORMAT_VERSION: u32 = 1;

/// Serialises a time as RFC 3339 in UTC with milliseconds, as in every document.
pub fn rfc3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Short id of a run: `7f3a` for `20261124T101530.123Z-7f3a`.
pub fn short_id(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// Event of a run, as in `events.ndjson` and with `--format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// In UTC.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
    /// Seconds since the start of the run.
    pub elapsed: f64,
    /// Type and content, in the same JSON object.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Type and content of an [`Event`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// First event of a run.
    RunStarted(RunStarted),
    /// A step begins.
    StepStarted(StepStarted),
    /// A step has ended, with any result.
    StepFinished(Box<StepFinished>),
    /// Information that does not affect the result, such as a change made outside the run.
    Notice {
        /// One sentence for the user.
        message: String,
    },
    /// An alert changed its state.
    Alert(AlertChanged),
    /// A relevant log line. Sent in order after the last step.
    Logged(Logged),
    /// The run begins to revert its changes.
    UndoStarted {
        /// Number of values to revert.
        items: usize,
    },
    /// A value was reverted, or the revert failed.
    UndoItem(UndoItem),
    /// Last event of a run.
    RunFinished(Box<RunFinished>),
}

/// Description of a run and its environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Id of the run: time of its start in UTC and four random characters.
    pub id: String,
    /// File stem of the scenario.
    pub scenario: String,
    /// Title in the scenario file.
    pub title: String,
    /// Name of the lab.
    pub lab: String,
    /// Name of the engine.
    pub engine: String,
    /// Resolved values.
    pub parameters: BTreeMap<String, String>,
    /// Names of the planned steps, in order.
    pub steps: Vec<String>,
    /// Keys before the first step.
    pub keys: Keys,
    /// Texts of the scenario file.
    #[serde(default)]
    pub about: Box<About>,
    /// True if the run includes alerts, because the scenario expects them or its pace leaves time for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alerts: bool,
    /// Requested pace. Empty if the scenario's own pace is used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pace: String,
}

/// Texts of a scenario file, for reports. Empty in runs of older versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Argument of `lab scenario run`: a library name or a file path.
    pub source: String,
    /// `incident`, `practice` or `part`.
    pub kind: String,
    /// Description in the scenario file.
    pub description: String,
    /// Message as a customer would write it.
    pub ticket: Option<String>,
    /// Externally visible symptom.
    pub symptom: Option<String>,
    /// Cause and fix.
    pub solution: Option<String>,
    /// Takeaways.
    pub lessons: Vec<String>,
}

impl About {
    /// Command-line argument that selects the scenario. Older runs only have its name.
    pub fn typed<'a>(&'a self, scenario: &'a str) -> &'a str {
        if self.source.is_empty() { scenario } else { &self.source }
    }
}

/// Keys of the server and the callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Key that the server expects (`APP_API_KEY`).
    pub server: String,
    /// Key that the server accepts as well, during a rotation without an outage (`APP_API_KEY_PREVIOUS`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Key that the traffic sends as `X-API-Key`.
    pub caller: String,
    /// Keys of named callers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, String>,
}

impl Keys {
    /// Returns whether the server accepts a key.
    pub fn accept(&self, key: &str) -> bool {
        self.server == key || self.previous.as_deref() == Some(key)
    }
}

/// Start of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepStarted {
    /// Zero-based position in the run.
    pub index: usize,
    /// Name in the scenario file, or a generated one.
    pub name: String,
    /// Phase of the incident that the step belongs to.
    pub phase: Phase,
    /// Scenario list that contains the step.
    #[serde(default, skip_serializing_if = "Role::is_step")]
    pub role: Role,
    /// Key of the action in the scenario file: `traffic`, `rotate_key`, ….
    pub action: String,
}

/// Scenario list that contains a step.
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
    /// Returns whether this is the default, which is not serialised.
    pub fn is_step(&self) -> bool {
        *self == Self::Step
    }
}

/// Stage of an incident that a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Behaviour before the fault.
    Baseline,
    /// The fault is injected.
    Inject,
    /// Effect of the fault.
    Observe,
    /// The fault is fixed.
    Remedy,
    /// Behaviour after the fix.
    Verify,
}

impl Phase {
    /// All phases in chronological order.
    pub const ALL: [Self; 5] = [Self::Baseline, Self::Inject, Self::Observe, Self::Remedy, Self::Verify];

    /// Name in scenario files.
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

/// An alert changed its state. Sent shortly after the change, once it has been observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertChanged {
    /// Name in the alerting rules.
    pub name: String,
    /// State from now on.
    pub state: AlertState,
    /// Evaluation that caused the change, in seconds since the start of the run.
    pub since: f64,
    /// `page` or `ticket`. Empty if the rule sets none.
    #[serde(default)]
    pub severity: String,
    /// Summary annotation. For a resolved alert, the last one.
    #[serde(default)]
    pub summary: String,
}

/// State of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The condition is true, but not yet for long enough.
    Pending,
    /// The condition has been true for long enough, so the alert is sent.
    Firing,
    /// Was firing, and no longer is.
    Resolved,
    /// Was pending and ended without firing.
    Cleared,
}

impl AlertState {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Cleared => "cleared",
        }
    }
}

/// Relevant line of a service's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Service that wrote the line.
    pub service: String,
    /// Step during which the line was written.
    pub step: String,
    /// In seconds since the start of the run.
    pub written: f64,
    /// Line with keys masked.
    pub text: String,
}

/// Result of a step or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All expectations passed. Older journals say `held`.
    #[serde(alias = "held")]
    Passed,
    /// An expectation failed, or a fault had no impact.
    Failed,
    /// Could not be executed.
    Error,
    /// Stopped by a signal.
    Interrupted,
}

/// Result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// Result of the steps and the expectations, without the undo.
    pub status: Status,
    /// In seconds, including the undo.
    pub duration: f64,
    /// `None` if no request failed.
    pub outage: Option<Outage>,
    /// Result of the undo.
    pub undo: Undo,
    /// Keys at the end of the run. `None` if they are not known.
    pub keys: Option<Keys>,
    /// Why the run did not pass, apart from its steps, such as a fault without impact.
    pub reason: Option<String>,
}

/// Outage as seen by the callers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// First failed request, in seconds since the start of the run.
    #[serde(alias = "effect_at")]
    pub impact_at: f64,
    /// First success after the last failure. With several callers, the one of the caller that recovered last. `None` if
    /// the outage lasted until the end.
    pub recovered_at: Option<f64>,
    /// Seconds between the two, or until the last failed request.
    pub duration: f64,
    /// Failed requests of all callers.
    pub failed_requests: u64,
    /// Time to impact: seconds from the start of the step that injected the fault to the first failed request. `None`
    /// if no fault was injected before it.
    #[serde(default, alias = "time_to_effect")]
    pub time_to_impact: Option<f64>,
    /// Seconds from the start of the first fix to lasting recovery. `None` without either.
    #[serde(default)]
    pub time_to_recovery: Option<f64>,
    /// Seconds from the first failed request to the first alert that fired afterwards. `None` if none fired.
    #[serde(default)]
    pub time_to_detect: Option<f64>,
    /// Seconds from the first failed request to lasting recovery. `None` if the outage lasted until the end.
    #[serde(default)]
    pub time_to_mitigate: Option<f64>,
    /// Seconds from the first failed request until the last of these alerts was resolved. `None` if none fired, or one
    /// was still firing at the end.
    #[serde(default)]
    pub time_to_resolve: Option<f64>,
}
