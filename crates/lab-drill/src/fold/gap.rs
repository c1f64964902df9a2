//! [`Gap`]: time that does not count, because the referee was away or could not look at the lab.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::Entry;

/// Drill time in milliseconds between two gaps of the same reason that count as one.
const MERGED: u64 = 5000;
/// Shortest time in milliseconds that counts as left out. Drill time and the clock on the wall are never read at once.
const SHORTEST: u64 = 1000;
/// Reason of a gap that the log does not explain.
const AWAY: &str = "the referee did not run";

/// An interval in which the referee could not look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Drill time of its begin. It stands still during the gap.
    pub at: u64,
    /// Why.
    pub reason: String,
    /// Time of its begin.
    pub from: DateTime<Utc>,
    /// Time of its end. `None` while it lasts.
    pub until: Option<DateTime<Utc>>,
    /// Time that does not count, so far, in milliseconds.
    pub length: u64,
    /// Drill time of its end.
    #[serde(skip)]
    end: u64,
}

impl Gap {
    /// Drill time of its end. Later than its begin if it consists of several short ones.
    pub(super) fn end(&self) -> u64 {
        self.end
    }
}

/// All gaps of a drill.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    all: Vec<Gap>,
    /// Begin and length of the time that was left out since the last second, outside of a gap.
    unexplained: Option<(DateTime<Utc>, u64)>,
    /// A referee has begun to watch.
    watched: bool,
}

impl Gaps {
    pub(super) fn all(&self) -> &[Gap] {
        &self.all
    }

    /// The gap that lasts.
    fn open(&mut self) -> Option<&mut Gap> {
        self.all.last_mut().filter(|gap| gap.until.is_none())
    }

    /// Notes the time before an entry that drill time leaves out. `last` are time and drill time of the entry before.
    pub(super) fn pass(&mut self, (last, clock): (DateTime<Utc>, u64), entry: &Entry) {
        let passed = u64::try_from((entry.at - last).num_milliseconds()).unwrap_or_default();
        let left_out = passed.saturating_sub(entry.clock.saturating_sub(clock));
        match self.open() {
            Some(gap) => gap.length += left_out,
            None if left_out > 0 => {
                let (from, length) = self.unexplained.unwrap_or((last, 0));
                self.unexplained = Some((from, length + left_out));
            }
            None => {}
        }
    }

    /// The referee sees a second.
    pub(super) fn see(&mut self) {
        self.unexplained = None;
    }

    /// The referee cannot look from now on.
    pub(super) fn begin(&mut self, entry: &Entry, clock: u64, reason: &str) {
        if self.open().is_some() {
            return;
        }
        let before = self.unexplained.take().filter(|(_, length)| *length >= SHORTEST);
        let (from, length) = before.unwrap_or((entry.at, 0));
        match self.all.last_mut().filter(|last| last.reason == reason && clock <= last.end + MERGED) {
            Some(last) => {
                last.until = None;
                last.length += length;
            }
            None => self.all.push(Gap { at: clock, reason: reason.to_owned(), from, until: None, length, end: clock }),
        }
    }

    /// The referee can look again.
    pub(super) fn end(&mut self, entry: &Entry, clock: u64) {
        let is_first = !std::mem::replace(&mut self.watched, true);
        // Before, the lab was prepared.
        if !is_first && self.open().is_none() && self.unexplained.is_some_and(|(_, length)| length >= SHORTEST) {
            self.begin(entry, clock, AWAY);
        }
        self.unexplained = None;
        if let Some(gap) = self.open() {
            (gap.until, gap.end) = (Some(entry.at), clock);
        }
    }
}
