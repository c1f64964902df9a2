//! [`run_job`]: a thread keeps the schedule and releases requests as they fall due, workers on a thread each take them, and
//! what they count is gathered every second into the [`Outcome`].

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::client::Net;
use super::limits::make_room;
use super::mix::Mix;
use super::outage::OutageClock;
use super::resolver::Resolver;
use super::schedule::{Schedule, Step};
use super::tally::Tally;
use super::target::{LoadError, Targets};
use super::worker::{Desk, Model, Shared, locked, work};
use super::{Amount, Course, Job, Load, Orders, Outcome, Pace, Summary, TrafficProgress, Update};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);
/// How long an interval is.
const SECOND: Duration = Duration::from_secs(1);
/// How long one of [`Course`] is, in the beginning.
const FIFTH: Duration = Duration::from_millis(200);

/// Sends a load until it is all sent or cancelled; ends at most two timeouts after its schedule.
///
/// Requests that fail are a result, not an error. A load that [`Load::validate`] refuses is not sent: all of it is
/// unsent. After a cancellation no request starts; one in flight that gets no answer soon is in
/// [`Summary::in_flight`] alone. What was due and not started is in no count: a run that is cut off is no failure of the
/// service.
pub async fn run(
    load: &Load,
    progress: &(dyn Fn(TrafficProgress) + Send + Sync),
    cancel: &CancellationToken,
) -> Summary {
    let course = Mutex::new(Course::default());
    let update = |update: Update<'_>| match update {
        Update::Progress(now) => progress(now),
        Update::Interval(interval) => locked(&course).take(interval),
    };
    if let Ok(outcome) = send(&Job::from(load), (FIFTH, Left::Dropped), &update, cancel, Orders::none()).await {
        return Summary { course: std::mem::take(&mut locked(&course)), ..outcome.summary };
    }
    let unsent = if let Amount::Requests(count) = load.amount { count } else { 0 };
    Summary { unsent, ..Summary::new(Utc::now()) }
}

/// Sends a load like [`run`], by somebody's orders: told to halt, it starts no request any more, and ends when the last of
/// those in flight has its answer or its timeout. What it gives is what nobody has asked for meanwhile; without a course.
pub async fn ongoing(load: &Load, orders: Orders, cancel: &CancellationToken) -> Summary {
    let sent = send(&Job::from(load), (SECOND, Left::Dropped), &|_| {}, cancel, orders).await;
    sent.map_or_else(|_| Summary::new(Utc::now()), |outcome| outcome.summary)
}

/// Sends a job until it is all sent or cancelled; ends at most two timeouts after its schedule.
///
/// Requests that fail are a result. After a cancellation no request starts: what was due is unsent, and one in flight that
/// gets no answer soon is in [`Summary::in_flight`] alone. The error is what is wrong with the job, or that no worker could
/// be started.
pub async fn run_job(
    job: &Job,
    update: &(dyn Fn(Update<'_>) + Send + Sync),
    cancel: &CancellationToken,
) -> Result<Outcome, LoadError> {
    send(job, (SECOND, Left::Unsent), update, cancel, Orders::none()).await
}

/// What becomes of the requests that were due at a cancellation, and not started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Unsent,
    Dropped,
}

/// The same with intervals of this length, and by somebody's orders.
async fn send(
    job: &Job,
    (length, left): (Duration, Left),
    update: &(dyn Fn(Update<'_>) + Send + Sync),
    cancel: &CancellationToken,
    mut orders: Orders,
) -> Result<Outcome, LoadError> {
    let targets = job.targets()?;
    // Connections that find no room fail one by one, and say so.
    let _ = make_room(job.connections);
    let lanes = job.connections as usize;
    let runtimes = runtimes(lanes)?;
    let desks: Vec<_> = runtimes.iter().map(|_| Arc::new(Desk::new(job.callers.len()))).collect();
    let begin = Utc::now();
    let (shared, planned) = shared(job, targets, cancel.child_token());
    // Whatever becomes of this future, the workers end.
    let _end = shared.stop.clone().drop_guard();
    let (running, ended) = mpsc::channel::<()>();
    let mut running = Some(running);
    if matches!(job.pace, Pace::Open { .. }) {
        let pacing = Arc::clone(&shared);
        spawn_blocking(move || pace(&pacing, lanes, &ended));
    }
    let mut workers = JoinSet::new();
    let count = runtimes.len();
    for (id, runtime) in runtimes.into_iter().enumerate() {
        let (shared, desk) = (Arc::clone(&shared), Arc::clone(&desks[id]));
        workers.spawn_blocking(move || work(&shared, &desk, lanes * id / count..lanes * (id + 1) / count, runtime));
    }
    let mut meter = Meter::new(desks, planned, job.callers.len(), length);
    let mut ticks = ticks(&shared);
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => if let Ok(panic) = error.try_into_panic() { resume_unwind(panic) },
            },
            _ = ticks.tick() => if let Some(now) = shared.start.elapsed().checked_sub(job.warmup) {
                meter.tick(now, update);
            },
            () = orders.halt.cancelled(), if running.is_some() => {
                shared.halt();
                running = None;
            }
            Some(answer) = orders.asks.recv() => {
                meter.flush(shared.start.elapsed().saturating_sub(job.warmup), update);
                // What is in flight is told with its end. Who no longer waits for the answer has given all of it up.
                let summary = taken(&shared, &mut meter, job, begin).summary;
                let _ = answer.send(Summary { in_flight: 0, ..summary });
            }
        }
    }
    drop(running);
    if left == Left::Unsent {
        shared.count_left(&meter.desks[0]);
    }
    meter.flush(shared.start.elapsed().saturating_sub(job.warmup), update);
    update(Update::Progress(meter.progress()));
    Ok(taken(&shared, &mut meter, job, begin))
}

