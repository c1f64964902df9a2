//! Runs a scenario: [`run`] executes a plan and emits events. The changes are always undone at the end unless the user
//! asked to keep them, and the last event is always sent.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::lab::Lab;
use crate::lab::revisions::Author;
use crate::undo::{Before, UndoError, UndoLog};
use lab_core::engine::Engine;
use lab_core::error::Exit;
use lab_core::event::{
    About, Event, EventKind, FORMAT_VERSION, Keys, Phase, Role, RunFinished, RunStarted, Status, Undo, UndoOutcome,
};
use lab_scenario::plan::{Plan, Step};
use lab_system::process::Processes;
use lab_telemetry::wire::{TrafficProgressFn, Wire};

mod actions;
mod alerts;
mod background;
mod change;
mod checks;
mod clock;
mod context;
mod ending;
mod error;
mod executor;
mod expectation;
mod interrupt;
mod logs;
mod manual_changes;
mod observation;
mod outage;
mod samples;
mod step;
mod traffic_results;

pub use checks::{ChangeAs, CheckResult, Checks, RegisterError, check, execute_changes, register_callers};
pub use expectation::evaluate_traffic;
pub use interrupt::{Interrupt, Signal};
pub(crate) use outage::NO_REQUESTS;

use clock::{Clock, Reporter};
use context::Context;
use executor::{Executor, StepList, reported_name};
use observation::keys;

/// A plan and everything that its run needs.
pub struct Run {
    /// The plan, already checked against the engine's abilities.
    pub plan: Plan,
    /// The caller holds the lab's run lock.
    pub lab: Lab,
    /// The stack must be up.
    pub engine: Arc<dyn Engine>,
    /// Access to the network.
    pub wire: Arc<dyn Wire>,
    /// Executes the commands of `run` steps. `None` if the user has not allowed commands; a plan that has some is then
    /// rejected.
    pub processes: Option<Arc<dyn Processes>>,
    /// Id of the run: `20261124T101530.123Z-7f3a`.
    pub id: String,
    /// Keep the changes. An interrupted run is undone anyway.
    pub keep: bool,
    /// Stop after this step or phase and keep the changes.
    pub until: Option<Until>,
    /// The lab was created for this run, after [`crate::undo::record_new_lab`], and is removed with it.
    pub owned: bool,
    /// Stop requests.
    pub interrupt: Interrupt,
    /// Callback for traffic progress.
    pub progress: TrafficProgressFn,
}

/// Point at which a run stops early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// After the step with this name.
    Step(String),
    /// At the end of this phase: before the first step of a later phase, so that a fault stays even if the scenario
    /// observes again after a fix.
    Phase(Phase),
}

impl Until {
    /// Index of the last step to run. `None` if the plan has no such step.
    pub fn last_step(&self, steps: &[Step]) -> Option<usize> {
        match self {
            Self::Step(name) => steps.iter().rposition(|step| step.name == *name),
            Self::Phase(phase) => {
                let first = steps.iter().position(|step| step.phase == *phase)?;
                let later = steps[first..].iter().position(|step| step.phase > *phase);
                Some(later.map_or(steps.len(), |later| first + later) - 1)
            }
        }
    }
}

/// Result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// Exit code; the most severe one that applies.
    pub exit: Exit,
    /// Result of the steps.
    pub status: Status,
    /// Result of the undo.
    pub undo: UndoOutcome,
}

/// Runs a plan. `emit` receives every event. If it fails, the run stops after the current step, undoes its changes,
/// emits nothing more and exits with 3.
pub async fn run(run: Run, emit: impl FnMut(&Event) -> io::Result<()> + Send) -> RunOutcome {
    let clock = Clock::start();
    let Run { plan, lab, engine, wire, processes, id, keep, until, owned, interrupt, progress } = run;
    let mut reporter = Reporter::new(emit, clock, plan.secrets.clone());
    let last = until.as_ref().map(|until| until.last_step(&plan.steps));
    let steps = last.flatten().map_or(plan.steps.len(), |last| last + 1).min(plan.steps.len());
    let lists = StepLists::new(&plan, steps, until.is_some());
    let mut started = RunStarted {
        alerts: plan.alerts,
        pace: plan.pace.clone(),
        version: FORMAT_VERSION,
        id: id.clone(),
        scenario: plan.name.clone(),
        title: plan.title.clone(),
        lab: lab.name().to_owned(),
        engine: engine.name().to_owned(),
        parameters: plan.parameters.clone(),
        steps: lists.names(),
        keys: Keys::default(),
        about: Box::new(about(&plan)),
    };
    let undo = match begin(&lab, &id, &plan.name, owned) {
        Ok(undo) => undo,
        Err(error) => return refused(reporter, started, owned, &error),
    };
    let mut secrets = plan.secrets.clone();
    secrets.extend(undo.secrets());
    for password in lab.record().ok().flatten().iter().flat_map(|record| record.containers.secrets.values()) {
        secrets.add(password);
    }
    reporter.hide(&secrets);
    let holder = format!("run {id}");
    let (stop, undo) = (interrupt.stop().clone(), Arc::new(Mutex::new(undo)));
    let allowed = plan.check_commands(processes.is_some());
    let (resolved_check, default_callers) = (plan.claims.resolved_check.clone().into(), BTreeMap::new());
    let context = Context {
        lab,
        engine,
        wire,
        processes,
        interrupt,
        stop,
        progress,
        author: Author::Run { run: id.clone() },
        id,
        holder,
        clock,
        secrets,
        undo,
        resolved_check,
        default_callers,
    };
    let mut executor = Executor::new(Arc::new(context), plan.kind);
    let mut callers = BTreeMap::new();
    match (keys(&executor.context).await, last, allowed) {
        (Err(error), ..) => executor.record_failure(Status::Error, error.to_string()),
        (Ok(_), _, Err(commands)) => executor.record_failure(Status::Error, commands.to_string()),
        (Ok(keys), last, Ok(())) => {
            let key = |key: &Option<String>| key.clone().unwrap_or_else(|| keys.server.clone());
            callers = plan.callers.iter().map(|caller| (caller.name.clone(), key(&caller.key))).collect();
            started.keys = keys;
            started.keys.callers.extend(callers.clone());
            if last == Some(None) {
                executor.record_failure(Status::Error, "the scenario has no step to stop after".to_owned());
            }
        }
    }
    let begun = executor.status() != Status::Error;
    reporter.send(EventKind::RunStarted(started));
    if begun && let Err(error) = change::register_callers(&executor.context, &callers).await {
        executor.record_failure(Status::Error, error.to_string());
    }
    let reached = lists.run(&mut executor, begun, &mut reporter).await;
    let keep = keep || (until.is_some() && reached);
    executor.finish(keep, until.is_none(), &mut reporter).await
}

