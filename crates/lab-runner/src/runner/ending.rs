//! Ends a run: marks kept changes, undoes all others and picks the exit code.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::RunOutcome;
use super::clock::{Reporter, rounded};
use super::executor::Executor;
use super::interrupt::Signal;
use super::observation::keys;
use crate::lab::revisions::Author;
use crate::undo::{Replay, UndoError, kept, plan as plan_undo};
use lab_core::error::Exit;
use lab_core::event::{Event, EventKind, Keys, RunFinished, Status, Undo, UndoItem, UndoOutcome};

/// Time limit of the final observation after a second signal.
const HURRIED_OBSERVATION: Duration = Duration::from_secs(1);

/// The most severe exit code that applies.
fn exit(status: Status, signal: Option<Signal>, undo: UndoOutcome, unreported: bool) -> Exit {
    let steps = match status {
        Status::Passed | Status::Interrupted => Exit::Passed,
        Status::Failed => Exit::NotPassed,
        Status::Error => Exit::Failed,
    };
    let reports = if unreported { Exit::Failed } else { Exit::Passed };
    let undo = if undo == UndoOutcome::Incomplete { Exit::UndoIncomplete } else { Exit::Passed };
    steps.worse(reports).worse(signal.map_or(Exit::Passed, Signal::exit)).worse(undo)
}

impl Executor {
    /// Ends the run. `whole`: no step was skipped.
    pub(super) async fn finish<F>(mut self, keep: bool, whole: bool, reporter: &mut Reporter<F>) -> RunOutcome
    where
        F: FnMut(&Event) -> io::Result<()> + Send,
    {
        if let Some(error) = reporter.error() {
            let reason = format!("events could not be reported: {error}");
            self.record_failure(Status::Error, reason);
        }
        self.record_signal();
        if let Some(problem) = self.tracker.problem(whole) {
            self.record_failure(Status::Failed, problem);
        }
        self.report_alerts(reporter);
        self.report_logs(reporter).await;
        let keep = keep && reporter.error().is_none() && self.context.interrupt.signal().is_none();
        let undo = if keep { self.keep().await } else { self.revert(reporter).await };
        // Repeated to include a signal during the undo, so that its sender sees that it was received.
        let signal = self.record_signal();
        let status = self.tracker.status();
        let outcome = undo.status;
        reporter.send(EventKind::RunFinished(Box::new(RunFinished {
            status,
            duration: rounded(self.context.clock.elapsed()),
            outage: self.tracker.outage(&self.alerts.history()),
            undo,
            keys: self.last_keys().await,
            reason: self.reason,
        })));
        let exit = exit(status, signal, outcome, reporter.error().is_some());
        RunOutcome { exit, status, undo: outcome }
    }

    /// Final keys, `None` if unknown. Does not wait long after a second signal.
    async fn last_keys(&self) -> Option<Keys> {
        let hurry = async {
            self.context.interrupt.give_up().cancelled().await;
            tokio::time::sleep(HURRIED_OBSERVATION).await;
        };
        tokio::select! {
            keys = keys(&self.context) => keys.ok(),
            () = hurry => None,
        }
    }

    fn record_signal(&mut self) -> Option<Signal> {
        let signal = self.context.interrupt.signal();
        if signal.is_some() {
            self.tracker.record_status(Status::Interrupted);
        }
        signal
    }

    async fn keep(&mut self) -> Undo {
        let mut log = self.context.undo.lock().await;
        let items = kept(log.records(), &self.context.engine.roles());
        let outcome = if items.is_empty() { UndoOutcome::Complete } else { UndoOutcome::Kept };
        let marked = log.keep();
        drop(log);
        self.finish_undo(outcome, marked, items)
    }

    async fn revert<F>(&mut self, reporter: &mut Reporter<F>) -> Undo
    where
        F: FnMut(&Event) -> io::Result<()> + Send,
    {
        let context = Arc::clone(&self.context);
        let steps = plan_undo(context.undo.lock().await.records());
        if steps.is_empty() {
            return Undo { status: UndoOutcome::Complete, items: Vec::new() };
        }
        let holder = format!("the undo of {}", context.holder);
        let give_up = context.interrupt.give_up();
        let author = Author::Undo { run: context.id.clone() };
        let replay = Replay { lab: &context.lab, engine: &context.engine, author, holder: &holder, give_up };
        let undo = replay.run(steps, &mut |kind| reporter.send(kind)).await;
        if undo.status != UndoOutcome::Complete {
            return undo;
        }
        let forgotten = context.undo.lock().await.finish();
        self.finish_undo(UndoOutcome::Complete, forgotten, undo.items)
    }

    /// Result of the undo. If the log could not be updated, the undo is still pending.
    fn finish_undo(&mut self, status: UndoOutcome, log: Result<(), UndoError>, items: Vec<UndoItem>) -> Undo {
        match log {
            Ok(()) => Undo { status, items },
            Err(error) => {
                self.record_failure(Status::Error, error.to_string());
                Undo { status: UndoOutcome::Incomplete, items }
            }
        }
    }
}
