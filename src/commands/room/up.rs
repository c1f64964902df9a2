//! `lab room up`: opens a room, starts its server and waits until the labs are up.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use chrono::{SubsecRound, Utc};
use serde::Serialize;

use super::cost::{Cost, Machine};
use super::process::RoomProcess;
use super::{host, roster};
use crate::cli::{EngineChoice, RoomUpArgs};
use crate::commands::choose::{self, DockerStatus};
use crate::commands::session::Session;
use crate::commands::signals;
use lab_containers::docker;
use lab_containers::swarm::{self, Cluster};
use lab_core::engine::{host_from_env, port};
use lab_core::error::{Exit, Failure};
use lab_report::report::human;
use lab_report::term::{Fallback, Tone};
use lab_room::code::{Code, Token};
use lab_room::config::{DEFAULT_NAME, MAX_SEATS, RoomConfig, Rooms, SeatConfig, describe, lab_name};
use lab_room::fold::{LabState, Room};
use lab_room::log::RoomLog;
use lab_runner::lab::{Containers, StateFolder};
use lab_runner::runner::Signal;
use lab_system::deadline::Deadline;
use lab_system::files::Folder;

/// Time for all labs to come up.
const UP_TIMEOUT: Duration = Duration::from_mins(10);
/// Interval of the look at the room's log.
const INTERVAL: Duration = Duration::from_millis(50);
/// Longest name of a room, so that those of its labs are not too long.
const LONGEST: usize = 30;

/// Output of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    room: &'a str,
    engine: &'a str,
    /// Address for participants.
    address: String,
    /// Address for the trainer, with the token.
    desk: String,
    seats: usize,
    ready: usize,
    /// Seats whose labs did not come up, with the reason.
    failed: Vec<(u16, String)>,
    seconds: f64,
}

pub(super) async fn run(session: &Session, args: &RoomUpArgs) -> anyhow::Result<Exit> {
    let state = StateFolder::open()?;
    let name = session.named().unwrap_or(DEFAULT_NAME);
    let folder = Rooms::new(state.root()).folder(name);
    check_name(&state, name, &folder)?;
    let all = seats(args)?;
    let names = args.roster.as_deref().map(|path| roster::read(path, args.seats)).transpose()?.unwrap_or_default();
    let engine = engine(&state, args.engine).await?;
    let (machine, cost) = (Machine::inspect(), Cost::new(all, engine));
    cost.check(&machine)?;
    let address = address(args)?;
    let config = config(name, engine, address, args, &names)?;
    check_labs(&state, &config)?;
    session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &cost.describe(&machine)));
    let start = Instant::now();
    let interrupt = signals::install()?;
    let line = session.term.progress_line("opening the room", Fallback::Silent);
    config.create(&folder)?;
    let process = RoomProcess::new(&folder);
    if let Err(error) = process.start(&state, name).await {
        line.clear();
        process.stop().await?;
        std::fs::remove_dir_all(folder.root())?;
        return Err(error);
    }
    let room = tokio::select! {
        room = until_up(&folder, &config, &process) => Some(room?),
        () = interrupt.stop().cancelled() => None,
    };
    line.clear();
    let Some(room) = room else {
        session.term.note(&format!(
            "the labs still come up; lab room status {name} shows them, lab room down {name} removes them"
        ));
        return Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
    };
    show(session, args.json, &config, &room, start.elapsed())
}

/// Refuses a name that is not one, or is taken.
fn check_name(state: &StateFolder, name: &str, folder: &Folder) -> anyhow::Result<()> {
    state.lab(name)?;
    if name.len() > LONGEST {
        return Err(Failure::usage(format!("the name {name} is too long: at most {LONGEST} characters")).into());
    }
    if folder.path("room.json").exists() {
        let message = format!("{} exists already", describe(name));
        let hint = format!("lab room status {name} · lab room resume {name} · lab room down {name}");
        return Err(Failure::failed(message).hint(hint).into());
    }
    Ok(())
}

/// Number of all seats.
fn seats(args: &RoomUpArgs) -> Result<u16, Failure> {
    let all = args.seats.checked_add(args.reserve).filter(|all| *all <= MAX_SEATS);
    match all {
        Some(_) if args.seats == 0 => Err(Failure::usage("--seats: expected at least 1")),
        Some(all) => Ok(all),
        None => Err(Failure::usage(format!("--seats and --reserve: at most {MAX_SEATS} together"))),
    }
}

/// Name of the engine. Docker must have all images, because seats do not wait for downloads.
async fn engine(state: &StateFolder, choice: EngineChoice) -> anyhow::Result<&'static str> {
    match choice {
        EngineChoice::Auto | EngineChoice::Embedded => return Ok(lab_embedded::NAME),
        EngineChoice::Swarm => {
            // Fails now instead of for each seat, if the daemon is not a manager.
            Cluster::connect(host_from_env().as_deref()).await?;
            return Ok(swarm::NAME);
        }
        EngineChoice::Docker => {}
    }
    let containers = Containers::new().map_err(|error| anyhow::anyhow!("cannot get random bytes: {error}"))?;
    let message = match choose::docker_status(&state.lab(DEFAULT_NAME)?, &containers).await? {
        DockerStatus::Ready => return Ok(docker::NAME),
        DockerStatus::MissingImages(missing) => {
            let message = format!("Docker does not have {} of the stack", human::count(missing, "image"));
            return Err(Failure::failed(message).hint("lab images pull gets them").into());
        }
        DockerStatus::Remote => "the Docker daemon is on another machine, and a room needs one on this machine",
        DockerStatus::Unavailable => "the Docker daemon does not answer",
    };
    Err(Failure::failed(message).hint("lab doctor explains it · add --engine embedded to use no Docker").into())
}

