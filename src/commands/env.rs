//! `lab env`: the environment of a service. A change is a rolling redeployment.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::change::ManualChange;
use super::revisions::{Masking, change_text};
use super::session::{Connected, Session, no_service, unknown_service};
use crate::cli::{EnvArgs, EnvCommand};
use lab_core::engine::{APP, Ability, Roles, RunState, ServiceChange, ServiceSpec, environment};
use lab_core::error::{Exit, Failure};
use lab_report::report::human;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::Tone;
use lab_runner::lab::revisions::{Entry, Outcome, Revisions, State};
use lab_scenario::value;

/// Maximum length of a value in bytes.
const VALUE_LIMIT: usize = 32 << 10;

pub(super) async fn run(session: &Session, args: &EnvArgs) -> anyhow::Result<Exit> {
    match (&args.command, &args.service) {
        (Some(EnvCommand::Set { service, variables }), _) => {
            let env = assignments(variables)?;
            change(session, "lab env set", service, env).await
        }
        (Some(EnvCommand::Unset { service, names }), _) => {
            let env = removals(names)?;
            change(session, "lab env unset", service, env).await
        }
        (None, service) => show(session, service.as_deref(), args).await,
    }
}

/// Output of `lab env --json`.
#[derive(Serialize)]
struct Document<'a> {
    lab: &'a str,
    service: &'a str,
    env: BTreeMap<&'a str, String>,
    /// Variables that `lab env set` accepts. `null` if that is any variable that is not reserved.
    settings: Option<&'a [String]>,
}

async fn show(session: &Session, service: Option<&str>, args: &EnvArgs) -> anyhow::Result<Exit> {
    if args.reveal {
        session.reveal();
    }
    let connected = session.connect()?;
    let Some(service) = service else {
        let known = connected.engine.services();
        return Err(no_service("lab env", known.iter().map(|spec| spec.name.as_str())).into());
    };
    connected.settle().await?;
    let spec = spec(&connected, service)?;
    let now = connected.describe().await?;
    let masking = Masking::new(&connected, args.reveal);
    let empty = BTreeMap::new();
    let env = now.service(service).map_or(&empty, |service| &service.env);
    let shown = env.iter().map(|(name, value)| (name.as_str(), masking.value(name, value)));
    if args.json {
        let settings = match &spec.settings {
            lab_core::engine::Settings::Only(names) => Some(names.as_slice()),
            lab_core::engine::Settings::Open => None,
        };
        return session.json(&Document { lab: connected.lab.name(), service, env: shown.collect(), settings });
    }
    let revisions = connected.lab.revisions()?;
    let mut table = Table::new(&[("variable", Side::Left), ("value", Side::Left), ("changed by", Side::Left)]);
    for (name, value) in shown {
        table.row([name.into(), value.into(), Cell::new(Tone::Dim, changed_by(&revisions, service, name))]);
    }
    if table.is_empty() {
        session.line(&format!("{service} has no variables of its own"))?;
    } else {
        table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    }
    Ok(Exit::Passed)
}

/// Last revision that changed a variable: `revision 3, anna (lab env set)`.
fn changed_by(revisions: &Revisions, service: &str, name: &str) -> String {
    let changed = |entry: &Entry<'_>| {
        entry.revision.outcome == Outcome::Done && entry.differences().iter().any(|it| it.name == name)
    };
    let entries = revisions.entries(service);
    let entry = entries.iter().rev().find(|entry| changed(entry));
    entry
        .map(|entry| format!("revision {}, {}", entry.revision.number, entry.revision.author.text()))
        .unwrap_or_default()
}

fn spec(connected: &Connected, service: &str) -> anyhow::Result<ServiceSpec> {
    let known = connected.engine.services();
    let found = known.iter().find(|spec| spec.name == service).cloned();
    Ok(found.ok_or_else(|| unknown_service(service, known.iter().map(|spec| spec.name.as_str())))?)
}

/// Desired values of variables; `None` means unset.
type Env = BTreeMap<String, Option<String>>;

fn assignments(typed: &[String]) -> Result<Env, Failure> {
    let mut env = Env::new();
    for text in typed {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Failure::usage(format!("{text:?} is not NAME=VALUE")).hint("lab env set app NAME=VALUE"));
        };
        let name = variable_name(name)?;
        let value = value::env_value(value).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        if value.len() > VALUE_LIMIT {
            let message = format!("{name}: the value has {} bytes; at most {VALUE_LIMIT} are accepted", value.len());
            return Err(Failure::usage(message));
        }
        add(&mut env, name, Some(value))?;
    }
    Ok(env)
}

fn removals(typed: &[String]) -> Result<Env, Failure> {
    let mut env = Env::new();
    for name in typed {
        add(&mut env, variable_name(name)?, None)?;
    }
    Ok(env)
}

