//! Whether a scenario does what it says. [`prove`] runs it several times over in one lab: whole, up to its fault, and with
//! each of its wrong fixes in place of the remedy; its checks have to pass and to fail where they should, and after every
//! run the lab has to be as it was. [`script`] makes those runs from the scenario, [`verdict`] reads their events; both are
//! pure.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::lab::Lab;
use crate::runner::{self, Interrupt, Run};
use lab_core::engine::Engine;
use lab_core::error::Exit;
use lab_core::event::{Event, UndoOutcome};
use lab_scenario::{Diagnostics, Plan};
use lab_system::process::Processes;
use lab_telemetry::wire::Wire;

mod script;
mod sight;
mod verdict;

use script::Act;
use sight::Sight;

/// How a proof ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every claim holds.
    Proved,
    /// A claim does not hold.
    #[serde(rename = "refuted")]
    NotProven,
    /// It could not be carried out.
    Error,
    /// Ctrl-C or SIGTERM came.
    Interrupted,
    /// There is nothing to prove: a part for other scenarios.
    Exempt,
    /// Not possible on this engine.
    Skipped,
}

/// A scenario, and what became of its claims.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// The scenario's name.
    pub scenario: String,
    /// How it ended.
    pub status: Verdict,
    /// Why there are no parts, or not all of them.
    pub reason: Option<String>,
    /// In seconds.
    pub duration: f64,
    /// What was looked at, in order.
    pub parts: Vec<Part>,
    /// What it means for the process.
    #[serde(skip)]
    pub exit: Exit,
}

/// A group of claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `healthy`, `broken`, `mended`, `unharmed`, `wrong fix NAME`, `undone`.
    pub name: String,
    /// Whether all of them hold.
    pub held: bool,
    /// Which do not, and what was seen, in a sentence each.
    pub findings: Vec<String>,
}

impl Proof {
    /// One without parts.
    pub fn without(scenario: &str, status: Verdict, exit: Exit, reason: Option<String>) -> Self {
        Self { scenario: scenario.to_owned(), status, reason, duration: 0.0, parts: Vec::new(), exit }
    }
}

/// The lab of a proof: up, locked, its own, and on record as one that is not to exist.
pub struct ProofLab {
    /// The lab.
    pub lab: Lab,
    /// What runs it.
    pub engine: Arc<dyn Engine>,
    /// Its sockets.
    pub wire: Arc<dyn Wire>,
    /// Runs the commands of `run` steps; none where the user has not allowed them.
    pub processes: Option<Arc<dyn Processes>>,
    /// The proof's id; its runs are numbered.
    pub id: String,
    /// How it is asked to stop.
    pub interrupt: Interrupt,
}

/// What a scenario lacks that a proof needs, and what of its proof the engine cannot do. Looked at before a lab is made.
pub fn check(plan: &Plan, engine: &dyn Engine) -> Result<(), Missing> {
    script::acts(plan).map_err(Missing::Claims)?;
    let mut whole = plan.clone();
    let claims = &plan.claims;
    let checks = claims.symptom_check.iter().chain(&claims.resolved_check);
    whole.steps.extend(checks.chain(claims.wrong_fixes.iter().flat_map(|fix| &fix.steps)).cloned());
    whole.check_engine(engine.name(), &engine.services(), &engine.roles()).map_err(Missing::Ability)
}

/// Why a scenario cannot be put to the proof.
#[derive(Debug)]
pub enum Missing {
    /// It lacks this, and what to do about it.
    Claims(String),
    /// The engine cannot do this.
    Ability(Diagnostics),
}

/// Puts a scenario to the proof, in a lab that is its own.
pub async fn prove(plan: &Plan, ground: &ProofLab) -> Proof {
    let begun = Instant::now();
    let mut proof = match script::acts(plan) {
        Ok(acts) => play_all(plan, acts, ground).await,
        Err(lack) => Proof::without(&plan.name, Verdict::Error, Exit::Usage, Some(lack)),
    };
    proof.duration = (begun.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    proof
}

async fn play_all(plan: &Plan, acts: Vec<Act>, ground: &ProofLab) -> Proof {
    let mut proof = Proof::without(&plan.name, Verdict::Proved, Exit::Passed, None);
    let before = match Sight::of(ground).await {
        Ok(before) => before,
        Err(why) => return Proof { reason: Some(why), status: Verdict::Error, exit: Exit::Failed, ..proof },
    };
    let mut undone = Part { name: "undone".to_owned(), held: true, findings: Vec::new() };
    for (number, act) in acts.iter().enumerate() {
        let (events, undo) = play(act, number, ground).await;
        let found = verdict::judge(act, &events);
        if let Some(signal) = ground.interrupt.signal() {
            proof.end(Verdict::Interrupted, signal.exit(), None);
            return proof;
        }
        // The look at what the undo has left belongs to the undo, whatever else the act was about.
        if act.part == undone.name {
            undone.findings.extend(found.findings);
        } else {
            proof.parts.push(Part { name: act.part.clone(), held: found.is_sound(), findings: found.findings });
        }
        if let Some(error) = found.error {
            proof.end(Verdict::Error, Exit::Failed, Some(format!("{}: {error}", act.part)));
        }
        if undo == UndoOutcome::Incomplete {
            let reason = format!("{}: not everything could be put back", act.part);
            proof.end(Verdict::Error, Exit::UndoIncomplete, Some(reason));
        }
        if proof.status == Verdict::Error {
            return proof;
        }
        match Sight::of(ground).await {
            Ok(after) => {
                let told = |what| plan.secrets.mask(&format!("after {}: {what}", act.part));
                undone.findings.extend(before.differences(&after).map(told));
            }
            Err(why) => {
                proof.end(Verdict::Error, Exit::Failed, Some(why));
                return proof;
            }
        }
    }
    undone.held = undone.findings.is_empty();
    proof.parts.push(undone);
    if proof.parts.iter().any(|part| !part.held) {
        proof.end(Verdict::NotProven, Exit::NotPassed, None);
    }
    proof
}

impl Proof {
    fn end(&mut self, status: Verdict, exit: Exit, reason: Option<String>) {
        (self.status, self.reason) = (status, reason);
        self.exit = self.exit.worse(exit);
    }
}

async fn play(act: &Act, number: usize, ground: &ProofLab) -> (Vec<Event>, UndoOutcome) {
    let run = Run {
        plan: act.plan.clone(),
        lab: ground.lab.clone(),
        engine: Arc::clone(&ground.engine),
        wire: Arc::clone(&ground.wire),
        processes: ground.processes.clone(),
        id: format!("{}.{}", ground.id, number + 1),
        keep: false,
        until: None,
        owned: false,
        interrupt: ground.interrupt.clone(),
        progress: Arc::new(|_| {}),
    };
    let mut events = Vec::new();
    let outcome = runner::run(run, |event| {
        events.push(event.clone());
        Ok(())
    });
    let undo = outcome.await.undo;
    (events, undo)
}

#[cfg(test)]
mod tests;
