//! Executes the checks of a scenario outside of its steps: for `lab scenario check`, and for steps that wait until the
//! resolved check passes. The steps are executed like those of a run.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Mutex;

use super::alerts::{AlertWatch, SharedAlerts};
use super::change;
use super::clock::{Clock, Reporter};
use super::context::Context;
use super::error::StepError;
use super::executor::{Executor, StepList};
use super::interrupt::Interrupt;
use super::observation::keys;
use crate::lab::Lab;
use crate::lab::revisions::Author;
use crate::undo::UndoLog;
use lab_core::engine::Engine;
use lab_core::event::{EventKind, ExpectationResult, Role, Secrets, Status, StepResult};
use lab_scenario::plan::{Action, Caller, Check, Kind};
use lab_scenario::{Plan, Step};
use lab_telemetry::wire::Wire;

/// A lab, and the scenario whose checks are executed in it.
pub struct Checks {
    /// State on disk. Nothing is written.
    pub lab: Lab,
    /// Engine of the lab.
    pub engine: Arc<dyn Engine>,
    /// Access to the network.
    pub wire: Arc<dyn Wire>,
    /// Stop requests.
    pub interrupt: Interrupt,
}

/// Result of one step of a check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// Name of the step.
    pub name: String,
    /// Description of the step: `GET /health is 200`.
    pub what: String,
    /// Result of the step.
    pub status: Status,
    /// Request and response of the step, such as `GET /health 502`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why the step could not be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Results of its expectations.
    pub expectations: Vec<ExpectationResult>,
}

impl CheckResult {
    /// Returns true if the step was executed and all its expectations passed.
    pub fn passed(&self) -> bool {
        self.status == Status::Passed
    }

    /// Why the step did not pass; empty if it passed.
    pub fn reasons(&self) -> Vec<String> {
        let failed = self.expectations.iter().filter(|result| !result.passed);
        let failed = failed.map(|result| {
            format!("{}: expected {}, observed {}", result.metric, result.expected, result.observed_text)
        });
        self.error.iter().cloned().chain(failed).collect()
    }
}

/// Executes steps that only observe the lab, such as the resolved check of `plan`. Callers that the lab does not know send
/// the key that they have at the start of a run. Stops early at a step that cannot be executed, and after a signal.
pub async fn check(checks: Checks, plan: &Plan, steps: &[Step]) -> Vec<CheckResult> {
    let undo = UndoLog::unused(&checks.lab);
    let author = Author::hand("lab scenario check");
    let mut context = context(checks, plan, undo, "lab scenario check".to_owned(), author);
    context.default_callers = default_callers(&context, &plan.callers).await;
    execute_alone(context, steps).await
}

/// The callers of a scenario could not be registered.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RegisterError(#[from] StepError);

/// Gives the scenario's callers their initial keys, as at the start of a run. Their previous keys are in the undo log first.
///
/// # Errors
/// If the lab cannot be observed or changed.
pub async fn register_callers(checks: Checks, plan: &Plan, change: ChangeAs) -> Result<(), RegisterError> {
    let context = context(checks, plan, change.undo, change.holder, change.author);
    let callers = default_callers(&context, &plan.callers).await;
    Ok(change::register_callers(&context, &callers).await?)
}

/// How steps outside of a run change the lab.
#[derive(Debug)]
pub struct ChangeAs {
    /// Gets the state before each change.
    pub undo: UndoLog,
    /// Shown to commands that wait for a change.
    pub holder: String,
    /// Author of the revisions.
    pub author: Author,
}

/// Executes steps that change the lab outside of a run, such as the fault of a drill. Stops early at a step that cannot be
/// executed, and after a signal.
pub async fn execute_changes(checks: Checks, plan: &Plan, steps: &[Step], change: ChangeAs) -> Vec<CheckResult> {
    execute_alone(context(checks, plan, change.undo, change.holder, change.author), steps).await
}

fn context(checks: Checks, plan: &Plan, undo: UndoLog, holder: String, author: Author) -> Context {
    let Checks { lab, engine, wire, interrupt } = checks;
    Context {
        engine,
        wire,
        processes: None,
        stop: interrupt.stop().clone(),
        interrupt,
        progress: Arc::new(|_| {}),
        id: String::new(),
        author,
        holder,
        clock: Clock::start(),
        secrets: plan.secrets.clone(),
        undo: Arc::new(Mutex::new(undo)),
        resolved_check: Arc::from([]),
        default_callers: BTreeMap::new(),
        lab,
    }
}

async fn execute_alone(context: Context, steps: &[Step]) -> Vec<CheckResult> {
    let context = Arc::new(context);
    // Without a step that asks for alerts, polling them would only cost requests.
    let asks = steps.iter().any(Step::asks_for_alerts);
    let alerts = if asks { AlertWatch::start(&context) } else { AlertWatch::idle() };
    let executor = Executor::with_alerts(Arc::clone(&context), Kind::Part, alerts);
    execute(executor, context, steps).await
}

/// Initial keys of a scenario's callers. If the server's key is unknown, the steps report why.
async fn default_callers(context: &Context, callers: &[Caller]) -> BTreeMap<String, String> {
    if callers.is_empty() {
        return BTreeMap::new();
    }
    let server = keys(context).await.map(|keys| keys.server).unwrap_or_default();
    let key = |caller: &Caller| caller.key.clone().unwrap_or_else(|| server.clone());
    callers.iter().map(|caller| (caller.name.clone(), key(caller))).collect()
}

/// Executes the resolved check of a run in progress. Boxed, because a step of the run executes these steps.
pub(super) fn resolved(
    context: Arc<Context>,
    alerts: Arc<SharedAlerts>,
) -> Pin<Box<dyn Future<Output = Vec<CheckResult>> + Send>> {
    Box::pin(async move {
        let steps = Arc::clone(&context.resolved_check);
        let alerts = AlertWatch::following(&alerts);
        let executor = Executor::with_alerts(Arc::clone(&context), Kind::Part, alerts);
        execute(executor, context, &steps).await
    })
}

async fn execute(mut executor: Executor, context: Arc<Context>, steps: &[Step]) -> Vec<CheckResult> {
    let mut results: Vec<StepResult> = Vec::new();
    let collect = |event: &lab_core::event::Event| {
        if let EventKind::StepFinished(step) = &event.kind {
            results.push(step.result.clone());
        }
        Ok(())
    };
    let mut reporter = Reporter::new(collect, context.clock, context.secrets.clone());
    executor.run_checks(&StepList { steps, role: Role::Step }, &mut reporter).await;
    drop(reporter);
    steps.iter().zip(results).map(|(step, result)| check_result(step, result, &context.secrets)).collect()
}

fn check_result(step: &Step, result: StepResult, secrets: &Secrets) -> CheckResult {
    let StepResult { name, status, detail, error, expectations, .. } = result;
    CheckResult { name, what: describe(step, secrets), status, detail, error, expectations }
}

/// Description of a step, with the sender of a request, because checks differ in nothing else sometimes.
fn describe(step: &Step, secrets: &Secrets) -> String {
    let what = step.describe(secrets);
    match &step.action {
        Action::Check(Check { key: Some(key), .. }) if key.is_empty() => format!("{what}, without a key"),
        Action::Check(Check { key: Some(key), .. }) => format!("{what}, with the key {}", secrets.mask(key)),
        Action::Check(Check { caller: Some(caller), .. }) => format!("{what}, as {caller}"),
        _ => what,
    }
}
