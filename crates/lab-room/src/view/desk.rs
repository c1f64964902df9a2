//! [`DeskView`]: what the trainer sees, a row per seat sorted by need.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use lab_drill::fold::{Answer, Drill, Phase};
use lab_drill::updates::next_due;

use super::{Clock, Current, Outside};
use crate::fold::{LabState, Room, Seat};
use crate::state::State;

/// Time in milliseconds without an action after which a participant counts as stuck.
pub const IDLE: u64 = 180_000;

/// What the trainer sees.
#[derive(Clone, Debug)]
pub struct DeskView<'a> {
    /// The room.
    pub room: &'a Room,
    /// The seats, those that need help first.
    pub rows: Vec<Row<'a>>,
    /// The incident of the room's last drill. `None` before the first drill of a seat has begun.
    pub incident: Option<Incident>,
}

/// The incident of a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Name of its scenario.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// Cause and fix.
    pub solution: String,
    /// The right diagnosis.
    pub diagnosis: String,
}

/// A seat on the desk.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The seat.
    pub seat: &'a Seat,
    /// Its state, as it can be seen from outside.
    pub outside: Outside,
    /// What it needs.
    pub need: Need,
    /// Progress in its drill. `None` without one.
    pub progress: Option<Progress>,
    /// Last action, in the drill or outside of it.
    pub acted: Option<DateTime<Utc>>,
}

/// What a seat needs, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A hand is up, since then.
    Hand(DateTime<Utc>),
    /// The participant makes no progress.
    Stuck,
    /// The lab does not work.
    Lab,
    /// Nothing: a drill is in progress.
    Drill,
    /// Nothing: a participant is there.
    Present,
    /// Nothing: the seat is free.
    Empty,
}

/// Progress of a seat in its drill.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Its phase.
    pub phase: Phase,
    /// Time since the impact and its par, in milliseconds, while there is something to do.
    pub pace: Option<Pace>,
    /// Its clock.
    pub clock: Option<Clock>,
    /// Opened hints, and all of them.
    pub hints: (usize, usize),
    /// Diagnoses so far.
    pub tries: usize,
    /// The best of them.
    pub answer: Option<Answer>,
    /// Named wrong fixes that count.
    pub wrong_fixes: Vec<String>,
    /// An update is overdue.
    pub overdue: bool,
    /// Why the participant counts as stuck.
    pub stuck: Option<Stuck>,
    /// The fault could not be injected, with the reason.
    pub failure: Option<String>,
}

/// Time that a seat needs for its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Drill time since the impact in milliseconds.
    pub time: u64,
    /// Time in which an experienced person has done it.
    pub par: u64,
}

/// Why a participant counts as stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// No action for this time in milliseconds, at least [`IDLE`], although requests fail or the cause is still there.
    Idle(u64),
    /// The phase lasts longer than its par.
    PastPar,
}

impl<'a> DeskView<'a> {
    /// The desk.
    pub fn new(state: &State<'a>) -> Self {
        let mut rows: Vec<Row<'a>> = state.room.seats.values().map(|seat| Row::new(state, seat)).collect();
        rows.sort_by_key(|row| {
            let slow = row.progress.as_ref().and_then(|progress| progress.pace).map(Pace::permille);
            (row.need, Reverse(slow), row.seat.number)
        });
        let incident = state.room.seats.values().find_map(|seat| Current::new(state, seat)?.drill).map(Incident::new);
        Self { room: state.room, rows, incident }
    }
}

impl Incident {
    fn new(drill: &Drill) -> Self {
        let brief = &drill.started.brief;
        Self {
            scenario: brief.scenario.clone(),
            title: brief.title.clone(),
            solution: brief.solution.clone(),
            diagnosis: brief.diagnosis.to_string(),
        }
    }
}

