//! `lab room status`: the seats of a room. Computed from its files, so that it also works without the server.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::up::{self, desk_url};
use super::{Room, host};
use crate::cli::RoomStatusArgs;
use crate::commands::session::Session;
use lab_core::error::Exit;
use lab_drill::fold::{Drill, Phase};
use lab_drill::log::{Drills, Log};
use lab_report::report::drill::phase_name;
use lab_report::report::human;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::{Tone, clean};
use lab_room::config::{RoomConfig, Rooms, SeatConfig, describe};
use lab_room::fold::{self, LabState};
use lab_runner::lab::StateFolder;

/// Output of `--json`.
#[derive(Serialize)]
struct Document {
    room: String,
    engine: String,
    /// The server is running.
    serving: bool,
    address: String,
    /// Address for the trainer, with the token.
    desk: String,
    /// Every clock stands still since then.
    paused: Option<DateTime<Utc>>,
    drill: Option<DrillReport>,
    seats: Vec<SeatReport>,
}

#[derive(Serialize)]
struct DrillReport {
    scenario: String,
    started: DateTime<Utc>,
    ended: Option<DateTime<Utc>>,
    revealed: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct SeatReport {
    seat: u16,
    lab: String,
    name: Option<String>,
    reserve: bool,
    /// `starting`, `ready` or `failed`.
    state: &'static str,
    /// Reason why the lab failed.
    error: Option<String>,
    joined: Option<DateTime<Utc>>,
    /// Since when the hand is up.
    hand: Option<DateTime<Utc>>,
    /// Last action of the participant.
    acted: Option<DateTime<Utc>>,
    /// Current or last drill.
    drill: Option<String>,
    phase: Option<&'static str>,
    /// Drill time in seconds.
    clock: Option<u64>,
    hints: usize,
    wrong_fixes: usize,
    /// With `--codes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

impl SeatReport {
    fn new(config: &SeatConfig, seat: &fold::Seat, drill: Option<&Drill>, codes: bool) -> Self {
        let (state, error) = match &seat.lab {
            LabState::Starting => ("starting", None),
            LabState::Ready => ("ready", None),
            LabState::Failed(reason) => ("failed", Some(reason.clone())),
        };
        Self {
            seat: seat.number,
            lab: config.lab.clone(),
            name: seat.name.clone(),
            reserve: seat.reserve,
            state,
            error,
            joined: seat.joined,
            hand: seat.hand,
            acted: seat.acted,
            drill: drill.map(|drill| drill.started.id.clone()),
            phase: drill.map(|drill| phase_name(drill.phase())),
            clock: drill.map(|drill| drill.clock / 1000),
            hints: drill.map_or(0, |drill| drill.hints.len()),
            wrong_fixes: drill.map_or(0, |drill| drill.wrong_fixes.len()),
            code: codes.then(|| config.code.to_string()),
        }
    }
}

pub(super) fn run(session: &Session, args: &RoomStatusArgs) -> anyhow::Result<Exit> {
    let room = Room::open(session)?;
    let serving = room.process().is_running();
    let folded = room.fold()?;
    let drills = Drills::new(room.state.root());
    let seat = |config: &SeatConfig| {
        let seat = folded.seats.get(&config.number)?;
        let drill = seat.drills.last().and_then(|drill| read(&drills, &drill.id));
        Some((SeatReport::new(config, seat, drill.as_ref(), args.codes), drill.map(|drill| drill.phase())))
    };
    let seats: Vec<(SeatReport, Option<Phase>)> = room.config.seats.iter().filter_map(seat).collect();
    let drill = folded.drills.last().map(|drill| DrillReport {
        scenario: drill.order.scenario.clone(),
        started: drill.at,
        ended: drill.ended,
        revealed: drill.revealed,
    });
    if !args.json {
        return show(session, args, &room.config, (serving, folded.paused.is_some()), (drill.as_ref(), &seats));
    }
    session.json(&Document {
        room: room.name,
        engine: room.config.engine.clone(),
        serving,
        address: host::url(room.config.address),
        desk: desk_url(&room.config),
        paused: folded.paused,
        drill,
        seats: seats.into_iter().map(|(seat, _)| seat).collect(),
    })
}

/// A drill of a seat. `None` if its log cannot be read.
fn read(drills: &Drills, id: &str) -> Option<Drill> {
    let entries = Log::open(&drills.folder(id)).ok()?.read().ok()?;
    Drill::from_entries(&entries).ok()
}

fn show(
    session: &Session,
    args: &RoomStatusArgs,
    config: &RoomConfig,
    (serving, paused): (bool, bool),
    (drill, seats): (Option<&DrillReport>, &[(SeatReport, Option<Phase>)]),
) -> anyhow::Result<Exit> {
    let painter = session.term.painter();
    let title = painter.paint(Tone::Strong, &describe(&config.name));
    let count = human::count(seats.len() as u64, "seat");
    session.line(&format!("{title} · {count} · {} · {}", config.engine, host::url(config.address)))?;
    if !serving {
        let text = format!("its server is not running: lab room resume{}", up::name_argument(&config.name));
        session.line(&painter.paint(Tone::Failed, &text))?;
    }
    if paused {
        session.line(&painter.paint(Tone::Warn, "paused: every clock stands still until lab room resume"))?;
    }
    session.line(&match drill {
        None => "no drill yet".to_owned(),
        Some(DrillReport { scenario, revealed: Some(_), .. }) => {
            format!("the last drill was {scenario}; it is revealed")
        }
        Some(DrillReport { scenario, ended: Some(_), .. }) => {
            format!("the last drill was {scenario}; lab room reveal shows it")
        }
        Some(DrillReport { scenario, .. }) => format!("a drill is in progress: {scenario}"),
    })?;
    session.line("")?;
    table(seats, args.codes).write(&mut session.term.out(), session.term.width(), painter)?;
    for (seat, _) in seats {
        if let Some(error) = &seat.error {
            session.line(&painter.paint(Tone::Failed, &format!("seat {}: {}", seat.seat, clean(error))))?;
        }
    }
    session.line("")?;
    session.line(&format!("trainer {}", desk_url(config)))
}

fn table(seats: &[(SeatReport, Option<Phase>)], codes: bool) -> Table {
    let mut columns = vec![
        ("seat", Side::Right),
        ("participant", Side::Left),
        ("lab", Side::Left),
        ("drill", Side::Left),
        ("clock", Side::Right),
        ("hints", Side::Right),
        ("wrong fixes", Side::Right),
        ("", Side::Left),
    ];
    if codes {
        columns.insert(1, ("code", Side::Left));
    }
    let mut table = Table::new(&columns);
    for (seat, phase) in seats {
        let lab = match seat.state {
            "ready" => Cell::new(Tone::Good, "ready"),
            "failed" => Cell::new(Tone::Failed, "failed"),
            state => Cell::new(Tone::Warn, state),
        };
        let tone = match phase {
            Some(Phase::Broken | Phase::Masked) => Tone::Failed,
            Some(Phase::Mitigated) => Tone::Warn,
            Some(Phase::Resolved) => Tone::Good,
            Some(Phase::Quiet | Phase::Ended) | None => Tone::Plain,
        };
        let participant = match (&seat.name, seat.joined) {
            (Some(name), Some(_)) => Cell::from(clean(name)),
            (Some(name), None) => Cell::new(Tone::Dim, format!("{} (not joined)", clean(name))),
            (None, Some(_)) => "joined".into(),
            (None, None) if seat.reserve => Cell::new(Tone::Dim, "reserve"),
            (None, None) => Cell::new(Tone::Dim, "free"),
        };
        let mut cells = vec![
            seat.seat.to_string().into(),
            participant,
            lab,
            Cell::new(tone, seat.phase.unwrap_or("-")),
            seat.clock.map_or_else(|| "-".to_owned(), |clock| human::drill_time(clock * 1000)).into(),
            seat.hints.to_string().into(),
            seat.wrong_fixes.to_string().into(),
            Cell::new(Tone::Warn, if seat.hand.is_some() { "hand up" } else { "" }),
        ];
        if let Some(code) = &seat.code {
            cells.insert(1, code.as_str().into());
        }
        table.row(cells);
    }
    table
}

/// One line per room, for `lab status --all`.
pub(in crate::commands) fn list(session: &Session) -> anyhow::Result<()> {
    let state = StateFolder::open()?;
    let rooms = Rooms::new(state.root());
    for name in rooms.names()? {
        let folder = rooms.folder(&name);
        let line = match RoomConfig::read(&folder) {
            Ok(Some(config)) => {
                let serving = super::RoomProcess::new(&folder).is_running();
                let mut labs = config.seats.iter().map(|seat| seat.lab.as_str());
                let (first, last) = (labs.clone().next().unwrap_or_default(), labs.next_back().unwrap_or_default());
                let address = if serving { host::url(config.address) } else { "its server is not running".to_owned() };
                let seats = human::count(config.seats.len() as u64, "seat");
                format!("{} · {seats}, {first} to {last} · {address} · lab room status {name}", describe(&config.name))
            }
            Ok(None) => continue,
            Err(error) => format!("room {name} · {error} · lab room down {name} removes it"),
        };
        session.line(&line)?;
    }
    Ok(())
}
