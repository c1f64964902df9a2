//! A worker: a thread with a runtime of its own and a share of the connections, each of which is a task that takes one
//! request after the other. So a request never changes threads, and its cost is the two system calls that it needs.

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

/// How long a request in flight may go on after a cancellation.
const GRACE: Duration = Duration::from_millis(200);
/// How long a connection of the closed model waits after it could not connect: a port that refuses would be asked a hundred
/// thousand times a second.
const REST: Duration = Duration::from_millis(50);

/// What all workers have in common.
pub(super) struct Shared {
    /// When the first request is due, or sent.
    pub(super) start: Instant,
    /// Requests before this are not counted.
    pub(super) warmup: Duration,
    pub(super) timeout: Duration,
    pub(super) targets: Targets,
    pub(super) mix: Mix,
    pub(super) net: Arc<Net>,
    pub(super) model: Model,
    /// Since when no request may start any more, though there were some.
    pub(super) stopped: OnceLock<Duration>,
    pub(super) stop: CancellationToken,
}

/// Where requests come from.
pub(super) enum Model {
    Open {
        schedule: Mutex<Schedule>,
        /// One permit for each request that is due and not taken.
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

/// What one worker tells.
pub(super) struct Desk {
    pub(super) tally: Mutex<Tally>,
    /// Requests that were taken, of those that count.
    pub(super) begun: AtomicU64,
    /// Those of them that are over.
    pub(super) done: AtomicU64,
}

/// A request that was taken.
struct Turn {
    number: u64,
    /// None in the closed model.
    due: Option<Duration>,
    started: Duration,
}

impl Shared {
    /// Whether all that was asked for was taken.
    pub(super) fn is_exhausted(&self) -> bool {
        match &self.model {
            Model::Open { schedule, .. } => locked(schedule).due().is_none(),
            Model::Closed { amount: Amount::Duration(length), .. } => self.start.elapsed() >= self.warmup + *length,
            Model::Closed { amount: Amount::Requests(count), counted, .. } => counted.load(Ordering::Relaxed) >= *count,
        }
    }

    /// Lets no request start any more.
    pub(super) fn halt(&self) {
        self.stopped.get_or_init(|| self.start.elapsed());
        if let Model::Open { released, .. } = &self.model {
            released.close();
        }
    }

    /// Counts what was due at the stop, and not started, as unsent.
    pub(super) fn count_left(&self, desk: &Desk) {
        let (Model::Open { schedule, .. }, Some(stopped)) = (&self.model, self.stopped.get()) else { return };
        // A copy: what is left shows that it was cut short.
        let mut schedule = locked(schedule).clone();
        let mut tally = locked(&desk.tally);
        while let Some((number, due)) = schedule.take().filter(|(_, due)| due <= stopped) {
            if due >= self.warmup {
                tally.give_up(self.mix.deal(number).0);
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

/// Runs these connections until there is nothing left to send.
pub(super) fn work(shared: &Arc<Shared>, desk: &Arc<Desk>, lanes: Range<usize>, runtime: Runtime) {
    runtime.block_on(async {
        let mut tasks: JoinSet<()> =
            lanes.map(|id| Lane::new(id, Arc::clone(shared), Arc::clone(desk)).run()).collect();
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
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
}

/// A connection.
struct Lane {
    id: usize,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    client: Client,
    alarm: Alarm,
}

impl Lane {
    fn new(id: usize, shared: Arc<Shared>, desk: Arc<Desk>) -> Self {
        let client = Client::new(Arc::clone(&shared.net));
        let alarm = Alarm::new(shared.timeout);
        Self { id, shared, desk, client, alarm }
    }

    async fn run(mut self) {
        while let Some(turn) = self.take().await {
            let counts = turn.due.unwrap_or(turn.started) >= self.shared.warmup;
            if counts {
                self.desk.begun.fetch_add(1, Ordering::Relaxed);
            }
            let (caller, request) = self.shared.mix.deal(turn.number);
            let late = turn.due.is_some_and(|due| turn.started.saturating_sub(due) > self.shared.timeout);
            let mut failed = None;
            if late {
                if counts {
                    locked(&self.desk.tally).give_up(caller);
                }
            } else {
                failed = self.exchange(&turn, (caller, request), counts).await;
            }
            if counts {
                self.desk.done.fetch_add(1, Ordering::Relaxed);
            }
            if failed.is_some_and(rests) && turn.due.is_none() {
                sleep(REST).await;
            }
        }
    }

    /// Waits for the next request; none where there is no other.
    async fn take(&mut self) -> Option<Turn> {
        let shared = &self.shared;
        match &shared.model {
            Model::Open { schedule, released, .. } => {
                self.client.idle(released.acquire()).await.ok()?.forget();
                let (number, due) = locked(schedule).take()?;
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

    /// Sends a request and counts what came of it; gives why it failed.
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
            locked(&self.desk.tally).count(&Exchange {
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

/// Whether the server, or this machine, is not to be asked again at once.
fn rests(cause: Cause) -> bool {
    matches!(cause, Cause::Refused | Cause::Connect | Cause::Dns | Cause::Exhausted | Cause::Other)
}

/// A deadline for one request after the other. It is set anew where it passes, not for each of them: a timer costs more
/// than it looks like, and hardly any goes off.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new(length: Duration) -> Self {
        Self(Box::pin(sleep(length)))
    }

    /// Does the work until then; none where it was not over. Deadlines never come earlier than the one before.
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

/// A lock whose holder that panicked ends the run anyway.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
