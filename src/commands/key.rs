//! `lab key`: the two keys whose mismatch is the incident. What is changed here is the user's own doing, and owes no undo.

use std::time::Instant;

use super::session::{Connected, Session, name_option};
use crate::cli::KeyCommand;
use crate::engine::{APP, KEY_VARIABLE, ServiceChange};
use crate::error::{Exit, Failure};
use crate::event::Keys;
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
        KeyCommand::Align => Some(connected.lab.lock_change("lab key align").await?),
    };
    if let Some(change) = &change {
        connected.lab.locked_record(change)?;
    }
    let keys = keys(&connected).await?;
    match command {
        KeyCommand::Show { json: true } => session.json(&keys),
        KeyCommand::Show { json: false } => {
            let verdict = if keys.server == keys.caller { "they match" } else { "they differ: its requests are 401" };
            session.line(&format!("server  {}\ncaller  {}\n{verdict}", keys.server, keys.caller))
        }
        KeyCommand::Rotate { key } => rotate(session, &connected, &keys, key).await,
        KeyCommand::Align => align(session, &connected, &keys),
    }
}

async fn keys(connected: &Connected) -> anyhow::Result<Keys> {
    let now = connected.describe().await?;
    let server = now.server_key().map(str::to_owned).unwrap_or_default();
    Ok(Keys { server, caller: connected.lab.caller_key()? })
}

async fn rotate(session: &Session, connected: &Connected, keys: &Keys, key: &str) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let ensured = connected.engine.ensure(APP, &ServiceChange::env(KEY_VARIABLE, key)).await?;
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

fn align(session: &Session, connected: &Connected, keys: &Keys) -> anyhow::Result<Exit> {
    if keys.caller == keys.server {
        return session.line(&format!("caller already on {}", keys.server));
    }
    connected.lab.set_caller_key(&keys.server)?;
    session.line(&format!("caller {} > {}", keys.caller, keys.server))
}
