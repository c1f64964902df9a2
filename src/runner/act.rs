//! The actions of steps, each carried out. A new kind of step goes here, into `scenario::plan` and into the loader.

use std::time::Duration;

use tokio::time::timeout;

use super::check;
use super::context::Context;
use super::observe::{Observation, describe};
use crate::engine::{
    APP, Description, EngineError, EngineErrorKind, Ensured, KEY_VARIABLE, Retired, RunState, ServiceChange,
};
use crate::event::ExpectationResult;
use crate::lab::lock::Lock;
use crate::scenario::plan::{Action, Change, Traffic, Verb};
use crate::traffic::{Load, Summary};
use crate::undo::{Before, explained};

/// How long a change may take. A backstop: the engine has deadlines of its own.
const DEADLINE: Duration = Duration::from_mins(1);

/// What an action did and saw.
#[derive(Debug, Default)]
pub(super) struct Acted {
    /// In a few words, for the timeline.
    pub(super) detail: Option<String>,
    /// Whether it changed the lab.
    pub(super) changed: bool,
    pub(super) summary: Option<Summary>,
    /// Instances of the app that it ended.
    pub(super) retired: Vec<Retired>,
    /// Whether it ended them without letting them finish.
    pub(super) killed: bool,
    /// What a check showed.
    pub(super) checks: Vec<ExpectationResult>,
    pub(super) own: Own,
}

/// What of the lab is otherwise by the run's own doing.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    pub(super) server: Option<String>,
    pub(super) caller: Option<String>,
    pub(super) state: Option<(String, RunState)>,
}

/// Carries an action out. `now` is the lab just before; an error says why it could not be done.
pub(super) async fn act(
    context: &Context,
    action: &Action,
    now: &Result<Observation, String>,
) -> Result<Acted, String> {
    match action {
        Action::Traffic(traffic) => send(context, traffic, now.as_ref()?).await,
        Action::RotateKey { server } => rotate_key(context, server).await,
        Action::AlignKey => align_key(context).await,
        Action::Change(change) => change_service(context, change).await,
        Action::Wait(duration) => Ok(wait(context, *duration).await),
        Action::Check(probe) => Ok(check::check(context, probe, now.as_ref()?).await),
    }
}

async fn send(context: &Context, traffic: &Traffic, now: &Observation) -> Result<Acted, String> {
    let load = Load {
        url: format!("{}{}", now.description.endpoints.gateway, traffic.path),
        method: traffic.method.clone(),
        headers: headers(&traffic.headers, traffic.key.as_deref().unwrap_or(&now.caller_key)),
        amount: traffic.amount,
        rate: traffic.rate,
        connections: traffic.connections,
        timeout: traffic.timeout,
    };
    let summary = context.wire.traffic(&load, context.progress.clone(), context.interrupt.stop()).await;
    Ok(Acted { summary: Some(summary), ..Acted::default() })
}

/// A step's headers and the key's; an empty key sends none.
pub(super) fn headers(headers: &[(String, String)], key: &str) -> Vec<(String, String)> {
    let mut all = headers.to_vec();
    if !key.is_empty() {
        all.push(("X-API-Key".to_owned(), key.to_owned()));
    }
    all
}

async fn wait(context: &Context, duration: Duration) -> Acted {
    let over = timeout(duration, context.interrupt.stop().cancelled()).await.is_err();
    let detail = over.then(|| format!("waited {duration:?}"));
    Acted { detail, ..Acted::default() }
}

async fn rotate_key(context: &Context, server: &str) -> Result<Acted, String> {
    let done = change(context, APP, &ServiceChange::env(KEY_VARIABLE, server)).await?;
    let old = done.before.env.get(KEY_VARIABLE).cloned().flatten();
    let detail = format!("server {} > {server}", old.as_deref().unwrap_or("none"));
    let own = Own { server: Some(server.to_owned()), ..Own::default() };
    Ok(done.acted(APP, detail, own))
}

async fn change_service(context: &Context, wanted: &Change) -> Result<Acted, String> {
    let Change { verb, service, change: to } = wanted;
    let done = change(context, service, to).await?;
    let detail = match verb {
        Verb::SetEnv => format!("{service} {}", variables(to)),
        Verb::Stop => format!("{service} stopped"),
        Verb::Kill => format!("{service} killed"),
        Verb::Pause => format!("{service} paused"),
        Verb::Start | Verb::Unpause => format!("{service} running"),
    };
    let key = to.env.get(KEY_VARIABLE).filter(|_| service == APP).cloned().flatten();
    let own = Own { server: key, caller: None, state: to.run.map(|run| (service.clone(), run)) };
    Ok(Acted { killed: to.abrupt, ..done.acted(service, detail, own) })
}

