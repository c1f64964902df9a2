//! `lab status`: what runs, how it is, and where it is reached.

use crate::engines::Connect;
use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;

use super::session::{Connected, Session, missing, name_option};
use crate::cli::StatusArgs;
use lab_core::engine::{APP, Description, EngineError, EngineErrorKind, Health, Overall, RunState, ServiceStatus};
use lab_core::error::Exit;
use lab_core::event::{Keys, Secrets};
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::{human, text};
use lab_report::term::Tone;
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::undo;

/// `lab status --json`.
#[derive(Serialize)]
struct Document {
    lab: String,
    engine: String,
    /// `healthy`, `degraded`, `stopped`, `down` or `unknown`.
    state: Standing,
    /// Why it is down, or why its state is unknown.
    error: Option<String>,
    keys: Option<Keys>,
    gateway: Option<String>,
    prometheus: Option<String>,
    grafana: Option<String>,
    /// lab's own, where Grafana does not run.
    dashboard: Option<String>,
    services: Vec<ServiceStatus>,
    /// What people should know of it: a service that it goes without.
    notices: Vec<String>,
    /// The run that holds the lab now.
    run: Option<String>,
    undo: Option<Owed>,
}

/// How a lab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// Every service runs, and none is unhealthy.
    Healthy,
    /// Some services are stopped, paused or unhealthy.
    Degraded,
    /// No service runs.
    Stopped,
    /// It was never up, or what ran it is gone.
    Down,
    /// It cannot be found out.
    Unknown,
}

impl Standing {
    fn name(self) -> &'static str {
        match self {
            Self::Healthy => Overall::Healthy.name(),
            Self::Degraded => Overall::Degraded.name(),
            Self::Stopped => Overall::Stopped.name(),
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Healthy => Tone::Held,
            Self::Degraded => Tone::Warn,
            Self::Stopped | Self::Down | Self::Unknown => Tone::Failed,
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::Healthy => Exit::Passed,
            Self::Degraded => Exit::NotPassed,
            Self::Stopped | Self::Down | Self::Unknown => Exit::Failed,
        }
    }

    /// Whether its services are known.
    fn is_up(self) -> bool {
        !matches!(self, Self::Down | Self::Unknown)
    }
}

impl From<Overall> for Standing {
    fn from(overall: Overall) -> Self {
        match overall {
            Overall::Healthy => Self::Healthy,
            Overall::Degraded => Self::Degraded,
            Overall::Stopped => Self::Stopped,
        }
    }
}

/// What a run has changed and not put back.
#[derive(Serialize)]
struct Owed {
    run: String,
    scenario: String,
    /// Kept on purpose, and not owed.
    kept: bool,
}

pub(super) async fn run(session: &Session, args: &StatusArgs) -> anyhow::Result<Exit> {
    if args.all {
        return all(session, args.json).await;
    }
    let lab = session.lab()?;
    session.mention_left(&lab)?;
    let Some(document) = look(&lab).await? else { return Err(missing(&lab).into()) };
    let exit = document.state.exit();
    if args.json {
        session.json(&document)?;
    } else {
        show(session, &lab, &document)?;
    }
    Ok(exit)
}

/// The state of a lab; none where it does not exist.
async fn look(lab: &Lab) -> anyhow::Result<Option<Document>> {
    let Some(record) = lab.record()? else { return Ok(None) };
    let engine = lab.engine(&record)?;
    let undo = undo::pending(lab)?.filter(|_| lab.running().is_none());
    let undo = undo.map(|pending| Owed { run: pending.run, scenario: pending.scenario, kept: pending.kept });
    let connected = Connected { lab: lab.clone(), record, engine };
    connected.settle().await?;
    let described = connected.engine.describe().await;
    Ok(Some(document(&connected, described, undo)?))
}

