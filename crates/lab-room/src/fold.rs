//! [`Room`]: everything that a room's log says, folded entry by entry. What a seat's drill says is in the drill's own log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lab_drill::event::Ending;

use crate::code::TokenHash;
use crate::config::{RoomConfig, SeatNumber};
use crate::event::{DrillOrder, Entry, Event, Scene};

/// Commands that a seat's console shows.
const CONSOLE: usize = 200;

/// Everything that a room's log says so far.
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
    /// What the board shows.
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
    /// It is kept free. A seat that somebody joins is not part of the reserve any more.
    pub reserve: bool,
    /// State of its lab.
    pub lab: LabState,
    /// Hashes of the tokens of its devices.
    pub tokens: Vec<TokenHash>,
    /// When somebody joined first.
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
}

/// State of a seat's lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabState {
    /// It is not up yet.
    Starting,
    /// It is up.
    Ready,
    /// It could not be brought up, with the reason.
    Failed(String),
}

/// A drill of the whole room.
#[derive(Clone, Debug)]
pub struct RoomDrill {
    /// What was ordered.
    pub order: DrillOrder,
    /// When it began.
    pub at: DateTime<Utc>,
    /// When the trainer ended it.
    pub ended: Option<DateTime<Utc>>,
    /// When everything was shown to everybody.
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
            Event::Opened { .. } | Event::Injected { .. } => {}
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

    /// Whether incident, points and debriefs of the last drill may be shown to everybody.
    pub fn is_revealed(&self) -> bool {
        self.drills.last().is_some_and(|drill| drill.revealed.is_some())
    }

    /// The seat of a device.
    pub fn seat_of(&self, token: &TokenHash) -> Option<&Seat> {
        self.seats.values().find(|seat| seat.tokens.contains(token))
    }

    /// The seats that belong to somebody, or would: all but the reserve.
    pub fn taken(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values().filter(|seat| !seat.reserve)
    }
}

