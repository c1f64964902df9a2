//! Tests of the fold, and the configuration of a room for other tests.

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

/// Entries of a log, one per second.
pub(crate) fn entries(events: Vec<Event>) -> Vec<Entry> {
    let at = |second: i64| DateTime::from_timestamp(1_796_040_000 + second, 0).unwrap();
    events.into_iter().zip(0..).map(|(event, second)| Entry { at: at(second), event }).collect()
}

fn order() -> DrillOrder {
    let scenario = "rotate-key".to_owned();
    DrillOrder { scenario, secret: "00".repeat(32), limit: Some(1800), coach: false, quiet: None }
}

#[test]
fn a_seat_of_the_reserve_belongs_to_the_one_who_joins_it() {
    let token = Token::random().unwrap();
    let events = vec![Event::Ready { seat: 3 }, Event::Joined { seat: 3, token: token.hash() }];
    let room = Room::from_entries(&config(2, 1), &entries(events));
    assert_eq!(room.taken().map(|seat| seat.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(room.seat_of(&token.hash()).map(|seat| seat.number), Some(3));
    assert_eq!(room.seats[&3].lab, LabState::Ready);
    assert!(room.seat_of(&Token::random().unwrap().hash()).is_none());
    assert_eq!((room.seats[&1].label(), room.seats[&2].label()), ("Ada".to_owned(), "Seat 2".to_owned()));
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
    let ids = [seat.drill_of(0), seat.drill_of(1), seat.drill_of(2)].map(|drill| drill.map(|drill| drill.id.as_str()));
    assert_eq!(ids, [Some("a"), Some("c"), None]);
    assert_eq!(seat.drill().map(|drill| drill.id.as_str()), Some("c"));
    assert_eq!(seat.drills[0].extension, 300);
    assert!(room.drills[0].revealed.is_some() && !room.is_revealed());
    assert!(room.drill().is_some());
}

#[test]
fn a_hand_goes_down_with_the_drill() {
    let hand = Event::Hand { seat: 1, up: true };
    let drill = || "a".to_owned();
    let mut events = vec![Event::DrillStarted(order()), Event::SeatStarted { seat: 1, drill: drill() }, hand.clone()];
    assert!(Room::from_entries(&config(2, 0), &entries(events.clone())).seats[&1].hand.is_some());
    events.push(Event::SeatEnded { seat: 1, drill: drill(), by: Ending::EndedByTrainer });
    assert_eq!(Room::from_entries(&config(2, 0), &entries(events.clone())).seats[&1].hand, None);
    events.push(hand);
    assert!(Room::from_entries(&config(2, 0), &entries(events)).seats[&1].hand.is_some());
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
    let room =
        Room::from_entries(&config(1, 0), &entries(vec![frozen(true), frozen(false), Event::Paused, Event::Resumed]));
    assert_eq!((room.frozen, room.paused), (None, None));
}

#[test]
fn an_unknown_seat_has_no_effect() {
    let room = Room::from_entries(&config(1, 0), &entries(vec![Event::Ready { seat: 9 }]));
    assert_eq!((room.entries, room.seats.len()), (1, 1));
}

#[test]
fn a_console_keeps_its_last_lines_within_a_size() {
    let mut events = Vec::new();
    for command in 0..20 {
        events.push(Event::Command { seat: 1, line: "lab logs".to_owned() });
        events.push(Event::Output { seat: 1, command: command * 2, exit: Some(0), text: "x".repeat(100 << 10) });
    }
    let room = Room::from_entries(&config(1, 0), &entries(events));
    let lines: Vec<u64> = room.seats[&1].console.iter().map(|command| command.entry).collect();
    assert_eq!(lines, [30, 32, 34, 36, 38]);
}

#[test]
fn a_seat_forgets_its_oldest_devices() {
    let tokens: Vec<TokenHash> = (0..20).map(|device: u32| TokenHash::of(&device.to_string())).collect();
    let joined = tokens.iter().map(|token| Event::Joined { seat: 1, token: token.clone() }).collect();
    let room = Room::from_entries(&config(1, 0), &entries(joined));
    let known: Vec<bool> = tokens.iter().map(|token| room.seat_of(token).is_some()).collect();
    assert_eq!(known.iter().filter(|known| **known).count(), DEVICES);
    assert!(!known[0] && known[19]);
}

#[test]
fn a_new_server_looks_at_every_lab_and_a_reset_lasts_until_the_lab_is_up() {
    let opened = Event::Opened { pid: 1, address: ([127, 0, 0, 1], 7000).into() };
    let started = Event::SeatStarted { seat: 1, drill: "a".to_owned() };
    let state = |events: &[Event]| {
        let room = Room::from_entries(&config(1, 0), &entries(events.to_vec()));
        let seat = &room.seats[&1];
        (seat.lab.clone(), seat.resetting, seat.again)
    };
    let mut events = vec![Event::Ready { seat: 1 }, Event::DrillStarted(order()), started];
    assert_eq!(state(&events), (LabState::Ready, false, false));
    events.extend([Event::Reset { seat: 1 }, opened]);
    assert_eq!(state(&events), (LabState::Starting, true, true));
    events.push(Event::Ready { seat: 1 });
    assert_eq!(state(&events), (LabState::Ready, false, true));
    events.push(Event::SeatStarted { seat: 1, drill: "b".to_owned() });
    assert_eq!(state(&events), (LabState::Ready, false, false));
}

#[test]
fn the_reveal_thaws_the_board() {
    let events = vec![Event::DrillStarted(order()), Event::Frozen { frozen: true }, Event::DrillEnded, Event::Revealed];
    let room = Room::from_entries(&config(1, 0), &entries(events));
    assert!(room.frozen.is_none() && room.is_revealed());
}
