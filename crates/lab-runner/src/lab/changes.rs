//! The one place through which a lab is changed: [`Lab::reconcile`] for services, [`Lab::change_callers`] for the callers'
//! keys. Both record a revision. A change is announced on disk before it is made and confirmed afterwards, so that
//! neither a full disk nor a SIGKILL leaves a record that contradicts the lab. An undo and a reset proceed even if the history
//! cannot be written, because restoring the lab matters more.

use super::revisions::{Author, CALLERS, DEFAULT_CALLER, HistoryFile, Outcome, State};
use super::{Lab, LabError, Record};
use lab_core::engine::{Description, Engine, EngineError, EngineErrorKind, Reconciliation, RunState, ServiceChange};

/// Error of a change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The record or the history could not be written, so nothing was changed.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The engine could not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Lab {
    /// Changes a service under the change lock, in one revision, even if it takes several changes, such as a restart. If
    /// the server key changes, the record announces the new key first; [`Lab::settle`] later resolves an interrupted
    /// change.
    pub async fn reconcile(
        &self,
        engine: &dyn Engine,
        service: &str,
        changes: &[ServiceChange],
        author: &Author,
    ) -> Result<Reconciliation, ChangeError> {
        let mut recording = match Recording::begin(self, engine, service, changes, author).await {
            Ok(recording) => Some(recording),
            Err(_) if author.must_proceed() => None,
            Err(error) => return Err(error),
        };
        let roles = engine.roles();
        let key = changes.iter().rev().find_map(|change| change.server_key(service, &roles));
        if let Some(key) = key
            && let Err(error) = self.announce_key(key)
            && !author.must_proceed()
        {
            if let Some(recording) = &mut recording {
                recording.failed();
            }
            return Err(error.into());
        }
        let mut total = Reconciliation::default();
        for change in changes {
            match engine.reconcile(service, change).await {
                Ok(Reconciliation { changed, retired }) => {
                    total.changed |= changed;
                    total.retired.extend(retired);
                }
                Err(error) => {
                    // The engine error matters more; a later command settles what remains announced.
                    let is_rolled_back = is_rolled_back(error.kind) && changes.len() == 1;
                    if is_rolled_back && key.is_some() {
                        let _ = self.withdraw_key();
                    }
                    match &mut recording {
                        Some(recording) if is_rolled_back => recording.failed(),
                        Some(recording) => recording.settle(self, engine).await,
                        None => {}
                    }
                    return Err(error.into());
                }
            }
        }
        if let Some(key) = key {
            let stored = self.set_server_key(key);
            // If this fails, the announced key remains valid, unless there is no announcement.
            if author.must_proceed() {
                stored?;
            }
        }
        if let Some(recording) = recording {
            recording.done(total.changed);
        }
        Ok(total)
    }

    /// Changes the callers' keys under the change lock. Does nothing if `change` leaves them as they are.
    pub fn change_callers(&self, author: &Author, change: impl FnOnce(&mut Record)) -> Result<(), LabError> {
        let before = self.existing()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        let announced = self.history().and_then(|mut history| {
            if history.revisions().current(CALLERS).is_none() {
                history.record(CALLERS, &Author::Found, callers(&before))?;
            }
            let number = history.announce(CALLERS, author, callers(&after))?;
            Ok((history, number))
        });
        if announced.is_err() && !author.must_proceed() {
            return announced.map(drop);
        }
        let saved = self.save(&after);
        if let Ok((mut history, number)) = announced {
            // The next change settles what cannot be written now.
            let outcome = if saved.is_ok() { Outcome::Done } else { Outcome::Failed };
            let _ = history.finish(CALLERS, number, outcome);
        }
        saved
    }

    /// Announces an SQL statement that is about to be executed in a service, under the change lock. Returns the number of its
    /// revision, for [`Lab::finish_statement`].
    pub async fn announce_statement(
        &self,
        engine: &dyn Engine,
        service: &str,
        statement: &str,
        author: &Author,
    ) -> Result<u64, ChangeError> {
        let (mut history, state) = current_state(self, engine, service).await?;
        Ok(history.announce_statement(service, author, state, statement)?)
    }

    /// Records whether an announced statement was executed, under the change lock.
    pub fn finish_statement(&self, service: &str, number: u64, executed: bool) -> Result<(), LabError> {
        let outcome = if executed { Outcome::Done } else { Outcome::Failed };
        self.history()?.finish(service, number, outcome)
    }

    /// Restores the callers' keys of a revision.
    pub fn restore_callers(&self, state: &State, author: &Author) -> Result<(), LabError> {
        self.change_callers(author, |record| set_callers(record, state))
    }

    /// Records the state after `lab up`: as first revisions, or as new ones if the lab differs from the last known state.
    /// All services that `up` starts are meant to run.
    pub fn record_up(&self, now: &Description) -> Result<(), LabError> {
        let record = self.existing()?;
        let mut history = self.history()?;
        settle(&mut history, Some(now), &record)?;
        let services = now
            .services
            .iter()
            .map(|service| (service.name.as_str(), State { run: RunState::Running, ..State::observed(service) }));
        for (subject, state) in services.chain([(CALLERS, callers(&record))]) {
            if history.revisions().current(subject).is_none_or(|current| current.state != state) {
                history.record(subject, &Author::Up, state)?;
            }
        }
        Ok(())
    }

    /// Resolves changes that were announced but not confirmed, under the change lock: of the server key in the record, and
    /// of revisions. Does nothing if the engine is not reachable.
    pub async fn settle(&self, engine: &dyn Engine) -> Result<(), LabError> {
        let mut history = self.history()?;
        let pending: Vec<String> = history.revisions().pending().map(|revision| revision.subject.clone()).collect();
        if !pending.is_empty() {
            for service in pending.iter().filter(|subject| *subject != CALLERS) {
                // An empty change waits for the interrupted one, which an engine may still be applying, or completes its
                // rollback.
                let _ = engine.reconcile(service, &ServiceChange::default()).await;
            }
            let now = engine.describe().await.ok();
            settle(&mut history, now.as_ref(), &self.existing()?)?;
        }
        self.settle_server_key(engine).await
    }
}

