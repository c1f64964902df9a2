//! [`Room`]: the fold of a room's log, entry by entry. Facts about a seat's drill are in the drill's own log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lab_drill::event::Ending;

use crate::code::TokenHash;
use crate::config::{RoomConfig, SeatNumber};
use crate::event::{DrillOrder, Entry, Event, Scene};

/// Commands that a seat's console shows.
const CONSOLE: usize = 200;
/// Bytes of output that a seat's console shows. Older commands are dropped from the console, not from the log.
const CONSOLE_BYTES: usize = 512 << 10;
/// Devices of a seat. The oldest one is forgotten when another one joins.
const DEVICES: usize = 16;

/// Fold of a room's log so far.
#[derive(Clone, Debug)]
pub struct Room {
    /// Number of entries so far, which is the number of the next one.
    pub entries: u64,
    /// The seats.
    pub seats: BTreeMap<SeatNumber, Seat>,
    /// Drills of the room, the last one at the end.
    pub drills: Vec<RoomDrill>,
    /// Messages of the trainer to all seats.
    pub said: Vec<Notice>,
    /// Every clock stands still since then.
    pub paused: Option<DateTime<Utc>>,
    /// The board shows the state of this time.
    pub frozen: Option<DateTime<Utc>>,
    /// Scene of the board.
    pub scene: Scene,
    /// When the room was closed.
    pub closed: Option<DateTime<Utc>>,
}

/// A seat.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Its number.
    pub number: SeatNumber,
    /// Name of the participant: their own, or that of the roster.
    pub name: Option<String>,
    /// It is kept free. A seat that is joined is not part of the reserve any more.
    pub reserve: bool,
    /// State of its lab.
    pub lab: LabState,
    /// Hashes of the tokens of its devices.
    pub tokens: Vec<TokenHash>,
    /// Time of the first join.
    pub joined: Option<DateTime<Utc>>,
    /// Since when the hand is up.
    pub hand: Option<DateTime<Utc>>,
    /// Its drills, the last one at the end.
    pub drills: Vec<SeatDrill>,
    /// Messages of the trainer to this seat.
    pub said: Vec<Notice>,
    /// The last lines of its console.
    pub console: Vec<Command>,
    /// Last action of the participant.
    pub acted: Option<DateTime<Utc>>,
    /// Number of resets.
    pub resets: u32,
    /// A reset was ordered, and the lab is not up again yet.
    pub resetting: bool,
    /// A reset was ordered during the drill of the room, so the seat gets another drill of it.
    pub again: bool,
}

/// State of a seat's lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabState {
    /// It is not up yet, or was not looked at since the server started.
    Starting,
    /// It is up.
    Ready,
    /// It could not be brought up, with the reason.
    Failed(String),
}

/// A drill of the whole room.
#[derive(Clone, Debug)]
pub struct RoomDrill {
    /// The order.
    pub order: DrillOrder,
    /// When it began.
    pub at: DateTime<Utc>,
    /// When the trainer ended it.
    pub ended: Option<DateTime<Utc>>,
    /// Time of the reveal.
    pub revealed: Option<DateTime<Utc>>,
}

/// A drill of a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatDrill {
    /// Its id.
    pub id: String,
    /// Index into [`Room::drills`].
    pub of: usize,
    /// When it began.
    pub at: DateTime<Utc>,
    /// How and when it ended.
    pub ended: Option<(DateTime<Utc>, Ending)>,
    /// Extension of the time limit, in seconds.
    pub extension: u64,
}

/// A message of the trainer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: DateTime<Utc>,
    /// The message.
    pub text: String,
}

/// A line of a seat's console, with its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Number of its entry.
    pub entry: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// The line.
    pub line: String,
    /// Exit code and output, once it has ended.
    pub output: Option<(Option<u8>, String)>,
}

impl Room {
    /// A room without entries.
    pub fn new(config: &RoomConfig) -> Self {
        let seat = |seat: &crate::config::SeatConfig| {
            let fresh = Seat {
                number: seat.number,
                name: seat.name.clone(),
                reserve: seat.reserve,
                lab: LabState::Starting,
                tokens: Vec::new(),
                joined: None,
                hand: None,
                drills: Vec::new(),
                said: Vec::new(),
                console: Vec::new(),
                acted: None,
                resets: 0,
                resetting: false,
                again: false,
            };
            (seat.number, fresh)
        };
        Self {
            entries: 0,
            seats: config.seats.iter().map(seat).collect(),
            drills: Vec::new(),
            said: Vec::new(),
            paused: None,
            frozen: None,
            scene: Scene::Join,
            closed: None,
        }
    }

