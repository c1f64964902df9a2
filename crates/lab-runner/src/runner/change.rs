//! Changes to the lab, made under its change lock. The previous state is on disk before each change.

use std::collections::BTreeMap;
use std::time::Duration;

use super::actions::{ActionResult, OwnChanges};
use super::context::Context;
use super::error::StepError;
use super::observation::describe;
use crate::lab::ChangeError;
use crate::lab::lock::Lock;
use crate::undo::Before;
use lab_core::engine::{Description, EngineError, EngineErrorKind, Reconciliation, Roles, ServiceChange};
use lab_core::event::ExpectationResult;
use lab_system::deadline::timeout;

/// Time limit of a change. The engine's own deadlines are shorter; the longest one covers a failed update plus its
/// rollback (Docker: one minute each). Stopping earlier would leave a rollback half done.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(3);

/// Registers the scenario's callers with their initial keys. Their previous keys, if any, are on disk first.
pub(super) async fn register_callers(context: &Context, callers: &BTreeMap<String, String>) -> Result<(), StepError> {
    if callers.is_empty() || context.stop.is_cancelled() {
        return Ok(());
    }
    let _lock = context.lab.lock_change(&context.holder).await?;
    let record = context.lab.existing()?;
    for (name, key) in callers {
        let before = Before::Caller { name: name.clone(), key: record.callers.get(name).cloned() };
        record_before(context, before, None, [key.as_str()]).await?;
    }
    Ok(context.lab.change_callers(&context.author, |record| record.callers.extend(callers.clone()))?)
}

/// A command may change the lab like a user may. Everything that it can change through lab is recorded before it
/// starts.
pub(super) async fn record_everything(context: &Context) -> Result<bool, StepError> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(false) };
    let lab = context.lab.existing()?;
    let mut before = vec![Before::CallerKey { key: lab.caller_key }];
    before.extend(lab.callers.into_iter().map(|(name, key)| Before::Caller { name, key: Some(key) }));
    for service in &description.services {
        let mut state = ServiceChange::run(service.state);
        let Roles { app, key_variable, .. } = &description.roles;
        if service.name == *app {
            state.env.insert(key_variable.clone(), service.env.get(key_variable).cloned());
        }
        before.push(Before::Service { service: service.name.clone(), state });
    }
    for before in before {
        record_before(context, before, None, []).await?;
    }
    Ok(true)
}

/// Result of a change.
#[derive(Default)]
pub(super) struct AppliedChange {
    /// Previous values of everything that the change mentions.
    pub(super) before: ServiceChange,
    reconciliation: Reconciliation,
    /// Why the service became unhealthy. The previous instance keeps serving.
    unhealthy: Option<String>,
}

impl AppliedChange {
    /// `already` replaces `detail` if there was nothing to do.
    pub(super) fn into_result(self, detail: String, already: String, own: OwnChanges) -> ActionResult {
        let Reconciliation { changed, retired } = self.reconciliation;
        let detail = if changed { detail } else { already };
        ActionResult { detail: Some(detail), changed, retired, own, ..ActionResult::default() }
    }

    /// Result of a change that is expected to be rolled back. `own` is what it changes otherwise.
    pub(super) fn into_rolled_back(self, service: &str, own: OwnChanges) -> ActionResult {
        let rolled_back = self.unhealthy.is_some();
        let detail = if rolled_back { format!("{service} rolled back") } else { format!("{service} deployed") };
        let check = ExpectationResult {
            metric: "set_env.rolled_back".to_owned(),
            expected: "true".to_owned(),
            observed: None,
            observed_text: self.unhealthy.clone().unwrap_or_else(|| format!("{service} is healthy and keeps serving")),
            passed: rolled_back,
        };
        let detail = self.unhealthy.as_ref().map_or(detail.clone(), |why| format!("{detail}: {why}"));
        let own = if rolled_back { OwnChanges::default() } else { own };
        let result = self.into_result(detail.clone(), detail, own);
        ActionResult { checks: vec![check], ..result }
    }
}

