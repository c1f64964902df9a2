//! The `rotate_key`, `caller_key` and `align_key` actions: keys of the server and the callers.

use super::{ActionResult, OwnChanges};
use crate::lab::Record;
use crate::runner::change::{begin_change, change, record_before};
use crate::runner::context::Context;
use crate::runner::error::StepError;
use crate::undo::Before;
use lab_core::engine::{Roles, ServiceChange};

pub(super) async fn rotate_key(context: &Context, server: &str) -> Result<ActionResult, StepError> {
    let Roles { app, key_variable, .. } = context.engine.roles();
    let done = change(context, &app, &ServiceChange::env(&key_variable, server), false).await?;
    let old = done.before.env.get(&key_variable).cloned().flatten();
    let detail = format!("server {} > {server}", old.as_deref().unwrap_or("none"));
    let own = OwnChanges { server: Some(Some(server.to_owned())), ..OwnChanges::default() };
    Ok(done.into_result(detail, format!("server already on {server}"), own))
}

/// Sets the key of callers; without a key, uses the server's. Without callers, changes the default caller.
pub(super) async fn set_caller_keys(
    context: &Context,
    key: Option<&str>,
    callers: &[String],
) -> Result<ActionResult, StepError> {
    let Some((_lock, description)) = begin_change(context).await? else { return Ok(ActionResult::default()) };
    let server = description.server_key();
    let key = match (key, server) {
        (Some(key), _) | (None, Some(key)) => key.to_owned(),
        (None, None) => {
            let variable = description.roles.key_variable.clone();
            return Err(StepError::NoServerKey { variable });
        }
    };
    let record = context.lab.existing()?;
    let names: Vec<Option<&str>> =
        if callers.is_empty() { vec![None] } else { callers.iter().map(|name| Some(name.as_str())).collect() };
    let mut result = ActionResult::default();
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
        record_before(context, before, server, [key.as_str()]).await?;
        let set = match name {
            None => context.lab.set_caller_key(&key, &context.author),
            Some(name) => context.lab.set_named_key(name, Some(&key), &context.author),
        };
        set?;
        details.push(format!("{subject} {old} > {key}"));
        result.changed = true;
        match name {
            None => result.own.caller = Some(key.clone()),
            Some(name) => result.own.callers.push((name.to_owned(), key.clone())),
        }
    }
    result.detail = Some(details.join(", "));
    Ok(result)
}

fn key_of(record: &Record, caller: Option<&str>) -> Result<String, StepError> {
    match caller {
        None => Ok(record.caller_key.clone()),
        Some(name) => record.callers.get(name).cloned().ok_or_else(|| StepError::NoCaller(name.to_owned())),
    }
}