    /// Room of a log.
    pub fn from_entries<'a>(config: &RoomConfig, entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut room = Self::new(config);
        entries.into_iter().for_each(|entry| room.apply(entry));
        room
    }

    /// Adds the next entry. Entries of unknown seats have no effect.
    pub fn apply(&mut self, entry: &Entry) {
        let number = self.entries;
        self.entries += 1;
        let at = entry.at;
        match &entry.event {
            // Labs are independent of the server, but may have ended as well, as after a reboot.
            Event::Opened { .. } => self.seats.values_mut().for_each(|seat| seat.lab = LabState::Starting),
            Event::Injected { .. } => {}
            Event::Closed => self.closed = Some(at),
            Event::Said { seat: None, text } => self.said.push(Notice { at, text: text.clone() }),
            Event::DrillStarted(order) => {
                let drill = RoomDrill { order: order.clone(), at, ended: None, revealed: None };
                self.drills.push(drill);
            }
            Event::DrillEnded => {
                if let Some(drill) = self.drills.last_mut() {
                    drill.ended.get_or_insert(at);
                }
            }
            Event::Revealed => {
                self.frozen = None;
                if let Some(drill) = self.drills.last_mut() {
                    drill.revealed.get_or_insert(at);
                }
            }
            Event::Paused => self.paused = self.paused.or(Some(at)),
            Event::Resumed => self.paused = None,
            Event::Frozen { frozen } => self.frozen = frozen.then(|| self.frozen.unwrap_or(at)),
            Event::Scene(scene) => self.scene = *scene,
            Event::Ready { seat }
            | Event::Failed { seat, .. }
            | Event::Joined { seat, .. }
            | Event::Named { seat, .. }
            | Event::Hand { seat, .. }
            | Event::Command { seat, .. }
            | Event::Output { seat, .. }
            | Event::Said { seat: Some(seat), .. }
            | Event::SeatStarted { seat, .. }
            | Event::SeatEnded { seat, .. }
            | Event::Extended { seat, .. }
            | Event::Reset { seat } => {
                let of = self.drills.len().saturating_sub(1);
                if let Some(seat) = self.seats.get_mut(seat) {
                    seat.apply(number, of, entry);
                }
            }
        }
    }

    /// The drill that is in progress.
    pub fn drill(&self) -> Option<&RoomDrill> {
        self.drills.last().filter(|drill| drill.ended.is_none())
    }

    /// Returns true if incident, points and debriefs of the last drill may be shown to all.
    pub fn is_revealed(&self) -> bool {
        self.drills.last().is_some_and(|drill| drill.revealed.is_some())
    }

    /// The seat of a device.
    pub fn seat_of(&self, token: &TokenHash) -> Option<&Seat> {
        self.seats.values().find(|seat| seat.tokens.contains(token))
    }

    /// All seats but the reserve.
    pub fn taken(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values().filter(|seat| !seat.reserve)
    }
}

impl Seat {
    fn apply(&mut self, number: u64, of: usize, entry: &Entry) {
        let at = entry.at;
        match &entry.event {
            Event::Ready { .. } => (self.lab, self.resetting) = (LabState::Ready, false),
            Event::Failed { reason, .. } => (self.lab, self.resetting) = (LabState::Failed(reason.clone()), false),
            Event::Joined { token, .. } => {
                self.joined = self.joined.or(Some(at));
                self.reserve = false;
                if self.tokens.len() >= DEVICES {
                    self.tokens.remove(0);
                }
                self.tokens.push(token.clone());
            }
            Event::Named { name, .. } => self.name = Some(name.clone()),
            Event::Hand { up, .. } => {
                self.acted = Some(at);
                self.hand = up.then(|| self.hand.unwrap_or(at));
            }
            Event::Command { line, .. } => {
                self.acted = Some(at);
                self.console.push(Command { entry: number, at, line: line.clone(), output: None });
                self.trim_console();
            }
            Event::Output { command, exit, text, .. } => {
                if let Some(found) = self.console.iter_mut().find(|found| found.entry == *command) {
                    found.output = Some((*exit, text.clone()));
                }
                self.trim_console();
            }
            Event::Said { text, .. } => self.said.push(Notice { at, text: text.clone() }),
            Event::SeatStarted { drill, .. } => {
                self.again = false;
                self.drills.push(SeatDrill { id: drill.clone(), of, at, ended: None, extension: 0 });
            }
            Event::SeatEnded { drill, by, .. } => {
                // The question was about the drill.
                self.hand = None;
                if let Some(found) = self.drills.iter_mut().find(|found| found.id == *drill) {
                    found.ended.get_or_insert((at, *by));
                }
            }
            Event::Extended { seconds, .. } => {
                if let Some(drill) = self.drills.last_mut() {
                    drill.extension += seconds;
                }
            }
            Event::Reset { .. } => {
                self.resets += 1;
                (self.lab, self.resetting) = (LabState::Starting, true);
                self.again = self.drill_of(of).is_some();
            }
            _ => {}
        }
    }

    fn trim_console(&mut self) {
        let size = |command: &Command| command.output.as_ref().map_or(0, |(_, text)| text.len());
        let mut bytes: usize = self.console.iter().map(size).sum();
        while self.console.len() > CONSOLE || (bytes > CONSOLE_BYTES && self.console.len() > 1) {
            bytes -= size(&self.console.remove(0));
        }
    }

    /// The drill that is in progress.
    pub fn drill(&self) -> Option<&SeatDrill> {
        self.drills.last().filter(|drill| drill.ended.is_none())
    }

    /// Its drill in a drill of the room, by the index into [`Room::drills`]: the last one, because a reset begins another.
    pub fn drill_of(&self, index: usize) -> Option<&SeatDrill> {
        self.drills.iter().rev().find(|drill| drill.of == index)
    }

    /// Name for people: the participant's, or `Seat 7`.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("Seat {}", self.number))
    }

    /// Number and name, such as `7 Ada`, or `Seat 7`.
    pub fn numbered_label(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.number),
            None => self.label(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