impl<'a> Row<'a> {
    /// The row of a seat.
    pub fn new(state: &State<'a>, seat: &'a Seat) -> Self {
        let current = Current::new(state, seat);
        let progress = current.and_then(|current| Some(Progress::new(state, seat, &current, current.drill?)));
        let in_drill = current.and_then(|current| current.drill).and_then(|drill| {
            let ago = drill.clock.saturating_sub(last_action(drill)?);
            drill.last_at.checked_sub_signed(chrono::TimeDelta::milliseconds(i64::try_from(ago).ok()?))
        });
        let running = current.is_some_and(|current| current.ending().is_none());
        let stuck = progress.as_ref().is_some_and(|progress| progress.stuck.is_some());
        let need = match (seat.hand, &seat.lab) {
            (Some(since), _) => Need::Hand(since),
            _ if stuck => Need::Stuck,
            (_, LabState::Failed(_)) => Need::Lab,
            _ if running => Need::Drill,
            _ if seat.joined.is_some() => Need::Present,
            _ => Need::Empty,
        };
        Self { seat, outside: Outside::new(state, seat), need, progress, acted: seat.acted.max(in_drill) }
    }
}

impl Progress {
    fn new(state: &State<'_>, seat: &Seat, current: &Current<'_>, drill: &Drill) -> Self {
        let clock = current.clock(state);
        let now = clock.map_or(drill.clock, |clock| clock.at);
        let phase = if current.ending().is_some() { Phase::Ended } else { drill.phase() };
        let pace = Pace::new(drill, phase, now);
        let stuck = pace.and_then(|pace| {
            let idle = idle(state, seat, drill, now);
            let is_late = (pace.time > pace.par).then_some(Stuck::PastPar);
            (idle >= IDLE).then_some(Stuck::Idle(idle)).or(is_late)
        });
        Self {
            phase,
            pace,
            clock,
            hints: (drill.hints.len(), drill.started.brief.hints.len()),
            tries: drill.tries.len(),
            answer: drill.tries.iter().map(|one| one.answer).max(),
            wrong_fixes: drill.mistakes().map(|fix| fix.name.clone()).collect(),
            overdue: next_due(drill, now).is_some_and(|due| due.at < now),
            stuck,
            failure: drill.failure.clone(),
        }
    }
}

impl Pace {
    /// Pace in a phase with something to do: noticing, then mitigating, then resolving.
    fn new(drill: &Drill, phase: Phase, now: u64) -> Option<Self> {
        let par = &drill.started.brief.par;
        let par = match phase {
            Phase::Broken if drill.acknowledged().is_none() => par.detect,
            Phase::Broken => par.mitigate,
            Phase::Mitigated | Phase::Masked => par.resolve,
            Phase::Quiet | Phase::Resolved | Phase::Ended => return None,
        };
        let par = u64::try_from(par.as_millis()).unwrap_or(u64::MAX);
        Some(Self { time: now.saturating_sub(drill.impact?), par })
    }

    /// Time by par, in thousandths.
    pub fn permille(self) -> u64 {
        self.time.saturating_mul(1000) / self.par.max(1)
    }
}

/// Drill time of the last action.
fn last_action(drill: &Drill) -> Option<u64> {
    let acknowledged = drill.acknowledgements.last().copied();
    let times = [
        acknowledged,
        drill.hints.last().map(|hint| hint.at),
        drill.tries.last().map(|one| one.at),
        drill.changes.last().map(|change| change.at),
        drill.looks.last().map(|look| look.at),
        drill.updates.last().map(|update| update.at),
    ];
    times.into_iter().flatten().max()
}

/// Time without an action in milliseconds, since the impact at most: before it, waiting is right.
fn idle(state: &State<'_>, seat: &Seat, drill: &Drill, now: u64) -> u64 {
    let since_impact = now.saturating_sub(drill.impact.unwrap_or(now));
    let in_drill = last_action(drill).map_or(u64::MAX, |at| now.saturating_sub(at));
    let outside = seat.acted.map_or(u64::MAX, |at| {
        let ago = (state.now - at).num_milliseconds();
        u64::try_from(ago).unwrap_or_default()
    });
    since_impact.min(in_drill).min(outside)
}