/// The callers' keys of a record, as a state.
fn callers(record: &Record) -> State {
    let named = record.callers.iter().map(|(name, key)| (format!("{DEFAULT_CALLER} {name}"), key.clone()));
    let env = named.chain([(DEFAULT_CALLER.to_owned(), record.caller_key.clone())]).collect();
    State { env, run: RunState::Running }
}

/// Sets the callers' keys of a record from a state.
pub(super) fn set_callers(record: &mut Record, state: &State) {
    record.callers.clear();
    for (name, key) in &state.env {
        match name.strip_prefix(DEFAULT_CALLER).map(str::trim_start) {
            Some("") => record.caller_key.clone_from(key),
            Some(caller) => drop(record.callers.insert(caller.to_owned(), key.clone())),
            None => {}
        }
    }
}

/// Decides pending revisions by the observed state. Those of services remain pending if it is not known.
fn settle(history: &mut HistoryFile, now: Option<&Description>, record: &Record) -> Result<(), LabError> {
    let mut outcomes: Vec<(String, u64, Outcome)> = Vec::new();
    for subject in history.revisions().subjects() {
        let observed = match (subject, now) {
            (CALLERS, _) => Some(callers(record)),
            (service, Some(now)) => now.service(service).map(State::observed),
            (_, None) => None,
        };
        let Some(observed) = observed else { continue };
        let entries = history.revisions().entries(subject);
        for entry in entries.iter().filter(|entry| entry.revision.outcome == Outcome::Pending) {
            let met = entry.revision.is_met_by(entry.before, &observed);
            let outcome = if met { Outcome::Done } else { Outcome::Failed };
            outcomes.push((subject.to_owned(), entry.revision.number, outcome));
        }
    }
    outcomes.into_iter().try_for_each(|(subject, number, outcome)| history.finish(&subject, number, outcome))
}

/// The settled history, and the current desired state of a service. If it has no revision yet, its observed state is recorded.
async fn current_state(lab: &Lab, engine: &dyn Engine, service: &str) -> Result<(HistoryFile, State), ChangeError> {
    if lab.history()?.revisions().pending().next().is_some() {
        lab.settle(engine).await?;
    }
    let mut history = lab.history()?;
    if let Some(current) = history.revisions().current(service) {
        let state = current.state.clone();
        return Ok((history, state));
    }
    let now = engine.describe().await?;
    // The engine reports an unknown service.
    let found = now.service(service).map(State::observed);
    let found = found.unwrap_or(State { env: [].into(), run: RunState::Stopped });
    history.record(service, &Author::Found, found.clone())?;
    Ok((history, found))
}

/// Returns whether the service itself failed, in which case the previous instance keeps serving.
fn is_rolled_back(kind: EngineErrorKind) -> bool {
    matches!(kind, EngineErrorKind::Exited | EngineErrorKind::Unhealthy | EngineErrorKind::StartupTimeout)
}

/// Revision of a change in progress.
struct Recording<'a> {
    history: HistoryFile,
    service: &'a str,
    author: &'a Author,
    after: State,
    /// Number of the announced revision. `None` if the desired state does not change.
    number: Option<u64>,
}

impl<'a> Recording<'a> {
    /// Announces the change durably, if it changes the desired state.
    async fn begin(
        lab: &Lab,
        engine: &dyn Engine,
        service: &'a str,
        changes: &[ServiceChange],
        author: &'a Author,
    ) -> Result<Self, ChangeError> {
        let (mut history, before) = current_state(lab, engine, service).await?;
        let after = changes.iter().fold(before.clone(), |state, change| state.after(change));
        let number = if after == before { None } else { Some(history.announce(service, author, after.clone())?) };
        Ok(Self { history, service, author, after, number })
    }

    /// The change was made. If this cannot be recorded, the next change settles the announced revision.
    fn done(mut self, changed: bool) {
        let _ = match self.number {
            Some(number) => self.history.finish(self.service, number, Outcome::Done),
            // Such as a restart, which leaves the desired state as it is.
            None if changed => self.history.record(self.service, self.author, self.after).map(drop),
            None => Ok(()),
        };
    }

    /// The change failed, and it is not known how far it got.
    async fn settle(&mut self, lab: &Lab, engine: &dyn Engine) {
        if self.number.is_some()
            && let Ok(now) = engine.describe().await
            && let Ok(record) = lab.existing()
        {
            let _ = settle(&mut self.history, Some(&now), &record);
        }
    }

    /// The change was not made.
    fn failed(&mut self) {
        if let Some(number) = self.number {
            let _ = self.history.finish(self.service, number, Outcome::Failed);
        }
    }
}
