//! [`Story`]: the run that was begun last, step by step, from what it told.

use chrono::{DateTime, Utc};

use lab_core::event::{Event, EventKind, Phase, RunFinished, RunStarted, Status, StepResult, UndoOutcome};
use lab_report::report::{human, short_id, status_name};
use lab_telemetry::live::Told;

/// What is told while the undo goes on.
const PUTTING_BACK: &str = "putting back what was changed";
/// The marks that are kept.
const MARKS: usize = 200;

/// What is known of the lab's runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    /// The one that was begun last.
    pub(super) run: Option<Run>,
    /// When faults were put in and remedies made, of any run, for the charts.
    pub(super) marks: Vec<(DateTime<Utc>, Phase)>,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Its whole id.
    pub(super) id: String,
    /// The scenario's name.
    pub(super) scenario: String,
    /// The steps, in order: those to come as well.
    pub(super) steps: Vec<Step>,
    /// What else it told, a sentence each.
    pub(super) notes: Vec<String>,
    /// How it ended; none while it goes on.
    pub(super) end: Option<End>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) status: Status,
    /// In one line.
    pub(super) said: String,
}

/// A step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) at: At,
}

/// Where a step stands.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// It is to come.
    Ahead,
    /// It goes on since then.
    Now(DateTime<Utc>),
    /// It is over: how it ended, and what it showed.
    Over(Status, String),
}

impl Story {
    /// Takes what a run told. Of two runs at once the one that began later is shown.
    pub(super) fn take(&mut self, told: Told) {
        let Told { run, event } = told;
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
                self.run = Some(Run::begun(run, started));
            }
            _ => {
                if let Some(known) = self.run.as_mut().filter(|known| known.id == run) {
                    known.take(&event);
                }
            }
        }
    }
}

impl Run {
    fn begun(id: String, started: &RunStarted) -> Self {
        let steps = started.steps.iter().map(|name| Step { name: name.clone(), at: At::Ahead }).collect();
        Self { id, scenario: started.scenario.clone(), steps, notes: Vec::new(), end: None }
    }

    fn take(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepStarted(step) => self.put(&step.name, At::Now(event.at)),
            EventKind::StepFinished(step) => {
                self.put(&step.result.name, At::Over(step.result.status, showed(&step.result)));
            }
            EventKind::Notice { message } => self.notes.push(message.clone()),
            // Alerts and the log are shown as they are now, beside the run.
            EventKind::UndoStarted { items: 0 }
            | EventKind::RunStarted(_)
            | EventKind::UndoItem(_)
            | EventKind::Alert(_)
            | EventKind::Logged(_) => {}
            EventKind::UndoStarted { .. } => self.notes.push(PUTTING_BACK.to_owned()),
            EventKind::RunFinished(finished) => {
                self.notes.retain(|note| note.as_str() != PUTTING_BACK);
                self.end = Some(End { status: finished.status, said: ended(finished) });
            }
        }
    }

    /// By its name, which no other step of the run has: after an early end, `finally` leaves steps out.
    fn put(&mut self, name: &str, at: At) {
        match self.steps.iter_mut().find(|step| step.name == name) {
            Some(step) => step.at = at,
            // One that the beginning did not announce comes last.
            None => self.steps.push(Step { name: name.to_owned(), at }),
        }
    }

    /// The step that goes on, or the last one that is over.
    pub(super) fn current(&self) -> usize {
        let begun = self.steps.iter().rposition(|step| !matches!(step.at, At::Ahead));
        begun.unwrap_or_default()
    }

    /// `rotate-key · run 7f3a`.
    pub(super) fn title(&self) -> String {
        format!("{} · run {}", self.scenario, short_id(&self.id))
    }
}

/// What a step showed, in a line.
fn showed(step: &StepResult) -> String {
    let wrong = step.expectations.iter().find(|expectation| !expectation.passed);
    let wrong = wrong.map(|it| format!("expected {} {}, saw {}", it.metric, it.expected, it.observed_text));
    if let Some(wrong) = step.error.clone().or(wrong) {
        return wrong;
    }
    if step.sent.is_none() {
        return step.detail.clone().unwrap_or_else(|| step.action.clone());
    }
    let answers = step.codes.iter().chain(&step.errors);
    answers.map(|(what, count)| format!("{what} x{count}")).collect::<Vec<_>>().join(" ")
}

fn ended(run: &RunFinished) -> String {
    let mut said = format!("{} in {}", status_name(run.status), human::clock(run.duration));
    if let Some(outage) = &run.outage {
        said = format!("{said} · outage {}, {} failed", human::clock(outage.duration), outage.failed_requests);
    }
    match run.undo.status {
        UndoOutcome::Complete => {}
        UndoOutcome::Kept => said += " · kept as it is",
        UndoOutcome::Incomplete => said += " · the undo is incomplete",
    }
    said
}
