//! `lab up`: brings a lab up, or back.

use crate::engines::Connect;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Instant;

use super::choose::{self, Wish};
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

/// The gateway's port of the lab `default`.
const DEFAULT_PORT: u16 = 8080;

/// What is remembered of a lab before it comes up; of a new one nothing.
struct Known {
    record: Option<Record>,
    stack: Option<Stack>,
}

impl Known {
    fn read(lab: &Lab) -> anyhow::Result<Self> {
        let record = lab.record()?;
        // One that cannot be read is read from its files, as all are by `up`.
        let stack = record.as_ref().and_then(|_| lab.stack().ok().flatten());
        Ok(Self { record, stack })
    }
}

/// What `up` found, and did.
enum Came {
    /// It is a new lab.
    New,
    /// Its record was there, its stack was not, or not all of it: what of it was mended, where there was anything to mend.
    Back(String),
    /// It ran already.
    Already,
}

pub(super) async fn run(session: &Session, args: &UpArgs) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let lab = session.lab()?;
    session.mention_undo(&lab)?;
    session.mention_left(&lab)?;
    let interrupt = signals::install()?;
    let live = session.term.live("starting the lab", Plain::Silent);
    // Held until the end: what is undone after Ctrl-C is nobody else's lab, and what is read is still so when it is used.
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
    let brought = tokio::select! {
        brought = bring => Some(brought),
        () = interrupt.stop().cancelled() => None,
    };
    let (connected, description, came) = match brought {
        Some(Ok(brought)) => brought,
        failed => {
            let back = put_back(&lab, &known).await;
            live.clear();
            return match failed {
                Some(Err(error)) => Err(error),
                _ => back.map(|()| interrupt.signal().map_or(Exit::Interrupted, Signal::exit)),
            };
        }
    };
    live.clear();
    let took = human::duration(start.elapsed());
    let (what, mended) = match came {
        Came::New => (format!("is up in {took}"), String::new()),
        Came::Back(mended) => (format!("is up again in {took}, with the keys that it had"), mended),
        Came::Already => ("is up already".to_owned(), String::new()),
    };
    show(session, &connected, &description, &what, &mended)
}

/// A lab that exists stays on its engine.
fn known_record(lab: &Lab, record: Record, args: &UpArgs) -> Result<Record, Failure> {
    let wanted = match args.ground.engine {
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
        || !args.ground.bind.is_none_or(same_bind);
    if wanted != record.engine || other {
        let message = format!("lab {} exists already, on {}", lab.name(), record.engine);
        return Err(
            Failure::usage(message).hint(format!("lab down{} first, or another name: --name", name_option(lab)))
        );
    }
    let offline = args.ground.images.map_or(record.containers.offline, |images| images == ImagesChoice::Offline);
    let dashboard_port = if record.engine == docker::NAME { choose::dashboard_port()? } else { None };
    let mut containers = Containers { offline, dashboard_port, ..record.containers };
    if !args.allow_folder.is_empty() {
        containers.allowed = choose::allowed_folders(&args.allow_folder)?;
    }
    Ok(Record { containers, ..record })
}

/// Says, before anything starts, what the stack got from elsewhere, and what is different since the lab came up last.
fn announce(session: &Session, before: Option<&Stack>, reading: &Reading) {
    let differences = before.map(|before| before.differences(&reading.stack)).unwrap_or_default();
    let differences = differences.iter().map(|line| format!("the stack has changed: {line}"));
    for line in reading.announcements().into_iter().chain(differences) {
        session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &line));
    }
}

async fn new_record(session: &Session, lab: &Lab, args: &UpArgs) -> anyhow::Result<Record> {
    let default = if lab.name() == DEFAULT_NAME { DEFAULT_PORT } else { 0 };
    let mut wish = Wish::new(&args.ground, args.port.unwrap_or(default), "lab up")?;
    wish.containers.stack = args.stack.as_deref().map(choose::stack_folder).transpose()?;
    wish.containers.allowed = choose::allowed_folders(&args.allow_folder)?;
    wish.containers.app_image.clone_from(&args.app_image);
    choose::record(session, lab, wish).await
}

