//! A worker is a thread with its own runtime and a share of the connections. Each connection is a task that sends one request
//! after the other. A request never changes threads and costs only two system calls.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Net, Received};
use super::mix::Mix;
use super::outage::OutageClock;
use super::schedule::Schedule;
use super::summary::is_success;
use super::tally::{Exchange, Tally};
use super::target::Targets;
use super::{Amount, Cause};

/// Time for a request in flight to complete after a cancellation.
const GRACE: Duration = Duration::from_millis(200);
/// Pause of a closed-model connection after a failed connect. Without it, a refusing port would see a hundred thousand
/// attempts per second.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

/// State shared by all workers.
pub(super) struct Shared {
    /// Time at which the first request is due, or sent.
    pub(super) start: Instant,
    /// Requests during the warm-up are not counted.
    pub(super) warmup: Duration,
    pub(super) timeout: Duration,
    pub(super) targets: Targets,
    pub(super) mix: Mix,
    pub(super) net: Arc<Net>,
    pub(super) model: Model,
    /// Time at which sending was stopped early. No request starts after it.
    pub(super) stopped: OnceLock<Duration>,
    pub(super) stop: CancellationToken,
}

/// Source of requests.
pub(super) enum Model {
    Open {
        schedule: Mutex<Schedule>,
        /// One permit for each request that is due and not yet taken.
        released: Semaphore,
        outage: Mutex<OutageClock>,
    },
    Closed {
        amount: Amount,
        /// Requests started during the warm-up.
        warm: AtomicU64,
        /// Requests started, or refused, after it.
        counted: AtomicU64,
    },
}

/// Counters of one worker.
pub(super) struct WorkerStats {
    pub(super) tally: Mutex<Tally>,
    /// Counted requests that were taken from the schedule.
    pub(super) begun: AtomicU64,
    /// Counted requests that have ended.
    pub(super) done: AtomicU64,
}

/// A request taken from the schedule.
struct Turn {
    number: u64,
    /// `None` in the closed model.
    due: Option<Duration>,
    started: Duration,
}

impl Shared {
    /// Returns true if all requests have been taken.
    pub(super) fn is_exhausted(&self) -> bool {
        match &self.model {
            Model::Open { schedule, .. } => locked(schedule).due().is_none(),
            Model::Closed { amount: Amount::Duration(length), .. } => self.start.elapsed() >= self.warmup + *length,
            Model::Closed { amount: Amount::Requests(count), counted, .. } => counted.load(Ordering::Relaxed) >= *count,
        }
    }

    /// Prevents further requests from starting.
    pub(super) fn halt(&self) {
        self.stopped.get_or_init(|| self.start.elapsed());
        if let Model::Open { released, .. } = &self.model {
            released.close();
        }
    }

    /// Counts the requests that were due when sending stopped, but not started, as unsent.
    pub(super) fn count_left(&self, stats: &WorkerStats) {
        let (Model::Open { schedule, .. }, Some(stopped)) = (&self.model, self.stopped.get()) else { return };
        // A copy, because the remaining requests mark the run as interrupted.
        let mut schedule = locked(schedule).clone();
        let mut tally = locked(&stats.tally);
        while let Some((number, due)) = schedule.claim().filter(|(_, due)| due <= stopped) {
            if due >= self.warmup {
                tally.give_up(self.mix.assign(number).0);
            }
        }
    }

    fn outage(&self) -> Option<MutexGuard<'_, OutageClock>> {
        match &self.model {
            Model::Open { outage, .. } => Some(locked(outage)),
            Model::Closed { .. } => None,
        }
    }
}

/// Runs these connections until all requests are sent.
pub(super) fn work(shared: &Arc<Shared>, stats: &Arc<WorkerStats>, lanes: Range<usize>, runtime: Runtime) {
    runtime.block_on(async {
        let mut tasks: JoinSet<()> =
            lanes.map(|id| Lane::new(id, Arc::clone(shared), Arc::clone(stats)).run()).collect();
        let mut give_up = None;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Err(error)) => if let Ok(panic) = error.try_into_panic() { resume_unwind(panic) },
                    Some(Ok(())) => {}
                },
                () = shared.stop.cancelled(), if give_up.is_none() => {
                    shared.halt();
                    give_up = Some(tokio::time::Instant::now() + GRACE);
                }
                () = sleep_until(give_up.unwrap_or_else(tokio::time::Instant::now)), if give_up.is_some() => {
                    tasks.abort_all();
                    while tasks.join_next().await.is_some() {}
                }
            }
        }
    });
    // Does not wait for pending name lookups.
    runtime.shutdown_background();
}