/// Acquires the change lock and describes the lab. Returns `None` if the run was asked to stop; after that, the change
/// is always completed.
pub(super) async fn begin_change(context: &Context) -> Result<Option<(Lock, Description)>, StepError> {
    let begin = async {
        let lock = context.lab.lock_change(&context.holder).await?;
        let description = describe(context).await?;
        Ok(Some((lock, description)))
    };
    tokio::select! {
        biased;
        () = context.stop.cancelled() => Ok(None),
        done = begin => done,
    }
}

/// Records the state before a change. A change of either key also records the other one as `other`, because the user
/// may fix the incident by changing that. `new` are the values that the change sets.
pub(super) async fn record_before<'v>(
    context: &Context,
    before: Before,
    other: Option<Before>,
    new: impl IntoIterator<Item = &'v str>,
) -> Result<(), StepError> {
    let mut log = context.undo.lock().await;
    let mut result = Ok(());
    // The first recorded state counts and is restored by the undo.
    for before in [Some(before), other].into_iter().flatten() {
        if result.is_ok() && !log.records().iter().any(|known| covers(known, &before)) {
            result = log.record(before);
        }
    }
    for value in new {
        if result.is_ok() && context.secrets.are_in(value) {
            result = log.record_secret(value);
        }
    }
    Ok(result?)
}

/// Returns whether an earlier record covers everything in this one.
fn covers(known: &Before, before: &Before) -> bool {
    match (known, before) {
        (Before::CallerKey { .. }, Before::CallerKey { .. }) => true,
        (Before::Caller { name: known, .. }, Before::Caller { name, .. }) => known == name,
        (Before::Service { service: known, state: has }, Before::Service { service, state }) => {
            known == service
                && (state.run.is_none() || has.run.is_some())
                && state.env.keys().all(|name| has.env.contains_key(name))
        }
        _ => false,
    }
}

/// Changes a service after recording its previous state. If the change `may_fail`, an unhealthy service is not an
/// error.
pub(super) async fn change(
    context: &Context,
    service: &str,
    to: &ServiceChange,
    may_fail: bool,
) -> Result<AppliedChange, StepError> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(AppliedChange::default()) };
    let now = description.service(service).ok_or_else(|| StepError::NoService(service.to_owned()))?;
    let before = to.before(now);
    if to.is_met_by(now) {
        return Ok(AppliedChange { before, ..AppliedChange::default() });
    }
    let Roles { app, key_variable, .. } = &description.roles;
    let keys = service == app && to.env.contains_key(key_variable);
    let caller = keys.then(|| context.lab.caller_key()).transpose()?;
    let service_before = Before::Service { service: service.to_owned(), state: before.clone() };
    let new = to.env.values().flatten().map(String::as_str);
    record_before(context, service_before, caller.map(|key| Before::CallerKey { key }), new).await?;
    let (changes, author) = ([to.clone()], context.author.clone());
    let reconcile = context.lab.reconcile(context.engine.as_ref(), service, &changes, &author);
    let result = timeout(CHANGE_TIMEOUT, reconcile).await.unwrap_or_else(|_| {
        let detail = format!("the change was not done within {} s", CHANGE_TIMEOUT.as_secs());
        Err(EngineError::new(EngineErrorKind::System, detail).for_service(service).into())
    });
    match result {
        Ok(mut reconciliation) => {
            // Only the app's counters are compared across a step.
            reconciliation.retired.retain(|_| service == app);
            Ok(AppliedChange { before, reconciliation, unhealthy: None })
        }
        Err(ChangeError::Engine(error)) if may_fail && is_unhealthy(error.kind) => {
            Ok(AppliedChange { before, unhealthy: Some(error.detail), ..AppliedChange::default() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns whether the service itself failed.
fn is_unhealthy(kind: EngineErrorKind) -> bool {
    matches!(kind, EngineErrorKind::Exited | EngineErrorKind::Unhealthy | EngineErrorKind::StartupTimeout)
}
