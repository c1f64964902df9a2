//! The decision how a service gets from its observed to its desired state, shared by all engines. [`plan`] is a pure
//! function. An engine implements [`Execute`] for the operations of the plan, and decides nothing itself.

use async_trait::async_trait;

use super::{EngineError, Reconciliation, Retired, RunState, ServiceChange};

/// Observed state of a service, as far as a plan depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// No instance exists, not even a stopped one.
    Absent,
    /// It was stopped.
    Stopped,
    /// It failed by itself.
    Failed,
    /// It is running.
    Running,
    /// It is frozen.
    Paused,
}

impl Observed {
    /// Run state that engines report.
    pub fn run_state(self) -> RunState {
        match self {
            Self::Absent | Self::Stopped | Self::Failed => RunState::Stopped,
            Self::Running => RunState::Running,
            Self::Paused => RunState::Paused,
        }
    }
}

impl From<RunState> for Observed {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Running => Self::Running,
            RunState::Paused => Self::Paused,
            RunState::Stopped => Self::Stopped,
        }
    }
}

/// Desired state of a service, as far as a plan depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Desired run state. `None` keeps the observed one.
    pub run: Option<RunState>,
    /// Stop without letting requests finish.
    pub abrupt: bool,
    /// The desired environment differs from the observed one.
    pub new_env: bool,
}

impl Desired {
    /// Desired state after a change. The engine compares the environments, because only it knows the stack's own variables.
    pub fn new(change: &ServiceChange, new_env: bool) -> Self {
        Self { run: change.run, abrupt: change.abrupt, new_env }
    }
}

/// One operation on a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Starts the stopped service with its previous environment.
    Start,
    /// Starts the service with the desired environment. No instance is running; a stopped one may exist.
    Create,
    /// Replaces the running instance by one with the desired environment. If the new one does not become healthy, it is
    /// removed, and the old one keeps serving or is started again.
    Replace,
    /// Gives the stopped service the desired environment without starting it.
    Configure,
    /// Stops the active instance: at once if `abrupt`, else after its requests have finished.
    Stop {
        /// Requests in flight are lost.
        abrupt: bool,
    },
    /// Freezes the active instance.
    Pause,
    /// Resumes the frozen instance.
    Unpause,
    /// Waits until the services that depend on this one have noticed that it runs again.
    Settle,
    /// Records that the failed service is stopped on purpose from now on.
    Acknowledge,
}

/// Operations that bring one service to its desired state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of execution.
    pub operations: Vec<Operation>,
    /// Operation that restores the observed state if one of the others fails.
    pub rollback: Option<Operation>,
}

/// Decides how a service gets from its observed to its desired state. The plan is empty if it is already there.
pub fn plan(observed: Observed, desired: Desired) -> Plan {
    match desired.run.unwrap_or(observed.run_state()) {
        RunState::Stopped => plan_stop(observed, desired),
        RunState::Running => plan_run(observed, desired.new_env),
        RunState::Paused => plan_pause(observed, desired.new_env),
    }
}

fn plan_stop(observed: Observed, Desired { run, abrupt, new_env }: Desired) -> Plan {
    let mut operations = match observed {
        Observed::Absent | Observed::Stopped => Vec::new(),
        // Without a desired run state the failure stays visible.
        Observed::Failed => run.map(|_| Operation::Acknowledge).into_iter().collect(),
        Observed::Running => vec![Operation::Stop { abrupt }],
        Observed::Paused if abrupt => vec![Operation::Stop { abrupt }],
        // A frozen process can neither finish its requests nor exit.
        Observed::Paused => vec![Operation::Unpause, Operation::Stop { abrupt }],
    };
    operations.extend(new_env.then_some(Operation::Configure));
    Plan { operations, rollback: None }
}

fn plan_run(observed: Observed, new_env: bool) -> Plan {
    let start = |operation| Plan { operations: vec![operation, Operation::Settle], rollback: None };
    match (observed, new_env) {
        (Observed::Absent, _) | (Observed::Stopped | Observed::Failed, true) => start(Operation::Create),
        (Observed::Stopped | Observed::Failed, false) => start(Operation::Start),
        (Observed::Running, true) => start(Operation::Replace),
        (Observed::Running, false) => Plan::default(),
        // The old instance has to finish its requests before it is retired.
        (Observed::Paused, true) => Plan {
            operations: vec![Operation::Unpause, Operation::Replace, Operation::Settle],
            rollback: Some(Operation::Pause),
        },
        (Observed::Paused, false) => start(Operation::Unpause),
    }
}

fn plan_pause(observed: Observed, new_env: bool) -> Plan {
    match (observed, new_env) {
        (Observed::Paused, false) => Plan::default(),
        (Observed::Absent | Observed::Stopped | Observed::Failed | Observed::Running, _) | (Observed::Paused, true) => {
            let mut plan = plan_run(observed, new_env);
            plan.operations.push(Operation::Pause);
            plan
        }
    }
}

/// Executes the operations of a plan on one service.
#[async_trait]
pub trait Execute: Send {
    /// Executes one operation. Returns the instance that it removed, if any.
    async fn execute(&mut self, operation: Operation) -> Result<Option<Retired>, EngineError>;
}

impl Plan {
    /// Returns true if the plan changes the state of the service.
    pub fn is_change(&self) -> bool {
        self.operations.iter().any(|operation| *operation != Operation::Acknowledge)
    }

    /// Executes the operations in order. If one fails, executes the rollback and returns the error.
    pub async fn run(&self, service: &mut dyn Execute) -> Result<Reconciliation, EngineError> {
        let mut retired = Vec::new();
        for operation in &self.operations {
            match service.execute(*operation).await {
                Ok(instance) => retired.extend(instance),
                Err(error) => {
                    if let Some(rollback) = self.rollback {
                        // The first error is the one to report.
                        let _ = service.execute(rollback).await;
                    }
                    return Err(error);
                }
            }
        }
        Ok(Reconciliation { changed: self.is_change(), retired })
    }
}

#[cfg(test)]
mod tests;
