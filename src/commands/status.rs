//! `lab status`: services, health and addresses.

use futures_util::future::join_all;

use super::session::{Connected, Session, no_such_lab};
use crate::cli::StatusArgs;
use crate::engines::Connect;
use lab_core::engine::{Health, RunState, ServiceStatus};
use lab_core::error::Exit;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::{human, text};
use lab_report::term::Tone;
use lab_runner::drill::DrillProcess;
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::undo::{self, UndoState};

mod blind;
mod callers;
mod document;

use document::{Document, LabState, document, unknown};

pub(super) async fn run(session: &Session, args: &StatusArgs) -> anyhow::Result<Exit> {
    if args.all {
        return all(session, args.json).await;
    }
    let lab = session.lab()?;
    session.note_leftover_labs(&lab)?;
    let Some(mut document) = inspect(&lab).await? else { return Err(no_such_lab(&lab).into()) };
    if session.is_in_console() {
        document.hide_addresses();
    }
    let exit = document.state.exit();
    if args.json {
        session.json(&document)?;
    } else {
        show(session, &lab, &document)?;
    }
    Ok(exit)
}

/// State of a lab, `None` if it does not exist.
async fn inspect(lab: &Lab) -> anyhow::Result<Option<Document>> {
    let Some(record) = lab.record()? else { return Ok(None) };
    let engine = lab.engine(&record)?;
    let pending = undo::pending(lab)?.filter(|_| lab.running().is_none());
    let connected = Connected { lab: lab.clone(), record, engine };
    connected.settle().await?;
    let described = connected.engine.describe().await;
    let mut document = document(&connected, described, pending)?;
    document.drill = lab.drill()?;
    if document.drill.is_some() {
        document.hide_causes();
    }
    Ok(Some(document))
}

fn show(session: &Session, lab: &Lab, document: &Document) -> anyhow::Result<()> {
    let painter = session.term.painter();
    let name = lab.name_option();
    let title = painter.paint(Tone::Strong, &format!("lab {}", document.lab));
    let place = document.gateway.as_deref().map(|gateway| format!(" · {gateway}")).unwrap_or_default();
    let (tone, state) = document.headline();
    let state = painter.paint(tone, state);
    session.line(&format!("{title} · {state} · {}{place}", document.engine))?;
    if let Some(error) = &document.error {
        session.line(&painter.paint(Tone::Failed, &format!("{}: {error}", document.state.name())))?;
        session.line(&format!("next: lab up{name} restarts it with the same keys · lab down{name} removes it"))?;
    } else {
        session.line("")?;
        services(&document.services, !session.is_in_console()).write(
            &mut session.term.out(),
            session.term.width(),
            painter,
        )?;
        session.line("")?;
        for (tone, remark) in remarks(document) {
            for line in text::wrap(&remark, session.term.width()) {
                session.line(&painter.paint(tone, &line))?;
            }
        }
        if matches!(document.state, LabState::Degraded | LabState::Stopped) {
            let kept = document.undo.as_ref().is_some_and(|undo| undo.state == UndoState::Kept);
            let first = if kept || document.drill.is_some() {
                format!("lab history{name} shows what changed")
            } else {
                format!("lab up{name} starts stopped and paused services")
            };
            let next = format!("next: {first} · lab logs{name} may show the cause");
            for line in text::wrap(&next, session.term.width()) {
                session.line(&line)?;
            }
        }
    }
    if let Some(keys) = &document.keys {
        for (_, line) in lab_report::report::describe_keys(keys) {
            session.line(&line)?;
        }
    }
    if let Some(callers) = &document.callers {
        let (tone, line) = callers.line();
        session.line(&painter.paint(tone, &line))?;
    }
    if let Some(dashboard) = &document.dashboard {
        session.line(&format!("graphs {dashboard}"))?;
    } else if document.state.is_up() && document.grafana.is_none() && !session.is_in_console() {
        session.line(&format!("graphs are not served; run lab up{name}"))?;
    }
    if let Some(run) = &document.run {
        session.line(&format!("busy: {run}"))?;
    }
    if document.drill.is_some() {
        session.line(&format!("a drill is in progress: lab drill status{name}"))?;
        if !DrillProcess::new(lab).is_running() {
            let text = format!("its referee was killed; lab drill resume{name} continues it");
            session.line(&painter.paint(Tone::Warn, &text))?;
        }
    }
    if lab.is_reset_pending() {
        let text = format!("its reset was interrupted; finish it with lab reset{name}");
        session.line(&painter.paint(Tone::Warn, &text))?;
    }
    if let Some(pending) = &document.undo {
        let text = lab_report::report::pending_undo(&pending.run, &pending.scenario, pending.state, &name);
        session.line(&painter.paint(pending.tone(), &text))?;
    }
    Ok(())
}

