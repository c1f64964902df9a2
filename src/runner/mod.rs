//! The step loop: [`run`] takes a plan step by step and tells what happens as events. Whatever becomes of the steps, the
//! undo follows, unless the user asked to keep the result; the last event always comes.

use std::io;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::engine::Engine;
use crate::error::Exit;
use crate::event::{
    Event, EventKind, ExpectationResult, FORMAT_VERSION, Keys, Phase, RunFinished, RunStarted, Status, StepStarted,
    Undo, UndoOutcome,
};
use crate::lab::Lab;
use crate::scenario::plan::{Plan, Step};
use crate::undo::{Before, Replay, UndoError, UndoLog, plan as plan_back};
use crate::wire::{TrafficProgressFn, Wire};

mod act;
mod check;
mod clock;
mod context;
mod expect;
mod interrupt;
mod observe;
mod step;
mod story;

pub use interrupt::{Interrupt, Signal};

use clock::{Clock, Reporter, rounded};
use context::Context;
use expect::{Observed, evaluate};
use observe::{Known, keys};
use step::{Done, finished, perform};
use story::Story;

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
    /// The run's id: `20261124T101530Z-7f3a`.
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
    let Run { plan, lab, engine, wire, id, keep, until, owned, interrupt, progress } = run;
    let mut reporter = Reporter::new(emit, clock);
    let last = until.as_ref().map(|until| until.last_step(&plan.steps));
    let steps = last.flatten().map_or(plan.steps.len(), |last| last + 1).min(plan.steps.len());
    let mut started = RunStarted {
        version: FORMAT_VERSION,
        id: id.clone(),
        scenario: plan.name.clone(),
        title: plan.title.clone(),
        lab: lab.name().to_owned(),
        engine: engine.name().to_owned(),
        parameters: plan.parameters.clone(),
        steps: plan.steps[..steps].iter().map(|step| step.name.clone()).collect(),
        keys: Keys { server: String::new(), caller: String::new() },
    };
    let undo = match begin(&lab, &id, &plan.name, owned) {
        Ok(undo) => Mutex::new(undo),
        Err(error) => return refused(reporter, started, owned, &error),
    };
    let holder = format!("run {id}");
    let context = Arc::new(Context { lab, engine, wire, interrupt, progress, holder, clock, undo });
    let mut runner = Runner { context, story: Story::new(plan.kind), reason: None, known: None };
    match (keys(&runner.context).await, last) {
        (Err(why), _) => runner.object(Status::Error, why),
        (Ok(keys), Some(None)) => {
            started.keys = keys;
            runner.object(Status::Error, "there is no step to stop after".to_owned());
        }
        (Ok(keys), _) => started.keys = keys,
    }
    reporter.send(EventKind::RunStarted(started));
    let reached = runner.steps(&plan.steps[..steps], &mut reporter).await;
    let keep = keep || (until.is_some() && reached);
    runner.finish(keep, &mut reporter).await
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

struct Runner {
    context: Arc<Context>,
    story: Story,
    /// Why the run is not held, beyond its steps.
    reason: Option<String>,
    known: Option<Known>,
}

impl Runner {
    /// Something beyond the steps is wrong; the first such thing is told.
    fn object(&mut self, status: Status, reason: String) {
        self.story.ended(status);
        self.reason.get_or_insert(reason);
    }

    /// Runs the steps until one cannot be carried out or the run is asked to stop. A failed expectation stops nothing: the
    /// rest of the story is worth seeing. Returns whether the last of the steps was carried out.
    async fn steps<F>(&mut self, steps: &[Step], reporter: &mut Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        for (index, step) in steps.iter().enumerate() {
            let stopped = self.context.interrupt.stop().is_cancelled();
            if stopped || self.story.status() == Status::Error || reporter.error().is_some() {
                return false;
            }
            let begun = self.context.clock.elapsed();
            let started = StepStarted {
                index,
                name: step.name.clone(),
                phase: step.phase,
                action: step.action.name().to_owned(),
            };
            reporter.send(EventKind::StepStarted(started.clone()));
            let mut done = perform(&self.context, &step.action).await;
            for message in self.notices(&done) {
                reporter.send(EventKind::Notice { message });
            }
            let results = self.judge(step, &mut done);
            let event = finished(&self.context, started, begun, step, &done, results);
            self.story.ended(event.status);
            reporter.send(EventKind::StepFinished(Box::new(event)));
        }
        !matches!(self.story.status(), Status::Error | Status::Interrupted)
    }

