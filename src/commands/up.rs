//! `lab up`: starts a lab, or restarts what is down of it.

use crate::engines::EngineRegistry;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::choose::{self, NewLab};
use super::failure::provision_failure;
use super::session::Session;
use super::signals;
use crate::cli::{ImagesChoice, UpArgs};
use lab_containers::docker;
use lab_core::engine::{Description, Endpoints, RunState, ServiceStatus};
use lab_core::error::{Exit, Failure};
use lab_report::report::{human, short_id, text};
use lab_report::term::{Fallback, Tone};
use lab_runner::lab::{Containers, DEFAULT_NAME, Lab, Record};
use lab_runner::provision::{Connector, KeptFault, ProvisionError, Repairs, RunningLab, UpOutcome, UpTransaction};
use lab_runner::runner::{Interrupt, Signal};
use lab_stack::{Reading, Stack, resolved};

/// Gateway port of the lab `default`.
const DEFAULT_PORT: u16 = 8080;

pub(super) async fn run(session: &Session, args: &UpArgs) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let lab = session.lab()?;
    session.note_pending_undo(&lab)?;
    session.note_leftover_labs(&lab)?;
    let interrupt = signals::install()?;
    let line = session.term.progress_line("starting the lab", Fallback::Silent);
    let started = bring_up(session, &lab, args, &interrupt).await;
    line.clear();
    let Some(running) = started? else {
        return Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
    };
    if let UpOutcome::KeptFault(fault) = &running.outcome {
        note_fault(session, &lab, fault);
    }
    if args.json {
        return session.json(&Document::new(&lab, &running, start.elapsed())?);
    }
    let took = human::duration(start.elapsed());
    let (what, repairs) = match &running.outcome {
        UpOutcome::Created => (format!("is up in {took}"), Repairs::default()),
        UpOutcome::Restarted(repairs) => (format!("is up again in {took}, with the same keys"), repairs.clone()),
        UpOutcome::AlreadyUp => ("is up already".to_owned(), Repairs::default()),
        UpOutcome::KeptFault(fault) => {
            let started = Repairs { started: fault.started.clone(), ..Repairs::default() };
            ("is up with its kept fault".to_owned(), started)
        }
    };
    show(session, &lab, &running, &what, &repairs)
}

/// Output of `lab up --json`.
#[derive(Serialize)]
struct Document {
    lab: String,
    engine: String,
    /// `created`, `restarted`, `unchanged` or `kept_fault`.
    outcome: &'static str,
    /// Run that left the kept fault.
    kept_fault: Option<String>,
    /// Services with a new instance.
    recreated: Vec<String>,
    /// Services whose instance was stopped or paused.
    started: Vec<String>,
    gateway: String,
    prometheus: Option<String>,
    grafana: Option<String>,
    /// lab's own dashboard, if Grafana does not run.
    dashboard: Option<String>,
    server_key: Option<String>,
    caller_key: String,
    /// Services that do not run, and notices of the engine.
    notices: Vec<String>,
    seconds: f64,
}

impl Document {
    fn new(lab: &Lab, running: &RunningLab, took: Duration) -> anyhow::Result<Self> {
        let RunningLab { record, description: now, outcome, .. } = running;
        let (name, kept_fault, repairs) = match outcome {
            UpOutcome::Created => ("created", None, Repairs::default()),
            UpOutcome::Restarted(repairs) => ("restarted", None, repairs.clone()),
            UpOutcome::AlreadyUp => ("unchanged", None, Repairs::default()),
            UpOutcome::KeptFault(fault) => {
                let started = Repairs { started: fault.started.clone(), ..Repairs::default() };
                ("kept_fault", Some(fault.run.clone()), started)
            }
        };
        let Endpoints { gateway, prometheus, grafana, dashboard, .. } = now.endpoints.clone();
        Ok(Self {
            lab: lab.name().to_owned(),
            engine: record.engine.clone(),
            outcome: name,
            kept_fault,
            recreated: repairs.recreated,
            started: repairs.started,
            gateway,
            prometheus,
            grafana,
            dashboard,
            server_key: now.server_key().map(str::to_owned),
            caller_key: lab.caller_key()?,
            notices: stopped(now).into_iter().chain(now.notices.iter().cloned()).collect(),
            seconds: took.as_secs_f64(),
        })
    }
}

/// Names the fault that `lab up` leaves as it is, and the commands that help.
fn note_fault(session: &Session, lab: &Lab, fault: &KeptFault) {
    let KeptFault { run, scenario, .. } = fault;
    let name = lab.name_option();
    let fault = format!("kept fault of run {} ({scenario}); lab up does not repair it", short_id(run));
    session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &fault));
    let mut next = vec![format!("lab history{name} shows what changed")];
    if lab_scenario::library::names().any(|known| known == scenario) {
        next.push(format!("docs/runbooks/{scenario}.md explains how to fix it"));
    }
    next.push(format!("lab recover{name} undoes it"));
    next.push(format!("lab reset{name} resets the lab"));
    session.term.note(&format!("next: {}", next.join(" · ")));
}

