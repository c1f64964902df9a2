//! Progress of the latest run, from its events.

use chrono::{DateTime, Utc};

use lab_core::event::{Event, EventKind, Phase, RunFinished, RunStarted, Status, StepResult, UndoOutcome};
use lab_report::report::{human, short_id, status_name};
use lab_telemetry::live::RunEvent;

/// Note during the undo.
const REVERTING: &str = "reverting the changes";
/// Maximum number of marks.
const MARKS: usize = 200;

/// Latest run, and marks of all runs.
#[derive(Clone, Debug, Default)]
pub(super) struct RunTracker {
    /// Run that started last.
    pub(super) run: Option<Run>,
    /// Times of injected faults and fixes in all runs, for the charts.
    pub(super) marks: Vec<(DateTime<Utc>, Phase)>,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Full id.
    pub(super) id: String,
    /// The scenario's name.
    pub(super) scenario: String,
    /// Steps in order, including planned ones.
    pub(super) steps: Vec<Step>,
    /// Notices, one sentence each.
    pub(super) notes: Vec<String>,
    /// Result; `None` during the run.
    pub(super) end: Option<End>,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) status: Status,
    /// Summary in one line.
    pub(super) summary: String,
}

/// A step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) state: StepState,
}

/// State of a step.
#[derive(Clone, Debug)]
pub(super) enum StepState {
    /// Not started.
    Planned,
    /// Started at this time.
    Running(DateTime<Utc>),
    /// Finished with a status and a short result.
    Finished(Status, String),
}

impl RunTracker {
    /// Applies an event. If two runs overlap, the later one is shown.
    pub(super) fn update(&mut self, event: RunEvent) {
        let RunEvent { run, event } = event;
        if let EventKind::StepStarted(step) = &event.kind
            && matches!(step.phase, Phase::Inject | Phase::Remedy)
        {
            self.marks.push((event.at, step.phase));
            if self.marks.len() > MARKS {
                self.marks.remove(0);
            }
        }
        match &event.kind {
            EventKind::RunStarted(started) if self.run.as_ref().is_none_or(|known| known.id <= run) => {
                self.run = Some(Run::new(run, started));
            }
            _ => {
                if let Some(known) = self.run.as_mut().filter(|known| known.id == run) {
                    known.update(&event);
                }
            }
        }
    }
}

impl Run {
    fn new(id: String, started: &RunStarted) -> Self {
        let steps = started.steps.iter().map(|name| Step { name: name.clone(), state: StepState::Planned }).collect();
        Self { id, scenario: started.scenario.clone(), steps, notes: Vec::new(), end: None }
    }

    fn update(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepStarted(step) => self.set_state(&step.name, StepState::Running(event.at)),
            EventKind::StepFinished(step) => {
                let step = &step.result;
                self.set_state(&step.name, StepState::Finished(step.status, result(step)));
            }
            EventKind::Notice { message } => self.notes.push(message.clone()),
            // Alerts and log lines have their own panels.
            EventKind::UndoStarted { items: 0 }
            | EventKind::RunStarted(_)
            | EventKind::UndoItem(_)
            | EventKind::Alert(_)
            | EventKind::Logged(_) => {}
            EventKind::UndoStarted { .. } => self.notes.push(REVERTING.to_owned()),
            EventKind::RunFinished(finished) => {
                self.notes.retain(|note| note.as_str() != REVERTING);
                self.end = Some(End { status: finished.status, summary: summarize(finished) });
            }
        }
    }

    /// Finds the step by its name, which is unique in the run, because `finally` may skip steps after an early end.
    fn set_state(&mut self, name: &str, state: StepState) {
        match self.steps.iter_mut().find(|step| step.name == name) {
            Some(step) => step.state = state,
            // Steps that were not announced are appended.
            None => self.steps.push(Step { name: name.to_owned(), state }),
        }
    }

    /// Index of the running step, or of the last finished one.
    pub(super) fn current(&self) -> usize {
        let begun = self.steps.iter().rposition(|step| !matches!(step.state, StepState::Planned));
        begun.unwrap_or_default()
    }

    /// `rotate-key · run 7f3a`.
    pub(super) fn title(&self) -> String {
        format!("{} · run {}", self.scenario, short_id(&self.id))
    }
}

/// Short result of a step.
fn result(step: &StepResult) -> String {
    let wrong = step.expectations.iter().find(|expectation| !expectation.passed);
    let wrong = wrong.map(|it| format!("expected {} {}, observed {}", it.metric, it.expected, it.observed_text));
    if let Some(wrong) = step.error.clone().or(wrong) {
        return wrong;
    }
    if step.sent.is_none() {
        return step.detail.clone().unwrap_or_else(|| step.action.clone());
    }
    let answers = step.codes.iter().chain(&step.errors);
    answers.map(|(what, count)| format!("{what} x{count}")).collect::<Vec<_>>().join(" ")
}

fn summarize(run: &RunFinished) -> String {
    let mut text = format!("{} in {}", status_name(run.status), human::clock(run.duration));
    if let Some(outage) = &run.outage {
        text = format!("{text} · outage {}, {} failed", human::clock(outage.duration), outage.failed_requests);
    }
    match run.undo.status {
        UndoOutcome::Complete => {}
        UndoOutcome::Kept => text += " · fault kept",
        UndoOutcome::Incomplete => text += " · undo incomplete",
    }
    text
}