    fn notices(&mut self, done: &Done) -> Vec<String> {
        if done.interrupted {
            return Vec::new();
        }
        let (notices, known) = done.notices(self.known.as_ref());
        self.known = known;
        notices
    }

    /// Adds a step to the story, and judges what it expects. A step that was not carried out is not judged.
    fn judge(&mut self, step: &Step, done: &mut Done) -> Vec<ExpectationResult> {
        let observed = Observed { summary: done.summary().cloned(), deltas: done.deltas.clone() };
        self.story.take(step, done.changed(), observed);
        match &mut done.acted {
            Ok(acted) if !done.interrupted => {
                let expected = step.expect.iter().map(|expected| evaluate(expected, &self.story.since(expected.since)));
                std::mem::take(&mut acted.checks).into_iter().chain(expected).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The end: what is kept is marked so, all else is put back.
    async fn finish<F>(mut self, keep: bool, reporter: &mut Reporter<F>) -> RunOutcome
    where
        F: FnMut(&Event) -> io::Result<()> + Send,
    {
        if let Some(error) = reporter.error() {
            let reason = format!("what happens could not be reported: {error}");
            self.object(Status::Error, reason);
        }
        self.heed_signal();
        if let Some(objection) = self.story.objection() {
            self.object(Status::Failed, objection);
        }
        let keep = keep && reporter.error().is_none() && self.context.interrupt.signal().is_none();
        let undo = if keep { self.keep().await } else { self.put_back(reporter).await };
        // Also one that came during the undo: whoever sent it is told that it was heard.
        let signal = self.heed_signal();
        let status = self.story.status();
        let outcome = undo.status;
        reporter.send(EventKind::RunFinished(Box::new(RunFinished {
            status,
            duration: rounded(self.context.clock.elapsed()),
            outage: self.story.outage(&self.context.clock),
            undo,
            keys: keys(&self.context).await.ok(),
            reason: self.reason,
        })));
        let exits = [
            match status {
                Status::Held | Status::Interrupted => Exit::Held,
                Status::Failed => Exit::NotHeld,
                Status::Error => Exit::Failed,
            },
            signal.map_or(Exit::Held, Signal::exit),
            if reporter.error().is_some() { Exit::Failed } else { Exit::Held },
            if outcome == UndoOutcome::Incomplete { Exit::UndoIncomplete } else { Exit::Held },
        ];
        RunOutcome { exit: exits.into_iter().fold(Exit::Held, Exit::worse), status, undo: outcome }
    }

    fn heed_signal(&mut self) -> Option<Signal> {
        let signal = self.context.interrupt.signal();
        if signal.is_some() {
            self.story.ended(Status::Interrupted);
        }
        signal
    }

    async fn keep(&mut self) -> Undo {
        let mut log = self.context.undo.lock().await;
        let kept = if log.records().is_empty() { UndoOutcome::Complete } else { UndoOutcome::Kept };
        let marked = log.keep();
        drop(log);
        self.settled(kept, marked, Vec::new())
    }

    async fn put_back<F>(&mut self, reporter: &mut Reporter<F>) -> Undo
    where
        F: FnMut(&Event) -> io::Result<()> + Send,
    {
        let context = Arc::clone(&self.context);
        let steps = plan_back(context.undo.lock().await.records());
        if steps.is_empty() {
            return Undo { status: UndoOutcome::Complete, items: Vec::new() };
        }
        let holder = format!("the undo of {}", context.holder);
        let give_up = context.interrupt.give_up();
        let replay = Replay { lab: &context.lab, engine: &context.engine, holder: &holder, give_up };
        let undo = replay.run(steps, &mut |kind| reporter.send(kind)).await;
        if undo.status != UndoOutcome::Complete {
            return undo;
        }
        let forgotten = context.undo.lock().await.finish();
        self.settled(UndoOutcome::Complete, forgotten, undo.items)
    }

    /// The undo's outcome, given whether the log could be brought up to date: what it still says is still owed.
    fn settled(&mut self, status: UndoOutcome, log: Result<(), UndoError>, items: Vec<crate::event::UndoItem>) -> Undo {
        match log {
            Ok(()) => Undo { status, items },
            Err(error) => {
                self.object(Status::Error, error.to_string());
                Undo { status: UndoOutcome::Incomplete, items }
            }
        }
    }
}

#[cfg(test)]
mod tests;
