//! Ends a run: marks kept changes, undoes all others and picks the exit code.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::RunOutcome;
use super::clock::{Reporter, rounded};
use super::course::Runner;
use super::interrupt::Signal;
use super::observe::keys;
use crate::undo::{Replay, UndoError, kept, plan as plan_back};
use lab_core::error::Exit;
use lab_core::event::{Event, EventKind, Keys, RunFinished, Status, Undo, UndoItem, UndoOutcome};

/// Time limit of the final observation after a second signal.
const HURRY: Duration = Duration::from_secs(1);

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

impl Runner {
    /// Ends the run. `whole`: no step was skipped.
    pub(super) async fn finish<F>(mut self, keep: bool, whole: bool, reporter: &mut Reporter<F>) -> RunOutcome
    where
        F: FnMut(&Event) -> io::Result<()> + Send,
    {
        if let Some(error) = reporter.error() {
            let reason = format!("events could not be reported: {error}");
            self.object(Status::Error, reason);
        }
        self.heed_signal();
        if let Some(objection) = self.story.objection(whole) {
            self.object(Status::Failed, objection);
        }
        self.tell_alerts(reporter);
        self.tell_logs(reporter).await;
        let keep = keep && reporter.error().is_none() && self.context.interrupt.signal().is_none();
        let undo = if keep { self.keep().await } else { self.put_back(reporter).await };
        // Repeated to include a signal during the undo, so that its sender sees that it was received.
        let signal = self.heed_signal();
        let status = self.story.status();
        let outcome = undo.status;
        reporter.send(EventKind::RunFinished(Box::new(RunFinished {
            status,
            duration: rounded(self.context.clock.elapsed()),
            outage: self.story.outage(&self.alerts.history()),
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
            tokio::time::sleep(HURRY).await;
        };
        tokio::select! {
            keys = keys(&self.context) => keys.ok(),
            () = hurry => None,
        }
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
        let items = kept(log.records(), &self.context.engine.roles());
        let outcome = if items.is_empty() { UndoOutcome::Complete } else { UndoOutcome::Kept };
        let marked = log.keep();
        drop(log);
        self.settled(outcome, marked, items)
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

    /// Result of the undo. If the log could not be updated, the undo is still pending.
    fn settled(&mut self, status: UndoOutcome, log: Result<(), UndoError>, items: Vec<UndoItem>) -> Undo {
        match log {
            Ok(()) => Undo { status, items },
            Err(error) => {
                self.object(Status::Error, error.to_string());
                Undo { status: UndoOutcome::Incomplete, items }
            }
        }
    }
}