impl Seat {
    fn apply(&mut self, number: u64, of: usize, entry: &Entry) {
        let at = entry.at;
        match &entry.event {
            Event::Ready { .. } => self.lab = LabState::Ready,
            Event::Failed { reason, .. } => self.lab = LabState::Failed(reason.clone()),
            Event::Joined { token, .. } => {
                self.joined = self.joined.or(Some(at));
                self.reserve = false;
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
                if self.console.len() > CONSOLE {
                    self.console.remove(0);
                }
            }
            Event::Output { command, exit, text, .. } => {
                if let Some(found) = self.console.iter_mut().find(|found| found.entry == *command) {
                    found.output = Some((*exit, text.clone()));
                }
            }
            Event::Said { text, .. } => self.said.push(Notice { at, text: text.clone() }),
            Event::SeatStarted { drill, .. } => {
                self.drills.push(SeatDrill { id: drill.clone(), of, at, ended: None, extension: 0 });
            }
            Event::SeatEnded { drill, by, .. } => {
                if let Some(found) = self.drills.iter_mut().find(|found| found.id == *drill) {
                    found.ended.get_or_insert((at, *by));
                }
            }
            Event::Extended { seconds, .. } => {
                if let Some(drill) = self.drills.last_mut() {
                    drill.extension += seconds;
                }
            }
            Event::Reset { .. } => self.resets += 1,
            _ => {}
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

    /// Name for people: the participant's, or `seat 7`.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("seat {}", self.number))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::VERSION;
    use crate::code::{Code, Token};
    use crate::config::{SeatConfig, lab_name};

    /// Configuration of a room with `seats` seats and `reserve` more.
    pub(crate) fn config(seats: u16, reserve: u16) -> RoomConfig {
        let all = seats + reserve;
        let codes = Code::random(usize::from(all)).unwrap();
        let seat = |(number, code)| SeatConfig {
            number,
            lab: lab_name("monday", number, all),
            code,
            name: (number == 1).then(|| "Ada".to_owned()),
            reserve: number > seats,
        };
        RoomConfig {
            version: VERSION,
            name: "monday".to_owned(),
            created: DateTime::from_timestamp(1_796_040_000, 0).unwrap(),
            engine: "embedded".to_owned(),
            address: ([127, 0, 0, 1], 7000).into(),
            desk: Token::random().unwrap(),
            seats: (1..=all).zip(codes).map(seat).collect(),
        }
    }

    fn entries(events: Vec<Event>) -> Vec<Entry> {
        let at = |second: i64| DateTime::from_timestamp(1_796_040_000 + second, 0).unwrap();
        events.into_iter().zip(0..).map(|(event, second)| Entry { at: at(second), event }).collect()
    }

    fn order() -> DrillOrder {
        let scenario = "rotate-key".to_owned();
        DrillOrder { scenario, secret: "00".repeat(32), limit: Some(1800), coach: false, quiet: None }
    }

    #[test]
    fn a_seat_of_the_reserve_belongs_to_whoever_joins_it() {
        let token = Token::random().unwrap();
        let events = vec![Event::Ready { seat: 3 }, Event::Joined { seat: 3, token: token.hash() }];
        let room = Room::from_entries(&config(2, 1), &entries(events));
        assert_eq!(room.taken().map(|seat| seat.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(room.seat_of(&token.hash()).map(|seat| seat.number), Some(3));
        assert_eq!(room.seats[&3].lab, LabState::Ready);
        assert!(room.seat_of(&Token::random().unwrap().hash()).is_none());
        assert_eq!((room.seats[&1].label(), room.seats[&2].label()), ("Ada".to_owned(), "seat 2".to_owned()));
    }

    #[test]
    fn drills_of_seats_belong_to_the_room_s() {
        let drill = |seat, id: &str| Event::SeatStarted { seat, drill: id.to_owned() };
        let ended = |seat, id: &str| Event::SeatEnded { seat, drill: id.to_owned(), by: Ending::Finished };
        let events = vec![
            Event::DrillStarted(order()),
            drill(1, "a"),
            Event::Extended { seat: 1, seconds: 300 },
            ended(1, "a"),
            Event::DrillEnded,
            Event::Revealed,
            Event::DrillStarted(order()),
            drill(1, "b"),
            ended(1, "b"),
            drill(1, "c"),
        ];
        let room = Room::from_entries(&config(2, 0), &entries(events));
        let seat = &room.seats[&1];
        let ids =
            [seat.drill_of(0), seat.drill_of(1), seat.drill_of(2)].map(|drill| drill.map(|drill| drill.id.as_str()));
        assert_eq!(ids, [Some("a"), Some("c"), None]);
        assert_eq!(seat.drill().map(|drill| drill.id.as_str()), Some("c"));
        assert_eq!(seat.drills[0].extension, 300);
        assert!(room.drills[0].revealed.is_some() && !room.is_revealed());
        assert!(room.drill().is_some());
    }

    #[test]
    fn a_command_is_shown_with_its_output() {
        let command = |line: &str| Event::Command { seat: 2, line: line.to_owned() };
        let mut events = vec![command("lab status"), command("lab logs app")];
        events.push(Event::Output { seat: 2, command: 0, exit: Some(0), text: "up".to_owned() });
        let room = Room::from_entries(&config(2, 0), &entries(events));
        let outputs: Vec<_> = room.seats[&2].console.iter().map(|command| command.output.clone()).collect();
        assert_eq!(outputs, [Some((Some(0), "up".to_owned())), None]);
        let many = (0..300).map(|_| command("lab status")).collect();
        let room = Room::from_entries(&config(2, 0), &entries(many));
        assert_eq!((room.seats[&2].console.len(), room.seats[&2].console[0].entry), (CONSOLE, 100));
    }

    #[test]
    fn a_board_stays_frozen_at_the_first_time_and_a_pause_too() {
        let frozen = |frozen| Event::Frozen { frozen };
        let room =
            Room::from_entries(&config(1, 0), &entries(vec![frozen(true), frozen(true), Event::Paused, Event::Paused]));
        let at = |second: i64| DateTime::from_timestamp(1_796_040_000 + second, 0);
        assert_eq!((room.frozen, room.paused), (at(0), at(2)));
        let room = Room::from_entries(
            &config(1, 0),
            &entries(vec![frozen(true), frozen(false), Event::Paused, Event::Resumed]),
        );
        assert_eq!((room.frozen, room.paused), (None, None));
    }

    #[test]
    fn an_unknown_seat_has_no_effect() {
        let room = Room::from_entries(&config(1, 0), &entries(vec![Event::Ready { seat: 9 }]));
        assert_eq!((room.entries, room.seats.len()), (1, 1));
    }
}
