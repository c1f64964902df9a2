//! `lab up`: starts a lab, or restarts what is down of it.

use crate::engines::Connect;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Instant;

use super::choose::{self, NewLab};
use super::session::{Connected, Session, name_option};
use super::signals;
use crate::cli::{EngineChoice, ImagesChoice, UpArgs};
use lab_containers::docker;
use lab_core::engine::{Description, EngineErrorKind, ProgressFn, RunState, ServiceStatus};
use lab_core::error::{Exit, Failure};
use lab_report::report::{human, text};
use lab_report::term::{Plain, Tone};
use lab_runner::lab::{Containers, DEFAULT_NAME, Lab, Record};
use lab_runner::runner::Signal;
use lab_stack::{Reading, Stack, resolved};

/// Gateway port of the lab `default`.
const DEFAULT_PORT: u16 = 8080;

/// State of the lab before `up`; empty for a new lab.
struct Known {
    record: Option<Record>,
    stack: Option<Stack>,
}

impl Known {
    fn read(lab: &Lab) -> anyhow::Result<Self> {
        let record = lab.record()?;
        // An unreadable stack is ignored: `up` reads the stack from its files anyway.
        let stack = record.as_ref().and_then(|_| lab.stack().ok().flatten());
        Ok(Self { record, stack })
    }
}

/// Result of `up`.
enum Outcome {
    New,
    /// Restarted a lab that was down, completely or in part. Has the repaired services, if it was up in part.
    Restarted(String),
    /// Nothing to do.
    AlreadyUp,
}

pub(super) async fn run(session: &Session, args: &UpArgs) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let lab = session.lab()?;
    session.note_pending_undo(&lab)?;
    session.note_leftover_labs(&lab)?;
    let interrupt = signals::install()?;
    let live = session.term.live("starting the lab", Plain::Silent);
    // Held until the end: after Ctrl-C only our own changes are undone, and the record stays as it was read.
    let _change = tokio::select! {
        change = lab.lock_change("lab up") => change?,
        () = interrupt.stop().cancelled() => {
            live.clear();
            return Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
        }
    };
    let known = Known::read(&lab)?;
    let progress = super::progress::show(&session.term);
    let bring = bring_up(session, &lab, &known, args, progress);
    let started = tokio::select! {
        started = bring => Some(started),
        () = interrupt.stop().cancelled() => None,
    };
    let (connected, description, outcome) = match started {
        Some(Ok(started)) => started,
        failed => {
            let back = roll_back(&lab, &known).await;
            live.clear();
            return match failed {
                Some(Err(error)) => Err(error),
                _ => back.map(|()| interrupt.signal().map_or(Exit::Interrupted, Signal::exit)),
            };
        }
    };
    live.clear();
    let took = human::duration(start.elapsed());
    let (what, repaired) = match outcome {
        Outcome::New => (format!("is up in {took}"), String::new()),
        Outcome::Restarted(repaired) => (format!("is up again in {took}, with the same keys"), repaired),
        Outcome::AlreadyUp => ("is up already".to_owned(), String::new()),
    };
    show(session, &connected, &description, &what, &repaired)
}

/// Updates the record of an existing lab. Its engine, stack, image and address cannot change.
fn known_record(lab: &Lab, record: Record, args: &UpArgs) -> Result<Record, Failure> {
    let requested = match args.new_lab.engine {
        EngineChoice::Auto => record.engine.as_str(),
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => lab_embedded::NAME,
    };
    let has = &record.containers;
    let same_stack = |folder: &PathBuf| has.stack.as_ref().is_some_and(|other| resolved(folder) == resolved(other));
    let same_image = |image: &String| has.app_image.as_ref().is_some_and(|other| docker::is_same_image(image, other));
    let same_bind = |address: IpAddr| address == has.bind.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let other = !args.stack.as_ref().is_none_or(same_stack)
        || !args.app_image.as_ref().is_none_or(same_image)
        || !args.new_lab.bind.is_none_or(same_bind);
    if requested != record.engine || other {
        let message = format!("lab {} exists already, on {}", lab.name(), record.engine);
        return Err(
            Failure::usage(message).hint(format!("run lab down{} first, or choose another --name", name_option(lab)))
        );
    }
    let offline = args.new_lab.images.map_or(record.containers.offline, |images| images == ImagesChoice::Offline);
    let dashboard_port = if record.engine == docker::NAME { choose::dashboard_port()? } else { None };
    let mut containers = Containers { offline, dashboard_port, ..record.containers };
    if !args.allow_folder.is_empty() {
        containers.allowed = choose::allowed_folders(&args.allow_folder)?;
    }
    Ok(Record { containers, ..record })
}

