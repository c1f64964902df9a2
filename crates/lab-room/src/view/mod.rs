//! What the pages show, computed from a [`State`] without any markup. [`seat`] and [`board`] have nothing that is hidden until
//! the reveal; [`desk`] has everything.

use lab_drill::event::Ending;
use lab_drill::fold::{Drill, Second, Share};

use crate::fold::{LabState, RoomDrill, Seat, SeatDrill};
use crate::state::State;

pub mod board;
pub mod curve;
pub mod desk;
pub mod seat;
pub mod statistics;

/// Time in milliseconds after the last entry of a drill's log from which its clock is taken to stand still. The referee writes
/// an entry every second.
const SILENCE: u64 = 3000;

/// State of a seat as it can be seen from outside. It says nothing about phases, verdicts or points before the reveal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outside {
    /// It is free.
    Free,
    /// The lab is not up yet.
    Starting,
    /// The lab could not be brought up.
    Problem,
    /// A participant has joined, and no drill is in progress.
    Ready,
    /// A drill is in progress, and no caller has sent anything yet.
    Waiting,
    /// At least 99 % of the callers' last requests succeeded.
    Served,
    /// Callers' requests fail.
    Failing,
    /// Callers' requests fail, and the participant has acknowledged it.
    Working,
    /// The drill of the seat is over.
    Finished,
    /// The drill of the seat is over, its incident was resolved, and everything is revealed.
    Solved,
}

impl Outside {
    /// All states, in the order of a legend.
    pub const ALL: [Self; 10] = [
        Self::Free,
        Self::Starting,
        Self::Ready,
        Self::Waiting,
        Self::Served,
        Self::Failing,
        Self::Working,
        Self::Finished,
        Self::Solved,
        Self::Problem,
    ];

    /// The state in a few words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Starting => "starting",
            Self::Problem => "lab problem",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Served => "users served",
            Self::Failing => "users fail",
            Self::Working => "working on it",
            Self::Finished => "finished",
            Self::Solved => "solved",
        }
    }

    /// State of a seat.
    pub fn new(state: &State<'_>, seat: &Seat) -> Self {
        match &seat.lab {
            LabState::Failed(_) => return Self::Problem,
            LabState::Starting => return Self::Starting,
            LabState::Ready => {}
        }
        if seat.joined.is_none() {
            return Self::Free;
        }
        let Some(current) = Current::new(state, seat) else { return Self::Ready };
        let revealed = current.of.is_some_and(|drill| drill.revealed.is_some());
        if current.ending().is_some() {
            let solved = revealed && current.drill.is_some_and(|drill| drill.resolved().is_some());
            return if solved { Self::Solved } else { Self::Finished };
        }
        match current.drill.map(|drill| (drill, drill.window_share())) {
            Some((_, Some(share))) if serves(share) => Self::Served,
            Some((drill, Some(_))) if !drill.acknowledgements.is_empty() => Self::Working,
            Some((_, Some(_))) => Self::Failing,
            Some((_, None)) | None => Self::Waiting,
        }
    }
}

/// Whether requests count as served: there are some, and at least 99 % of them succeed.
pub(crate) fn serves(share: Share) -> bool {
    share.sent > 0 && share.is_healthy()
}

/// The drill that a seat shows: the one of the room's last drill.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// The seat's part of it in the room's log.
    pub seat_drill: &'a SeatDrill,
    /// The drill of the room.
    pub of: Option<&'a RoomDrill>,
    /// What its own log says. `None` if the log was not read yet.
    pub drill: Option<&'a Drill>,
}

impl<'a> Current<'a> {
    /// The current drill of a seat. `None` if it has none, or if the room has begun another one since.
    pub fn new(state: &State<'a>, seat: &'a Seat) -> Option<Self> {
        let index = state.room.drills.len().checked_sub(1)?;
        let seat_drill = seat.drill_of(index)?;
        let drill = state.drills.get(&seat_drill.id);
        Some(Self { seat_drill, of: state.room.drills.get(index), drill })
    }

    /// How it ended. `None` while it is in progress.
    pub fn ending(&self) -> Option<Ending> {
        let in_log = self.drill.and_then(|drill| drill.ended).map(|end| end.by);
        self.seat_drill.ended.map(|(_, by)| by).or(in_log)
    }

    /// Time limit with its extension, in milliseconds of drill time.
    pub fn limit(&self) -> Option<u64> {
        let limit = self.of?.order.limit?;
        Some(limit.saturating_add(self.seat_drill.extension).saturating_mul(1000))
    }

    /// The clock of the drill.
    pub fn clock(&self, state: &State<'_>) -> Option<Clock> {
        let drill = self.drill?;
        let since = (state.now - drill.last_at).num_milliseconds();
        let since = u64::try_from(since).unwrap_or_default();
        let running = self.ending().is_none() && state.room.paused.is_none() && !drill.is_unknown() && since < SILENCE;
        let at = drill.ended.map_or_else(|| drill.clock + if running { since } else { 0 }, |end| end.at);
        Some(Clock { at, running, left: self.limit().map(|limit| limit.saturating_sub(at)) })
    }
}

/// A drill's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Drill time in milliseconds.
    pub at: u64,
    /// It runs. It stands still during a pause, while the referee cannot look, and after the end.
    pub running: bool,
    /// Time until the limit, in milliseconds.
    pub left: Option<u64>,
}

/// Requests of one second, of the callers that count.
pub(crate) fn second_share(drill: &Drill, second: &Second) -> Share {
    let counted = second.callers.iter().enumerate().filter(|(index, _)| drill.counts(*index));
    counted.fold(Share::default(), |sum, (_, (sent, succeeded))| Share {
        sent: sum.sent + u64::from(*sent),
        succeeded: sum.succeeded + u64::from(*succeeded),
    })
}

#[cfg(test)]
mod tests;
