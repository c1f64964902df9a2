//! Proves that a scenario does what it claims. [`prove`] runs it several times in one lab: completely, up to its fault,
//! and with each wrong fix in place of the real one. Its checks have to pass and fail as claimed, and the lab has to be
//! restored after every run. [`runs`] derives these runs from the scenario and [`verdict`] evaluates their events;
//! both are pure. The runs of a long proof can be shared among several labs ([`Share`]).

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::lab::Lab;
use crate::runner::{self, Interrupt, Run};
use lab_core::engine::Engine;
use lab_core::error::Exit;
use lab_core::event::{Event, UndoOutcome};
use lab_scenario::{Diagnostic, Diagnostics, Plan};
use lab_system::process::Processes;
use lab_telemetry::wire::Wire;

mod recognition;
mod runs;
mod share;
mod snapshot;
mod verdict;

pub use runs::MissingClaims;
use runs::ProofRun;
pub use share::Share;
use snapshot::Snapshot;

/// Part of the last run, and of the state after every run.
const UNDONE: &str = "undone";
/// Part of the weaknesses of the lesson.
const LESSON: &str = "lesson";

/// Result of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All claims are true.
    Proven,
    /// A claim is false.
    NotProven,
    /// The proof could not be completed.
    Error,
    /// Stopped by a signal.
    Interrupted,
    /// Nothing to prove: a part of other scenarios.
    Exempt,
    /// Not supported on this engine.
    Skipped,
}

/// A scenario and the results of its claims.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// Name of the scenario.
    pub scenario: String,
    /// Result as a whole.
    pub status: Verdict,
    /// Why parts are missing.
    pub reason: Option<String>,
    /// In seconds.
    pub duration: f64,
    /// Evaluated groups of claims, in order.
    pub parts: Vec<Part>,
    /// Exit code of the process.
    #[serde(skip)]
    pub exit: Exit,
}

/// Result of one group of claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `lesson`, `healthy`, `broken`, `fixed`, `unharmed`, `wrong fix NAME`, `other fix NAME` or `undone`.
    pub name: String,
    /// True if all of its claims are true.
    pub passed: bool,
    /// One sentence per false claim.
    pub findings: Vec<String>,
}

impl Proof {
    /// A proof without parts.
    pub fn without(scenario: &str, status: Verdict, exit: Exit, reason: Option<String>) -> Self {
        Self { scenario: scenario.to_owned(), status, reason, duration: 0.0, parts: Vec::new(), exit }
    }
}

/// Lab of a proof: up, locked, exclusive, and recorded as temporary.
pub struct ProofLab {
    /// State on disk.
    pub lab: Lab,
    /// Engine of the lab.
    pub engine: Arc<dyn Engine>,
    /// Access to the network.
    pub wire: Arc<dyn Wire>,
    /// Executes the commands of `run` steps. `None` if the user has not allowed commands.
    pub processes: Option<Arc<dyn Processes>>,
    /// Id of the proof. Its runs get numbered ids.
    pub id: String,
    /// Stop requests.
    pub interrupt: Interrupt,
}

/// Checks, before a lab is created, that the scenario can be proved and that the engine supports it.
pub fn check(plan: &Plan, engine: &dyn Engine) -> Result<(), Missing> {
    runs::runs(plan).map_err(Missing::Claims)?;
    let mut whole = plan.clone();
    let claims = &plan.claims;
    let checks = claims.symptom_check.iter().chain(&claims.resolved_check);
    let wrong = claims.wrong_fixes.iter().flat_map(|fix| &fix.steps);
    let other = claims.other_fixes.iter().flat_map(|fix| &fix.steps);
    whole.steps.extend(checks.chain(wrong).chain(other).cloned());
    whole.check_engine(engine.name(), &engine.services(), &engine.roles()).map_err(Missing::Ability)
}

/// Reason why a scenario cannot be proved.
#[derive(Debug)]
pub enum Missing {
    /// The scenario lacks claims.
    Claims(MissingClaims),
    /// The engine does not support an action.
    Ability(Diagnostics),
}

