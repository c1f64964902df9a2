//! `lab drill`: the commands of a participant. They write to the drill's log and show what can be computed from it; the
//! referee is another process.

use super::session::Session;
use crate::cli::DrillCommand;
use lab_core::error::{Exit, Failure};
use lab_drill::event::{Entry, Event};
use lab_drill::fold::Drill;
use lab_drill::log::{Drills, Log, LogError};
use lab_report::report::human;
use lab_report::term::Tone;
use lab_runner::lab::{Lab, StateFolder};

pub(super) mod begin;
pub(super) mod candidates;
mod diagnose;
pub(super) mod end;
mod hint;
pub(super) mod host;
pub(super) mod look;
mod results;
mod start;
mod status;
mod update;
mod verdict;

pub(super) use update::secrets;

pub(super) async fn run(session: &Session, command: &DrillCommand) -> anyhow::Result<Exit> {
    match command {
        DrillCommand::Start(args) => start::run(session, args).await,
        DrillCommand::Resume => start::resume(session).await,
        DrillCommand::Finish(args) => end::finish_when_judged(session, args).await,
        DrillCommand::GiveUp(args) => end::give_up(session, args).await,
        DrillCommand::Status { json } => status::run(session, *json).await,
        DrillCommand::Watch => status::watch(session).await,
        DrillCommand::Ack => acknowledge(session),
        DrillCommand::Hint { open, json } => hint::run(session, *open, *json),
        DrillCommand::Diagnose { answer, json } => diagnose::run(session, answer, *json),
        DrillCommand::Update(args) => update::run(session, args).await,
        DrillCommand::List { json } => results::list(session, *json),
        DrillCommand::Show { id, debrief } => results::show(session, id, debrief),
    }
}

/// The drill in progress in a lab.
struct Active {
    lab: Lab,
    log: Log,
    /// All entries so far.
    entries: Vec<Entry>,
    drill: Drill,
}

impl Active {
    /// Opens the drill of the selected lab.
    fn open(session: &Session) -> anyhow::Result<Self> {
        let lab = session.lab()?;
        let Some(id) = lab.drill()? else { return Err(no_drill(&lab).into()) };
        let mut log = open_log(&StateFolder::open()?, &id)?;
        let entries = log.read().map_err(|error| log_failure(error, &lab))?;
        let drill = Drill::from_entries(&entries).map_err(|error| Failure::failed(format!("drill {id}: {error}")))?;
        Ok(Self { lab, log, entries, drill })
    }

    /// Like [`Active::open`], but the drill must not be over.
    fn open_running(session: &Session) -> anyhow::Result<Self> {
        let active = Self::open(session)?;
        if active.drill.ended.is_some() {
            return Err(over(&active.lab).into());
        }
        Ok(active)
    }

    /// Appends an event of the participant.
    fn append(&mut self, event: Event) -> anyhow::Result<()> {
        let written = self.log.append(None, event).map_err(|error| log_failure(error, &self.lab))?;
        for entry in &written {
            self.drill.apply(entry);
        }
        self.entries.extend(written);
        Ok(())
    }

    /// Drill time, such as `2m 05s`.
    fn clock(&self) -> String {
        human::drill_time(self.log.now())
    }
}

/// Opens the log of a drill.
fn open_log(state: &StateFolder, id: &str) -> Result<Log, Failure> {
    Log::open(&Drills::new(state.root()).folder(id)).map_err(|error| Failure::failed(format!("drill {id}: {error}")))
}

/// The error for a lab without a drill.
fn no_drill(lab: &Lab) -> Failure {
    let name = lab.name_option();
    Failure::failed(format!("no drill is in progress in lab {}", lab.name()))
        .hint(format!("lab drill start{name} starts one, lab drill show{name} shows the last one"))
}

fn over(lab: &Lab) -> Failure {
    let name = lab.name_option();
    Failure::failed("the drill is over").hint(format!("lab drill finish{name} restores the lab and shows the debrief"))
}

fn log_failure(error: LogError, lab: &Lab) -> anyhow::Error {
    match error {
        LogError::Over => over(lab).into(),
        error => Failure::failed(error.to_string()).into(),
    }
}

/// Prints a line with the next commands.
fn next(session: &Session, text: &str) -> anyhow::Result<Exit> {
    session.line(&session.term.painter().paint(Tone::Dim, &format!("next: {text}")))
}

fn acknowledge(session: &Session) -> anyhow::Result<Exit> {
    let mut drill = Active::open_running(session)?;
    drill.append(Event::Acknowledged)?;
    session.line(&format!("acknowledged at {}", drill.clock()))?;
    let name = drill.lab.name_option();
    next(session, &format!("lab drill diagnose{name} · lab drill update{name}"))
}

/// Refuses a command of which the participant would learn the incident, if a drill is in progress in the selected lab.
pub(super) fn refuse_spoiler(session: &Session, command: &str) -> anyhow::Result<()> {
    let lab = session.lab()?;
    if lab.drill()?.is_none() {
        return Ok(());
    }
    let name = lab.name_option();
    let message = format!("{command} is not available during a drill, because it could give the incident away");
    let hint = format!("lab drill finish{name} or lab drill give-up{name} ends the drill");
    Err(Failure::failed(message).hint(hint).into())
}
