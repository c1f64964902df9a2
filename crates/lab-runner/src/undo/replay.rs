//! Executes revert steps through the engine. It continues after a failure and retries failed steps once at the end.
//! Steps are idempotent.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::plan::{RevertStep, plan};
use super::section::Before;
use crate::lab::revisions::Author;
use crate::lab::{ChangeError, Lab, LabError};
use lab_core::engine::{Engine, EngineError, Roles};
use lab_core::event::{EventKind, Undo, UndoItem, UndoOutcome, UndoStatus, UndoTarget};
use lab_system::deadline;

/// Time limit of one step; the engine's own deadlines are shorter.
const STEP_TIMEOUT: Duration = Duration::from_mins(3);

/// Reason why a step was not reverted.
#[derive(Debug, thiserror::Error)]
enum RevertError {
    #[error("{}", with_hint(.0))]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("not done within {} s", STEP_TIMEOUT.as_secs())]
    TimedOut,
    /// For a run this is the second signal, for `lab recover` the first.
    #[error("abandoned after a signal")]
    Abandoned,
    #[error(transparent)]
    Panic(#[from] TaskPanic),
}

/// Context of a replay.
pub struct Replay<'a> {
    /// Lab whose changes are reverted.
    pub lab: &'a Lab,
    /// Engine of the lab.
    pub engine: &'a Arc<dyn Engine>,
    /// Author of the revisions.
    pub author: Author,
    /// Name of the lock holder, shown to commands that wait for a change: `undo of run 7f3a`.
    pub holder: &'a str,
    /// Stops between two steps and stops waiting for the current one. The rest stays pending.
    pub give_up: &'a CancellationToken,
}

impl From<ChangeError> for RevertError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Lab(error) => error.into(),
            ChangeError::Engine(error) => error.into(),
        }
    }
}

impl Replay<'_> {
    /// Executes all steps and emits an event per value.
    pub async fn run(&self, steps: Vec<RevertStep>, emit: &mut (impl FnMut(EventKind) + Send)) -> Undo {
        emit(EventKind::UndoStarted { items: steps.iter().map(RevertStep::items).sum() });
        let mut items = Vec::new();
        let mut failed = Vec::new();
        for step in steps {
            match self.revert(&step).await {
                Ok(()) => self.report(&step, None, &mut items, emit),
                Err(_) => failed.push(step),
            }
        }
        for step in failed {
            let error = self.revert(&step).await.err().map(|error| error.to_string());
            self.report(&step, error.as_deref(), &mut items, emit);
        }
        let complete = items.iter().all(|item: &UndoItem| item.status == UndoStatus::Undone);
        let status = if complete { UndoOutcome::Complete } else { UndoOutcome::Incomplete };
        Undo { status, items }
    }

    fn report(
        &self,
        step: &RevertStep,
        error: Option<&str>,
        items: &mut Vec<UndoItem>,
        emit: &mut impl FnMut(EventKind),
    ) {
        let status = if error.is_some() { UndoStatus::Failed } else { UndoStatus::Undone };
        for target in targets(step, &self.engine.roles()) {
            let item = UndoItem { target, status, error: error.map(str::to_owned) };
            emit(EventKind::UndoItem(item.clone()));
            items.push(item);
        }
    }

    async fn revert(&self, step: &RevertStep) -> Result<(), RevertError> {
        if self.give_up.is_cancelled() {
            return Err(RevertError::Abandoned);
        }
        let (lab, engine, holder) = (self.lab.clone(), Arc::clone(self.engine), self.holder.to_owned());
        let work = execute(step.clone(), lab, engine, holder, self.author.clone());
        tokio::select! {
            done = bounded(work) => done,
            () = self.give_up.cancelled() => Err(RevertError::Abandoned),
        }
    }
}

/// Executes one step in its own task, so that it is never dropped halfway and a panic is contained.
async fn bounded(work: impl Future<Output = Result<(), RevertError>> + Send + 'static) -> Result<(), RevertError> {
    let mut task = tokio::spawn(work);
    match deadline::timeout(STEP_TIMEOUT, &mut task).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => Err(TaskPanic::from(panic).into()),
        Err(_) => {
            task.abort();
            Err(RevertError::TimedOut)
        }
    }
}

/// Formats an engine error with its hint.
pub fn with_hint(error: &EngineError) -> String {
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

/// A task of lab ended with a panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a defect in lab: {message}")]
pub struct TaskPanic {
    message: String,
}

impl From<JoinError> for TaskPanic {
    fn from(error: JoinError) -> Self {
        let payload = error.try_into_panic().ok();
        let message = payload.as_ref().and_then(|payload| {
            payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied())
        });
        Self { message: message.unwrap_or("a task ended without a message").to_owned() }
    }
}

async fn execute(
    step: RevertStep,
    lab: Lab,
    engine: Arc<dyn Engine>,
    holder: String,
    author: Author,
) -> Result<(), RevertError> {
    let _lock = lab.lock_change(&holder).await?;
    match step {
        RevertStep::Service { service, change } => {
            lab.reconcile(engine.as_ref(), &service, &[change], &author).await?;
        }
        RevertStep::CallerKey { key } => lab.set_caller_key(&key, &author)?,
        RevertStep::Caller { name, key } => {
            lab.set_named_key(&name, key.as_deref(), &author)?;
        }
        RevertStep::NoLab => {
            engine.down().await?;
            lab.remove()?;
        }
    }
    Ok(())
}

/// Lists kept changes with their previous values.
pub fn kept(records: &[Before], roles: &Roles) -> Vec<UndoItem> {
    let (labs, changes): (Vec<_>, Vec<_>) = records.iter().cloned().partition(|record| *record == Before::NoLab);
    let steps = plan(&changes).into_iter().chain(plan(&labs));
    let targets = steps.flat_map(|step| targets(&step, roles));
    targets.map(|target| UndoItem { target, status: UndoStatus::Kept, error: None }).collect()
}

/// Values that a step reverts.
fn targets(step: &RevertStep, roles: &Roles) -> Vec<UndoTarget> {
    match step {
        RevertStep::Service { service, change } => {
            let variable = |(name, value): (&String, &Option<String>)| {
                let (service, value) = (service.clone(), value.clone());
                if service == roles.app && *name == roles.key_variable {
                    UndoTarget::ServerKey { service, variable: name.clone(), key: value }
                } else {
                    UndoTarget::Variable { service, name: name.clone(), value }
                }
            };
            let state = change.run.map(|state| UndoTarget::RunState { service: service.clone(), state });
            change.env.iter().map(variable).chain(state).collect()
        }
        RevertStep::CallerKey { key } => vec![UndoTarget::CallerKey { key: key.clone() }],
        RevertStep::Caller { name, key } => {
            vec![UndoTarget::NamedCallerKey { caller: name.clone(), key: key.clone() }]
        }
        RevertStep::NoLab => vec![UndoTarget::Lab],
    }
}
