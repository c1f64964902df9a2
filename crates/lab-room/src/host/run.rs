//! The background work of a room's server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::worker::work;
use super::{Host, lock};
use crate::backend::Snapshot;
use crate::config::SeatNumber;
use crate::fold::LabState;

/// Interval at which the logs of the drills in progress are read.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Interval at which the labs are looked at, while a page is open, and otherwise.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(2);
const IDLE_SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time for one look.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);
/// Labs that are looked at at once.
const SNAPSHOTS: usize = 4;
/// Looks without an answer in a row after which a lab is brought up again.
const LOST_AFTER: u32 = 3;
/// Pause before work that panicked is begun again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Time for the tasks to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Seats whose labs do not answer.
#[derive(Default)]
pub(super) struct Lost {
    /// Looks without an answer in a row.
    unanswered: BTreeMap<SeatNumber, u32>,
    seats: BTreeSet<SeatNumber>,
}

/// Runs work until it returns. Work that panics is begun again, so that a mistake at one seat does not end the room.
async fn keep_running<F: Future<Output = ()> + Send + 'static>(work: impl Fn() -> F) {
    while AbortOnDropHandle::new(tokio::spawn(work())).await.is_err() {
        sleep(RESTART_PAUSE).await;
    }
}

impl Host {
    /// Does the background work until `end` is cancelled: brings labs up, referees and ends drills, and keeps pages up to date.
    /// Drills in progress can be continued afterwards.
    pub async fn run(self: &Arc<Self>, end: CancellationToken) {
        let workers = TaskTracker::new();
        for seat in self.config.seats.clone() {
            let (host, end) = (Arc::clone(self), end.clone());
            workers.spawn(keep_running(move || work(Arc::clone(&host), seat.clone(), end.clone())));
        }
        workers.close();
        tokio::select! {
            () = end.cancelled() => {}
            () = keep_running(|| Arc::clone(self).render_pages()) => {}
            () = keep_running(|| Arc::clone(self).poll_drills()) => {}
            () = keep_running(|| Arc::clone(self).take_snapshots()) => {}
        }
        // A referee completes an injection, because half an injection is harder to revert.
        let _ = timeout(END_TIMEOUT, workers.wait()).await;
    }

    async fn poll_drills(self: Arc<Self>) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let seats = self.active_seats();
            if seats.is_empty() {
                continue;
            }
            let host = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || seats.into_iter().for_each(|seat| host.poll(seat))).await;
        }
    }

    async fn take_snapshots(self: Arc<Self>) {
        loop {
            let labs: Vec<(SeatNumber, String)> = self.with_state(|state| {
                let seats = state.config.seats.iter().filter_map(|seat| {
                    let found = state.room.seats.get(&seat.number)?;
                    let is_up = found.joined.is_some() && found.lab == LabState::Ready;
                    is_up.then(|| (seat.number, seat.lab.clone()))
                });
                seats.collect()
            });
            let looks = stream::iter(labs).map(|(seat, lab)| {
                let host = Arc::clone(&self);
                async move {
                    let look = timeout(SNAPSHOT_TIMEOUT, host.backend.snapshot(&lab)).await;
                    host.add_snapshot(seat, &look.unwrap_or_default());
                }
            });
            looks.buffer_unordered(SNAPSHOTS).collect::<()>().await;
            let pause = if self.pages.is_watched() { SNAPSHOT_INTERVAL } else { IDLE_SNAPSHOT_INTERVAL };
            sleep(pause).await;
        }
    }

    fn add_snapshot(&self, seat: SeatNumber, snapshot: &Snapshot) {
        let is_lost = {
            let mut lost = lock(&self.lost);
            let unanswered = lost.unanswered.entry(seat).or_default();
            *unanswered = if snapshot.services.is_empty() { *unanswered + 1 } else { 0 };
            let is_lost = *unanswered >= LOST_AFTER;
            is_lost && lost.seats.insert(seat)
        };
        let is_new = {
            let mut live = self.write_live();
            live.snapshots.insert(seat, snapshot.clone()).as_ref() != Some(snapshot)
        };
        if is_lost || is_new {
            self.changed(seat);
        }
    }

    /// The lab of a seat does not answer and should be brought up again.
    pub(super) fn is_lost(&self, seat: SeatNumber) -> bool {
        lock(&self.lost).seats.contains(&seat)
    }

    /// The lab of a seat was brought up.
    pub(super) fn found(&self, seat: SeatNumber) {
        let mut lost = lock(&self.lost);
        lost.seats.remove(&seat);
        lost.unanswered.remove(&seat);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_is_begun_again() {
        let attempts = Arc::new(AtomicU32::new(0));
        keep_running(|| {
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            async move { assert!(attempt == 2, "attempt {attempt}") }
        })
        .await;
        assert_eq!(attempts.load(Ordering::Relaxed), 3);
    }
}