/// What was gathered since this was last taken.
fn taken(shared: &Shared, meter: &mut Meter, job: &Job, begin: DateTime<Utc>) -> Outcome {
    let mut summary = Summary::new(begin + job.warmup);
    conclude(shared, meter, &mut summary);
    let total = std::mem::replace(&mut meter.total, Tally::new(job.callers.len()));
    total.outcome(summary, job.callers.iter().map(|caller| caller.name.clone()))
}

fn ticks(shared: &Shared) -> tokio::time::Interval {
    let mut ticks = interval_at((shared.start + ahead(shared.warmup)).into(), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// When the first tick is, so that there is one at the end of the warm-up.
fn ahead(warmup: Duration) -> Duration {
    let past = warmup.as_nanos() % TICK.as_nanos();
    Duration::from_nanos(u64::try_from(past).unwrap_or(0))
}

/// One worker a core, but none without a connection.
fn runtimes(lanes: usize) -> Result<Vec<Runtime>, LoadError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = |_| Builder::new_current_thread().enable_all().build();
    let runtimes: Result<Vec<_>, _> = (0..cores.min(lanes)).map(runtime).collect();
    runtimes.map_err(|error| LoadError::Start { detail: error.to_string() })
}

/// What the workers have in common, and how many requests there will be (0: unknown).
fn shared(job: &Job, targets: Targets, stop: CancellationToken) -> (Arc<Shared>, u64) {
    let (model, planned) = match &job.pace {
        Pace::Open { stages, arrivals } => {
            let schedule = Schedule::new(stages, *arrivals, job.amount, job.warmup);
            let planned = schedule.planned();
            let outage = Mutex::new(OutageClock::new(job.connections as usize));
            (Model::Open { schedule: Mutex::new(schedule), released: Semaphore::new(0), outage }, planned)
        }
        Pace::Closed => {
            let planned = if let Amount::Requests(count) = job.amount { count } else { 0 };
            let (warm, counted) = (AtomicU64::new(0), AtomicU64::new(0));
            (Model::Closed { amount: job.amount, warm, counted }, planned)
        }
    };
    let parts: Vec<f64> = job.callers.iter().map(|caller| caller.share).collect();
    let net = Net {
        resolvers: targets.endpoints.iter().cloned().map(Resolver::new).collect(),
        // Where it is no shorter, it is the timeout that ends an attempt.
        connect_timeout: if job.connect_timeout < job.timeout { job.connect_timeout } else { Duration::MAX },
        keepalive: job.keepalive,
    };
    let shared = Shared {
        start: Instant::now(),
        warmup: job.warmup,
        timeout: job.timeout,
        targets,
        mix: Mix::new(&parts, job.requests.len()),
        net: Arc::new(net),
        model,
        stopped: OnceLock::new(),
        stop,
    };
    (Arc::new(shared), planned)
}

/// Releases requests as they fall due. On a thread of its own: the runtime's timer is a millisecond coarse, which would
/// be added to every latency.
fn pace(shared: &Shared, lanes: usize, ended: &mpsc::Receiver<()>) {
    let Model::Open { schedule, released, .. } = &shared.model else { return };
    let mut schedule = locked(schedule).clone();
    loop {
        match schedule.release(shared.start.elapsed()) {
            Step::Release(count) => released.add_permits(permits(count)),
            Step::Wait(wait) => {
                if ended.recv_timeout(wait) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
            Step::Done => {
                // One more for each connection, to see that nothing is left.
                released.add_permits(lanes);
                return;
            }
        }
    }
}

fn permits(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS / 2)
}

fn conclude(shared: &Shared, meter: &Meter, summary: &mut Summary) {
    if let Model::Open { outage, .. } = &shared.model {
        let outage = locked(outage);
        summary.first_failure = outage.first_failure();
        summary.last_failure = outage.last_failure();
        summary.lasting_success = outage.lasting_success();
    }
    let sum = |of: fn(&Desk) -> &AtomicU64| -> u64 { meter.sum(of) };
    summary.in_flight = sum(|desk| &desk.begun) - sum(|desk| &desk.done);
    summary.interrupted = !shared.is_exhausted() || summary.in_flight > 0;
    if let Some(stopped) = shared.stopped.get().filter(|_| summary.interrupted) {
        summary.duration = stopped.saturating_sub(shared.warmup);
    }
}

impl Desk {
    fn new(callers: usize) -> Self {
        Self { tally: Mutex::new(Tally::new(callers)), begun: AtomicU64::new(0), done: AtomicU64::new(0) }
    }
}

/// Gathers what the workers count.
struct Meter {
    desks: Vec<Arc<Desk>>,
    planned: u64,
    /// Empty: changed for a worker's, so that it is held up for no longer than that takes.
    spare: Tally,
    interval: Tally,
    total: Tally,
    /// When the interval began.
    since: Duration,
    /// How long it is.
    length: Duration,
}

impl Meter {
    fn new(desks: Vec<Arc<Desk>>, planned: u64, callers: usize, length: Duration) -> Self {
        let tally = || Tally::new(callers);
        Self { desks, planned, spare: tally(), interval: tally(), total: tally(), since: Duration::ZERO, length }
    }

    fn tick(&mut self, now: Duration, update: &(dyn Fn(Update<'_>) + Send + Sync)) {
        update(Update::Progress(self.progress()));
        // Whole ones, so that they do not drift; of several after a stall it is one, since nobody knows what was when.
        let past = now.saturating_sub(self.since).as_nanos() / self.length.as_nanos();
        if past > 0 {
            self.flush(self.since + self.length * u32::try_from(past).unwrap_or(u32::MAX), update);
        }
    }

    /// Ends the interval.
    fn flush(&mut self, now: Duration, update: &(dyn Fn(Update<'_>) + Send + Sync)) {
        for desk in &self.desks {
            std::mem::swap(&mut *locked(&desk.tally), &mut self.spare);
            self.interval.add(&self.spare);
            self.spare.clear();
        }
        update(Update::Interval(&self.interval.interval(self.since, now.saturating_sub(self.since))));
        self.total.add(&self.interval);
        self.interval.clear();
        self.since = now;
    }

    fn progress(&self) -> TrafficProgress {
        TrafficProgress { done: self.sum(|desk| &desk.done), planned: self.planned }
    }

    fn sum(&self, of: impl Fn(&Desk) -> &AtomicU64) -> u64 {
        self.desks.iter().map(|desk| of(desk).load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_do_not_drift_and_a_stall_is_one_of_them() {
        let seen = Mutex::new(Vec::new());
        let update = |update: Update<'_>| {
            if let Update::Interval(interval) = update {
                locked(&seen).push((interval.start.as_millis(), interval.length.as_millis()));
            }
        };
        let mut meter = Meter::new(Vec::new(), 0, 1, SECOND);
        for now in [950, 1050, 1150, 2090, 3000, 6700, 6800, 7000] {
            meter.tick(Duration::from_millis(now), &update);
        }
        meter.flush(Duration::from_millis(7400), &update);
        let expected = [(0, 1000), (1000, 1000), (2000, 1000), (3000, 3000), (6000, 1000), (7000, 400)];
        assert_eq!(*locked(&seen), expected);
    }

    #[test]
    fn there_is_a_tick_at_the_end_of_the_warm_up() {
        let cases = [(0, 0), (1000, 0), (1050, 50), (30, 30)];
        for (warmup, first) in cases {
            assert_eq!(ahead(Duration::from_millis(warmup)), Duration::from_millis(first), "{warmup}");
        }
    }
}
