//! Temporary labs: created for one run or proof on free ports, and removed with it. The removal is on disk as pending undo
//! before the lab exists, so `lab recover` removes the lab even if this process is killed.

use std::sync::Arc;

use super::{ProvisionError, ProvisionedLab, Provisioner, alerts, check_reachable};
use crate::lab::lock::Lock;
use crate::lab::startup::{Environment, up_request};
use crate::lab::{Lab, Record, StateFolder, run_holder};
use crate::undo;
use lab_core::engine::{Description, Engine, UpRequest};
use lab_core::event::UndoOutcome;
use lab_scenario::Plan;
use lab_stack::Stack;

/// Temporary lab to create.
#[derive(Clone, Copy, Debug)]
pub struct TemporaryLab<'a> {
    /// Folder of the lab.
    pub state: &'a StateFolder,
    /// Engine, port and settings. Several labs can share one.
    pub template: &'a Record,
    /// Plan that the lab must support.
    pub plan: &'a Plan,
    /// Id of the run; the name of the lab follows from it.
    pub id: &'a str,
    /// The stack stops with this process.
    pub tied: bool,
}

/// Failure to create a temporary lab.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct CreateError {
    /// Why the lab was not created.
    pub error: ProvisionError,
    /// Why parts of the lab remain. `None` if everything was removed again.
    pub leftover: Option<ProvisionError>,
}

impl From<ProvisionError> for CreateError {
    fn from(error: ProvisionError) -> Self {
        Self { error, leftover: None }
    }
}

/// A temporary lab that is locked and not started yet.
struct Locked {
    lab: Lab,
    record: Record,
    stack: Option<Stack>,
    engine: Arc<dyn Engine>,
    lock: Lock,
}

impl Provisioner {
    /// Creates, locks and starts a temporary lab. Removes it again if this fails or is interrupted.
    ///
    /// # Errors
    /// [`ProvisionError::Interrupted`] after a signal. [`CreateError::leftover`] is set if the lab could not be removed.
    pub async fn create(&self, new: TemporaryLab<'_>) -> Result<ProvisionedLab, CreateError> {
        let locked = self.lock_new(new)?;
        let started = tokio::select! {
            started = self.start(&locked, new) => started,
            () = self.interrupt.stop().cancelled() => Err(ProvisionError::Interrupted),
        };
        let Locked { lab, engine, lock, .. } = locked;
        match started {
            Ok(description) => Ok(ProvisionedLab { lab, engine, description, temporary: true, fixed: None, lock }),
            Err(error) => {
                let leftover = self.remove_locked(&lab, &engine).await.err();
                Err(CreateError { error, leftover })
            }
        }
    }

    fn lock_new(&self, new: TemporaryLab<'_>) -> Result<Locked, ProvisionError> {
        let TemporaryLab { state, template, plan, id, tied: _ } = new;
        let lab = state.temporary_lab(id)?;
        let record = Record { owner: Some(id.to_owned()), ..template.clone() };
        let stack = self.connector.read_stack(&record)?.map(|reading| reading.stack);
        let engine = self.connector.connect(&lab, &record, stack.clone())?;
        plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
        let lock = lab.lock_run(&run_holder(id))?;
        Ok(Locked { lab, record, stack, engine, lock })
    }

    async fn start(&self, locked: &Locked, new: TemporaryLab<'_>) -> Result<Description, ProvisionError> {
        let Locked { lab, record, stack, engine, lock: _ } = locked;
        let TemporaryLab { plan, id, tied, .. } = new;
        check_reachable(engine.as_ref()).await?;
        undo::record_new_lab(lab, id, &plan.name)?;
        if let Some(stack) = stack {
            lab.save_stack(stack)?;
        }
        lab.save(record)?;
        let request = UpRequest { tied, ..up_request(engine.as_ref(), record, Environment::new()) };
        let description = engine.up(&request, Arc::clone(&self.progress)).await?;
        lab.record_up(&description)?;
        plan.check_lab(lab.name(), &description.endpoints)?;
        alerts::check(plan, lab.name(), record, &description.endpoints).await?;
        Ok(description)
    }

    /// Stops and removes a temporary lab.
    ///
    /// # Errors
    /// [`ProvisionError::NotRemoved`] if the lab remains. A second signal abandons the removal.
    pub async fn remove(&self, provisioned: ProvisionedLab) -> Result<(), ProvisionError> {
        let ProvisionedLab { lab, engine, lock: _lock, .. } = provisioned;
        self.remove_locked(&lab, &engine).await
    }

    /// Removes a lab, complete or partial.
    async fn remove_locked(&self, lab: &Lab, engine: &Arc<dyn Engine>) -> Result<(), ProvisionError> {
        let not_removed = |reason: String| ProvisionError::NotRemoved { lab: lab.name().to_owned(), reason };
        let undo = undo::recover(lab, engine, self.interrupt.give_up(), |_| {}).await;
        let undo = undo.map_err(|error| not_removed(error.to_string()))?;
        if undo.status != UndoOutcome::Complete {
            return Err(not_removed(undo.items.into_iter().find_map(|item| item.error).unwrap_or_default()));
        }
        // Without an undo log there is only the folder with the lock.
        if lab.folder().root().exists() { Ok(lab.remove()?) } else { Ok(()) }
    }
}