/// Brings up the lab `lab`, whose change lock is held.
async fn bring_up(
    session: &Session,
    lab: &Lab,
    known: &Known,
    args: &UpArgs,
    progress: ProgressFn,
) -> anyhow::Result<(Connected, Description, Came)> {
    let mut record = match &known.record {
        Some(record) => known_record(lab, record.clone(), args)?,
        None => new_record(session, lab, args).await?,
    };
    if !args.allow_folder.is_empty() && record.containers.stack.is_none() {
        return Err(Failure::usage("--allow-folder is for a stack of your own").hint("--stack DIR").into());
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
        super::session::reachable(engine.as_ref()).await?;
    }
    if let Some(stack) = &stack {
        lab.save_stack(stack)?;
    }
    lab.save(&record)?;
    let description = engine.up(&lab.up_request(&record)?, progress).await?;
    if let Some(key) = description.server_key() {
        // Also after a change of it that was interrupted.
        lab.set_server_key(key)?;
    }
    let came = match before.map(|before| mended(&before, &description)) {
        None if known.is_none() => Came::New,
        None => Came::Back(String::new()),
        Some(nothing) if nothing.is_empty() => Came::Already,
        Some(mended) => Came::Back(mended),
    };
    Ok((Connected { lab: lab.clone(), record: lab.existing()?, engine }, description, came))
}

/// What `up` did to a lab that was there: `made app; started db`.
fn mended(before: &Description, now: &Description) -> String {
    let (mut made, mut started) = (Vec::new(), Vec::new());
    for service in now.services.iter().filter(|service| service.state == RunState::Running) {
        match before.service(&service.name) {
            Some(was) if was.instance.is_some() && was.state != RunState::Running => {
                started.push(service.name.as_str());
            }
            Some(was) if was.instance == service.instance => {}
            _ => made.push(service.name.as_str()),
        }
    }
    let told = [("made", made), ("started", started)];
    let told = told.iter().filter(|(_, names)| !names.is_empty());
    told.map(|(what, names)| format!("{what} {}", names.join(", "))).collect::<Vec<_>>().join("; ")
}

/// After an error, or Ctrl-C: of a new lab nothing is left, a known one is remembered as it was.
async fn put_back(lab: &Lab, known: &Known) -> anyhow::Result<()> {
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

/// A lab that runs keeps its port.
fn check_port(lab: &Lab, wanted: Option<u16>, now: &Description) -> Result<(), Failure> {
    let has = now.endpoints.gateway.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    match wanted {
        Some(wanted) if wanted != 0 && Some(wanted) != has => {
            let message = format!("lab {} is up already, on {}", lab.name(), now.endpoints.gateway);
            Err(Failure::usage(message).hint(format!("lab down{} first, or leave out --port", name_option(lab))))
        }
        _ => Ok(()),
    }
}

/// What does not run, and why: what no request passes through is not waited for.
fn ended(now: &Description) -> Vec<String> {
    let ended = now.services.iter().filter(|service| service.state != RunState::Running);
    let told = |service: &ServiceStatus| {
        let why = service.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("{} is {}{why}", service.name, service.state.name())
    };
    ended.map(told).collect()
}

fn show(session: &Session, connected: &Connected, now: &Description, what: &str, mended: &str) -> anyhow::Result<Exit> {
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
    for line in ended(now).iter().chain(&now.notices).flat_map(|notice| text::wrap(notice, width)) {
        session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &line));
    }
    let title = painter.paint(Tone::Strong, &format!("lab {} {what}", lab.name()));
    if !session.term.is_terminal() {
        // In a script's log: what is up, and where. `lab status --json` is for programs.
        let mended = if mended.is_empty() { String::new() } else { format!(" · {mended}") };
        return session.line(&format!("{title}{mended} · {} · {gateway} · {keys}", connected.record.engine));
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
    if !mended.is_empty() {
        session.line(&format!("  mended   {mended}"))?;
    }
    session.line("")?;
    let next = format!("next: lab traffic{name} · lab scenario run rotate-key{name} · lab down{name}");
    for line in text::wrap(&next, session.term.width()) {
        session.line(&painter.paint(Tone::Dim, &line))?;
    }
    Ok(Exit::Passed)
}
