//! `lab key`: the two keys whose mismatch is the incident. Changes made here are the user's own and are not undone by lab.

use std::time::Instant;

use super::change::ManualChange;
use super::session::{Connected, Session};
use crate::cli::KeyCommand;
use lab_core::engine::{Roles, ServiceChange};
use lab_core::error::{Exit, Failure};
use lab_core::event::Keys;
use lab_report::report::human;
use lab_runner::lab::Record;
use lab_runner::lab::lock::Lock;
use lab_runner::lab::revisions::Author;
use lab_scenario::value::check_key;

pub(super) async fn run(session: &Session, command: &KeyCommand) -> anyhow::Result<Exit> {
    if let KeyCommand::Rotate { key } = command {
        check_key(key).map_err(|error| Failure::usage(format!("invalid key: {error}")))?;
    }
    let connected = session.connect()?;
    match command {
        KeyCommand::Show { json } => {
            connected.settle().await?;
            let keys = keys(&connected).await?;
            // In a drill, comparing them is part of the diagnosis.
            show(session, &keys, *json, connected.lab.drill()?.is_none())
        }
        KeyCommand::Rotate { key } => rotate(session, &connected, key).await,
        KeyCommand::Align { caller } => {
            let (_change, keys) = locked(&connected, "lab key align").await?;
            align(session, &connected, &keys, caller.as_deref())
        }
    }
}

/// Shows the keys, and whether they match if `compare` is set.
fn show(session: &Session, keys: &Keys, json: bool, compare: bool) -> anyhow::Result<Exit> {
    if json {
        return session.json(keys);
    }
    let verdict = match (keys.server == keys.caller, keys.accept(&keys.caller)) {
        (true, _) => "they match",
        (false, true) => "the caller sends the previous key, which the server still accepts",
        (false, false) => "they differ: requests get 401",
    };
    let previous =
        keys.previous.as_ref().map(|key| format!("\nprevious key, still accepted  {key}")).unwrap_or_default();
    session.line(&format!("server  {}{previous}\ncaller  {}", keys.server, keys.caller))?;
    if compare {
        session.line(verdict)?;
    }
    for (name, key) in &keys.callers {
        let verdict = match (*key == keys.server, keys.accept(key)) {
            _ if !compare => "",
            (true, _) => "",
            (false, true) => "  previous key, still accepted",
            (false, false) => "  differs: requests get 401",
        };
        session.line(&format!("caller {name}  {key}{verdict}"))?;
    }
    Ok(Exit::Passed)
}

/// Locks the lab for changes and reads its keys under the lock.
async fn locked(connected: &Connected, holder: &str) -> anyhow::Result<(Lock, Keys)> {
    let change = connected.lab.lock_change(holder).await?;
    connected.lab.locked_record(&change)?;
    connected.lab.settle(connected.engine.as_ref()).await?;
    Ok((change, keys(connected).await?))
}

async fn keys(connected: &Connected) -> anyhow::Result<Keys> {
    let server = connected.server_key().await?.unwrap_or_default();
    let known = connected.keys(&connected.describe().await?)?;
    let Record { caller_key: caller, callers, .. } = connected.lab.existing()?;
    Ok(Keys { server, previous: known.and_then(|keys| keys.previous), caller, callers })
}

async fn rotate(session: &Session, connected: &Connected, key: &str) -> anyhow::Result<Exit> {
    let change = match ManualChange::begin(session, connected, "lab key rotate").await? {
        Ok(change) => change,
        Err(exit) => return Ok(exit),
    };
    let keys = keys(connected).await?;
    let start = Instant::now();
    let Roles { app, key_variable, .. } = connected.engine.roles();
    if !change.apply(&app, &[ServiceChange::env(&key_variable, key)]).await?.changed {
        session.line(&format!("server already on {key}"))?;
        return Ok(change.exit());
    }
    session.line(&format!("server {} > {key} in {}", keys.server, human::duration(start.elapsed())))?;
    let name = connected.lab.name_option();
    if keys.caller == key {
        session.line("caller already sends it")?;
    } else {
        session.line(&format!(
            "caller still sends {}: see it with lab traffic{name}, fix it with lab key align{name}",
            keys.caller
        ))?;
    }
    Ok(change.exit())
}

/// Gives the server's key to one caller of a scenario, or to all callers.
fn align(session: &Session, connected: &Connected, keys: &Keys, only: Option<&str>) -> anyhow::Result<Exit> {
    if let Some(name) = only
        && !keys.callers.contains_key(name)
    {
        let known: Vec<&str> = keys.callers.keys().map(String::as_str).collect();
        let has = if known.is_empty() {
            "this lab has no named callers".to_owned()
        } else {
            format!("this lab has {}", known.join(", "))
        };
        return Err(Failure::usage(format!("lab {} has no caller {name}", connected.lab.name())).hint(has).into());
    }
    let mut record = connected.lab.existing()?;
    let mut lines = Vec::new();
    if only.is_none() {
        lines.push(aligned("caller", &keys.caller, &keys.server));
        record.caller_key.clone_from(&keys.server);
    }
    for (name, key) in keys.callers.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        lines.push(aligned(&format!("caller {name}"), key, &keys.server));
        record.callers.insert(name.clone(), keys.server.clone());
    }
    // Saved at once, so that a killed command leaves all callers changed or none.
    connected.lab.change_callers(&Author::hand("lab key align"), |before| *before = record)?;
    session.line(&lines.join("\n"))?;
    Ok(Exit::Passed)
}

fn aligned(caller: &str, key: &str, server: &str) -> String {
    if key == server { format!("{caller} already on {server}") } else { format!("{caller} {key} > {server}") }
}
