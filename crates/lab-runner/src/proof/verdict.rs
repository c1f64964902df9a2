//! Evaluates the claims of a proof run by its events.

use std::collections::BTreeMap;

use super::runs::{Claim, ProofRun, Requirement};
use crate::runner::NO_REQUESTS;
use lab_core::event::{Event, EventKind, RunFinished, Status, StepResult};
use lab_scenario::plan::Kind;

/// Result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Evaluation {
    /// False claims.
    pub(super) findings: Vec<String>,
    /// Why the run could not be completed.
    pub(super) error: Option<String>,
}

impl Evaluation {
    pub(super) fn is_true(&self) -> bool {
        self.findings.is_empty() && self.error.is_none()
    }
}

/// Evaluates a proof run by its events.
pub(super) fn evaluate(run: &ProofRun, events: &[Event]) -> Evaluation {
    let steps: BTreeMap<usize, &StepResult> = events
        .iter()
        .filter_map(|event| match &event.kind {
            // `finally` steps are not claims.
            EventKind::StepFinished(step) if step.result.role.is_step() => Some((step.index, &step.result)),
            _ => None,
        })
        .collect();
    let end = events.iter().find_map(|event| match &event.kind {
        EventKind::RunFinished(end) => Some(end.as_ref()),
        _ => None,
    });
    let mut found = Evaluation { error: error(run, &steps, end), findings: Vec::new() };
    if found.error.is_some() {
        return found;
    }
    // Problems of the run as a whole: a fault without effect, a practice scenario with failed requests.
    let objection = end.and_then(|end| end.reason.clone());
    let (sent, failed) = own_requests(run, events);
    let practice = run.plan.kind == Kind::Practice;
    let objection = objection.filter(|_| !practice || failed > 0);
    let last = run.claims.len().saturating_sub(1);
    for (index, claim) in run.claims.iter().enumerate() {
        let harmed = run.whole == Requirement::Harmful && index == last && objection.is_some();
        let broken = broken(run, claim, &steps);
        if broken.is_empty() != claim.passes && !harmed {
            let seen = if broken.is_empty() { String::new() } else { format!(": {}", broken.join("; ")) };
            found.findings.push(format!("{}{seen}", claim.otherwise));
        }
    }
    if run.whole == Requirement::Sound {
        found.findings.extend(objection);
        if practice && sent == 0 {
            found.findings.push(NO_REQUESTS.to_owned());
        }
    }
    found
}

/// Requests of the scenario's own steps, and how many of them failed. Requests of checks do not count.
fn own_requests(run: &ProofRun, events: &[Event]) -> (u64, u64) {
    let checks = run.claims.first().map_or(0, |own| own.steps.end);
    events.iter().fold((0, 0), |mut sum, event| {
        let EventKind::StepFinished(step) = &event.kind else { return sum };
        let result = &step.result;
        if !result.role.is_step() || step.index < checks {
            sum = (sum.0 + result.sent.unwrap_or(0), sum.1 + result.failed_requests);
        }
        let background = result.background.values();
        background.fold(sum, |sum, slice| (sum.0 + slice.sent, sum.1 + slice.failed_requests))
    })
}

/// Why a run did not complete.
fn error(run: &ProofRun, steps: &BTreeMap<usize, &StepResult>, end: Option<&RunFinished>) -> Option<String> {
    let failed = steps.iter().find(|(_, step)| step.status == Status::Error);
    if let Some((index, step)) = failed {
        let why = step.error.as_deref().unwrap_or("it was not executed");
        return Some(format!("{}: {why}", title(run, *index)));
    }
    match end {
        Some(end) if end.status == Status::Error => {
            Some(end.reason.clone().unwrap_or_else(|| "the run ended with an error".to_owned()))
        }
        Some(_) if steps.len() == run.plan.steps.len() => None,
        _ => Some("the run did not complete".to_owned()),
    }
}

/// Describes the failed steps of a claim.
fn broken(run: &ProofRun, claim: &Claim, steps: &BTreeMap<usize, &StepResult>) -> Vec<String> {
    let mut broken = Vec::new();
    let steps = claim.steps.clone().filter_map(|index| Some((index, steps.get(&index)?)));
    for (index, step) in steps.filter(|(_, step)| step.status != Status::Passed) {
        let not_held = step.expectations.iter().filter(|result| !result.passed);
        let seen: Vec<String> = not_held
            .map(|result| format!("expected {} {}, seen {}", result.metric, result.expected, result.observed_text))
            .collect();
        broken.push(format!("{} {}", title(run, index), seen.join(", ")).trim_end().to_owned());
    }
    broken
}

fn title(run: &ProofRun, index: usize) -> &str {
    run.titles.get(index).map_or("a step", String::as_str)
}