/// Address to listen on. A free port is chosen now, because the room keeps it.
fn address(args: &RoomUpArgs) -> Result<SocketAddr, Failure> {
    let asked = SocketAddr::new(args.bind, args.port);
    match TcpListener::bind(asked).and_then(|listener| listener.local_addr()) {
        Ok(address) => Ok(address),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let detail = port::require_free(args.port).err().map(|taken| taken.detail);
            let message = detail.unwrap_or_else(|| format!("{asked} is in use"));
            Err(Failure::failed(message).hint("give the room another port: --port 7001, or --port 0 for a free one"))
        }
        Err(error) => Err(Failure::failed(format!("cannot listen on {asked}: {error}"))
            .hint("--bind needs an address of this machine, such as 0.0.0.0; --port one above 1023")),
    }
}

fn config(
    name: &str,
    engine: &str,
    address: SocketAddr,
    args: &RoomUpArgs,
    names: &[String],
) -> anyhow::Result<RoomConfig> {
    let all = args.seats + args.reserve;
    let random = |error| anyhow::anyhow!("cannot get random bytes: {error}");
    let codes = Code::random(usize::from(all)).map_err(random)?;
    let seat = |(number, code): (u16, Code)| SeatConfig {
        number,
        lab: lab_name(name, number, all),
        code,
        name: names.get(usize::from(number) - 1).cloned(),
        reserve: number > args.seats,
    };
    Ok(RoomConfig {
        version: lab_room::VERSION,
        name: name.to_owned(),
        created: Utc::now().trunc_subsecs(3),
        engine: engine.to_owned(),
        address,
        desk: Token::random().map_err(random)?,
        seats: (1..=all).zip(codes).map(seat).collect(),
    })
}

/// Refuses a room whose labs exist already.
fn check_labs(state: &StateFolder, config: &RoomConfig) -> anyhow::Result<()> {
    let mut taken = Vec::new();
    for seat in &config.seats {
        if state.lab(&seat.lab)?.folder().root().exists() {
            taken.push(seat.lab.as_str());
        }
    }
    let Some(first) = taken.first() else { return Ok(()) };
    let message = match taken.len() {
        1 => format!("lab {first} exists already, and would be a seat of {}", describe(&config.name)),
        count => {
            format!("{count} labs exist already that would be seats of {}, such as {first}", describe(&config.name))
        }
    };
    let hint = format!("lab down {first} removes a lab · choose another name for the room");
    Err(Failure::failed(message).hint(hint).into())
}

/// Waits until every lab is up or has failed.
async fn until_up(folder: &Folder, config: &RoomConfig, process: &RoomProcess) -> anyhow::Result<Room> {
    let deadline = Deadline::after(UP_TIMEOUT);
    loop {
        let room = Room::from_entries(config, &RoomLog::read(folder)?);
        if room.seats.values().all(|seat| seat.lab != LabState::Starting) || deadline.is_over() {
            return Ok(room);
        }
        if !process.is_running() {
            let message = format!("the server of {} has exited", describe(&config.name));
            return Err(Failure::failed(message).hint(format!("see {}", folder.path("room.log").display())).into());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn show(session: &Session, json: bool, config: &RoomConfig, room: &Room, took: Duration) -> anyhow::Result<Exit> {
    let failed: Vec<(u16, String)> = room
        .seats
        .values()
        .filter_map(|seat| match &seat.lab {
            LabState::Failed(reason) => Some((seat.number, reason.clone())),
            LabState::Starting => Some((seat.number, "it is still starting".to_owned())),
            LabState::Ready => None,
        })
        .collect();
    let exit = if failed.is_empty() { Exit::Passed } else { Exit::Failed };
    let address = host::url(config.address);
    let desk = desk_url(config);
    let ready = config.seats.len() - failed.len();
    if json {
        session.json(&Document {
            room: &config.name,
            engine: &config.engine,
            address,
            desk,
            seats: config.seats.len(),
            ready,
            failed,
            seconds: took.as_secs_f64(),
        })?;
        return Ok(exit);
    }
    let painter = session.term.painter();
    let title = format!("{} is open", describe(&config.name));
    let seats = human::count(ready as u64, "seat");
    session.line(&format!(
        "{} · {seats} in {} · {}",
        painter.paint(Tone::Strong, &title),
        human::duration(took),
        config.engine
    ))?;
    for (seat, reason) in &failed {
        session.line(&painter.paint(Tone::Failed, &format!("seat {seat}: {reason}")))?;
    }
    session.line("")?;
    session.line(&format!("  participants  {address}"))?;
    session.line(&format!("  board         {address}/board"))?;
    session.line(&format!("  trainer       {desk}"))?;
    session.line("")?;
    if config.address.ip().is_loopback() {
        let text = "only this machine can reach the room; lab room up --bind 0.0.0.0 lets others join";
        session.line(&painter.paint(Tone::Dim, text))?;
    }
    let name = name_argument(&config.name);
    let next = format!("next: open the trainer's page · lab room drill start · lab room down{name}");
    session.line(&painter.paint(Tone::Dim, &next))?;
    Ok(exit)
}

/// Address of the trainer's page, with its token.
pub(super) fn desk_url(config: &RoomConfig) -> String {
    format!("{}/desk?token={}", host::url(config.address), config.desk.as_str())
}

/// The name as an argument, with a space before it. Empty for the default name.
pub(super) fn name_argument(name: &str) -> String {
    if name == DEFAULT_NAME { String::new() } else { format!(" {name}") }
}
