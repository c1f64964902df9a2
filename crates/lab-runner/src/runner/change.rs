//! Changes to the lab, made under its change lock. The previous state is on disk before each change.

use std::collections::BTreeMap;
use std::time::Duration;

use super::act::{Acted, Own};
use super::context::Context;
use super::observe::describe;
use crate::lab::lock::Lock;
use crate::lab::{ChangeError, Record};
use crate::undo::{Before, explained};
use lab_core::engine::{
    Description, EngineError, EngineErrorKind, Reconciliation, Roles, RunState, ServiceChange, environment,
};
use lab_core::event::ExpectationResult;
use lab_scenario::plan::{Change, Verb};
use lab_system::deadline::timeout;

/// Time limit of a change. The engine's own deadlines are shorter; the longest one covers a failed update plus its
/// rollback (Docker: one minute each). Stopping earlier would leave a rollback half done.
const DEADLINE: Duration = Duration::from_mins(3);

pub(super) async fn rotate_key(context: &Context, server: &str) -> Result<Acted, String> {
    let Roles { app, key_variable, .. } = context.engine.roles();
    let done = change(context, &app, &ServiceChange::env(&key_variable, server), false).await?;
    let old = done.before.env.get(&key_variable).cloned().flatten();
    let detail = format!("server {} > {server}", old.as_deref().unwrap_or("none"));
    let own = Own { server: Some(Some(server.to_owned())), ..Own::default() };
    Ok(done.acted(detail, format!("server already on {server}"), own))
}

pub(super) async fn change_service(context: &Context, wanted: &Change) -> Result<Acted, String> {
    let Change { verb, service, change: to, rolled_back } = wanted;
    let roles = context.engine.roles();
    let service = roles.service(service);
    allowed(context, service, to)?;
    let done = change(context, service, to, *rolled_back).await?;
    let key = to.env.get(&roles.key_variable).filter(|_| service == roles.app).cloned();
    let state = to.run.map(|run| (service.to_owned(), run));
    let own = Own { server: key, state, ..Own::default() };
    if *rolled_back {
        return Ok(done.rolled_back(service, own));
    }
    let detail = match verb {
        Verb::SetEnv => format!("{service} {}", variables(to)),
        Verb::Stop => format!("{service} stopped"),
        Verb::Kill => format!("{service} killed"),
        Verb::Pause => format!("{service} paused"),
        Verb::Start | Verb::Unpause => format!("{service} running"),
    };
    let already = match verb {
        Verb::SetEnv => format!("{service} already has {}", variables(to)),
        _ => format!("{service} already {}", to.run.map_or("so", RunState::name)),
    };
    Ok(Acted { killed: to.abrupt, ..done.acted(detail, already, own) })
}

/// Checks values from earlier steps, which are only known now, by the same rules as values in the file: they must stay
/// inside the lab.
fn allowed(context: &Context, service: &str, to: &ServiceChange) -> Result<(), String> {
    let services = context.engine.services();
    let Some(spec) = services.iter().find(|spec| spec.name == service) else { return Ok(()) };
    match environment::refusals(spec, to, &services, true) {
        refusals if refusals.is_empty() => Ok(()),
        refusals => Err(refusals.join("; ")),
    }
}

fn variables(change: &ServiceChange) -> String {
    let shown = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} unset"),
    };
    change.env.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// Sets the key of callers; without a key, uses the server's. Without callers, changes the default caller.
pub(super) async fn give_key(context: &Context, key: Option<&str>, callers: &[String]) -> Result<Acted, String> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(Acted::default()) };
    let server = description.server_key();
    let key = match (key, server) {
        (Some(key), _) | (None, Some(key)) => key.to_owned(),
        (None, None) => return Err(format!("the app has no {}", description.roles.key_variable)),
    };
    let record = context.lab.existing().map_err(|error| error.to_string())?;
    let names: Vec<Option<&str>> =
        if callers.is_empty() { vec![None] } else { callers.iter().map(|name| Some(name.as_str())).collect() };
    let mut acted = Acted::default();
    let mut details = Vec::new();
    for name in names {
        let subject = name.unwrap_or("caller");
        let old = key_of(&record, name)?;
        if old == key {
            details.push(format!("{subject} already on {key}"));
            continue;
        }
        let before = match name {
            None => Before::CallerKey { key: old.clone() },
            Some(name) => Before::Caller { name: name.to_owned(), key: Some(old.clone()) },
        };
        let Roles { app, key_variable, .. } = &description.roles;
        let server = server
            .map(|server| Before::Service { service: app.clone(), state: ServiceChange::env(key_variable, server) });
        put_on_record(context, before, server, [key.as_str()]).await?;
        let set = match name {
            None => context.lab.set_caller_key(&key),
            Some(name) => context.lab.set_named_key(name, Some(&key)),
        };
        set.map_err(|error| error.to_string())?;
        details.push(format!("{subject} {old} > {key}"));
        acted.changed = true;
        match name {
            None => acted.own.caller = Some(key.clone()),
            Some(name) => acted.own.callers.push((name.to_owned(), key.clone())),
        }
    }
    acted.detail = Some(details.join(", "));
    Ok(acted)
}

fn key_of(record: &Record, caller: Option<&str>) -> Result<String, String> {
    match caller {
        None => Ok(record.caller_key.clone()),
        Some(name) => record.callers.get(name).cloned().ok_or_else(|| format!("the lab has no caller {name}")),
    }
}

