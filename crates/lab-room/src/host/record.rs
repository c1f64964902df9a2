//! Writes to the logs: an entry is on disk before anything follows from it. The work is done on a blocking thread and runs to
//! its end even if its caller is gone, so that memory and disk never differ.

use std::sync::Arc;

use lab_drill::event::{Entry as DrillEntry, Event as DrillEvent};
use lab_drill::fold::Drill;
use lab_drill::log::LogError;
use tokio::sync::oneshot;

use super::feed::{Feed, News};
use super::live::Live;
use super::{Host, Refusal, lock};
use crate::config::SeatNumber;
use crate::event::{Entry, Event};
use crate::fold::Room;
use crate::log::RoomLog;

/// Event for a drill's log, and the result of writing it.
pub(super) type Written<T> = (Option<DrillEvent>, T);

/// Decides an event by the current state.
type Decide = Box<dyn FnOnce(&Live) -> Result<Option<Event>, Refusal> + Send>;
/// Result of a write: the entry, if there was one to write.
type Recorded = Result<Option<Entry>, Refusal>;

/// An event that waits to be written.
pub(super) struct Pending {
    decide: Decide,
    reply: oneshot::Sender<Recorded>,
}

impl Host {
    /// Writes an event that is decided by the current state. Without an event, nothing is left to do. Events that come at the
    /// same time are made durable together.
    pub(super) async fn record(
        self: &Arc<Self>,
        decide: impl FnOnce(&Live) -> Result<Option<Event>, Refusal> + Send + 'static,
    ) -> Recorded {
        let (reply, result) = oneshot::channel();
        lock(&self.pending).push(Pending { decide: Box::new(decide), reply });
        let mut log = Arc::clone(&self.log).lock_owned().await;
        if lock(&self.pending).is_empty() {
            // The one who had the log before has written it.
            drop(log);
        } else {
            let host = Arc::clone(self);
            blocking(move || {
                host.write_pending(&mut log);
                Ok(())
            })
            .await?;
        }
        result.await.unwrap_or_else(|_| Err(internal()))
    }

    /// Writes the events that wait. An event whose sender is gone is left out.
    fn write_pending(&self, log: &mut RoomLog) {
        let mut written = Vec::new();
        let pending = std::mem::take(&mut *lock(&self.pending));
        for Pending { decide, reply } in pending.into_iter().filter(|pending| !pending.reply.is_closed()) {
            match self.write_one(log, decide) {
                Ok(entry) => written.push((entry, reply)),
                Err(refusal) => drop(reply.send(Err(refusal))),
            }
        }
        let has_entries = written.iter().any(|(entry, _)| entry.is_some());
        let synced = if has_entries { log.sync() } else { Ok(()) };
        if synced.is_err() {
            self.fold_again(log);
        }
        let refusal = synced.err().map(|error| Refusal::Unsaved(error.to_string()));
        for (entry, reply) in written {
            if let (None, Some(entry)) = (&refusal, &entry) {
                self.follow(entry);
            }
            let _ = reply.send(refusal.clone().map_or(Ok(entry), Err));
        }
    }

    fn write_one(&self, log: &mut RoomLog, decide: Decide) -> Recorded {
        let event = {
            let live = self.read_live();
            if live.room.closed.is_some() {
                return Err(closed());
            }
            decide(&live)?
        };
        let Some(event) = event else { return Ok(None) };
        let entry = log.write(event).map_err(|error| Refusal::Unsaved(error.to_string()))?;
        // The next decision depends on it.
        self.write_live().apply(&entry);
        Ok(Some(entry))
    }

    /// Takes back the entries that could not be made durable.
    fn fold_again(&self, log: &RoomLog) {
        if let Ok(entries) = log.entries() {
            self.write_live().replace_room(Room::from_entries(&self.config, &entries));
            self.changed_all();
        }
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
    result.unwrap_or_else(|_| Err(internal()))
}

fn internal() -> Refusal {
    Refusal::Unsaved("an internal error occurred".to_owned())
}

pub(super) fn paused() -> Refusal {
    Refusal::conflict("the room is paused; wait until your trainer goes on")
}

fn closed() -> Refusal {
    Refusal::conflict("the room is closed")
}
