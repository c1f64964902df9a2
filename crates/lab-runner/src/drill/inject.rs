//! Injects the fault of a drill: the steps of the scenario's phase `inject`, executed like those of a run.

use std::sync::Arc;

use super::wire::ProbeWire;
use super::{DrillError, HOLDER};
use crate::lab::Lab;
use crate::lab::revisions::Author;
use crate::runner::{ChangeAs, CheckResult, Checks, Interrupt, execute_changes};
use crate::undo::UndoLog;
use lab_core::engine::Engine;
use lab_core::event::Phase;
use lab_scenario::Plan;
use lab_scenario::plan::{Action, Step};
use lab_telemetry::wire::Wire;

/// Steps that inject the fault.
fn fault(plan: &Plan) -> Vec<Step> {
    // Background traffic belongs to the callers, who send all the time.
    let is_executed = |step: &&Step| {
        step.phase == Phase::Inject && !matches!(step.action, Action::Background(_) | Action::StopBackground { .. })
    };
    plan.steps.iter().filter(is_executed).cloned().collect()
}

/// Changes that make the system what it is before the fault.
fn baseline(plan: &Plan) -> Vec<Step> {
    let is_executed = |step: &&Step| step.phase == Phase::Baseline && step.action.is_change();
    plan.steps.iter().filter(is_executed).cloned().collect()
}

/// Makes the changes of the scenario's phase `baseline`.
///
/// # Errors
/// The first step that did not pass, with the reason.
pub(super) async fn prepare(
    lab: &Lab,
    engine: &Arc<dyn Engine>,
    wire: &Arc<dyn Wire>,
    plan: &Plan,
    id: &str,
) -> Result<(), DrillError> {
    let steps = baseline(plan);
    execute((lab.clone(), Arc::clone(engine), Arc::clone(wire)), plan, steps, id.to_owned()).await
}

/// Injects the fault. Applying it twice is harmless.
///
/// # Errors
/// The first step that did not pass, with the reason.
pub(super) async fn inject(
    lab: Lab,
    engine: Arc<dyn Engine>,
    wire: Arc<dyn Wire>,
    plan: Arc<Plan>,
    id: String,
) -> Result<(), DrillError> {
    execute((lab, engine, wire), &plan, fault(&plan), id).await
}

async fn execute(
    (lab, engine, wire): (Lab, Arc<dyn Engine>, Arc<dyn Wire>),
    plan: &Plan,
    steps: Vec<Step>,
    id: String,
) -> Result<(), DrillError> {
    let undo = UndoLog::begin(&lab, &id, HOLDER)?;
    let change = ChangeAs { undo, holder: HOLDER.to_owned(), author: Author::Drill { drill: id } };
    let checks = Checks { lab, engine, wire: Arc::new(ProbeWire(wire)), interrupt: Interrupt::new() };
    let results = execute_changes(checks, plan, &steps, change).await;
    match results.iter().find(|result| !result.passed()) {
        Some(failed) => Err(DrillError::Step { name: failed.name.clone(), reason: reason(failed) }),
        None if results.len() < steps.len() => Err(DrillError::Interrupted),
        None => Ok(()),
    }
}

fn reason(failed: &CheckResult) -> String {
    match failed.reasons().as_slice() {
        [] => "it was not executed".to_owned(),
        reasons => reasons.join("; "),
    }
}