/// Proves a scenario in a lab of its own. Executes only the runs of `share`; [`Proof::merge`] combines the shares of a proof.
pub async fn prove(plan: &Plan, share: Share, proof_lab: &ProofLab) -> Proof {
    let begun = Instant::now();
    let mut proof = match runs::runs(plan) {
        Ok(runs) => execute_all(plan, share.select(runs), proof_lab).await,
        Err(lack) => Proof::without(&plan.name, Verdict::Error, Exit::Usage, Some(lack.to_string())),
    };
    proof.duration = (begun.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    proof
}

/// Executes runs, given with their number in the proof.
async fn execute_all(plan: &Plan, runs: Vec<(usize, ProofRun)>, proof_lab: &ProofLab) -> Proof {
    let mut proof = Proof::without(&plan.name, Verdict::Proven, Exit::Passed, None);
    proof.parts.extend(lesson(plan));
    let before = match Snapshot::read(proof_lab).await {
        Ok(before) => before,
        Err(error) => {
            return Proof { reason: Some(error.to_string()), status: Verdict::Error, exit: Exit::Failed, ..proof };
        }
    };
    let mut undone = Part { name: UNDONE.to_owned(), passed: true, findings: Vec::new() };
    for (number, run) in &runs {
        let (events, before_fix, undo) = execute(run, *number, proof_lab).await;
        let mut found = verdict::evaluate(run, &events);
        let (seen, roles) = ((&events[..], &before_fix), proof_lab.engine.roles());
        found.findings.extend(recognition::check((plan, run), seen, &proof_lab.lab, &roles));
        if let Some(signal) = proof_lab.interrupt.signal() {
            proof.end(Verdict::Interrupted, signal.exit(), None);
            return proof;
        }
        // Findings about the state after the undo belong to the part `undone`.
        if run.part == UNDONE {
            undone.findings.extend(found.findings);
        } else {
            proof.parts.push(Part { name: run.part.clone(), passed: found.is_true(), findings: found.findings });
        }
        if let Some(error) = found.error {
            proof.end(Verdict::Error, Exit::Failed, Some(format!("{}: {error}", run.part)));
        }
        if undo == UndoOutcome::Incomplete {
            let reason = format!("{}: not every change could be reverted", run.part);
            proof.end(Verdict::Error, Exit::UndoIncomplete, Some(reason));
        }
        if proof.status == Verdict::Error {
            return proof;
        }
        match Snapshot::read(proof_lab).await {
            Ok(after) => {
                let finding = |what| plan.secrets.mask(&format!("after {}: {what}", run.part));
                undone.findings.extend(before.differences(&after).map(finding));
            }
            Err(error) => {
                proof.end(Verdict::Error, Exit::Failed, Some(error.to_string()));
                return proof;
            }
        }
    }
    undone.passed = undone.findings.is_empty();
    proof.parts.push(undone);
    if proof.parts.iter().any(|part| !part.passed) {
        proof.end(Verdict::NotProven, Exit::NotPassed, None);
    }
    proof
}

/// Weaknesses that the loader found in the lesson. `None` if there are none.
fn lesson(plan: &Plan) -> Option<Part> {
    let line = |item: &Diagnostic| {
        let place = item.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!("{}{place}: {}", item.message, item.label)
    };
    let findings: Vec<String> = plan.lints.iter().map(line).collect();
    (!findings.is_empty()).then(|| Part { name: LESSON.to_owned(), passed: false, findings })
}

impl Proof {
    fn end(&mut self, status: Verdict, exit: Exit, reason: Option<String>) {
        (self.status, self.reason) = (status, reason);
        self.exit = self.exit.worse(exit);
    }
}

/// Executes a run. Returns its events, the revisions before its fix, and the result of its undo.
async fn execute(
    run: &ProofRun,
    number: usize,
    proof_lab: &ProofLab,
) -> (Vec<Event>, recognition::Before, UndoOutcome) {
    let run = Run {
        plan: run.plan.clone(),
        lab: proof_lab.lab.clone(),
        engine: Arc::clone(&proof_lab.engine),
        wire: Arc::clone(&proof_lab.wire),
        processes: proof_lab.processes.clone(),
        id: format!("{}.{}", proof_lab.id, number + 1),
        keep: false,
        until: None,
        owned: false,
        interrupt: proof_lab.interrupt.clone(),
        progress: Arc::new(|_| {}),
    };
    let (mut events, mut before_fix) = (Vec::new(), None);
    let outcome = runner::run(run, |event| {
        recognition::note(&mut before_fix, event, &proof_lab.lab);
        events.push(event.clone());
        Ok(())
    });
    let undo = outcome.await.undo;
    (events, before_fix.unwrap_or_default(), undo)
}

#[cfg(test)]
mod tests;