fn variables(change: &ServiceChange) -> String {
    let shown = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} unset"),
    };
    change.env.iter().map(shown).collect::<Vec<_>>().join(" ")
}

async fn align_key(context: &Context) -> Result<Acted, String> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(Acted::default()) };
    let server = description.server_key().ok_or_else(|| format!("the app has no {KEY_VARIABLE}"))?;
    let caller = context.lab.caller_key().map_err(|error| error.to_string())?;
    if caller == server {
        return Ok(Acted { detail: Some("already aligned".to_owned()), ..Acted::default() });
    }
    let server_before = Before::Service { service: APP.to_owned(), state: ServiceChange::env(KEY_VARIABLE, server) };
    record(context, Before::CallerKey { key: caller.clone() }, Some(server_before)).await?;
    context.lab.set_caller_key(server).map_err(|error| error.to_string())?;
    let own = Own { caller: Some(server.to_owned()), ..Own::default() };
    Ok(Acted { detail: Some(format!("caller {caller} > {server}")), changed: true, own, ..Acted::default() })
}

/// A change that was made.
#[derive(Default)]
struct Done {
    /// The state before, of all that the change names.
    before: ServiceChange,
    ensured: Ensured,
}

impl Done {
    fn acted(self, service: &str, detail: String, own: Own) -> Acted {
        let Ensured { changed, retired } = self.ensured;
        let detail = if changed { detail } else { "already so".to_owned() };
        let retired = if service == APP { retired } else { Vec::new() };
        Acted { detail: Some(detail), changed, retired, own, ..Acted::default() }
    }
}

/// The lock of a change, and the lab as it is under it; none where the run is asked to stop: the last look at the token,
/// from there on the change is carried to its end.
async fn begin_change(context: &Context) -> Result<Option<(Lock, Description)>, String> {
    let begin = async {
        let lock = context.lab.lock_change(&context.holder).await.map_err(|error| error.to_string())?;
        let description = describe(context).await.map_err(|error| explained(&error))?;
        Ok(Some((lock, description)))
    };
    tokio::select! {
        biased;
        () = context.interrupt.stop().cancelled() => Ok(None),
        done = begin => done,
    }
}

/// Puts on disk what is before a change. The two keys are one thing: where the run changes one of them, `other` is put back
/// with it, since whoever mends the incident by hand changes that one.
async fn record(context: &Context, before: Before, other: Option<Before>) -> Result<(), String> {
    let mut log = context.undo.lock().await;
    let other = other.filter(|other| !log.records().iter().any(|known| is_key(known) && same_target(known, other)));
    let result = log.record(before).and_then(|()| other.map_or(Ok(()), |other| log.record(other)));
    result.map_err(|error| error.to_string())
}

fn is_key(before: &Before) -> bool {
    match before {
        Before::Service { service, state } => service == APP && state.env.contains_key(KEY_VARIABLE),
        Before::CallerKey { .. } => true,
        Before::NoLab => false,
    }
}

fn same_target(one: &Before, other: &Before) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// Brings a service to another state: what was before is on disk first.
async fn change(context: &Context, service: &str, to: &ServiceChange) -> Result<Done, String> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(Done::default()) };
    let now = description.service(service).ok_or_else(|| format!("there is no service {service}"))?;
    let before = to.before(now);
    if to.is_met_by(now) {
        return Ok(Done { before, ..Done::default() });
    }
    let keys = service == APP && to.env.contains_key(KEY_VARIABLE);
    let caller = keys.then(|| context.lab.caller_key()).transpose().map_err(|error| error.to_string())?;
    let service_before = Before::Service { service: service.to_owned(), state: before.clone() };
    record(context, service_before, caller.map(|key| Before::CallerKey { key })).await?;
    let ensured = timeout(DEADLINE, context.engine.ensure(service, to)).await.unwrap_or_else(|_| {
        let detail = format!("the change was not done within {} s", DEADLINE.as_secs());
        Err(EngineError::new(EngineErrorKind::System, detail).of(service))
    });
    let ensured = ensured.map_err(|error| explained(&error))?;
    Ok(Done { before, ensured })
}
