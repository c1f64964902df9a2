//! [`Journal`]: a run as one document. It is folded from the events ([`JournalBuilder`]), so that `--format json`,
//! `journal.json` and `lab runs show` cannot disagree. Names follow Chaos Toolkit's journal where it has one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use lab_core::event::{
    About, AlertChanged, Event, EventKind, Keys, Outage, RunFinished, RunStarted, Status, StepResult, StepStarted,
    Undo, UndoOutcome, rfc3339,
};

/// The [`Journal::reason`] of a run that was cut off: its process was killed, or the power went.
pub const CUT_OFF: &str = "cut off: the record ends before the run does";

/// A run and all that it showed. Times are in UTC, durations and offsets in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// [`lab_core::event::FORMAT_VERSION`].
    pub version: u32,
    /// Such as `20261124T101530.123Z-7f3a`.
    pub id: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's title.
    pub title: String,
    /// The lab's name.
    pub lab: String,
    /// The engine's name.
    pub engine: String,
    /// How it ended; interrupted where it was cut off.
    pub status: Status,
    /// Why it is not held, beyond what its steps say: a fault without effect, [`CUT_OFF`].
    #[serde(default)]
    pub reason: Option<String>,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub start: DateTime<Utc>,
    /// When it ended; of a run that was cut off, the last that is known.
    #[serde(serialize_with = "rfc3339")]
    pub end: DateTime<Utc>,
    /// The undo included.
    pub duration: f64,
    /// As resolved.
    pub parameters: BTreeMap<String, String>,
    /// What the scenario's file tells beside its steps.
    #[serde(default)]
    pub about: About,
    /// The names of the steps that were to run.
    #[serde(default)]
    pub planned: Vec<String>,
    /// Those that did run.
    pub steps: Vec<StepResult>,
    /// What the caller saw of the outage; none where no request failed.
    pub outage: Option<Outage>,
    /// What became of the changes.
    pub undo: Undo,
    /// The keys before and after.
    #[serde(default)]
    pub keys: Option<JournalKeys>,
    /// What else was worth knowing, in order.
    #[serde(default)]
    pub notices: Vec<JournalNotice>,
    /// What became of the alerts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertChanged>,
    /// The pace that was asked for; empty: as the scenario has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pace: String,
}

/// The keys before the first step and after the undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalKeys {
    /// Before the first step.
    pub before: Keys,
    /// After the undo; null where they are not known.
    pub after: Option<Keys>,
}

/// Something worth knowing that changed no verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalNotice {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
    /// The same, since the run's start.
    pub elapsed: f64,
    /// One sentence.
    pub message: String,
}

impl Journal {
    /// The journal of a stream of events; none where it has no beginning.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut builder = JournalBuilder::default();
        for event in events {
            builder.push(event);
        }
        builder.journal()
    }

    /// The names of the steps that were to run and did not. Those of `finally` run also after an early end.
    pub fn not_run(&self) -> impl Iterator<Item = &str> {
        let ran = |name: &str| self.steps.iter().any(|step| step.name == name);
        self.planned.iter().map(String::as_str).filter(move |name| !ran(name))
    }
}

/// Folds events into a [`Journal`], at any time that of the run so far.
#[derive(Clone, Debug, Default)]
pub struct JournalBuilder {
    journal: Option<Journal>,
    /// The step that has begun and is not over.
    open: Option<(StepStarted, DateTime<Utc>, f64)>,
    ended: bool,
}

impl JournalBuilder {
    /// The next event.
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

    /// The journal so far; none before the run's first event. Without the run's last event it is that of a run that was
    /// cut off: interrupted, its undo owed, and the step that it was in is its last.
    pub fn journal(&self) -> Option<Journal> {
        let mut journal = self.journal.clone()?;
        if let (false, Some((step, at, elapsed))) = (self.ended, &self.open) {
            journal.steps.push(interrupted(step, *at, *elapsed, journal.duration - elapsed));
        }
        Some(journal)
    }
}

/// A run of which nothing is known but its beginning.
fn begin(run: &RunStarted, at: DateTime<Utc>) -> Journal {
    Journal {
        version: run.version,
        id: run.id.clone(),
        scenario: run.scenario.clone(),
        title: run.title.clone(),
        lab: run.lab.clone(),
        engine: run.engine.clone(),
        status: Status::Interrupted,
        reason: Some(CUT_OFF.to_owned()),
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