/// The task of one connection.
struct Lane {
    id: usize,
    shared: Arc<Shared>,
    stats: Arc<WorkerStats>,
    client: Client,
    alarm: Alarm,
}

impl Lane {
    fn new(id: usize, shared: Arc<Shared>, stats: Arc<WorkerStats>) -> Self {
        let client = Client::new(Arc::clone(&shared.net));
        let alarm = Alarm::new(shared.timeout);
        Self { id, shared, stats, client, alarm }
    }

    async fn run(mut self) {
        while let Some(turn) = self.next_turn().await {
            let counts = turn.due.unwrap_or(turn.started) >= self.shared.warmup;
            if counts {
                self.stats.begun.fetch_add(1, Ordering::Relaxed);
            }
            let (caller, request) = self.shared.mix.assign(turn.number);
            let late = turn.due.is_some_and(|due| turn.started.saturating_sub(due) > self.shared.timeout);
            let mut failed = None;
            if late {
                if counts {
                    locked(&self.stats.tally).give_up(caller);
                }
            } else {
                failed = self.exchange(&turn, (caller, request), counts).await;
            }
            if counts {
                self.stats.done.fetch_add(1, Ordering::Relaxed);
            }
            if failed.is_some_and(needs_pause) && turn.due.is_none() {
                sleep(RECONNECT_DELAY).await;
            }
        }
    }

    /// Waits for the next request. Returns `None` after the last one.
    async fn next_turn(&mut self) -> Option<Turn> {
        let shared = &self.shared;
        match &shared.model {
            Model::Open { schedule, released, .. } => {
                self.client.idle(released.acquire()).await.ok()?.forget();
                let (number, due) = locked(schedule).claim()?;
                Some(Turn { number, due: Some(due), started: shared.start.elapsed() })
            }
            Model::Closed { amount, warm, counted } => {
                let started = shared.start.elapsed();
                let counter = if started < shared.warmup { warm } else { counted };
                let number = counter.fetch_add(1, Ordering::Relaxed);
                let over = started >= shared.warmup
                    && match amount {
                        Amount::Requests(count) => number >= *count,
                        Amount::Duration(length) => started >= shared.warmup + *length,
                    };
                (!over && shared.stopped.get().is_none()).then_some(Turn { number, due: None, started })
            }
        }
    }

    /// Sends a request and counts the result. Returns the cause of a failure.
    async fn exchange(&mut self, turn: &Turn, (caller, request): (usize, usize), counts: bool) -> Option<Cause> {
        let shared = &self.shared;
        let since = |time: Duration| time.saturating_sub(shared.warmup);
        if let Some(mut outage) = shared.outage().filter(|_| counts) {
            outage.start(self.id, since(turn.started));
        }
        let deadline = tokio::time::Instant::from_std(shared.start + turn.started + shared.timeout);
        let sent = self.client.send(shared.targets.get(caller, request));
        let outcome = self.alarm.guard(deadline, sent).await.unwrap_or(Err(Cause::Timeout));
        let resent = std::mem::take(&mut self.client.resent);
        let end = shared.start.elapsed();
        let code = outcome.map(|received: Received| received.code);
        if counts {
            if let Some(mut outage) = shared.outage() {
                outage.end(self.id, Some(code.is_ok_and(is_success)));
            }
            locked(&self.stats.tally).count(&Exchange {
                caller,
                outcome: code,
                latency: micros(end.saturating_sub(turn.due.unwrap_or(turn.started))),
                received: outcome.map_or(0, |received| received.bytes),
                resent,
                delay: turn.due.map(|due| micros(turn.started.saturating_sub(due))),
                end: since(end),
            });
        }
        code.err()
    }
}

/// Returns true for failures after which an immediate retry is pointless.
fn needs_pause(cause: Cause) -> bool {
    matches!(cause, Cause::Refused | Cause::Connect | Cause::Dns | Cause::Exhausted | Cause::Other)
}

/// A timer shared by the consecutive requests of a connection. It is reset only when it fires, not for every request:
/// resetting a timer is expensive, and almost no request times out.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new(length: Duration) -> Self {
        Self(Box::pin(sleep(length)))
    }

    /// Runs the work until the deadline and returns `None` if it did not complete. Deadlines must not decrease.
    async fn guard<F: Future>(&mut self, deadline: tokio::time::Instant, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(output) = work.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            while self.0.as_mut().poll(context).is_ready() {
                if self.0.deadline() >= deadline {
                    return Poll::Ready(None);
                }
                self.0.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

/// Locks a mutex, even if poisoned: a panic of its holder ends the run anyway.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