/// Registers the scenario's callers with their initial keys. Their previous keys, if any, are on disk first.
pub(super) async fn introduce(context: &Context, callers: &BTreeMap<String, String>) -> Result<(), String> {
    if callers.is_empty() || context.stop.is_cancelled() {
        return Ok(());
    }
    let _lock = context.lab.lock_change(&context.holder).await.map_err(|error| error.to_string())?;
    let mut record = context.lab.existing().map_err(|error| error.to_string())?;
    for (name, key) in callers {
        let before = Before::Caller { name: name.clone(), key: record.callers.get(name).cloned() };
        put_on_record(context, before, None, [key.as_str()]).await?;
    }
    record.callers.extend(callers.clone());
    context.lab.save(&record).map_err(|error| error.to_string())
}

/// A command may change the lab like a user may. Everything that it can change through lab is recorded before it
/// starts.
pub(super) async fn record_all(context: &Context) -> Result<bool, String> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(false) };
    let lab = context.lab.existing().map_err(|error| error.to_string())?;
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
        put_on_record(context, before, None, []).await?;
    }
    Ok(true)
}

/// Result of a change.
#[derive(Default)]
struct Done {
    /// Previous values of everything that the change mentions.
    before: ServiceChange,
    reconciliation: Reconciliation,
    /// Why the service became unhealthy. The previous instance keeps serving.
    refused: Option<String>,
}

impl Done {
    /// `already` replaces `detail` if there was nothing to do.
    fn acted(self, detail: String, already: String, own: Own) -> Acted {
        let Reconciliation { changed, retired } = self.reconciliation;
        let detail = if changed { detail } else { already };
        Acted { detail: Some(detail), changed, retired, own, ..Acted::default() }
    }

    /// Result of a change that is expected to be rolled back. `own` is what it changes otherwise.
    fn rolled_back(self, service: &str, own: Own) -> Acted {
        let rolled_back = self.refused.is_some();
        let detail = if rolled_back { format!("{service} rolled back") } else { format!("{service} deployed") };
        let check = ExpectationResult {
            metric: "set_env.rolled_back".to_owned(),
            expected: "true".to_owned(),
            observed: None,
            observed_text: self.refused.clone().unwrap_or_else(|| format!("{service} is healthy and keeps serving")),
            passed: rolled_back,
        };
        let detail = self.refused.as_ref().map_or(detail.clone(), |why| format!("{detail}: {why}"));
        let own = if rolled_back { Own::default() } else { own };
        let acted = self.acted(detail.clone(), detail, own);
        Acted { checks: vec![check], ..acted }
    }
}

/// Acquires the change lock and describes the lab. Returns `None` if the run was asked to stop; after that, the change
/// is always completed.
async fn begin_change(context: &Context) -> Result<Option<(Lock, Description)>, String> {
    let begin = async {
        let lock = context.lab.lock_change(&context.holder).await.map_err(|error| error.to_string())?;
        let description = describe(context).await.map_err(|error| explained(&error))?;
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
async fn put_on_record<'v>(
    context: &Context,
    before: Before,
    other: Option<Before>,
    new: impl IntoIterator<Item = &'v str>,
) -> Result<(), String> {
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
            result = log.hide(value);
        }
    }
    result.map_err(|error| error.to_string())
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
async fn change(context: &Context, service: &str, to: &ServiceChange, may_fail: bool) -> Result<Done, String> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(Done::default()) };
    let now = description.service(service).ok_or_else(|| format!("there is no service {service}"))?;
    let before = to.before(now);
    if to.is_met_by(now) {
        return Ok(Done { before, ..Done::default() });
    }
    let Roles { app, key_variable, .. } = &description.roles;
    let keys = service == app && to.env.contains_key(key_variable);
    let caller = keys.then(|| context.lab.caller_key()).transpose().map_err(|error| error.to_string())?;
    let service_before = Before::Service { service: service.to_owned(), state: before.clone() };
    let new = to.env.values().flatten().map(String::as_str);
    put_on_record(context, service_before, caller.map(|key| Before::CallerKey { key }), new).await?;
    let reconcile = context.lab.reconcile(context.engine.as_ref(), service, to);
    let result = timeout(DEADLINE, reconcile).await.unwrap_or_else(|_| {
        let detail = format!("the change was not done within {} s", DEADLINE.as_secs());
        Err(EngineError::new(EngineErrorKind::System, detail).for_service(service).into())
    });
    match result {
        Ok(mut reconciliation) => {
            // Only the app's counters are compared across a step.
            reconciliation.retired.retain(|_| service == app);
            Ok(Done { before, reconciliation, refused: None })
        }
        Err(ChangeError::Engine(error)) if may_fail && is_unwell(error.kind) => {
            Ok(Done { before, refused: Some(error.detail), ..Done::default() })
        }
        Err(ChangeError::Engine(error)) => Err(explained(&error)),
        Err(ChangeError::Lab(error)) => Err(error.to_string()),
    }
}

/// Returns whether the service itself failed.
fn is_unwell(kind: EngineErrorKind) -> bool {
    matches!(kind, EngineErrorKind::Exited | EngineErrorKind::Unhealthy | EngineErrorKind::StartupTimeout)
}
