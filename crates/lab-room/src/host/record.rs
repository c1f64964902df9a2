//! Writes to the logs: an entry is on disk before anything follows from it. The work is done on a blocking thread and runs to
//! its end even if nobody waits for it any more, so that memory and disk never differ.

use std::sync::Arc;

use lab_drill::event::{Entry as DrillEntry, Event as DrillEvent};
use lab_drill::fold::Drill;
use lab_drill::log::LogError;

use super::feed::{Feed, News};
use super::live::Live;
use super::{Host, Refusal, lock};
use crate::config::SeatNumber;
use crate::event::{Entry, Event};

/// What is written to a drill's log, and what is returned for it.
pub(super) type Written<T> = (Option<DrillEvent>, T);

impl Host {
    /// Writes an event that is decided by the current state. Without an event, nothing is left to do.
    pub(super) async fn record(
        self: &Arc<Self>,
        decide: impl FnOnce(&Live) -> Result<Option<Event>, Refusal> + Send + 'static,
    ) -> Result<Option<Entry>, Refusal> {
        let mut log = Arc::clone(&self.log).lock_owned().await;
        let host = Arc::clone(self);
        blocking(move || {
            let event = {
                let live = host.read_live();
                if live.room.closed.is_some() {
                    return Err(closed());
                }
                decide(&live)?
            };
            let Some(event) = event else { return Ok(None) };
            let entry = log.append(event).map_err(|error| Refusal::Unsaved(error.to_string()))?;
            host.write_live().apply(&entry);
            host.follow(&entry);
            Ok(Some(entry))
        })
        .await
    }

    /// Writes a participant's event to the log of their drill.
    pub(super) async fn record_drill<T: Send + 'static>(
        self: &Arc<Self>,
        seat: SeatNumber,
        decide: impl FnOnce(&Drill, u64) -> Result<Written<T>, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.allow_action(seat)?;
        let host = Arc::clone(self);
        blocking(move || {
            {
                let live = host.read_live();
                let room = &live.room;
                let found = room.seats.get(&seat).ok_or(Refusal::NoSeat(seat))?;
                if room.closed.is_some() {
                    return Err(closed());
                }
                if room.paused.is_some() {
                    return Err(paused());
                }
                if found.drill().is_none() {
                    return Err(Refusal::conflict("no drill is in progress at this seat"));
                }
            }
            host.write_drill(seat, decide)
        })
        .await
    }

    /// Writes an event to the log of a seat's drill in progress. Blocks.
    pub(super) fn write_drill<T>(
        &self,
        seat: SeatNumber,
        decide: impl FnOnce(&Drill, u64) -> Result<Written<T>, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(feed) = self.feed(seat) else {
            return Err(Refusal::Lab("the log of the drill cannot be read; ask your trainer for a reset".to_owned()));
        };
        let mut feed = lock(&feed);
        self.take_news(seat, &mut feed).map_err(Refusal::Lab)?;
        let (event, result) = {
            let live = self.read_live();
            let Some(drill) = live.drills.get(&feed.id).filter(|drill| drill.ended.is_none()) else {
                return Err(Refusal::conflict("the drill of this seat is over"));
            };
            decide(drill, feed.now())?
        };
        if let Some(event) = event {
            let entries = feed.append(event).map_err(|error| match error {
                LogError::Over => Refusal::conflict("the drill of this seat is over"),
                error => Refusal::Unsaved(error.to_string()),
            })?;
            self.add(seat, &feed.id, &entries);
        }
        Ok(result)
    }

    /// Folds what was written to the log of a seat's drill in progress. Blocks.
    pub(super) fn poll(&self, seat: SeatNumber) {
        if let Some(feed) = self.feed(seat) {
            // A log that cannot be read makes the referee fail, which is shown to the trainer.
            let _ = self.take_news(seat, &mut lock(&feed));
        }
    }

    pub(super) fn feed(&self, seat: SeatNumber) -> Option<Arc<std::sync::Mutex<Feed>>> {
        lock(&self.feeds).get(&seat).cloned()
    }

    /// Seats with a drill in progress.
    pub(super) fn active_seats(&self) -> Vec<SeatNumber> {
        lock(&self.feeds).keys().copied().collect()
    }

    fn take_news(&self, seat: SeatNumber, feed: &mut Feed) -> Result<(), String> {
        match feed.news(&self.drills)? {
            News::Entries(entries) => self.add(seat, &feed.id, &entries),
            News::Published(drill) => {
                self.write_live().drills.insert(feed.id.clone(), *drill);
                self.changed(seat);
            }
        }
        Ok(())
    }

    fn add(&self, seat: SeatNumber, id: &str, entries: &[DrillEntry]) {
        if entries.is_empty() {
            return;
        }
        if let Some(drill) = self.write_live().drills.get_mut(id) {
            for entry in entries {
                drill.apply(entry);
            }
        }
        self.changed(seat);
    }
}

/// Runs work that blocks, to its end.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let result = tokio::task::spawn_blocking(work).await;
    result.unwrap_or_else(|_| Err(Refusal::Unsaved("an internal error occurred".to_owned())))
}

pub(super) fn paused() -> Refusal {
    Refusal::conflict("the room is paused; wait until your trainer goes on")
}

fn closed() -> Refusal {
    Refusal::conflict("the room is closed")
}