fn variable_name(typed: &str) -> Result<String, Failure> {
    value::env_name(typed).map_err(|error| Failure::usage(format!("{typed:?}: {error}")))
}

fn add(env: &mut Env, name: String, value: Option<String>) -> Result<(), Failure> {
    if env.contains_key(&name) {
        return Err(Failure::usage(format!("{name} was given twice")));
    }
    env.insert(name, value);
    Ok(())
}

async fn change(session: &Session, command: &str, service: &str, env: Env) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let spec = spec(&connected, service)?;
    let wanted = ServiceChange { env, ..ServiceChange::default() };
    check(&connected, &spec, &wanted)?;
    let change = match ManualChange::begin(session, &connected, command).await? {
        Ok(change) => change,
        Err(exit) => return Ok(exit),
    };
    let now = connected.describe().await?;
    let Some(before) = now.service(service).map(State::observed) else {
        let hint = format!("lab up{} creates it", connected.lab.name_option());
        return Err(Failure::failed(format!("{service} does not exist in this lab")).hint(hint).into());
    };
    let absent = |(name, value): &(&String, &Option<String>)| value.is_none() && !before.env.contains_key(*name);
    if let Some((name, _)) = wanted.env.iter().find(absent) {
        let hint = format!("lab env {service}{} lists them", connected.lab.name_option());
        return Err(Failure::usage(format!("{service} has no variable {name}")).hint(hint).into());
    }
    let differences = before.differences(&before.after(&wanted));
    let masking = Masking::new(&connected, false);
    if differences.is_empty() {
        let has: Vec<String> = wanted
            .env
            .iter()
            .map(|(name, value)| format!("{name}={}", masking.option(name, value.as_deref())))
            .collect();
        session.line(&format!("{service} already has {}", has.join(" ")))?;
        return Ok(change.exit());
    }
    let start = Instant::now();
    change.apply(service, &[wanted]).await?;
    let took = human::duration(start.elapsed());
    let what = match before.run {
        RunState::Stopped => format!("{service} configured in {took}, and still stopped"),
        RunState::Paused => format!("{service} redeployed in {took}, and paused again"),
        RunState::Running => format!("{service} redeployed in {took}"),
    };
    let changes: Vec<String> = differences.iter().map(|it| change_text(&masking, it)).collect();
    session.line(&format!("{what}: {}", changes.join(", ")))?;
    let name = connected.lab.name_option();
    session.line(&format!("lab rollback {service}{name} restores the previous revision"))?;
    Ok(change.exit())
}

/// Rejects variables that are not the user's to set, with the reasons.
fn check(connected: &Connected, spec: &ServiceSpec, change: &ServiceChange) -> anyhow::Result<()> {
    let service = &spec.name;
    if !spec.abilities.contains(&Ability::SetEnv) {
        let message = format!("the {} engine cannot change the environment of {service}", connected.engine.name());
        let known = connected.engine.services();
        let able = known.iter().filter(|spec| spec.abilities.contains(&Ability::SetEnv));
        let able: Vec<&str> = able.map(|spec| spec.name.as_str()).collect();
        return Err(Failure::usage(message).hint(format!("it can for {}", able.join(", "))).into());
    }
    let Roles { app, gateway, .. } = connected.engine.roles();
    let role = if *service == app {
        APP
    } else if *service == gateway {
        lab_core::engine::GATEWAY
    } else {
        service
    };
    let is_own_stack = connected.record.containers.stack.is_some();
    for name in change.env.keys() {
        let refused = |why: String| Failure::usage(format!("{name} of {service} cannot be set: {why}"));
        value::env_of(role, name).map_err(|error| refused(error.to_string()))?;
        if name == DATABASE && role == APP && !is_own_stack {
            return Err(refused("the engine sets it: it is the address of the app's database".to_owned()).into());
        }
    }
    let refusals = environment::refusals(spec, change, &connected.engine.services(), true);
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(refusals.join("; ").replace('`', "")).into())
}

/// Variable of the app that lab's own stack sets for the database.
const DATABASE: &str = "DATABASE_URL";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_checked_before_anything_changes() {
        let env = |typed: &[&str]| assignments(&typed.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let message = |typed: &[&str]| env(typed).unwrap_err().message;
        let found = env(&["A=1", "B=x=y", "C="]).unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(found, [("A", Some("1")), ("B", Some("x=y")), ("C", Some(""))]);
        assert_eq!(message(&["A"]), "\"A\" is not NAME=VALUE");
        assert!(message(&["1A=x"]).contains("expected a variable name"));
        assert!(message(&["A=x\ny"]).contains("single line"));
        assert!(message(&["A=x\0y"]).contains("single line"));
        assert_eq!(message(&["A=1", "A=2"]), "A was given twice");
        assert!(message(&[&format!("A={}", "x".repeat(VALUE_LIMIT + 1))]).contains("at most"));
        assert!(removals(&["A=1".to_owned()]).is_err());
    }
}
