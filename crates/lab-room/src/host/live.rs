//! [`Live`]: the folds of a room and of its seats' drills in memory, and their copy for a frozen board.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lab_drill::event::Entry as DrillEntry;
use lab_drill::fold::Drill;
use lab_drill::log::{Drills, Log};

use crate::backend::Snapshot;
use crate::config::{RoomConfig, SeatNumber};
use crate::event::{Entry, Event};
use crate::fold::Room;

/// Everything that a room's pages are computed from.
pub(super) struct Live {
    pub(super) room: Room,
    pub(super) drills: BTreeMap<String, Drill>,
    pub(super) snapshots: BTreeMap<SeatNumber, Snapshot>,
    pub(super) frozen: Option<Box<Frozen>>,
}

/// A copy for the board.
pub(super) struct Frozen {
    pub(super) at: DateTime<Utc>,
    pub(super) room: Room,
    pub(super) drills: BTreeMap<String, Drill>,
    pub(super) snapshots: BTreeMap<SeatNumber, Snapshot>,
}

impl Live {
    /// Folds a log. The drills are read from their own logs; one that cannot be read is left out.
    pub(super) fn new(config: &RoomConfig, entries: &[Entry], logs: &Drills) -> Self {
        let room = Room::from_entries(config, entries);
        let drills = read_drills(&room, logs, |_| true);
        let frozen = room.frozen.and_then(|at| {
            let freeze = entries.iter().rposition(|entry| entry.at == at && is_freeze(&entry.event))?;
            let mut room = Room::from_entries(config, &entries[..=freeze]);
            entries[freeze + 1..].iter().for_each(|entry| follow_trainer(&mut room, entry));
            let drills = read_drills(&room, logs, |entry| entry.at <= at);
            Some(Box::new(Frozen { at, room: without_consoles(room), drills, snapshots: BTreeMap::new() }))
        });
        Self { room, drills, snapshots: BTreeMap::new(), frozen }
    }

    /// Replaces the fold of the room by that of an earlier state of its log.
    pub(super) fn replace_room(&mut self, room: Room) {
        self.frozen = self.frozen.take().filter(|frozen| room.frozen == Some(frozen.at));
        self.room = room;
    }

    /// Adds the next entry of the room's log.
    pub(super) fn apply(&mut self, entry: &Entry) {
        self.room.apply(entry);
        match (self.room.frozen, &mut self.frozen) {
            (None, frozen) => *frozen = None,
            (Some(_), Some(frozen)) => follow_trainer(&mut frozen.room, entry),
            (Some(at), frozen @ None) => {
                let room = without_consoles(self.room.clone());
                let (drills, snapshots) = (self.drills.clone(), self.snapshots.clone());
                *frozen = Some(Box::new(Frozen { at, room, drills, snapshots }));
            }
        }
    }
}

fn is_freeze(event: &Event) -> bool {
    matches!(event, Event::Frozen { frozen: true })
}

/// The trainer can choose another scene of a frozen board, and close the room.
fn follow_trainer(room: &mut Room, entry: &Entry) {
    if matches!(entry.event, Event::Scene(_) | Event::Closed) {
        room.apply(entry);
    }
}

/// The board shows no consoles.
fn without_consoles(mut room: Room) -> Room {
    room.seats.values_mut().for_each(|seat| seat.console = Vec::new());
    room
}

fn read_drills(room: &Room, logs: &Drills, is_known: impl Fn(&DrillEntry) -> bool) -> BTreeMap<String, Drill> {
    let drills = room.seats.values().flat_map(|seat| &seat.drills);
    let read = |id: &str| {
        let entries = Log::open(&logs.folder(id)).and_then(|mut log| log.read()).ok()?;
        Drill::from_entries(entries.iter().filter(|entry| is_known(entry))).ok()
    };
    drills.filter_map(|drill| Some((drill.id.clone(), read(&drill.id)?))).collect()
}
