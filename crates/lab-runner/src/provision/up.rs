//! Brings a lab up to stay: a new one, or what is down of an existing one.

use std::fmt;
use std::sync::Arc;

use super::{ProvisionError, Provisioner, check_reachable};
use crate::lab::lock::Lock;
use crate::lab::revisions::State;
use crate::lab::startup::{Environment, up_request};
use crate::lab::{Lab, LabError, Record};
use crate::undo::{self, Pending};
use lab_core::engine::{Description, Engine, RunState, ServiceChange, ServiceStatus};
use lab_stack::Stack;

/// State of a lab on disk before it is brought up. Empty for a new lab.
#[derive(Clone, Debug, Default)]
pub struct PreviousState {
    /// Record of the lab.
    pub record: Option<Record>,
    /// Stack of the last `up`.
    pub stack: Option<Stack>,
}

impl PreviousState {
    fn read(lab: &Lab) -> Result<Self, LabError> {
        let record = lab.record()?;
        // An unreadable stack is ignored: `up` reads the stack from its files anyway.
        let stack = record.as_ref().and_then(|_| lab.stack().ok().flatten());
        Ok(Self { record, stack })
    }
}

/// A lab locked for changes, with the state to return to. Either [`UpTransaction::start`] succeeds, or
/// [`UpTransaction::roll_back`] must follow.
pub struct UpTransaction<'p> {
    provisioner: &'p Provisioner,
    lab: Lab,
    previous: PreviousState,
    _change: Lock,
}

/// A lab that [`UpTransaction::start`] brought up.
pub struct RunningLab {
    /// Engine of the lab.
    pub engine: Arc<dyn Engine>,
    /// Record as saved.
    pub record: Record,
    /// State of the stack.
    pub description: Description,
    /// Work that was necessary.
    pub outcome: UpOutcome,
}

/// Work that was necessary to bring a lab up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpOutcome {
    /// A new lab was created.
    Created,
    /// The lab was down, completely or in part. Lists the repaired services if it was up in part.
    Restarted(Repairs),
    /// None.
    AlreadyUp,
    /// A kept fault is active and was left as it is.
    KeptFault(KeptFault),
}

/// Fault that `--keep` or `--until` left in a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFault {
    /// Id of the run.
    pub run: String,
    /// Name of its scenario.
    pub scenario: String,
    /// Services that were started, because the fault does not concern their run state.
    pub started: Vec<String>,
}

/// Services that were repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Services with a new instance.
    pub recreated: Vec<String>,
    /// Services whose instance was stopped or paused.
    pub started: Vec<String>,
}

impl Repairs {
    fn between(before: &Description, now: &Description) -> Self {
        let mut repairs = Self::default();
        for service in now.services.iter().filter(|service| service.state == RunState::Running) {
            match before.service(&service.name) {
                Some(was) if was.instance.is_some() && was.state != RunState::Running => {
                    repairs.started.push(service.name.clone());
                }
                Some(was) if was.instance == service.instance => {}
                _ => repairs.recreated.push(service.name.clone()),
            }
        }
        repairs
    }

    /// Returns whether nothing was repaired.
    pub fn is_empty(&self) -> bool {
        self.recreated.is_empty() && self.started.is_empty()
    }
}

/// `recreated app; started db`.
impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("recreated", &self.recreated), ("started", &self.started)];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> = parts.map(|(verb, names)| format!("{verb} {}", names.join(", "))).collect();
        f.write_str(&parts.join("; "))
    }
}

impl Provisioner {
    /// Locks a lab for changes and reads its state. `holder` is shown to commands that wait for the lock.
    ///
    /// # Errors
    /// [`ProvisionError::Interrupted`] after a signal, [`ProvisionError::Lab`] if the lab stays locked or its record
    /// cannot be read.
    pub async fn begin_up(&self, lab: &Lab, holder: &str) -> Result<UpTransaction<'_>, ProvisionError> {
        let change = tokio::select! {
            change = lab.lock_change(holder) => change?,
            () = self.interrupt.stop().cancelled() => return Err(ProvisionError::Interrupted),
        };
        // It would repair what the participant has to find.
        if lab.drill()?.is_some() {
            return Err(LabError::Drill { name: lab.name().to_owned() }.into());
        }
        let previous = PreviousState::read(lab)?;
        Ok(UpTransaction { provisioner: self, lab: lab.clone(), previous, _change: change })
    }
}

