//! [`Outcome`]: the result of a seat in one drill of the room.

use chrono::{DateTime, Utc};
use lab_drill::debrief::{Line, Times, timeline};
use lab_drill::event::Ending;
use lab_drill::fold::{Answer, Change, Drill, PublicHint, Try};
use lab_drill::score::Score;
use lab_drill::updates::{Judgements, judge};
use serde::Serialize;

use crate::fold::{Seat, SeatDrill};
use crate::state::State;

/// The result of a seat in one drill of the room. Times are drill times in milliseconds; those with `_after` count from the first
/// failed request.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome<'a> {
    /// Number of the room's drill, from 1.
    pub drill: usize,
    /// Id of the seat's drill.
    pub id: &'a str,
    /// When it began.
    pub started: DateTime<Utc>,
    /// How it ended. `None` while it is in progress; the rest is then as of now.
    pub ending: Option<Ending>,
    /// Extension of the time limit in seconds.
    pub extension: u64,
    /// Nothing was wrong in this seat's drill.
    pub without_fault: bool,
    /// Times of the drill.
    pub times: Times,
    /// Until it was acknowledged.
    pub acknowledged_after: Option<u64>,
    /// Until the right diagnosis.
    pub diagnosed_after: Option<u64>,
    /// Until the callers succeeded.
    pub mitigated_after: Option<u64>,
    /// Until the cause was removed.
    pub resolved_after: Option<u64>,
    /// The score. `None` if the drill is void or of another version.
    pub score: Option<Score>,
    /// Opened hints.
    pub hints: Vec<PublicHint>,
    /// Diagnoses.
    pub tries: Vec<Try>,
    /// The participant's changes.
    pub changes: Vec<Change>,
    /// Named wrong fixes that count.
    pub wrong_fixes: Vec<String>,
    /// Judgement of the updates.
    pub updates: Judgements,
    /// Hidden events, the participant's actions and messages, in order.
    pub timeline: Vec<Line>,
}

impl<'a> Outcome<'a> {
    fn new(index: usize, seat_drill: &'a SeatDrill, drill: &Drill) -> Self {
        let since = |at: Option<u64>| drill.impact.zip(at).map(|(impact, at)| at.saturating_sub(impact));
        let right = drill.tries.iter().find(|one| one.answer == Answer::Right).map(|one| one.at);
        let in_log = drill.ended.map(|end| end.by);
        Self {
            drill: index + 1,
            id: &seat_drill.id,
            started: seat_drill.at,
            ending: seat_drill.ended.map(|(_, by)| by).or(in_log),
            extension: seat_drill.extension,
            without_fault: !drill.started.fault,
            times: Times::new(drill),
            acknowledged_after: since(drill.acknowledged()),
            diagnosed_after: since(right),
            mitigated_after: since(drill.mitigated()),
            resolved_after: since(drill.resolved()),
            score: Score::new(drill).ok(),
            hints: drill.public().hints,
            tries: drill.tries.clone(),
            changes: drill.changes.clone(),
            wrong_fixes: drill.mistakes().map(|fix| fix.name.clone()).collect(),
            updates: judge(drill),
            timeline: timeline(drill),
        }
    }

    /// The results of a seat, in the order of the room's drills.
    pub fn all(state: &State<'a>, seat: &'a Seat) -> Vec<Self> {
        let indices = 0..state.room.drills.len();
        let found = indices.filter_map(|index| {
            let seat_drill = seat.drill_of(index)?;
            Some(Self::new(index, seat_drill, state.drills.get(&seat_drill.id)?))
        });
        found.collect()
    }
}

/// How a drill ended, as a word.
pub(super) fn ending(ending: Option<Ending>) -> &'static str {
    match ending {
        None => "in progress",
        Some(Ending::Finished) => "finished",
        Some(Ending::GaveUp) => "given up",
        Some(Ending::LabGone) => "lab gone",
        Some(Ending::Void) => "void",
        Some(Ending::TimeLimit) => "time limit",
        Some(Ending::EndedByTrainer) => "ended by the trainer",
    }
}