/// Brings the lab up, or restores what was there before. `None` after a signal.
pub(super) async fn bring_up(
    session: &Session,
    lab: &Lab,
    args: &UpArgs,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<RunningLab>> {
    let provisioner = session.provisioner(interrupt);
    let transaction = match provisioner.begin_up(lab, "lab up").await {
        Err(ProvisionError::Interrupted) => return Ok(None),
        transaction => transaction.map_err(|error| provision_failure(error, lab))?,
    };
    let started = tokio::select! {
        started = start(session, lab, args, &transaction) => started.map(Some),
        () = interrupt.stop().cancelled() => Ok(None),
    };
    match started {
        Ok(Some(running)) => Ok(Some(running)),
        failed => {
            let rolled_back = transaction.roll_back().await.map_err(|error| match error {
                ProvisionError::Engine(error) => super::down::try_again(lab, error).into(),
                error => provision_failure(error, lab),
            });
            // The error that made it necessary matters more.
            failed?;
            rolled_back.map(|()| None)
        }
    }
}

/// Updates the record of an existing lab. Its engine, stack, image and address cannot change.
fn known_record(lab: &Lab, record: Record, args: &UpArgs) -> Result<Record, Failure> {
    let requested = choose::engine_name(args.new_lab.engine).unwrap_or(&record.engine);
    let has = &record.containers;
    let same_stack = |folder: &PathBuf| has.stack.as_ref().is_some_and(|other| resolved(folder) == resolved(other));
    let same_image = |image: &String| has.app_image.as_ref().is_some_and(|other| docker::is_same_image(image, other));
    let same_bind = |address: IpAddr| address == has.bind.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let other = !args.new_stack.stack.as_ref().is_none_or(same_stack)
        || !args.new_stack.app_image.as_ref().is_none_or(same_image)
        || !args.new_lab.bind.is_none_or(same_bind);
    if requested != record.engine || other {
        let message = format!("lab {} exists already, on {}", lab.name(), record.engine);
        return Err(
            Failure::usage(message).hint(format!("run lab down{} first, or choose another --name", lab.name_option()))
        );
    }
    let offline = args.new_lab.images.map_or(record.containers.offline, |images| images == ImagesChoice::Offline);
    let dashboard_port = if choose::has_dashboard_process(&record.engine) { choose::dashboard_port()? } else { None };
    let mut containers = Containers { offline, dashboard_port, ..record.containers };
    if !args.new_stack.allow_folder.is_empty() {
        containers.allowed = choose::allowed_folders(&args.new_stack.allow_folder)?;
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
    let mut new_lab = NewLab::new(&args.new_lab, args.new_stack.port.unwrap_or(default), "lab up")?;
    new_lab.containers.stack = args.new_stack.stack.as_deref().map(choose::stack_folder).transpose()?;
    new_lab.containers.allowed = choose::allowed_folders(&args.new_stack.allow_folder)?;
    new_lab.containers.app_image.clone_from(&args.new_stack.app_image);
    choose::record(session, lab, new_lab).await
}

/// Starts the lab as requested.
async fn start(
    session: &Session,
    lab: &Lab,
    args: &UpArgs,
    transaction: &UpTransaction<'_>,
) -> anyhow::Result<RunningLab> {
    let previous = transaction.previous();
    let record = match &previous.record {
        Some(record) => known_record(lab, record.clone(), args)?,
        None => new_record(session, lab, args).await?,
    };
    if !args.new_stack.allow_folder.is_empty() && record.containers.stack.is_none() {
        return Err(Failure::usage("--allow-folder requires your own stack").hint("add --stack DIR").into());
    }
    let stack = EngineRegistry.read_stack(&record)?.map(|reading| {
        announce(session, previous.stack.as_ref(), &reading);
        reading.stack
    });
    transaction.start(record, stack, args.new_stack.port).await.map_err(|error| provision_failure(error, lab))
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

fn show(session: &Session, lab: &Lab, running: &RunningLab, what: &str, repairs: &Repairs) -> anyhow::Result<Exit> {
    let painter = session.term.painter();
    let (record, now) = (&running.record, &running.description);
    let gateway = &now.endpoints.gateway;
    let caller = lab.caller_key()?;
    let server = now.server_key().unwrap_or("?").to_owned();
    let keys = if caller == server {
        format!("server and caller on {server}")
    } else {
        format!("server {server}, caller {caller}")
    };
    let name = lab.name_option();
    let width = if session.term.stderr_is_terminal() { session.term.width() } else { usize::MAX };
    for line in stopped(now).iter().chain(&now.notices).flat_map(|notice| text::wrap(notice, width)) {
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &line));
    }
    let title = painter.paint(Tone::Strong, &format!("lab {} {what}", lab.name()));
    if !session.term.is_terminal() {
        // One line for script logs. Programs use `lab status --json`.
        let repaired = if repairs.is_empty() { String::new() } else { format!(" · {repairs}") };
        return session.line(&format!("{title}{repaired} · {} · {gateway} · {keys}", record.engine));
    }
    session.line(&format!("{title} · {}", record.engine))?;
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
    if !repairs.is_empty() {
        session.line(&format!("  repaired {repairs}"))?;
    }
    session.line("")?;
    let next = format!("next: lab traffic{name} · lab scenario run rotate-key{name} · lab down{name}");
    for line in text::wrap(&next, session.term.width()) {
        session.line(&painter.paint(Tone::Dim, &line))?;
    }
    Ok(Exit::Passed)
}
