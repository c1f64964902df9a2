//! [`State`]: everything that the pages of a room are computed from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lab_drill::fold::Drill;

use crate::backend::Snapshot;
use crate::config::{RoomConfig, SeatNumber};
use crate::fold::{Room, Seat};

/// A room at one time.
pub struct State<'a> {
    /// Its configuration.
    pub config: &'a RoomConfig,
    /// Fold of its log.
    pub room: &'a Room,
    /// Folds of the logs of the seats' drills, by the drills' ids.
    pub drills: &'a BTreeMap<String, Drill>,
    /// Current states of the seats' labs.
    pub snapshots: &'a BTreeMap<SeatNumber, Snapshot>,
    /// Names of the incidents that can be played.
    pub scenarios: &'a [String],
    /// Address that participants open, such as `http://192.168.1.7:7000`.
    pub address: &'a str,
    /// Now.
    pub now: DateTime<Utc>,
}

impl<'a> State<'a> {
    /// The current drill of a seat, or its last one.
    pub fn drill(&self, seat: &Seat) -> Option<&'a Drill> {
        seat.drills.last().and_then(|drill| self.drills.get(&drill.id))
    }
}
