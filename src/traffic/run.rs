//! [`run`]: a thread keeps the schedule and releases requests as they fall due, one worker a connection takes them, and
//! each worker's tally goes into the [`Summary`] at the end.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use chrono::Utc;
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::outage::OutageClock;
use super::pacer::{Pace, Pacer};
use super::summary::{add, add_histogram, histogram, is_success};
use super::{Cause, Load, Summary, TrafficProgress};

/// How long a request in flight may go on after a cancellation.
const GRACE: Duration = Duration::from_millis(200);
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// Sends a load until it is all sent or cancelled; ends at most two timeouts after its schedule.
///
/// Requests that fail are a result, not an error. A load that [`Load::validate`] refuses is not sent: all of it is
/// unsent. After a cancellation no request starts; one in flight that gets no answer soon is in no count.
pub async fn run(
    load: &Load,
    progress: &(dyn Fn(TrafficProgress) + Send + Sync),
    cancel: &CancellationToken,
) -> Summary {
    let pacer = Pacer::new(load.amount, load.rate);
    let mut summary = Summary::new(Utc::now());
    let Ok(target) = load.target() else {
        summary.unsent = pacer.total();
        return summary;
    };
    let (target, workers) = (Arc::new(target), load.connections as usize);
    let shared = Arc::new(Shared {
        pacer,
        start: Instant::now(),
        timeout: load.timeout,
        released: Semaphore::new(0),
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        outage: Mutex::new(OutageClock::new(workers)),
        cancel: cancel.clone(),
    });
    // The thread ends when this is dropped, whatever becomes of this future.
    let (running, stop) = mpsc::channel::<()>();
    let pacing = Arc::clone(&shared);
    spawn_blocking(move || pace(&pacing, workers, &stop));
    let mut tasks: JoinSet<Tally> =
        (0..workers).map(|id| work(Arc::clone(&shared), id, Client::new(Arc::clone(&target)))).collect();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => break,
                Some(Ok(tally)) => tally.add_to(&mut summary),
                Some(Err(error)) => if let Ok(panic) = error.try_into_panic() { resume_unwind(panic) },
            },
            _ = ticks.tick() => progress(shared.progress()),
        }
    }
    drop(running);
    shared.conclude(&mut summary);
    progress(shared.progress());
    summary
}

/// What the workers have in common.
struct Shared {
    pacer: Pacer,
    /// When the first request is due.
    start: Instant,
    timeout: Duration,
    /// One permit for each request that is due and not taken.
    released: Semaphore,
    /// The next request to take.
    next: AtomicU64,
    /// Requests that are over.
    done: AtomicU64,
    outage: Mutex<OutageClock>,
    cancel: CancellationToken,
}

impl Shared {
    fn progress(&self) -> TrafficProgress {
        TrafficProgress { done: self.done.load(Ordering::Relaxed), planned: self.pacer.total() }
    }

    fn outage(&self) -> MutexGuard<'_, OutageClock> {
        // A worker that panicked ends the run anyway.
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conclude(&self, summary: &mut Summary) {
        let outage = self.outage();
        summary.first_failure = outage.first_failure();
        summary.last_failure = outage.last_failure();
        summary.lasting_success = outage.lasting_success();
        summary.interrupted = summary.sent + summary.unsent < self.pacer.total();
    }

    /// One request, within the timeout; none where it was given up after a cancellation.
    async fn attempt(&self, client: &mut Client, started: Duration) -> Option<Result<u16, Cause>> {
        let deadline = tokio::time::Instant::from_std(self.start + started + self.timeout);
        let abandoned = async {
            self.cancel.cancelled().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            outcome = client.send() => Some(outcome),
            () = sleep_until(deadline) => Some(Err(Cause::Timeout)),
            () = abandoned => None,
        }
    }
}

/// Releases requests as they fall due. On a thread of its own: the runtime's timer is a millisecond coarse, which would
/// be added to every latency.
fn pace(shared: &Shared, workers: usize, stop: &mpsc::Receiver<()>) {
    let mut released = 0;
    loop {
        match shared.pacer.next(shared.start.elapsed(), released) {
            Pace::Release(count) => {
                shared
                    .released
                    .add_permits(usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS / 2));
                released += count;
            }
            Pace::Wait(wait) => {
                if stop.recv_timeout(wait) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
            Pace::Done => {
                // One more for each worker, to see that nothing is left.
                shared.released.add_permits(workers);
                return;
            }
        }
    }
}

/// Takes requests that are due and sends them, one at a time, until none is left.
async fn work(shared: Arc<Shared>, id: usize, mut client: Client) -> Tally {
    let mut tally = Tally::new();
    loop {
        let permit = tokio::select! {
            biased;
            () = shared.cancel.cancelled() => break,
            permit = client.idle(shared.released.acquire()) => permit,
        };
        let Ok(permit) = permit else { break };
        permit.forget();
        let Some(due) = shared.pacer.due(shared.next.fetch_add(1, Ordering::Relaxed)) else { break };
        let started = shared.start.elapsed();
        if started.saturating_sub(due) > shared.timeout {
            tally.unsent += 1;
        } else {
            shared.outage().start(id, started);
            let outcome = shared.attempt(&mut client, started).await;
            let end = shared.start.elapsed();
            shared.outage().end(id, outcome.map(|outcome| outcome.is_ok_and(is_success)));
            let Some(outcome) = outcome else { break };
            tally.count(outcome, due, end);
        }
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
    tally
}

/// What one worker saw.
struct Tally {
    sent: u64,
    unsent: u64,
    codes: BTreeMap<u16, u64>,
    errors: BTreeMap<Cause, u64>,
    latency: Histogram<u64>,
    end: Duration,
}

impl Tally {
    fn new() -> Self {
        let (codes, errors) = (BTreeMap::new(), BTreeMap::new());
        Self { sent: 0, unsent: 0, codes, errors, latency: histogram(), end: Duration::ZERO }
    }

    fn count(&mut self, outcome: Result<u16, Cause>, due: Duration, end: Duration) {
        self.sent += 1;
        self.end = end;
        match outcome {
            Ok(code) => {
                *self.codes.entry(code).or_default() += 1;
                let micros = u64::try_from(end.saturating_sub(due).as_micros()).unwrap_or(u64::MAX);
                self.latency.record(micros.max(1)).expect("a histogram that resizes itself takes every value");
            }
            Err(cause) => *self.errors.entry(cause).or_default() += 1,
        }
    }

    fn add_to(&self, summary: &mut Summary) {
        summary.sent += self.sent;
        summary.unsent += self.unsent;
        add(&mut summary.codes, &self.codes);
        add(&mut summary.errors, &self.errors);
        add_histogram(&mut summary.latency, &self.latency);
        summary.duration = summary.duration.max(self.end);
    }
}
