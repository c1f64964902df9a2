//! [`Journal`]: a run as one document. It is folded from the events ([`JournalBuilder`]), so that `--format json`,
//! `journal.json` and `lab runs show` cannot disagree. Names follow Chaos Toolkit's journal where it has one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use lab_core::event::{
    About, AlertChanged, Event, EventKind, Keys, Outage, RunFinished, RunStarted, Status, StepResult, StepStarted,
    Undo, UndoOutcome, rfc3339,
};

/// [`Journal::reason`] of a run whose record has no end, because its process was killed or the machine lost power.
pub const INCOMPLETE: &str = "incomplete: the record ends before the run does";

/// A run as one document. Times are in UTC, durations and offsets in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// [`lab_core::event::FORMAT_VERSION`].
    pub version: u32,
    /// Id of the run, such as `20261124T101530.123Z-7f3a`.
    pub id: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Title of the scenario.
    pub title: String,
    /// Name of the lab.
    pub lab: String,
    /// Name of the engine.
    pub engine: String,
    /// Result; [`Status::Interrupted`] if the record has no end.
    pub status: Status,
    /// Why the run did not pass, apart from its steps: a fault without effect, or [`INCOMPLETE`].
    #[serde(default)]
    pub reason: Option<String>,
    /// Start of the run.
    #[serde(serialize_with = "rfc3339")]
    pub start: DateTime<Utc>,
    /// End of the run, or the last event if the record has no end.
    #[serde(serialize_with = "rfc3339")]
    pub end: DateTime<Utc>,
    /// Duration, including the undo.
    pub duration: f64,
    /// Resolved parameters.
    pub parameters: BTreeMap<String, String>,
    /// Texts of the scenario file.
    #[serde(default)]
    pub about: About,
    /// Names of the planned steps.
    #[serde(default)]
    pub planned: Vec<String>,
    /// Results of the executed steps.
    pub steps: Vec<StepResult>,
    /// Outage as seen by the callers. `None` if no request failed.
    pub outage: Option<Outage>,
    /// Result of the undo.
    pub undo: Undo,
    /// Keys before and after the run.
    #[serde(default)]
    pub keys: Option<JournalKeys>,
    /// Notices in order.
    #[serde(default)]
    pub notices: Vec<JournalNotice>,
    /// Changes of alerts in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertChanged>,
    /// Requested pace. Empty if the scenario's own pace was used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pace: String,
}

/// Keys before the first step and after the undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalKeys {
    /// Before the first step.
    pub before: Keys,
    /// After the undo; null if unknown.
    pub after: Option<Keys>,
}

/// Information that does not affect the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalNotice {
    /// Time in UTC.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
    /// Seconds since the start of the run.
    pub elapsed: f64,
    /// One sentence.
    pub message: String,
}

impl Journal {
    /// Folds events into a journal. `None` without the first event of a run.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut builder = JournalBuilder::default();
        for event in events {
            builder.push(event);
        }
        builder.journal()
    }

    /// Names of planned steps that were not executed. Steps of `finally` are executed even after an early end.
    pub fn not_run(&self) -> impl Iterator<Item = &str> {
        let ran = |name: &str| self.steps.iter().any(|step| step.name == name);
        self.planned.iter().map(String::as_str).filter(move |name| !ran(name))
    }
}

/// Folds events into a [`Journal`] while the run is in progress.
#[derive(Clone, Debug, Default)]
pub struct JournalBuilder {
    journal: Option<Journal>,
    /// Step in progress, with its start in UTC and in seconds since the start of the run.
    open: Option<(StepStarted, DateTime<Utc>, f64)>,
    ended: bool,
}

impl JournalBuilder {
    /// Adds the next event.
    pub fn push(&mut self, event: &Event) {
        if let EventKind::RunStarted(run) = &event.kind {
            *self = Self { journal: Some(begin(run, event.at)), open: None, ended: false };
            return;
        }
        let Some(journal) = &mut self.journal else { return };
        journal.end = event.at;
        journal.duration = event.elapsed;
        match &event.kind {
            EventKind::RunStarted(_) => {}
            EventKind::StepStarted(step) => self.open = Some((step.clone(), event.at, event.elapsed)),
            EventKind::StepFinished(step) => {
                self.open = None;
                journal.steps.push(step.result.clone());
            }
            EventKind::Notice { message } => {
                let message = message.clone();
                journal.notices.push(JournalNotice { at: event.at, elapsed: event.elapsed, message });
            }
            EventKind::Alert(alert) => journal.alerts.push(alert.clone()),
            EventKind::Logged(line) => {
                if let Some(step) = journal.steps.iter_mut().find(|step| step.name == line.step) {
                    step.logs.push(line.clone());
                }
            }
            EventKind::UndoStarted { .. } => journal.undo.items.clear(),
            EventKind::UndoItem(item) => journal.undo.items.push(item.clone()),
            EventKind::RunFinished(run) => {
                end(journal, run);
                self.ended = true;
            }
        }
    }

    /// Journal so far. `None` before the first event of the run. Without the last event, the run counts as interrupted, its
    /// undo as pending, and the step in progress is the last one.
    pub fn journal(&self) -> Option<Journal> {
        let mut journal = self.journal.clone()?;
        if let (false, Some((step, at, elapsed))) = (self.ended, &self.open) {
            journal.steps.push(interrupted(step, *at, *elapsed, journal.duration - elapsed));
        }
        Some(journal)
    }
}

/// Journal of a run that has only started.
fn begin(run: &RunStarted, at: DateTime<Utc>) -> Journal {
    Journal {
        version: run.version,
        id: run.id.clone(),
        scenario: run.scenario.clone(),
        title: run.title.clone(),
        lab: run.lab.clone(),
        engine: run.engine.clone(),
        status: Status::Interrupted,
        reason: Some(INCOMPLETE.to_owned()),
        start: at,
        end: at,
        duration: 0.0,
        parameters: run.parameters.clone(),
        about: (*run.about).clone(),
        planned: run.steps.clone(),
        steps: Vec::new(),
        outage: None,
        undo: Undo { status: UndoOutcome::Incomplete, items: Vec::new() },
        keys: Some(JournalKeys { before: run.keys.clone(), after: None }),
        notices: Vec::new(),
        alerts: Vec::new(),
        pace: run.pace.clone(),
    }
}

fn end(journal: &mut Journal, run: &RunFinished) {
    journal.status = run.status;
    journal.reason.clone_from(&run.reason);
    journal.duration = run.duration;
    journal.outage = run.outage;
    journal.undo = run.undo.clone();
    if let Some(keys) = &mut journal.keys {
        keys.after.clone_from(&run.keys);
    }
}

/// Result of the step during which the record ends.
fn interrupted(step: &StepStarted, start: DateTime<Utc>, elapsed: f64, duration: f64) -> StepResult {
    StepResult { duration, ..StepResult::new(step.clone(), Status::Interrupted, start, elapsed) }
}