/// Notes, before anything starts, what the stack reads from elsewhere and how it differs from the last `up`.
fn announce(session: &Session, before: Option<&Stack>, reading: &Reading) {
    let differences = before.map(|before| before.differences(&reading.stack)).unwrap_or_default();
    let differences = differences.iter().map(|line| format!("stack changed: {line}"));
    for line in reading.announcements().into_iter().chain(differences) {
        session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &line));
    }
}

async fn new_record(session: &Session, lab: &Lab, args: &UpArgs) -> anyhow::Result<Record> {
    let default = if lab.name() == DEFAULT_NAME { DEFAULT_PORT } else { 0 };
    let mut new_lab = NewLab::new(&args.new_lab, args.port.unwrap_or(default), "lab up")?;
    new_lab.containers.stack = args.stack.as_deref().map(choose::stack_folder).transpose()?;
    new_lab.containers.allowed = choose::allowed_folders(&args.allow_folder)?;
    new_lab.containers.app_image.clone_from(&args.app_image);
    choose::record(session, lab, new_lab).await
}

/// Starts the lab; the caller holds its change lock.
async fn bring_up(
    session: &Session,
    lab: &Lab,
    known: &Known,
    args: &UpArgs,
    progress: ProgressFn,
) -> anyhow::Result<(Connected, Description, Outcome)> {
    let mut record = match &known.record {
        Some(record) => known_record(lab, record.clone(), args)?,
        None => new_record(session, lab, args).await?,
    };
    if !args.allow_folder.is_empty() && record.containers.stack.is_none() {
        return Err(Failure::usage("--allow-folder requires your own stack").hint("add --stack DIR").into());
    }
    let stack = lab.read_stack(&record)?.map(|reading| {
        announce(session, known.stack.as_ref(), &reading);
        reading.stack
    });
    let engine = lab.engine_with(&record, stack.clone())?;
    let known = known.record.as_ref();
    let mut before = None;
    if known.is_some() {
        match engine.describe().await {
            Ok(now) => {
                check_port(lab, args.port, &now)?;
                before = Some(now);
            }
            Err(error) if matches!(error.kind, EngineErrorKind::NotUp | EngineErrorKind::Lost) => {}
            Err(error) => return Err(error.into()),
        }
    }
    record.gateway_port = args.port.unwrap_or(record.gateway_port);
    if known.is_none() {
        super::session::check_reachable(engine.as_ref()).await?;
    }
    if let Some(stack) = &stack {
        lab.save_stack(stack)?;
    }
    lab.save(&record)?;
    let description = engine.up(&lab.up_request(&record)?, progress).await?;
    if let Some(key) = description.server_key() {
        // Also records the result of an interrupted key change.
        lab.set_server_key(key)?;
    }
    let outcome = match before.map(|before| repaired(&before, &description)) {
        None if known.is_none() => Outcome::New,
        None => Outcome::Restarted(String::new()),
        Some(nothing) if nothing.is_empty() => Outcome::AlreadyUp,
        Some(repaired) => Outcome::Restarted(repaired),
    };
    Ok((Connected { lab: lab.clone(), record: lab.existing()?, engine }, description, outcome))
}

/// Services that `up` repaired: `recreated app; started db`.
fn repaired(before: &Description, now: &Description) -> String {
    let (mut recreated, mut started) = (Vec::new(), Vec::new());
    for service in now.services.iter().filter(|service| service.state == RunState::Running) {
        match before.service(&service.name) {
            Some(was) if was.instance.is_some() && was.state != RunState::Running => {
                started.push(service.name.as_str());
            }
            Some(was) if was.instance == service.instance => {}
            _ => recreated.push(service.name.as_str()),
        }
    }
    let parts = [("recreated", recreated), ("started", started)];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    parts.map(|(what, names)| format!("{what} {}", names.join(", "))).collect::<Vec<_>>().join("; ")
}

