//! `lab drill status` and `lab drill watch`: clock, messages, services, what the callers get, and what is due.

use lab_core::error::{Exit, Failure};
use lab_drill::fold::PublicCaller;
use lab_report::report::spark::sparkline;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::{human, short_id, text};
use lab_report::term::Tone;
use lab_runner::runner::Signal;

use super::diagnose::{describe, describe_answer};
use super::{Active, log_failure, next};
use crate::commands::session::Session;
use crate::commands::signals;
use crate::engines::observed_lab::ObservedLab;
use crate::watch::EndReason;
use crate::watch::drill::{DrillEnd, DrillSnapshot, DrillSource, ServiceState, watch_drill};

/// Width of the column with the times of messages.
const TIME: usize = 9;

fn source(active: Active) -> DrillSource {
    let lab = ObservedLab::new(&active.lab);
    DrillSource::new(active.log, active.drill, lab)
}

pub(super) async fn run(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let active = Active::open(session)?;
    let lab = active.lab.clone();
    let snapshot = source(active).snapshot().await.map_err(|error| log_failure(error, &lab))?;
    if json {
        return session.json(&snapshot);
    }
    show(session, &snapshot, &lab.name_option())
}

pub(super) async fn watch(session: &Session) -> anyhow::Result<Exit> {
    if !session.term.has_full_screen() {
        let message = "lab drill watch needs a terminal for input and output";
        return Err(Failure::usage(message).hint("in a pipe, use lab drill status").into());
    }
    let active = Active::open(session)?;
    let lab = active.lab.clone();
    // Installed before the terminal switches to full screen, so that it is restored on every signal.
    let interrupt = signals::install()?;
    let (screen, colour) = (session.term.full_screen()?, session.term.painter().is_on());
    match watch_drill(screen, source(active), colour, &lab.name_option(), interrupt.stop()).await? {
        DrillEnd::Log(error) => Err(log_failure(error, &lab)),
        DrillEnd::View(ended) => Ok(match ended {
            EndReason::Quit => Exit::Passed,
            EndReason::Interrupted => Exit::Interrupted,
            EndReason::Gone => Exit::Terminated,
            EndReason::Stopped => interrupt.signal().map_or(Exit::Terminated, Signal::exit),
        }),
    }
}

fn show(session: &Session, snapshot: &DrillSnapshot, option: &str) -> anyhow::Result<Exit> {
    let (painter, view) = (session.term.painter(), &snapshot.view);
    let title = painter.paint(Tone::Strong, &format!("drill {}", short_id(&view.id)));
    let kind = snapshot.kind();
    session.line(&format!("{title} · lab {} · {}{kind}", view.lab, human::drill_time(view.clock)))?;
    let (tone, state) = snapshot.state(option);
    session.line(&painter.paint(tone, &state))?;
    for (index, one) in view.tries.iter().enumerate() {
        let findings: Vec<String> = one.findings.iter().copied().map(describe).collect();
        let (tone, answer) = describe_answer(one.answer);
        let at = human::drill_time(one.at);
        let answer = painter.paint(tone, answer);
        session.line(&format!("diagnosis {} at {at}: {} · {answer}", index + 1, findings.join(", and ")))?;
    }
    session.line("")?;
    callers(&view.callers).write(&mut session.term.out(), session.term.width(), painter)?;
    history(session, snapshot)?;
    session.line("")?;
    services(session, snapshot)?;
    session.line("")?;
    messages(session, snapshot)?;
    let (tone, due) = snapshot.due(option);
    session.line(&painter.paint(tone, &format!("due: {due}")))?;
    next(session, &next_step(snapshot, option))
}

fn callers(callers: &[PublicCaller]) -> Table {
    let mut table = Table::new(&[("caller", Side::Left), ("rate", Side::Right), ("success, last 10s", Side::Right)]);
    for PublicCaller { name, rate, sent, succeeded } in callers {
        let share = match sent {
            0 => Cell::new(Tone::Dim, "no requests"),
            _ if succeeded == sent => Cell::new(Tone::Good, "100%"),
            _ => Cell::new(Tone::Failed, human::share((*succeeded).into(), (*sent).into())),
        };
        table.row([name.as_str().into(), format!("{}/s", human::number(*rate)).into(), share]);
    }
    table
}

/// Share of successful requests over the last seconds.
fn history(session: &Session, snapshot: &DrillSnapshot) -> anyhow::Result<()> {
    let shares = snapshot.success(session.term.width().saturating_sub(16));
    if !shares.is_empty() {
        let last = format!("last {}", human::drill_time(shares.len() as u64 * 1000));
        session.line(&format!("{} {}", session.term.painter().paint(Tone::Dim, &last), sparkline(&shares, 1.0)))?;
    }
    Ok(())
}

fn services(session: &Session, snapshot: &DrillSnapshot) -> anyhow::Result<()> {
    let painter = session.term.painter();
    if let Some(error) = &snapshot.error {
        session.line(&painter.paint(Tone::Failed, &format!("services: {error}")))?;
        return Ok(());
    }
    let state = |service: &ServiceState| {
        let tone = if service.is_good { Tone::Good } else { Tone::Failed };
        format!("{} {}", service.name, painter.paint(tone, service.state))
    };
    session.line(&snapshot.services.iter().map(state).collect::<Vec<_>>().join(" · "))?;
    Ok(())
}

fn messages(session: &Session, snapshot: &DrillSnapshot) -> anyhow::Result<()> {
    let painter = session.term.painter();
    if snapshot.messages.is_empty() {
        session.line(&painter.paint(Tone::Dim, "no messages yet"))?;
    }
    for message in &snapshot.messages {
        let width = session.term.width().saturating_sub(TIME).max(20);
        let lines = text::wrap(&format!("{}: {}", message.from, message.text), width);
        for (index, line) in lines.iter().enumerate() {
            let at = if index == 0 { human::drill_time(message.at) } else { String::new() };
            session.line(&format!("{}{line}", painter.paint(Tone::Dim, &format!("{at:<TIME$}"))))?;
        }
    }
    Ok(())
}

/// The commands that a participant needs next.
fn next_step(snapshot: &DrillSnapshot, option: &str) -> String {
    let view = &snapshot.view;
    if view.ended.is_some() {
        return format!("lab drill finish{option}");
    }
    if view.acknowledged.is_none() {
        return format!("lab drill ack{option} when something is wrong · lab status{option} · lab drill watch{option}");
    }
    if view.tries.is_empty() {
        return format!("lab drill diagnose{option} · lab drill hint{option} · lab drill update{option}");
    }
    format!("lab drill update{option} · lab drill hint{option} · lab drill finish{option} when it is over")
}
