//! Restores a lab after a drill: everything that the drill or its participant changed goes back to the state at the start. It
//! can be repeated, so a restore that was killed is continued by the next one.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::users::UsersError;
use super::{DrillError, HOLDER, data, users};
use crate::lab::revisions::Author;
use crate::lab::startup::{Environment, start_if_down};
use crate::lab::{ChangeError, Lab};
use crate::undo::{self, Before, Replay, RevertStep, UndoLog};
use lab_core::engine::{Ability, Description, Engine, RunState, ServiceChange};
use lab_core::event::{UndoOutcome, UndoStatus};
use lab_system::deadline::Deadline;
use lab_telemetry::wire::Wire;

/// Time for the app to return its users after the restore.
const USERS_TIMEOUT: Duration = Duration::from_secs(10);
const USERS_INTERVAL: Duration = Duration::from_millis(200);

/// Why the data could not be restored.
#[derive(Debug, thiserror::Error)]
enum RestoreDataError {
    #[error(transparent)]
    Copy(#[from] data::DataError),
    #[error(transparent)]
    Users(#[from] UsersError),
    #[error("the users are not the same as before the drill")]
    Differ,
    #[error("the data was changed, and this lab cannot restore it")]
    NoReset,
    #[error("the data could not be reset: {0}")]
    Reset(#[from] ChangeError),
}

/// A lab to restore.
pub(super) struct Restore<'a> {
    pub(super) lab: &'a Lab,
    pub(super) engine: &'a Arc<dyn Engine>,
    /// Marks its requests as probes.
    pub(super) wire: &'a dyn Wire,
    /// Id of the drill.
    pub(super) drill: &'a str,
    /// Stops between two steps.
    pub(super) give_up: &'a CancellationToken,
}

impl Restore<'_> {
    /// Restores services, keys and data, and removes the drill's section of the undo log. `users` is the fingerprint of the
    /// data at the start. Returns what could not be restored.
    pub(super) async fn run(&self, users: Option<&str>) -> Result<Vec<String>, DrillError> {
        let Some(records) = self.records()? else { return Ok(Vec::new()) };
        let author = Author::DrillEnd { drill: self.drill.to_owned() };
        let mut errors = self.revert(&records, author.clone()).await?;
        let Some(users) = users else { return self.complete(errors) };
        let data = self.restore_data(users).await;
        // An app without its data does not become healthy.
        if !errors.is_empty() && data.is_ok() {
            errors = self.revert(&records, author).await?;
        }
        errors.extend(data.err().map(|error| error.to_string()));
        self.complete(errors)
    }

    /// Removes the drill's section of the undo log if everything was restored.
    fn complete(&self, errors: Vec<String>) -> Result<Vec<String>, DrillError> {
        if errors.is_empty() {
            UndoLog::begin(self.lab, self.drill, HOLDER)?.finish()?;
        }
        Ok(errors)
    }

    /// Reverts services and keys. Returns what could not be reverted.
    pub(super) async fn revert(&self, records: &[Before], author: Author) -> Result<Vec<String>, DrillError> {
        let now = self.describe_or_start(records).await?;
        self.settle().await?;
        let steps = steps(records, &now, &self.engine.services());
        let holder = format!("the end of {HOLDER}");
        let (lab, engine, give_up) = (self.lab, self.engine, self.give_up);
        let undo = Replay { lab, engine, author, holder: &holder, give_up }.run(steps, &mut |_| {}).await;
        if undo.status == UndoOutcome::Complete {
            return Ok(Vec::new());
        }
        let failed = undo.items.into_iter().filter(|item| item.status == UndoStatus::Failed);
        Ok(failed.map(|item| item.error.unwrap_or_else(|| "it failed".to_owned())).collect())
    }

    /// States at the start. `None` if the lab was restored already.
    pub(super) fn records(&self) -> Result<Option<Vec<Before>>, DrillError> {
        let log = UndoLog::begin(self.lab, self.drill, HOLDER)?;
        Ok((!log.records().is_empty()).then(|| log.records().to_vec()))
    }

    async fn settle(&self) -> Result<(), DrillError> {
        let _lock = self.lab.lock_change(HOLDER).await?;
        Ok(self.lab.settle(self.engine.as_ref()).await?)
    }

    /// Describes the stack, and starts it first if it is down.
    async fn describe_or_start(&self, records: &[Before]) -> Result<Description, DrillError> {
        let mut env = Environment::new();
        for record in records {
            if let Before::Service { service, state } = record {
                let set = state.env.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
                env.entry(service.clone()).or_default().extend(set);
            }
        }
        let _lock = self.lab.lock_change(HOLDER).await?;
        start_if_down(self.engine.as_ref(), &self.lab.existing()?, env).await?;
        Ok(self.engine.describe().await?)
    }

    /// Brings the users of before the drill back, if they are others. Starts with the data of the first start if the users cannot
    /// be written, because their table is gone, and if there is no copy of them.
    async fn restore_data(&self, users: &str) -> Result<(), RestoreDataError> {
        if self.users().await.is_ok_and(|now| now == users) {
            return Ok(());
        }
        let saved = data::saved(self.lab, self.drill)?;
        if let Some(saved) = &saved
            && data::restore(self.engine.as_ref(), saved).await.is_ok()
            && self.users().await.is_ok_and(|now| now == users)
        {
            return Ok(());
        }
        self.reset_data().await?;
        let Some(saved) = saved else { return Ok(self.users().await.map(drop)?) };
        data::restore(self.engine.as_ref(), &saved).await?;
        if self.users().await? == users {
            return Ok(());
        }
        Err(RestoreDataError::Differ)
    }

    /// Replaces the data by that of the first start.
    async fn reset_data(&self) -> Result<(), RestoreDataError> {
        let app = self.engine.roles().app;
        let can_stop =
            |spec: &lab_core::engine::ServiceSpec| spec.name == app && spec.abilities.contains(&Ability::Stop);
        if !self.engine.services().iter().any(can_stop) {
            return Err(RestoreDataError::NoReset);
        }
        let reset = async {
            let author = Author::DrillEnd { drill: self.drill.to_owned() };
            let _lock = self.lab.lock_change(HOLDER).await?;
            let run = |state| [ServiceChange::run(state)];
            self.lab.reconcile(self.engine.as_ref(), &app, &run(RunState::Stopped), &author).await?;
            self.engine.reset_data().await?;
            self.lab.reconcile(self.engine.as_ref(), &app, &run(RunState::Running), &author).await?;
            Ok::<(), ChangeError>(())
        };
        Ok(reset.await?)
    }

    /// Waits until the app returns its users.
    async fn users(&self) -> Result<String, UsersError> {
        let deadline = Deadline::after(USERS_TIMEOUT);
        loop {
            let now = self.engine.describe().await?;
            match users::digest(self.wire, &now).await {
                Err(_) if !deadline.is_over() => tokio::time::sleep(USERS_INTERVAL).await,
                result => return result,
            }
        }
    }
}

/// Revert steps with only what differs now, including variables that did not exist at the start.
fn steps(records: &[Before], now: &Description, specs: &[lab_core::engine::ServiceSpec]) -> Vec<RevertStep> {
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let differing = |step: RevertStep| match step {
        RevertStep::Service { service, change } => {
            let service_now = now.service(&service).filter(|_| names.contains(&service.as_str()))?;
            let added = service_now.env.keys().filter(|name| !change.env.contains_key(*name));
            let added: Vec<_> = added.map(|name| (name.clone(), None)).collect();
            let target = change.env.into_iter().chain(added);
            let env = target.filter(|(name, value)| service_now.env.get(name) != value.as_ref()).collect();
            let change = ServiceChange { env, run: change.run.filter(|run| *run != service_now.state), abrupt: false };
            (change != ServiceChange::default()).then_some(RevertStep::Service { service, change })
        }
        step => Some(step),
    };
    undo::plan(records).into_iter().filter_map(differing).collect()
}