/// After an error or Ctrl-C: removes a new lab, restores the record of an existing one.
async fn roll_back(lab: &Lab, known: &Known) -> anyhow::Result<()> {
    if let Some(record) = &known.record {
        match &known.stack {
            Some(stack) => lab.save_stack(stack)?,
            None => lab.forget_stack()?,
        }
        return Ok(lab.save(record)?);
    }
    if let Some(record) = lab.record()? {
        super::down::down(lab, lab.engine_for_down(&record)?.as_ref()).await?;
    }
    Ok(lab.remove()?)
}

/// Rejects a `--port` that differs from the port of a running lab.
fn check_port(lab: &Lab, requested: Option<u16>, now: &Description) -> Result<(), Failure> {
    let has = now.endpoints.gateway.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    match requested {
        Some(requested) if requested != 0 && Some(requested) != has => {
            let message = format!("lab {} is up already, on {}", lab.name(), now.endpoints.gateway);
            Err(Failure::usage(message).hint(format!("run lab down{} first, or omit --port", name_option(lab))))
        }
        _ => Ok(()),
    }
}

/// Services that are not running, with the reason. `up` does not wait for services outside the request path.
fn stopped(now: &Description) -> Vec<String> {
    let stopped = now.services.iter().filter(|service| service.state != RunState::Running);
    let describe = |service: &ServiceStatus| {
        let why = service.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("{} is {}{why}", service.name, service.state.name())
    };
    stopped.map(describe).collect()
}

fn show(
    session: &Session,
    connected: &Connected,
    now: &Description,
    what: &str,
    repaired: &str,
) -> anyhow::Result<Exit> {
    let painter = session.term.painter();
    let lab = &connected.lab;
    let gateway = &now.endpoints.gateway;
    let caller = lab.caller_key()?;
    let server = now.server_key().unwrap_or("?").to_owned();
    let keys = if caller == server {
        format!("server and caller on {server}")
    } else {
        format!("server {server}, caller {caller}")
    };
    let name = name_option(lab);
    let width = if session.term.stderr_is_terminal() { session.term.width() } else { usize::MAX };
    for line in stopped(now).iter().chain(&now.notices).flat_map(|notice| text::wrap(notice, width)) {
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &line));
    }
    let title = painter.paint(Tone::Strong, &format!("lab {} {what}", lab.name()));
    if !session.term.is_terminal() {
        // One line for script logs. Programs use `lab status --json`.
        let repaired = if repaired.is_empty() { String::new() } else { format!(" · {repaired}") };
        return session.line(&format!("{title}{repaired} · {} · {gateway} · {keys}", connected.record.engine));
    }
    session.line(&format!("{title} · {}", connected.record.engine))?;
    session.line("")?;
    session.line(&format!("  users    {gateway}/api/users   (X-API-Key: {server})"))?;
    session.line(&format!("  health   {gateway}/health"))?;
    session.line(&format!("  metrics  {gateway}/metrics"))?;
    let page = now.endpoints.grafana.clone().or_else(|| now.endpoints.dashboard.clone());
    let graphs = page.unwrap_or_else(|| "not served".to_owned());
    if let Some(alerts) = &now.endpoints.prometheus {
        session.line(&format!("  alerts   {alerts}"))?;
    }
    session.line(&format!("  graphs   {graphs}"))?;
    session.line(&format!("  keys     {keys}"))?;
    if !repaired.is_empty() {
        session.line(&format!("  repaired {repaired}"))?;
    }
    session.line("")?;
    let next = format!("next: lab traffic{name} · lab scenario run rotate-key{name} · lab down{name}");
    for line in text::wrap(&next, session.term.width()) {
        session.line(&painter.paint(Tone::Dim, &line))?;
    }
    Ok(Exit::Passed)
}
