//! The step loop: [`run`] takes a plan step by step and tells what happens as events. Whatever becomes of the steps, the
//! undo follows, unless the user asked to keep the result; the last event always comes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::lab::Lab;
use crate::undo::{Before, UndoError, UndoLog};
use lab_core::engine::Engine;
use lab_core::error::Exit;
use lab_core::event::{
    About, Event, EventKind, FORMAT_VERSION, Keys, Phase, Role, RunFinished, RunStarted, Status, Undo, UndoOutcome,
};
use lab_scenario::plan::{Plan, Step};
use lab_system::process::Processes;
use lab_telemetry::wire::{TrafficProgressFn, Wire};

mod act;
mod alerts;
mod background;
mod change;
mod check;
mod clock;
mod command;
mod context;
mod course;
mod ending;
mod expect;
mod interrupt;
mod logs;
mod observe;
mod samples;
mod seen;
mod step;
mod story;
mod wait;

pub use expect::evaluate_traffic;
pub use interrupt::{Interrupt, Signal};
pub(crate) use story::SILENT;

use clock::{Clock, Reporter};
use context::Context;
use course::{Part, Runner, named};
use observe::keys;

/// What to run, on what, and how it ends.
pub struct Run {
    /// The scenario, checked against the engine's abilities.
    pub plan: Plan,
    /// The lab; the caller holds its run lock.
    pub lab: Lab,
    /// What runs it; the stack is up.
    pub engine: Arc<dyn Engine>,
    /// Its sockets.
    pub wire: Arc<dyn Wire>,
    /// Runs the commands of `run` steps; none where the user has not allowed them: such a plan is refused.
    pub processes: Option<Arc<dyn Processes>>,
    /// The run's id: `20261124T101530.123Z-7f3a`.
    pub id: String,
    /// Leave the result of the run. An interrupted run is put back all the same.
    pub keep: bool,
    /// Stop after this, and leave the lab so.
    pub until: Option<Until>,
    /// The lab was made for this run, by [`crate::undo::record_new_lab`] first, and goes away with it.
    pub owned: bool,
    /// How it is asked to stop.
    pub interrupt: Interrupt,
    /// Takes the progress of traffic.
    pub progress: TrafficProgressFn,
}

/// Where to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// After the step of this name.
    Step(String),
    /// After the last step of this phase.
    Phase(Phase),
}

impl Until {
    /// The index of the last step to run; none where the plan has no such step.
    pub fn last_step(&self, steps: &[Step]) -> Option<usize> {
        steps.iter().rposition(|step| match self {
            Self::Step(name) => step.name == *name,
            Self::Phase(phase) => step.phase == *phase,
        })
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// The exit code, the worst of all that applies.
    pub exit: Exit,
    /// How the steps ended.
    pub status: Status,
    /// What became of the changes.
    pub undo: UndoOutcome,
}

/// Runs a plan. `emit` takes every event; where it fails, the run stops after the present step and is put back, and
/// nothing more is emitted (exit 3).
pub async fn run(run: Run, emit: impl FnMut(&Event) -> io::Result<()> + Send) -> RunOutcome {
    let clock = Clock::start();
    let Run { plan, lab, engine, wire, processes, id, keep, until, owned, interrupt, progress } = run;
    let mut reporter = Reporter::new(emit, clock, plan.secrets.clone());
    let last = until.as_ref().map(|until| until.last_step(&plan.steps));
    let steps = last.flatten().map_or(plan.steps.len(), |last| last + 1).min(plan.steps.len());
    let parts = Parts::of(&plan, steps, until.is_some());
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
        steps: parts.names(),
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
    let context = Context { lab, engine, wire, processes, interrupt, stop, progress, id, holder, clock, secrets, undo };
    let mut runner = Runner::new(Arc::new(context), plan.kind);
    let mut callers = BTreeMap::new();
    match (keys(&runner.context).await, last, allowed) {
        (Err(why), ..) => runner.object(Status::Error, why),
        (Ok(_), _, Err(commands)) => runner.object(Status::Error, commands.to_string()),
        (Ok(keys), last, Ok(())) => {
            let key = |key: &Option<String>| key.clone().unwrap_or_else(|| keys.server.clone());
            callers = plan.callers.iter().map(|caller| (caller.name.clone(), key(&caller.key))).collect();
            started.keys = keys;
            started.keys.callers.extend(callers.clone());
            if last == Some(None) {
                runner.object(Status::Error, "there is no step to stop after".to_owned());
            }
        }
    }
    let begun = runner.status() != Status::Error;
    reporter.send(EventKind::RunStarted(started));
    if begun && let Err(why) = change::introduce(&runner.context, &callers).await {
        runner.object(Status::Error, why);
    }
    let reached = parts.run(&mut runner, begun, &mut reporter).await;
    let keep = keep || (until.is_some() && reached);
    runner.finish(keep, until.is_none(), &mut reporter).await
}

/// What runs, in order.
struct Parts<'p> {
    before: Part<'p>,
    steps: Part<'p>,
    after: Part<'p>,
    finally: Part<'p>,
    /// The run stops in the middle and leaves the lab so: what comes after the steps is left out.
    until: bool,
}

impl<'p> Parts<'p> {
    fn of(plan: &'p Plan, steps: usize, until: bool) -> Self {
        let steps = &plan.steps[..steps];
        Self {
            before: Part { steps: &plan.steady_state, role: Role::Before },
            steps: Part { steps, role: Role::Step },
            after: Part { steps: if until { &[] } else { &plan.steady_state }, role: Role::After },
            finally: Part { steps: &plan.finally, role: Role::Finally },
            until,
        }
    }

    /// The steps that will run if nothing goes wrong.
    fn names(&self) -> Vec<String> {
        let finally: &[Step] = if self.until { &[] } else { self.finally.steps };
        let finally = Part { steps: finally, ..self.finally };
        let parts = [&self.before, &self.steps, &self.after, &finally];
        parts.into_iter().flat_map(|part| part.steps.iter().map(|step| named(step, part.role))).collect()
    }

    /// Runs them. Returns whether the last of the steps was carried out.
    async fn run<F>(&self, runner: &mut Runner, begun: bool, reporter: &mut Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let mut reached = false;
        if runner.look(&self.before, reporter).await {
            reached = runner.steps(&self.steps, reporter).await;
            if reached {
                runner.look(&self.after, reporter).await;
            }
        } else if runner.status() == Status::Failed {
            let reason = "the lab is not in its steady state: no step was taken";
            runner.object(Status::Failed, reason.to_owned());
        }
        if begun && !(self.until && reached) {
            runner.finally(&self.finally, reporter).await;
        }
        reached
    }
}

/// What the reports have to tell in words.
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

/// A run that may not begin: it changes nothing. A lab made for it stays, and is owed.
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
