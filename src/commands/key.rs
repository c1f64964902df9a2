//! `lab key`: the two keys whose mismatch is the incident. What is changed here is the user's own doing, and owes no undo.

use std::time::Instant;

use super::session::{Connected, Session, name_option};
use crate::cli::KeyCommand;
use crate::engine::{APP, KEY_VARIABLE, ServiceChange};
use crate::error::{Exit, Failure};
use crate::event::Keys;
use crate::lab::Record;
use crate::report::human;
use crate::scenario::value::check_key;

pub(super) async fn run(session: &Session, command: &KeyCommand) -> anyhow::Result<Exit> {
    if let KeyCommand::Rotate { key } = command {
        check_key(key).map_err(|error| Failure::usage(format!("the key cannot be used: {error}")))?;
    }
    let connected = session.connect()?;
    // What is changed is what was read.
    let change = match command {
        KeyCommand::Show { .. } => None,
        KeyCommand::Rotate { .. } => Some(connected.lab.lock_change("lab key rotate").await?),
        KeyCommand::Align { .. } => Some(connected.lab.lock_change("lab key align").await?),
    };
    if let Some(change) = &change {
        connected.lab.locked_record(change)?;
    }
    let keys = keys(&connected).await?;
    match command {
        KeyCommand::Show { json: true } => session.json(&keys),
        KeyCommand::Show { json: false } => {
            let verdict = if keys.server == keys.caller { "they match" } else { "they differ: its requests are 401" };
            session.line(&format!("server  {}\ncaller  {}\n{verdict}", keys.server, keys.caller))?;
            for (name, key) in &keys.callers {
                let verdict = if *key == keys.server { "" } else { "  differs: its requests are 401" };
                session.line(&format!("caller {name}  {key}{verdict}"))?;
            }
            Ok(Exit::Held)
        }
        KeyCommand::Rotate { key } => rotate(session, &connected, &keys, key).await,
        KeyCommand::Align { caller } => align(session, &connected, &keys, caller.as_deref()),
    }
}

async fn keys(connected: &Connected) -> anyhow::Result<Keys> {
    let server = connected.server_key().await?.unwrap_or_default();
    let Record { caller_key: caller, callers, .. } = connected.lab.existing()?;
    Ok(Keys { server, caller, callers })
}

async fn rotate(session: &Session, connected: &Connected, keys: &Keys, key: &str) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let ensured = connected.engine.ensure(APP, &ServiceChange::env(KEY_VARIABLE, key)).await?;
    connected.lab.set_server_key(key)?;
    if !ensured.changed {
        return session.line(&format!("server already on {key}"));
    }
    session.line(&format!("server {} > {key} in {}", keys.server, human::duration(start.elapsed())))?;
    let name = name_option(&connected.lab);
    if keys.caller == key {
        session.line("caller sends it already")
    } else {
        session.line(&format!(
            "caller still sends {}: lab traffic{name} shows it, lab key align{name} mends it",
            keys.caller
        ))
    }
}

/// Gives the server's key to one caller of a scenario, or to all there are.
fn align(session: &Session, connected: &Connected, keys: &Keys, only: Option<&str>) -> anyhow::Result<Exit> {
    if let Some(name) = only
        && !keys.callers.contains_key(name)
    {
        let known: Vec<&str> = keys.callers.keys().map(String::as_str).collect();
        let has = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Failure::usage(format!("lab {} has no caller {name}", connected.lab.name())).hint(has).into());
    }
    if only.is_none() {
        session.line(&aligned("caller", &keys.caller, &keys.server))?;
        if keys.caller != keys.server {
            connected.lab.set_caller_key(&keys.server)?;
        }
    }
    for (name, key) in keys.callers.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        session.line(&aligned(&format!("caller {name}"), key, &keys.server))?;
        if *key != keys.server {
            connected.lab.set_named_key(name, Some(&keys.server))?;
        }
    }
    Ok(Exit::Held)
}

fn aligned(caller: &str, key: &str, server: &str) -> String {
    if key == server { format!("{caller} already on {server}") } else { format!("{caller} {key} > {server}") }
}
