//! `lab room`: one lab per seat of a workshop, and a server with the pages of participants, board and trainer. Most commands
//! are requests to that server, the same as the buttons of the trainer's page.

use lab_core::error::{Exit, Failure};
use lab_room::config::{DEFAULT_NAME, RoomConfig, Rooms, describe};
use lab_room::fold;
use lab_room::log::RoomLog;
use lab_runner::lab::StateFolder;
use lab_system::files::Folder;

use super::session::Session;
use crate::cli::{RoomCommand, RoomDrillCommand};

mod client;
mod console;
mod cost;
mod desk;
pub(super) mod down;
pub(super) mod host;
mod labs;
mod process;
mod resume;
mod roster;
pub(super) mod status;
mod up;
mod words;

use client::Desk;
use process::RoomProcess;

pub(super) async fn run(session: &Session, command: &RoomCommand) -> anyhow::Result<Exit> {
    match command {
        RoomCommand::Up(args) => up::run(session, args).await,
        RoomCommand::Status(args) => status::run(session, args),
        RoomCommand::Drill(RoomDrillCommand::Start(args)) => desk::start_drill(session, args).await,
        RoomCommand::Drill(RoomDrillCommand::End) => desk::send(session, "end", &[], "the drill is over").await,
        RoomCommand::Drill(RoomDrillCommand::Pause) | RoomCommand::Pause(_) => {
            desk::send(session, "pause", &[], "every clock stands still").await
        }
        RoomCommand::Drill(RoomDrillCommand::Resume) => desk::send(session, "resume", &[], "the clocks go on").await,
        RoomCommand::Say { text, seat } => desk::say(session, text, *seat).await,
        RoomCommand::Inject { text, from, seat } => desk::inject(session, text, from, *seat).await,
        RoomCommand::Extend { seat, by } => desk::extend(session, *seat, by).await,
        RoomCommand::Reset { seat } => desk::reset(session, *seat).await,
        RoomCommand::Reveal => {
            desk::send(session, "reveal", &[], "the incident, the points and the debriefs are shown").await
        }
        RoomCommand::Freeze { off } => desk::freeze(session, !off).await,
        RoomCommand::Scene { scene, seat } => desk::scene(session, *scene, *seat).await,
        RoomCommand::Export { format, output } => desk::export(session, *format, output.as_deref()).await,
        RoomCommand::Resume(_) => resume::run(session).await,
        RoomCommand::Down(args) => down::run(session, args).await,
    }
}

/// A room on disk. Its server may not be running.
struct Room {
    state: StateFolder,
    name: String,
    folder: Folder,
    config: RoomConfig,
}

impl Room {
    /// The selected room, which must exist.
    fn open(session: &Session) -> anyhow::Result<Self> {
        let state = StateFolder::open()?;
        let name = selected(session, &state)?;
        let folder = Rooms::new(state.root()).folder(&name);
        match RoomConfig::read(&folder) {
            Ok(Some(config)) => Ok(Self { state, name, folder, config }),
            Ok(None) => Err(no_such_room(&name).into()),
            Err(error) => Err(Failure::failed(error.to_string())
                .hint(format!("lab room down {name} removes the room and its labs"))
                .into()),
        }
    }

    /// Fold of its log.
    fn fold(&self) -> anyhow::Result<fold::Room> {
        Ok(fold::Room::from_entries(&self.config, &RoomLog::read(&self.folder)?))
    }

    fn process(&self) -> RoomProcess {
        RoomProcess::new(&self.folder)
    }

    /// The server, which must be running.
    fn desk(&self) -> Result<Desk, Failure> {
        if !self.process().is_running() {
            let message = format!("the server of {} is not running", describe(&self.name));
            return Err(Failure::failed(message).hint(format!("lab room resume {} starts it again", self.name)));
        }
        Ok(Desk::new(&self.name, &self.config))
    }
}

/// Name of the selected room: the given one, else that of the only room.
fn selected(session: &Session, state: &StateFolder) -> anyhow::Result<String> {
    if let Some(name) = session.named() {
        // A room's name is part of its labs' names.
        state.lab(name)?;
        return Ok(name.to_owned());
    }
    let mut names = Rooms::new(state.root()).names()?;
    match names.as_slice() {
        [] => Ok(DEFAULT_NAME.to_owned()),
        [_] => Ok(names.remove(0)),
        _ => {
            let message = format!("there are several rooms: {}", names.join(", "));
            Err(Failure::usage(message).hint("select one with --name NAME").into())
        }
    }
}

fn no_such_room(name: &str) -> Failure {
    if name == DEFAULT_NAME {
        return Failure::failed("there is no room").hint("lab room up --seats 10 opens one");
    }
    Failure::failed(format!("room {name} does not exist")).hint(format!("lab room up {name} --seats 10 opens it"))
}