impl UpTransaction<'_> {
    /// State to which [`UpTransaction::roll_back`] returns.
    pub fn previous(&self) -> &PreviousState {
        &self.previous
    }

    /// Starts the lab with a new record and stack. `port` is the requested port of the gateway; `None` keeps the
    /// recorded one. May be dropped; a roll back must follow then.
    ///
    /// # Errors
    /// [`ProvisionError::OtherPort`] if the lab is up on another port; other errors if the stack fails.
    pub async fn start(
        &self,
        record: Record,
        stack: Option<Stack>,
        port: Option<u16>,
    ) -> Result<RunningLab, ProvisionError> {
        let Self { provisioner, lab, previous, .. } = self;
        let engine = provisioner.connector.connect(lab, &record, stack.clone())?;
        let is_new = previous.record.is_none();
        let mut before = None;
        if is_new {
            check_reachable(engine.as_ref()).await?;
        } else {
            match engine.describe().await {
                Ok(now) => {
                    check_port(lab, port, &now)?;
                    before = Some(now);
                }
                Err(error) if error.kind.is_down() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let is_fixed = |fault: &Pending| before.as_ref().is_some_and(|now| fault.is_fixed(now, &record));
        let fault = undo::pending(lab)?.filter(|pending| pending.kept && !is_new && !is_fixed(pending));
        if let (Some(fault), Some(now)) = (&fault, &before) {
            return self.leave_fault(engine, fault, now).await;
        }
        let record = Record { gateway_port: port.unwrap_or(record.gateway_port), ..record };
        if let Some(stack) = &stack {
            lab.save_stack(stack)?;
        }
        lab.save(&record)?;
        let request = up_request(engine.as_ref(), &record, Environment::new());
        let description = engine.up(&request, Arc::clone(&provisioner.progress)).await?;
        if let Some(key) = description.server_key() {
            // Also records the result of an interrupted key change.
            lab.set_server_key(key)?;
        }
        if let Some(fault) = fault {
            return self.restore_fault(engine, &fault, &description).await;
        }
        lab.record_up(&description)?;
        let outcome = match before.map(|before| Repairs::between(&before, &description)) {
            None if is_new => UpOutcome::Created,
            None => UpOutcome::Restarted(Repairs::default()),
            Some(repairs) if repairs.is_empty() => UpOutcome::AlreadyUp,
            Some(repairs) => UpOutcome::Restarted(repairs),
        };
        Ok(RunningLab { record: lab.existing()?, engine, description, outcome })
    }

    /// Leaves a kept fault as it is. Starts only services that should run and do not.
    async fn leave_fault(
        &self,
        engine: Arc<dyn Engine>,
        fault: &Pending,
        now: &Description,
    ) -> Result<RunningLab, ProvisionError> {
        let start = |service: &ServiceStatus, desired: &State| {
            let is_missing = service.state == RunState::Stopped && desired.run == RunState::Running;
            if is_missing { ServiceChange::run(RunState::Running) } else { ServiceChange::default() }
        };
        let started = self.apply_recorded(engine.as_ref(), now, start).await?;
        self.with_fault(engine, fault, started).await
    }

    /// Restores a kept fault after the stack was down: the environments and run states that the services had.
    async fn restore_fault(
        &self,
        engine: Arc<dyn Engine>,
        fault: &Pending,
        now: &Description,
    ) -> Result<RunningLab, ProvisionError> {
        let restore = |service: &ServiceStatus, desired: &State| desired.change_from(&State::observed(service));
        self.apply_recorded(engine.as_ref(), now, restore).await?;
        self.with_fault(engine, fault, Vec::new()).await
    }

    /// Applies the change that `decide` derives from each service and its recorded state. Returns the names of the changed
    /// services.
    async fn apply_recorded(
        &self,
        engine: &dyn Engine,
        now: &Description,
        decide: impl Fn(&ServiceStatus, &State) -> ServiceChange,
    ) -> Result<Vec<String>, ProvisionError> {
        let revisions = self.lab.revisions()?;
        let mut changed = Vec::new();
        for service in &now.services {
            let Some(current) = revisions.current(&service.name) else { continue };
            let change = decide(service, &current.state);
            if change != ServiceChange::default() {
                engine.reconcile(&service.name, &change).await?;
                changed.push(service.name.clone());
            }
        }
        Ok(changed)
    }

    async fn with_fault(
        &self,
        engine: Arc<dyn Engine>,
        fault: &Pending,
        started: Vec<String>,
    ) -> Result<RunningLab, ProvisionError> {
        let (description, record) = (engine.describe().await?, self.lab.existing()?);
        let outcome = if fault.is_fixed(&description, &record) {
            UpOutcome::Restarted(Repairs { started, ..Repairs::default() })
        } else {
            let (run, scenario) = (fault.run.clone(), fault.scenario.clone());
            UpOutcome::KeptFault(KeptFault { run, scenario, started })
        };
        Ok(RunningLab { engine, record, description, outcome })
    }

    /// Removes a new lab, or restores the record of an existing one.
    ///
    /// # Errors
    /// If the new lab cannot be stopped, or a file cannot be written.
    pub async fn roll_back(self) -> Result<(), ProvisionError> {
        let Self { provisioner, lab, previous, _change } = self;
        if let Some(record) = &previous.record {
            match &previous.stack {
                Some(stack) => lab.save_stack(stack)?,
                None => lab.forget_stack()?,
            }
            return Ok(lab.save(record)?);
        }
        if let Some(record) = lab.record()? {
            provisioner.connector.connect_for_removal(&lab, &record)?.down().await?;
        }
        Ok(lab.remove()?)
    }
}

/// Rejects a port that differs from the port of a running lab.
fn check_port(lab: &Lab, requested: Option<u16>, now: &Description) -> Result<(), ProvisionError> {
    let gateway = &now.endpoints.gateway;
    let has = gateway.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    match requested {
        Some(requested) if requested != 0 && Some(requested) != has => {
            Err(ProvisionError::OtherPort { lab: lab.name().to_owned(), gateway: gateway.clone() })
        }
        _ => Ok(()),
    }
}
