//! A room in the middle of a drill, for tests of what is shown.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use lab_core::diagnosis::{Cause, Finding, Location};
use lab_drill::brief::Brief;
use lab_drill::event::{self as drill_event, Affected, Audience, Check, ClaimedState, Ending, Update};
use lab_drill::fold::Drill;
use lab_testkit::sample_drills::{self, DrillLog};

use crate::backend::Snapshot;
use crate::code::Token;
use crate::config::{RoomConfig, SeatNumber};
use crate::event::{DrillOrder, Entry, Event, Scene};
use crate::fold::{Room, tests::config};
use crate::state::State;

/// Text that would be markup if it were not escaped.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{1b}[31m";
/// Length of the drill so far, in seconds.
const LENGTH: u64 = 600;

/// How a seat does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Resolved and finished.
    Resolved,
    /// Acknowledged, with a hint and a wrong fix.
    Working,
    /// Requests fail, and nothing was done.
    Idle,
    /// The callers succeed, and the cause is still there.
    Masked,
    /// The fault comes later.
    Quiet,
    /// Given up.
    GaveUp,
    /// The lab could not be brought up.
    Problem,
    /// Nobody joined.
    Absent,
}

impl Fate {
    pub(crate) const ALL: [Self; 8] = [
        Self::Resolved,
        Self::Working,
        Self::Idle,
        Self::Masked,
        Self::Quiet,
        Self::GaveUp,
        Self::Problem,
        Self::Absent,
    ];

    fn has_drill(self) -> bool {
        !matches!(self, Self::Problem | Self::Absent)
    }
}

/// A room with everything that its pages are computed from.
pub(crate) struct Fixture {
    pub(crate) config: RoomConfig,
    pub(crate) room: Room,
    pub(crate) drills: BTreeMap<String, Drill>,
    snapshots: BTreeMap<SeatNumber, Snapshot>,
    scenarios: Vec<String>,
    now: DateTime<Utc>,
}

impl Fixture {
    /// A room in which nothing has happened.
    pub(crate) fn empty(seats: u16) -> Self {
        let config = config(seats, 1);
        let now = config.created;
        let room = Room::new(&config);
        let scenarios = vec!["rotate-key".to_owned(), "wrong-upstream".to_owned()];
        Self { config, room, drills: BTreeMap::new(), snapshots: BTreeMap::new(), scenarios, now }
    }

    /// A room in the middle of a drill. The seats have the fates in turn.
    pub(crate) fn with_drill(seats: u16) -> Self {
        Self::with_brief(seats, &sample_drills::brief())
    }

    /// A room in the middle of a drill of an incident.
    pub(crate) fn with_brief(seats: u16, brief: &Brief) -> Self {
        let mut fixture = Self::empty(seats);
        let fate = |number: SeatNumber| Fate::ALL[usize::from(number - 1) % Fate::ALL.len()];
        for number in 1..=seats {
            match fate(number) {
                Fate::Problem => {
                    let reason = "the gateway did not become healthy within 30s".to_owned();
                    fixture.event(Event::Failed { seat: number, reason });
                }
                _ => fixture.event(Event::Ready { seat: number }),
            }
            if fate(number) != Fate::Absent {
                fixture.event(Event::Joined { seat: number, token: Token::random().unwrap().hash() });
            }
        }
        let order = DrillOrder {
            scenario: brief.scenario.clone(),
            secret: "00".repeat(32),
            limit: Some(1800),
            coach: false,
            quiet: None,
        };
        fixture.event(Event::DrillStarted(order));
        for number in (1..=seats).filter(|number| fate(*number).has_drill()) {
            fixture.play(number, fate(number), brief);
        }
        fixture.now += TimeDelta::seconds(i64::try_from(LENGTH).unwrap());
        for number in (1..=seats).filter(|number| fate(*number) == Fate::Working) {
            fixture.event(Event::Hand { seat: number, up: true });
            fixture.event(Event::Command { seat: number, line: "logs app".to_owned() });
        }
        fixture
    }

    fn play(&mut self, number: SeatNumber, fate: Fate, brief: &Brief) {
        let id = format!("drill-{number}");
        self.event(Event::SeatStarted { seat: number, drill: id.clone() });
        let entries = entries(&id, self.now, fate, brief);
        if let Some(by) = ending(fate) {
            self.event(Event::SeatEnded { seat: number, drill: id.clone(), by });
        }
        self.drills.insert(id, Drill::from_entries(&entries).unwrap());
        let status = "service  state\ngateway  running\napp      running";
        self.line(number, "status", Some(0), status);
        self.line(number, "env gateway GATEWAY_UPSTREAM", Some(2), "error: GATEWAY_UPSTREAM needs a value");
        let alerts = if fate == Fate::Quiet { vec![] } else { vec!["GatewayErrors".to_owned()] };
        let state = |name: &str| (name.to_owned(), "running".to_owned());
        let mut services = vec![state("gateway"), state("app"), state("db")];
        if fate == Fate::Idle {
            services[1].1 = "stopped".to_owned();
        }
        self.snapshots.insert(number, Snapshot { services, alerts });
    }

