//! `lab drill update`: a form with one free line. On a terminal, what is missing is asked for.

use std::io::{IsTerminal, Write};

use chrono::Local;
use lab_core::engine::secret;
use lab_core::error::{Exit, Failure};
use lab_core::event::Secrets;
use lab_drill::event::{Audience, ClaimedState, Event};
use lab_drill::updates::warning::{Warning, conceal};
use lab_report::report::human;
use lab_report::term::Tone;

use super::{Active, next};
use crate::cli::UpdateArgs;
use crate::commands::session::Session;
use crate::engines::observed_lab::ObservedLab;
use form::{Form, Times};
use lab_runner::lab::Lab;

mod form;

/// Shortest secret, in bytes.
const SHORTEST: usize = 6;

pub(super) async fn run(session: &Session, args: &UpdateArgs) -> anyhow::Result<Exit> {
    let mut active = Active::open_running(session)?;
    let times = Times { now: Local::now(), clock: active.log.now(), entries: &active.entries };
    let mut form = Form::from_args(args, &times)?;
    let is_interactive = session.term.is_terminal() && std::io::stdin().is_terminal();
    if is_interactive {
        form.complete(&times, &mut ask)?;
    }
    let mut update = form.update()?;
    let secrets = secrets(&active.lab).await;
    let found = conceal(&mut update, &secrets);
    if !args.yes {
        confirm(session, &found, is_interactive)?;
    }
    let to = match update.to {
        Audience::Customers => "the customers",
        Audience::Internal => "your company",
    };
    let (promised, closes) = (update.next, update.state == ClaimedState::Resolved);
    active.append(Event::Update(update))?;
    session.line(&format!("sent to {to} at {}", active.clock()))?;
    let name = active.lab.name_option();
    match promised {
        _ if closes => next(session, &format!("lab drill finish{name}")),
        Some(seconds) => next(session, &format!("the next update within {}", human::drill_time(seconds * 1000))),
        None => next(session, &format!("lab drill status{name} tells when the next update is due")),
    }
}

/// Asks a question on the terminal. `None` is the end of the input.
fn ask(question: &str) -> std::io::Result<Option<String>> {
    let mut out = std::io::stdout().lock();
    out.write_all(question.as_bytes())?;
    out.flush()?;
    let mut answer = String::new();
    Ok((std::io::stdin().read_line(&mut answer)? > 0).then_some(answer))
}

/// Points out secrets, estimates and internals before the update is sent, because it cannot be taken back.
fn confirm(session: &Session, found: &[Warning], is_interactive: bool) -> anyhow::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    for reason in found.iter().map(Warning::reason) {
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &format!("warning: {reason}")));
    }
    if is_interactive && ask("send it anyway? [y/N] ")?.is_some_and(|answer| matches!(answer.trim(), "y" | "yes")) {
        return Ok(());
    }
    Err(Failure::failed("the update was not sent").hint("change the text, or add --yes to send it as it is").into())
}

/// Values in the lab that must not leave it: keys, passwords, and variables that hold secrets.
pub(in crate::commands) async fn secrets(lab: &Lab) -> Secrets {
    let mut values = Vec::new();
    if let Ok(Some(record)) = lab.record() {
        values.extend([record.caller_key].into_iter().chain(record.server_key).chain(record.callers.into_values()));
        values.extend(record.containers.secrets.into_values());
    }
    // Of a lab that does not answer, the values of its record are known.
    if let Ok((_, now)) = ObservedLab::new(lab).describe().await {
        let roles = &now.roles;
        let is_secret = |name: &str| secret::is_secret(roles, name) || name.contains(&roles.key_variable);
        let variables = now.services.iter().flat_map(|service| &service.env);
        values.extend(variables.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()));
    }
    let mut secrets = Secrets::default();
    // A switch or a number is no secret, whatever the name of its variable.
    values.iter().filter(|value| value.len() >= SHORTEST).for_each(|value| secrets.add(value));
    secrets
}