/// One row per service. Details are too long for the table: see [`remarks`]. Addresses and processes are left out if the
/// user cannot reach them.
fn services(services: &[ServiceStatus], reachable: bool) -> Table {
    let containers = services.iter().any(|service| service.image.is_some());
    let made_from = if containers { ("image", Side::Left) } else { ("pid", Side::Right) };
    let mut columns = vec![("service", Side::Left), ("state", Side::Left), ("up", Side::Right)];
    if reachable {
        columns.insert(2, ("address", Side::Left));
        columns.push(made_from);
    }
    let mut table = Table::new(&columns);
    for service in services {
        let up = service.since.filter(|_| service.state == RunState::Running);
        let up = up.and_then(|since| (chrono::Utc::now() - since).to_std().ok());
        let pid = service.pid.map(|pid| pid.to_string());
        let up = up.map_or_else(|| "-".to_owned(), |up| human::clock(up.as_secs_f64()));
        let mut cells = vec![service.name.as_str().into(), state(service), up.into()];
        if reachable {
            cells.insert(2, service.address.clone().unwrap_or_else(|| "-".to_owned()).into());
            cells.push(service.image.clone().or(pid).unwrap_or_else(|| "-".to_owned()).into());
        }
        table.row(cells);
    }
    table
}

/// State and health of a service as one coloured word.
fn state(service: &ServiceStatus) -> Cell {
    let tone = match (service.state, service.health) {
        (RunState::Running, Health::Healthy) => Tone::Good,
        (RunState::Running, Health::Unchecked) => Tone::Plain,
        (RunState::Paused, _) | (RunState::Running, Health::Starting) => Tone::Warn,
        (RunState::Running, Health::Unhealthy) | (RunState::Stopped, _) => Tone::Failed,
    };
    Cell::new(tone, service.word())
}

/// Details and restarts of the services, and the lab's notices.
fn remarks(document: &Document) -> Vec<(Tone, String)> {
    let mut remarks = Vec::new();
    for service in &document.services {
        let tone = if service.health == Health::Unhealthy { Tone::Failed } else { Tone::Dim };
        if let Some(detail) = &service.detail {
            remarks.push((tone, format!("{}: {detail}", service.name)));
        }
        if let Some(restarts) = service.restarts.filter(|restarts| *restarts > 0) {
            let times = human::count(restarts.into(), "time");
            remarks.push((Tone::Warn, format!("{}: restarted {times} by itself", service.name)));
        }
    }
    remarks.extend(document.notices.iter().map(|notice| (Tone::Warn, notice.clone())));
    remarks
}

async fn all(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let mut documents = Vec::new();
    let mut exit = Exit::Passed;
    let labs = StateFolder::open()?.labs()?;
    for lab in &labs {
        session.hide_secrets_of(lab);
    }
    // In parallel: a silent daemon delays only its own labs.
    let found = join_all(labs.iter().map(inspect)).await;
    for (lab, found) in labs.iter().zip(found) {
        match found {
            Ok(document) => {
                exit = document.iter().fold(exit, |exit, document| exit.worse(document.state.exit()));
                documents.extend(document);
            }
            // An unreadable lab does not hide the others.
            Err(error) => {
                documents.push(unknown(lab, super::failure::text(&error)));
                exit = exit.worse(super::report_error(&error.context(format!("lab {}", lab.name()))));
            }
        }
    }
    if json {
        session.json(&documents)?;
        return Ok(exit);
    }
    super::room::status::list(session)?;
    if documents.is_empty() {
        if exit == Exit::Passed {
            session.line("there are no labs; start one with lab up")?;
        }
        return Ok(exit);
    }
    let mut table = Table::new(&[
        ("lab", Side::Left),
        ("engine", Side::Left),
        ("state", Side::Left),
        ("gateway", Side::Left),
        ("server key", Side::Left),
        ("caller key", Side::Left),
        ("", Side::Left),
    ]);
    for document in &documents {
        let keys = document.keys.as_ref();
        let (tone, state) = document.headline();
        let gateway = document.gateway.as_deref().map_or("-", |url| url.trim_start_matches("http://"));
        let note = match (&document.run, &document.undo) {
            _ if document.drill.is_some() => "drill".to_owned(),
            (Some(run), _) => format!("busy: {run}"),
            (None, Some(pending)) => pending.note().to_owned(),
            (None, None) => String::new(),
        };
        table.row([
            document.lab.as_str().into(),
            document.engine.as_str().into(),
            Cell::new(tone, state),
            gateway.into(),
            keys.map_or("-", |keys| keys.server.as_str()).into(),
            keys.map_or("-", |keys| keys.caller.as_str()).into(),
            Cell::new(Tone::Warn, note),
        ]);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(exit)
}
