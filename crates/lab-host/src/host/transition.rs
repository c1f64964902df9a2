//! Executes the operations of a plan: on the gateway and the app, which are processes, and on the database, which is a file.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::context::{Context, StagedState};
use super::database::Database;
use super::slot::Slot;
use lab_core::engine::{DB, EngineError, EngineErrorKind, Execute, Operation, Retired};

/// Service that runs as a process.
#[async_trait]
pub(super) trait Managed: Send + Sync {
    fn name(&self) -> &'static str;
    fn slot(&self) -> &Slot;

    /// Starts the first process with a complete environment and waits until it serves.
    async fn start(&self, env: &BTreeMap<String, String>) -> Result<(), EngineError>;

    /// Replaces the active process by one with another environment without losing a request. On an error the old one keeps
    /// serving.
    async fn replace(&self, env: &BTreeMap<String, String>) -> Result<Option<Retired>, EngineError>;

    /// Stops the active process.
    async fn stop(&self, abrupt: bool) -> Option<Retired>;
}

/// Change of a process.
pub(super) struct ProcessTransition<'a> {
    context: &'a Context,
    service: &'a dyn Managed,
    /// Complete desired environment.
    env: BTreeMap<String, String>,
    /// Desired environment as a file. It is written before the first operation, so that a full disk fails before a process is
    /// touched, and takes effect once a process has the environment.
    staged: Option<StagedState>,
}

impl<'a> ProcessTransition<'a> {
    /// Prepares a change. `new_env`: the environment differs from the stored one.
    pub(super) fn new(
        context: &'a Context,
        service: &'a dyn Managed,
        env: BTreeMap<String, String>,
        new_env: bool,
    ) -> Result<Self, EngineError> {
        let staged = if new_env { Some(context.stage_env(service.name(), env.clone())?) } else { None };
        Ok(Self { context, service, env, staged })
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        self.staged.take().map_or(Ok(()), |staged| self.context.commit(staged))
    }
}

#[async_trait]
impl Execute for ProcessTransition<'_> {
    async fn execute(&mut self, operation: Operation) -> Result<Option<Retired>, EngineError> {
        let slot = self.service.slot();
        match operation {
            Operation::Start | Operation::Create => {
                self.service.start(&self.env).await?;
                self.commit()?;
            }
            Operation::Replace => {
                let retired = self.service.replace(&self.env).await?;
                self.commit()?;
                return Ok(retired);
            }
            Operation::Configure => self.commit()?,
            Operation::Stop { abrupt } => return Ok(self.service.stop(abrupt).await),
            Operation::Pause => slot.set_paused(true),
            Operation::Unpause => slot.set_paused(false),
            // A process is routed when it starts, and a frozen one keeps its route.
            Operation::Settle => {}
            Operation::Acknowledge => slot.put(None),
        }
        Ok(None)
    }
}

/// Change of the database.
pub(super) struct DatabaseTransition<'a> {
    database: &'a Database,
}

impl<'a> DatabaseTransition<'a> {
    pub(super) fn new(database: &'a Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Execute for DatabaseTransition<'_> {
    async fn execute(&mut self, operation: Operation) -> Result<Option<Retired>, EngineError> {
        match operation {
            Operation::Pause => self.database.freeze().await?,
            Operation::Unpause => self.database.thaw().await,
            // The app reconnects on its own.
            Operation::Settle => {}
            Operation::Start
            | Operation::Create
            | Operation::Replace
            | Operation::Configure
            | Operation::Stop { .. }
            | Operation::Acknowledge => {
                return Err(unsupported());
            }
        }
        Ok(None)
    }
}

/// Error of a change that the database does not support.
pub(super) fn unsupported() -> EngineError {
    let detail = "on this engine it is a SQLite file and can only be paused";
    EngineError::new(EngineErrorKind::Unsupported, detail).for_service(DB)
}
