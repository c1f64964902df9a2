//! Locks an existing lab for a run.

use super::precondition::{Found, problems};
use super::{ProvisionError, ProvisionedLab, Provisioner, alerts};
use crate::lab::{Lab, Record, run_holder};
use crate::undo::{self, Before, UndoError};
use lab_scenario::Plan;

impl Provisioner {
    /// Locks a lab that is up, and checks that it supports a plan. `id` is the id of the run.
    ///
    /// # Errors
    /// [`ProvisionError::Lab`] if the lab is locked or was just removed, [`ProvisionError::Engine`] if it is not up, and
    /// [`ProvisionError::Undo`] if the undo of an earlier run is pending, and [`ProvisionError::Unexpected`] if the lab is
    /// not as the plan expects.
    pub async fn attach(
        &self,
        lab: &Lab,
        record: &Record,
        plan: &Plan,
        id: &str,
    ) -> Result<ProvisionedLab, ProvisionError> {
        tokio::select! {
            attached = self.check_and_lock(lab, record, plan, id) => attached,
            () = self.interrupt.stop().cancelled() => Err(ProvisionError::Interrupted),
        }
    }

    async fn check_and_lock(
        &self,
        lab: &Lab,
        record: &Record,
        plan: &Plan,
        id: &str,
    ) -> Result<ProvisionedLab, ProvisionError> {
        let engine = self.connector.connect(lab, record, None)?;
        plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
        let lock = lab.lock_run(&run_holder(id))?;
        lab.locked_record(&lock)?;
        let description = engine.describe().await?;
        plan.check_lab(lab.name(), &description.endpoints)?;
        alerts::check(plan, lab.name(), record, &description.endpoints).await?;
        if lab.is_reset_pending() {
            return Err(ProvisionError::ResetPending { lab: lab.name().to_owned() });
        }
        let fault = match undo::pending(lab)? {
            Some(pending) if !pending.kept => {
                return Err(UndoError::Pending { run: pending.run, scenario: pending.scenario }.into());
            }
            fault => fault,
        };
        let (record, revisions) = (lab.existing()?, lab.revisions()?);
        let (fixed, fault) = match fault {
            Some(fault) if fault.is_fixed(&description, &record) => (Some(fault), None),
            fault => (None, fault),
        };
        let found =
            Found { lab, record: &record, description: &description, fault: fault.as_ref(), revisions: &revisions };
        let problems = problems(plan, &found);
        if !problems.is_empty() {
            let (lab, scenario) = (lab.name().to_owned(), plan.name.clone());
            return Err(ProvisionError::Unexpected { lab, scenario, problems });
        }
        let fixed = fixed.filter(|fault| fault.records.iter().any(|record| *record != Before::NoLab));
        if fixed.is_some() {
            undo::settle_fixed(lab)?;
        }
        Ok(ProvisionedLab { lab: lab.clone(), engine, description, temporary: false, fixed, lock })
    }
}
