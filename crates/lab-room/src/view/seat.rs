//! [`SeatView`]: what a participant sees. It has nothing that is hidden: neither phases nor verdicts, and no points.

use chrono::{DateTime, Utc};
use lab_drill::fold::PublicView;
use lab_drill::messages::{Message, messages};
use lab_drill::updates::{Due, needs_closing, next_due};

use super::{Clock, Current, Outside};
use crate::backend::Snapshot;
use crate::config::SeatNumber;
use crate::fold::{Notice, Seat};
use crate::state::State;

/// Lines of the console on the page.
const CONSOLE: usize = 30;
/// Bytes of output on the page. The last command is always shown.
const OUTPUT: usize = 96 << 10;

/// What a participant sees.
#[derive(Clone, Debug)]
pub struct SeatView<'a> {
    /// The seat.
    pub seat: &'a Seat,
    /// Its state, as it can be seen from outside.
    pub outside: Outside,
    /// Where its drill is.
    pub drill_stage: Stage,
    /// The clock of the drill.
    pub clock: Option<Clock>,
    /// What may be seen of the drill.
    pub drill: Option<PublicView>,
    /// Messages of the drill, the last one first.
    pub messages: Vec<Message>,
    /// Messages of the trainer to all or to this seat, the last one first.
    pub notices: Vec<&'a Notice>,
    /// The update that is due next or overdue.
    pub due: Option<Due>,
    /// No update has closed the incident so far.
    pub needs_closing: bool,
    /// What can be seen of the lab.
    pub snapshot: Option<&'a Snapshot>,
    /// Every clock stands still since then.
    pub paused: Option<DateTime<Utc>>,
    /// The room is closed.
    pub closed: bool,
}

/// Where the drill of a seat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// None was started.
    Before,
    /// It begins soon.
    Starting,
    /// It is in progress.
    Running,
    /// It is over, and its result is not shown yet.
    Over,
    /// Its result is shown.
    Revealed,
}

impl<'a> SeatView<'a> {
    /// View of a seat. `None` if there is no such seat.
    pub fn new(state: &State<'a>, number: SeatNumber) -> Option<Self> {
        let seat = state.room.seats.get(&number)?;
        let current = Current::new(state, seat);
        let drill_stage = Stage::new(state, current.as_ref());
        let drill = current.and_then(|current| current.drill);
        let clock = current.and_then(|current| current.clock(state));
        let now = clock.map_or(0, |clock| clock.at);
        let mut view = drill.map(lab_drill::fold::Drill::public);
        if let (Some(view), Stage::Over) = (&mut view, drill_stage) {
            // The end of a drill opens its verdicts, but in a room they stay hidden until the reveal.
            view.phase = None;
            view.wrong_fixes.clear();
        }
        let mut notices: Vec<&Notice> = state.room.said.iter().chain(&seat.said).collect();
        notices.sort_by_key(|notice| std::cmp::Reverse(notice.at));
        let mut letters = drill.map(|drill| messages(drill, now)).unwrap_or_default();
        letters.reverse();
        Some(Self {
            seat,
            outside: Outside::new(state, seat),
            drill_stage,
            clock,
            drill: view,
            messages: letters,
            notices,
            due: drill.and_then(|drill| next_due(drill, now)),
            needs_closing: drill.is_some_and(needs_closing),
            snapshot: state.snapshots.get(&number),
            paused: state.room.paused,
            closed: state.room.closed.is_some(),
        })
    }

    /// The last lines of the console, as many as fit on the page.
    pub fn console(&self) -> &'a [crate::fold::Command] {
        let lines = &self.seat.console;
        let mut bytes = 0;
        let fits = |command: &&crate::fold::Command| {
            bytes += command.output.as_ref().map_or(0, |(_, text)| text.len());
            bytes <= OUTPUT
        };
        let count = lines.iter().rev().take(CONSOLE).take_while(fits).count().max(1);
        &lines[lines.len().saturating_sub(count)..]
    }
}

impl Stage {
    fn new(state: &State<'_>, current: Option<&Current<'_>>) -> Self {
        match current {
            Some(current) if current.ending().is_none() => Self::Running,
            Some(current) if current.of.is_some_and(|drill| drill.revealed.is_some()) => Self::Revealed,
            Some(_) => Self::Over,
            None if state.room.drill().is_some() => Self::Starting,
            None => Self::Before,
        }
    }
}
