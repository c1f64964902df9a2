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
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Net};
use super::mix::Mix;
use super::outage::OutageClock;
use super::request::{Request, Retrying, Worker};
use super::schedule::Schedule;
use super::tally::Tally;
use super::target::Targets;
use super::{Amount, Cause, Retry};

/// Time for a request in flight to complete after a cancellation.
const GRACE: Duration = Duration::from_millis(200);
/// Pause of a closed-model connection after a failed connect. Without it, a refusing port would see a hundred thousand
/// attempts per second.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);
/// Maximum number of connections and retried requests of a worker. Beyond it, failed requests are not retried.
const MAX_TASKS: usize = 20_000;

/// State shared by all workers.
pub(super) struct Shared {
    /// Time at which the first request is due, or sent.
    pub(super) start: Instant,
    /// Requests during the warm-up are not counted.
    pub(super) warmup: Duration,
    pub(super) timeout: Duration,
    /// By caller.
    pub(super) timeouts: Vec<Duration>,
    /// By caller.
    pub(super) retries: Vec<Retry>,
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

    pub(super) fn outage(&self) -> Option<MutexGuard<'_, OutageClock>> {
        match &self.model {
            Model::Open { outage, .. } => Some(locked(outage)),
            Model::Closed { .. } => None,
        }
    }
}

/// Runs these connections until all requests are sent.
pub(super) fn work(shared: &Arc<Shared>, stats: &Arc<WorkerStats>, lanes: Range<usize>, runtime: Runtime) {
    runtime.block_on(async {
        let worker = Worker::new(Arc::clone(shared), Arc::clone(stats));
        let (retrying, mut retries) = mpsc::unbounded_channel::<Retrying>();
        let mut tasks: JoinSet<()> = lanes.map(|id| Lane::new(id, worker.clone(), retrying.clone()).run()).collect();
        drop(retrying);
        let mut give_up = None;
        loop {
            tokio::select! {
                // First, because a connection that has ended may have left a retry.
                biased;
                Some(retrying) = retries.recv() => {
                    if tasks.len() < MAX_TASKS {
                        tasks.spawn(async move {
                            retrying.run().await;
                        });
                    } else {
                        retrying.give_up();
                    }
                }
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
    worker: Worker,
    client: Client,
    alarm: Alarm,
    /// Takes over requests whose first attempt failed.
    retries: mpsc::UnboundedSender<Retrying>,
}

impl Lane {
    fn new(id: usize, worker: Worker, retries: mpsc::UnboundedSender<Retrying>) -> Self {
        let client = Client::new(Arc::clone(&worker.shared.net));
        let alarm = Alarm::new(worker.shared.timeout);
        Self { id, worker, client, alarm, retries }
    }

    async fn run(mut self) {
        while let Some(turn) = self.next_turn().await {
            let Worker { shared, stats, .. } = &self.worker;
            let counts = turn.due.unwrap_or(turn.started) >= shared.warmup;
            if counts {
                stats.begun.fetch_add(1, Ordering::Relaxed);
            }
            let (caller, spec) = shared.mix.assign(turn.number);
            if turn.due.is_some_and(|due| turn.started.saturating_sub(due) > shared.timeouts[caller]) {
                if counts {
                    locked(&stats.tally).give_up(caller);
                    stats.done.fetch_add(1, Ordering::Relaxed);
                }
                continue;
            }
            let request = Request::new((caller, spec), turn.number, (turn.due, turn.started));
            let failed = self.send(request.with_slot(self.id, counts)).await;
            if failed.is_some_and(needs_pause) && turn.due.is_none() {
                sleep(RECONNECT_DELAY).await;
            }
        }
    }

    /// Sends a request. Returns the cause of a failure, unless retries follow in a task of their own.
    async fn send(&mut self, mut request: Request) -> Option<Cause> {
        let worker = &self.worker;
        let shared = &worker.shared;
        worker.begin(&request);
        let deadline = tokio::time::Instant::from_std(shared.start + request.started + shared.timeouts[request.caller]);
        let sent = self.client.send(shared.targets.get(request.caller, request.spec));
        let outcome = self.alarm.guard(deadline, sent).await.unwrap_or(Err(Cause::Timeout));
        let Some(wait) = worker.attempted(&mut request, &mut self.client, &outcome) else {
            return worker.conclude(&request, outcome);
        };
        if let Some(mut outage) = shared.outage().filter(|_| request.counts) {
            request.slot = outage.move_to_free_slot(self.id);
        }
        let retrying = Retrying { worker: worker.clone(), request, outcome, wait };
        // In the closed model, the connection sends its next request after the result.
        if matches!(shared.model, Model::Closed { .. }) {
            return retrying.run().await;
        }
        // The receiver lives longer than the connections.
        let _ = self.retries.send(retrying);
        None
    }

    /// Waits for the next request. Returns `None` after the last one.
    async fn next_turn(&mut self) -> Option<Turn> {
        let shared = &self.worker.shared;
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
}

/// Returns true for failures after which an immediate retry is pointless.
fn needs_pause(cause: Cause) -> bool {
    matches!(cause, Cause::Refused | Cause::Connect | Cause::Dns | Cause::Exhausted | Cause::Other)
}

/// A timer shared by the consecutive requests of a connection. It is reset when it fires, and before a request with an
/// earlier deadline, but not for every request: resetting a timer is expensive, and almost no request times out.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new(length: Duration) -> Self {
        Self(Box::pin(sleep(length)))
    }

    /// Runs the work until the deadline and returns `None` if it did not complete.
    async fn guard<F: Future>(&mut self, deadline: tokio::time::Instant, work: F) -> Option<F::Output> {
        if self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
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
