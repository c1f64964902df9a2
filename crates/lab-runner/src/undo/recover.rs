//! Undoes what earlier runs left in a lab: after a SIGKILL or a power cut, after an incomplete undo, and also kept
//! changes.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::log::{UndoError, pending, remove};
use super::plan::{RevertStep, plan};
use super::replay::Replay;
use crate::lab::revisions::Author;
use crate::lab::startup::{Environment, start_if_down};
use crate::lab::{Lab, LabError};
use lab_core::engine::{Engine, EngineError};
use lab_core::event::{EventKind, Undo, UndoOutcome};
use lab_system::deadline;

/// Time limit for starting the stack; the engine's own deadlines are shorter.
const UP_TIMEOUT: Duration = Duration::from_mins(5);

/// Error that prevented a recovery.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The undo log cannot be used.
    #[error(transparent)]
    Log(#[from] UndoError),
    /// The lab is locked, or its record cannot be used.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The stack is down and cannot be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The user interrupted it, or starting the stack took too long.
    #[error("the stack did not come up: {0}")]
    Up(String),
}

/// Reverts all changes that runs left in a lab, including kept ones, and removes the log once everything is reverted.
/// Starts the stack first if it is down. The caller holds the run lock. Returns [`UndoOutcome::Complete`] if there is
/// nothing to do.
pub async fn recover(
    lab: &Lab,
    engine: &Arc<dyn Engine>,
    give_up: &CancellationToken,
    mut emit: impl FnMut(EventKind) + Send,
) -> Result<Undo, RecoverError> {
    let Some(pending) = pending(lab)? else {
        return Ok(Undo { status: UndoOutcome::Complete, items: Vec::new() });
    };
    let steps = plan(&pending.records);
    if !steps.contains(&RevertStep::NoLab) {
        bring_up(lab, engine, &steps, give_up).await?;
    }
    let author = Author::Undo { run: pending.run.clone() };
    let replay = Replay { lab, engine, author, holder: &format!("undo of run {}", pending.run), give_up };
    let mut undo = replay
        .run(steps, &mut |mut event: EventKind| {
            event.mask(&pending.secrets);
            emit(event);
        })
        .await;
    undo.items.iter_mut().for_each(|item| item.mask(&pending.secrets));
    if undo.status == UndoOutcome::Complete {
        remove(&lab.undo_path(), lab.folder().root())?;
    }
    Ok(undo)
}

async fn bring_up(
    lab: &Lab,
    engine: &Arc<dyn Engine>,
    steps: &[RevertStep],
    give_up: &CancellationToken,
) -> Result<(), RecoverError> {
    let record = lab.existing()?;
    let _lock = lab.lock_change("recover").await?;
    tokio::select! {
        // A lab that is up needs no time, so its steps are left to the replay, which keeps them pending after a signal.
        biased;
        up = deadline::timeout(UP_TIMEOUT, start_if_down(engine.as_ref(), &record, environment(steps))) => match up {
            Ok(up) => Ok(up?),
            Err(_) => Err(RecoverError::Up(format!("not done within {} s", UP_TIMEOUT.as_secs()))),
        },
        () = give_up.cancelled() => Err(RecoverError::Up("abandoned after a signal".to_owned())),
    }
}

/// Initial environment of the services: the values that the undo restores anyway.
fn environment(steps: &[RevertStep]) -> Environment {
    let mut env = Environment::new();
    for step in steps {
        if let RevertStep::Service { service, change } = step {
            let set = change.env.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
            env.entry(service.clone()).or_default().extend(set);
        }
    }
    env
}