    /// Adds a line of a console with its output.
    pub(crate) fn line(&mut self, seat: SeatNumber, line: &str, exit: Option<u8>, text: &str) {
        let command = self.room.entries;
        self.event(Event::Command { seat, line: line.to_owned() });
        self.event(Event::Output { seat, command, exit, text: text.to_owned() });
    }

    /// Adds an event of the room's log.
    pub(crate) fn event(&mut self, event: Event) {
        self.room.apply(&Entry { at: self.now, event });
    }

    /// Adds events of a seat's drill after its last one.
    pub(crate) fn drill_event(&mut self, seat: SeatNumber, event: drill_event::Event) {
        let drill = self.drills.get_mut(&format!("drill-{seat}")).unwrap();
        let entry = drill_event::Entry { at: drill.last_at, clock: drill.clock, event };
        drill.apply(&entry);
    }

    /// Ends the drill and reveals it.
    pub(crate) fn reveal(&mut self) {
        let running: Vec<(SeatNumber, String)> =
            self.room.seats.values().filter_map(|seat| Some((seat.number, seat.drill()?.id.clone()))).collect();
        for (seat, drill) in running {
            self.drill_event(seat, drill_event::Event::Ended { by: Ending::EndedByTrainer });
            self.event(Event::SeatEnded { seat, drill, by: Ending::EndedByTrainer });
        }
        self.event(Event::DrillEnded);
        self.event(Event::Revealed);
    }

    /// Changes the scene of the board.
    pub(crate) fn scene(&mut self, scene: Scene) -> &mut Self {
        self.event(Event::Scene(scene));
        self
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    pub(crate) fn state(&self) -> State<'_> {
        State {
            config: &self.config,
            room: &self.room,
            drills: &self.drills,
            snapshots: &self.snapshots,
            scenarios: &self.scenarios,
            address: "http://192.168.1.7:7000",
            now: self.now,
        }
    }
}

fn ending(fate: Fate) -> Option<Ending> {
    match fate {
        Fate::Resolved => Some(Ending::Finished),
        Fate::GaveUp => Some(Ending::GaveUp),
        _ => None,
    }
}

fn entries(id: &str, start: DateTime<Utc>, fate: Fate, brief: &Brief) -> Vec<drill_event::Entry> {
    use drill_event::Event as E;
    const GOOD: [u32; 2] = [15, 5];
    const BAD: [u32; 2] = [0, 5];
    let mut started = sample_drills::started(id);
    started.brief = brief.clone();
    let wrong_fix = brief.wrong_fixes.first().map(|fix| E::WrongFix { name: fix.name.clone() });
    let right = E::Diagnosis { findings: vec![brief.diagnosis.first] };
    let update = |state, affected, text: &str| {
        let text = text.to_owned();
        E::Update(Update { to: Audience::Customers, state, affected, since: None, next: Some(600), text, disclosed: 0 })
    };
    let changed = |text: &str| E::Changed { subject: "gateway".to_owned(), revision: 3, text: text.to_owned() };
    let mut log = DrillLog::new(start, started);
    log.event(E::Services { down: Vec::new() });
    if fate == Fate::Quiet {
        log.seconds(LENGTH, GOOD);
        return log.entries().to_vec();
    }
    log.seconds(45, GOOD).at(45_100, E::Injecting).at(45_600, E::Broken).seconds(100, BAD);
    match fate {
        Fate::Resolved => {
            log.event(E::Acknowledged).seconds(150, BAD).event(E::Hint { index: 0 }).seconds(200, BAD).event(right);
            log.seconds(230, BAD).event(changed("gateway: an own change")).seconds(250, GOOD);
            log.at(250_400, E::Checked(Check::Passed)).seconds(270, GOOD);
            log.event(update(ClaimedState::Resolved, Affected::Nobody, "Requests work again."));
            log.event(E::Ended { by: Ending::Finished }).event(E::Restored { errors: Vec::new() });
        }
        Fate::Working => {
            log.event(E::Acknowledged).event(E::Looked { what: "status".to_owned() }).seconds(200, BAD);
            log.event(E::Hint { index: 0 }).seconds(300, BAD).event(changed("gateway restarted"));
            log.event(wrong_fix.unwrap_or(E::Acknowledged)).seconds(320, BAD);
            let wrong = Finding { location: Location::Monitoring, cause: Cause::ClockWrong };
            log.event(E::Diagnosis { findings: vec![wrong] });
            log.event(update(
                ClaimedState::Investigating,
                Affected::Some,
                "Some requests fail. We are looking for the cause.",
            ));
            log.seconds(LENGTH, BAD);
        }
        Fate::Masked => {
            log.event(E::Acknowledged).seconds(300, BAD).event(changed("gateway: another way")).seconds(LENGTH, GOOD);
        }
        Fate::GaveUp => {
            log.seconds(500, BAD).event(E::Ended { by: Ending::GaveUp }).event(E::Restored { errors: Vec::new() });
        }
        _ => {
            log.seconds(LENGTH, BAD);
        }
    }
    log.entries().to_vec()
}