/// A lab without its services.
fn empty(lab: &Lab, engine: &str, state: Standing) -> Document {
    Document {
        lab: lab.name().to_owned(),
        engine: engine.to_owned(),
        state,
        error: None,
        keys: None,
        gateway: None,
        prometheus: None,
        grafana: None,
        dashboard: None,
        services: Vec::new(),
        notices: Vec::new(),
        run: lab.running(),
        undo: None,
    }
}

/// A lab whose state cannot be found out, and why.
fn unknown(lab: &Lab, why: String) -> Document {
    let engine = lab.record().ok().flatten().map(|record| record.engine);
    Document { error: Some(why), ..empty(lab, engine.as_deref().unwrap_or("-"), Standing::Unknown) }
}

fn document(
    connected: &Connected,
    described: Result<Description, EngineError>,
    undo: Option<Owed>,
) -> anyhow::Result<Document> {
    let (caller, callers) = (connected.record.caller_key.clone(), connected.record.callers.clone());
    let empty = empty(&connected.lab, &connected.record.engine, Standing::Down);
    let mut document = Document { undo, ..empty };
    match described {
        Ok(now) => {
            document.state = now.overall().into();
            let gone = now.service(APP).is_some_and(|app| app.instance.is_none());
            // It comes back with the key that is remembered.
            let remembered = connected.record.expected_server_key().filter(|_| gone);
            let server = remembered.or_else(|| now.server_key());
            document.keys = server.map(|server| Keys { server: server.to_owned(), caller, callers });
            document.gateway = Some(now.endpoints.gateway);
            (document.prometheus, document.grafana) = (now.endpoints.prometheus, now.endpoints.grafana);
            document.dashboard = now.endpoints.dashboard;
            document.services = now.services;
            hide(&mut document.services, &connected.record.containers.secrets);
            document.notices = now.notices;
        }
        Err(error) if matches!(error.kind, EngineErrorKind::NotUp | EngineErrorKind::Lost) => {
            document.error = Some(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(document)
}

fn show(session: &Session, lab: &Lab, document: &Document) -> anyhow::Result<()> {
    let painter = session.term.painter();
    let name = name_option(lab);
    let title = painter.paint(Tone::Strong, &format!("lab {}", document.lab));
    let place = document.gateway.as_deref().map(|gateway| format!(" · {gateway}")).unwrap_or_default();
    let state = painter.paint(document.state.tone(), document.state.name());
    session.line(&format!("{title} · {state} · {}{place}", document.engine))?;
    if let Some(error) = &document.error {
        session.line(&painter.paint(Tone::Failed, &format!("{}: {error}", document.state.name())))?;
        session.line(&format!("next: lab up{name} brings it back with the same keys · lab down{name} forgets it"))?;
    } else {
        session.line("")?;
        services(&document.services).write(&mut session.term.out(), session.term.width(), painter)?;
        session.line("")?;
        for (tone, remark) in remarks(document) {
            for line in text::wrap(&remark, session.term.width()) {
                session.line(&painter.paint(tone, &line))?;
            }
        }
        if matches!(document.state, Standing::Degraded | Standing::Stopped) {
            session.line(&format!("next: lab up{name} starts what is stopped or paused · lab logs{name} shows why"))?;
        }
    }
    if let Some(keys) = &document.keys {
        for (_, line) in lab_report::report::keys(keys) {
            session.line(&line)?;
        }
    }
    if let Some(dashboard) = &document.dashboard {
        session.line(&format!("graphs {dashboard}"))?;
    } else if document.state.is_up() && document.grafana.is_none() {
        session.line(&format!("graphs are served by no one: lab up{name} starts that again"))?;
    }
    if let Some(run) = &document.run {
        session.line(&format!("busy: {run}"))?;
    }
    if let Some(owed) = &document.undo {
        let text = lab_report::report::owed(&owed.run, &owed.scenario, owed.kept, &name);
        session.line(&painter.paint(Tone::Warn, &text))?;
    }
    Ok(())
}

/// A row a service. What one says of itself is too long for a table: see [`remarks`].
fn services(services: &[ServiceStatus]) -> Table {
    let containers = services.iter().any(|service| service.image.is_some());
    let made_from = if containers { ("image", Side::Left) } else { ("pid", Side::Right) };
    let mut table = Table::new(&[
        ("service", Side::Left),
        ("state", Side::Left),
        ("address", Side::Left),
        ("up", Side::Right),
        made_from,
    ]);
    for service in services {
        let up = service.since.filter(|_| service.state == RunState::Running);
        let up = up.and_then(|since| (chrono::Utc::now() - since).to_std().ok());
        let pid = service.pid.map(|pid| pid.to_string());
        table.row([
            service.name.as_str().into(),
            state(service),
            service.address.clone().unwrap_or_else(|| "-".to_owned()).into(),
            up.map_or_else(|| "-".to_owned(), |up| human::clock(up.as_secs_f64())).into(),
            service.image.clone().or(pid).unwrap_or_else(|| "-".to_owned()).into(),
        ]);
    }
    table
}

/// One word for whether it runs and is well, in its colour.
fn state(service: &ServiceStatus) -> Cell {
    let tone = match (service.state, service.health) {
        (RunState::Running, Health::Healthy) => Tone::Held,
        (RunState::Running, Health::Unchecked) => Tone::Plain,
        (RunState::Paused, _) | (RunState::Running, Health::Starting) => Tone::Warn,
        (RunState::Running, Health::Unhealthy) | (RunState::Stopped, _) => Tone::Failed,
    };
    Cell::new(tone, service.word())
}

/// What the services say of themselves, how often they were started again, and what the lab goes without.
fn remarks(document: &Document) -> Vec<(Tone, String)> {
    let mut remarks = Vec::new();
    for service in &document.services {
        let tone = if service.health == Health::Unhealthy { Tone::Failed } else { Tone::Dim };
        if let Some(detail) = &service.detail {
            remarks.push((tone, format!("{}: {detail}", service.name)));
        }
        if let Some(restarts) = service.restarts.filter(|restarts| *restarts > 0) {
            let times = human::count(restarts.into(), "time");
            remarks.push((Tone::Warn, format!("{}: it was started again {times} by itself", service.name)));
        }
    }
    remarks.extend(document.notices.iter().map(|notice| (Tone::Warn, notice.clone())));
    remarks
}

/// The lab's passwords: such a document is shown, and sent to others.
fn hide(services: &mut [ServiceStatus], passwords: &BTreeMap<String, String>) {
    let mut secrets = Secrets::default();
    for password in passwords.values() {
        secrets.add(password);
    }
    for value in services.iter_mut().flat_map(|service| service.env.values_mut()) {
        secrets.hide(value);
    }
}

async fn all(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let mut documents = Vec::new();
    let mut exit = Exit::Passed;
    let labs = StateFolder::open()?.labs()?;
    labs.iter().for_each(|lab| session.hide_secrets_of(lab));
    // At once: a daemon that is silent delays its own labs only.
    let found = join_all(labs.iter().map(look)).await;
    for (lab, found) in labs.iter().zip(found) {
        match found {
            Ok(document) => {
                exit = document.iter().fold(exit, |exit, document| exit.worse(document.state.exit()));
                documents.extend(document);
            }
            // One that cannot be read does not hide the others.
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
    if documents.is_empty() {
        if exit == Exit::Passed {
            session.line("there is no lab; lab up brings one up")?;
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
        let note = match (&document.run, &document.undo) {
            (Some(run), _) => format!("busy: {run}"),
            (None, Some(owed)) if owed.kept => "kept".to_owned(),
            (None, Some(_)) => "undo owed".to_owned(),
            (None, None) => String::new(),
        };
        table.row([
            document.lab.as_str().into(),
            document.engine.as_str().into(),
            Cell::new(document.state.tone(), document.state.name()),
            document.gateway.as_deref().unwrap_or("-").into(),
            keys.map_or("-", |keys| keys.server.as_str()).into(),
            keys.map_or("-", |keys| keys.caller.as_str()).into(),
            Cell::new(Tone::Warn, note),
        ]);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(exit)
}