/// Step lists of a run, in order.
struct StepLists<'p> {
    before: StepList<'p>,
    steps: StepList<'p>,
    after: StepList<'p>,
    finally: StepList<'p>,
    /// The run stops early and keeps its changes, so everything after the steps is skipped.
    until: bool,
}

impl<'p> StepLists<'p> {
    fn new(plan: &'p Plan, steps: usize, until: bool) -> Self {
        let steps = &plan.steps[..steps];
        Self {
            before: StepList { steps: &plan.steady_state, role: Role::Before },
            steps: StepList { steps, role: Role::Step },
            after: StepList { steps: if until { &[] } else { &plan.steady_state }, role: Role::After },
            finally: StepList { steps: &plan.finally, role: Role::Finally },
            until,
        }
    }

    /// Names of the steps that run if nothing goes wrong.
    fn names(&self) -> Vec<String> {
        let finally: &[Step] = if self.until { &[] } else { self.finally.steps };
        let finally = StepList { steps: finally, ..self.finally };
        let lists = [&self.before, &self.steps, &self.after, &finally];
        lists.into_iter().flat_map(|list| list.steps.iter().map(|step| reported_name(step, list.role))).collect()
    }

    /// Runs the lists. Returns whether the last step was executed.
    async fn run<F>(&self, executor: &mut Executor, begun: bool, reporter: &mut Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let mut reached = false;
        if executor.run_checks(&self.before, reporter).await {
            reached = executor.run_steps(&self.steps, reporter).await;
            if reached {
                executor.run_checks(&self.after, reporter).await;
            }
        } else if executor.status() == Status::Failed {
            let reason = "the lab is not in its steady state: no step was executed";
            executor.record_failure(Status::Failed, reason.to_owned());
        }
        if begun && !(self.until && reached) {
            executor.run_finally(&self.finally, reporter).await;
        }
        reached
    }
}

/// Texts of the scenario for reports.
fn about(plan: &Plan) -> About {
    About {
        source: plan.source.clone(),
        kind: plan.kind.name().to_owned(),
        description: plan.description.clone(),
        ticket: plan.lesson.ticket.clone(),
        symptom: plan.lesson.symptom.clone(),
        solution: plan.lesson.solution.clone(),
        lessons: plan.lesson.lessons.clone(),
    }
}

fn begin(lab: &Lab, id: &str, scenario: &str, owned: bool) -> Result<UndoLog, UndoError> {
    let mut log = UndoLog::begin(lab, id, scenario)?;
    if owned && log.records().is_empty() {
        log.record(Before::NoLab)?;
    }
    Ok(log)
}

/// Ends a run that must not start; it changes nothing. A lab created for it remains, with its undo pending.
fn refused<F>(mut reporter: Reporter<F>, started: RunStarted, owned: bool, error: &UndoError) -> RunOutcome
where
    F: FnMut(&Event) -> io::Result<()>,
{
    let (undo, exit) =
        if owned { (UndoOutcome::Incomplete, Exit::UndoIncomplete) } else { (UndoOutcome::Complete, Exit::Failed) };
    reporter.send(EventKind::RunStarted(started));
    reporter.send(EventKind::RunFinished(Box::new(RunFinished {
        status: Status::Error,
        duration: 0.0,
        outage: None,
        undo: Undo { status: undo, items: Vec::new() },
        keys: None,
        reason: Some(error.to_string()),
    })));
    RunOutcome { exit, status: Status::Error, undo }
}

#[cfg(test)]
mod tests;
