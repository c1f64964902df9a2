//! Runs traffic. One thread releases requests when they are due, worker threads send them, and their counts are collected
//! every second into the [`Outcome`].

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
use super::limits::raise_file_limit;
use super::mix::Mix;
use super::outage::OutageClock;
use super::resolver::Resolver;
use super::schedule::{Schedule, Step};
use super::tally::Tally;
use super::target::{LoadError, Targets};
use super::worker::{Model, Shared, WorkerStats, locked, work};
use super::{Amount, Job, Load, Outcome, Pace, Summary, Timeline, TrafficCommands, TrafficProgress, Update};

/// Interval between progress reports.
const TICK: Duration = Duration::from_millis(100);
/// Length of an interval.
const SECOND: Duration = Duration::from_secs(1);
/// Highest rate in requests per second that one thread sends.
const LOW_RATE: f64 = 50.0;
/// Initial length of a slice of the [`Timeline`].
const SLICE: Duration = Duration::from_millis(200);

/// Sends a load until it is complete or cancelled. Ends at most two timeouts after its schedule, and later with retries.
///
/// Failed requests are a result, not an error. If [`Load::validate`] refuses the load, all its requests count as unsent.
/// After a cancellation no request starts, and requests that get no response soon count only as [`Summary::in_flight`].
/// Requests that were due but not started are not counted, since an interrupted run is not a failure of the service.
pub async fn run(
    load: &Load,
    progress: &(dyn Fn(TrafficProgress) + Send + Sync),
    cancel: &CancellationToken,
) -> Summary {
    let timeline = Mutex::new(Timeline::default());
    let update = |update: Update<'_>| match update {
        Update::Progress(now) => progress(now),
        Update::Interval(interval) => locked(&timeline).add(interval),
    };
    if let Ok(outcome) = send(&Job::from(load), (SLICE, Left::Dropped), &update, cancel, TrafficCommands::none()).await
    {
        return Summary { timeline: std::mem::take(&mut locked(&timeline)), ..outcome.summary };
    }
    let unsent = if let Amount::Requests(count) = load.amount { count } else { 0 };
    Summary { unsent, ..Summary::new(Utc::now()) }
}

/// Sends a load like [`run`], under the control of a [`TrafficControl`](super::TrafficControl). After a halt it ends when the
/// last request in flight gets its response or times out. The summary covers the traffic since the last requested one and
/// has no timeline.
pub async fn run_controlled(load: &Load, commands: TrafficCommands, cancel: &CancellationToken) -> Summary {
    let sent = send(&Job::from(load), (SECOND, Left::Dropped), &|_| {}, cancel, commands).await;
    sent.map_or_else(|_| Summary::new(Utc::now()), |outcome| outcome.summary)
}

/// Sends a job until it is complete or cancelled. Ends at most two timeouts after its schedule, and later with retries.
///
/// Failed requests are a result. After a cancellation no request starts: requests that were due count as unsent, and requests
/// that get no response soon count only as [`Summary::in_flight`].
///
/// # Errors
/// The job is invalid, or no worker could be started.
pub async fn run_job(
    job: &Job,
    update: &(dyn Fn(Update<'_>) + Send + Sync),
    cancel: &CancellationToken,
) -> Result<Outcome, LoadError> {
    send(job, (SECOND, Left::Unsent), update, cancel, TrafficCommands::none()).await
}

/// Treatment of requests that were due but not started at a cancellation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Unsent,
    Dropped,
}

/// Sends a job with intervals of this length, and follows the given commands.
async fn send(
    job: &Job,
    (length, left): (Duration, Left),
    update: &(dyn Fn(Update<'_>) + Send + Sync),
    cancel: &CancellationToken,
    mut commands: TrafficCommands,
) -> Result<Outcome, LoadError> {
    let targets = job.targets()?;
    // Connections beyond the limit fail one by one, with an error each.
    let _ = raise_file_limit(job.connections);
    let lanes = job.connections as usize;
    let runtimes = runtimes(job)?;
    let worker_stats: Vec<_> = runtimes.iter().map(|_| Arc::new(WorkerStats::new(job.callers.len()))).collect();
    let begin = Utc::now();
    let (shared, planned) = shared(job, targets, cancel.child_token());
    // Ends the workers even if this future is dropped.
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
        let (shared, stats) = (Arc::clone(&shared), Arc::clone(&worker_stats[id]));
        workers.spawn_blocking(move || work(&shared, &stats, lanes * id / count..lanes * (id + 1) / count, runtime));
    }
    let mut meter = Meter::new(worker_stats, planned, job.callers.len(), length);
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
            () = commands.halt.cancelled(), if running.is_some() => {
                shared.halt();
                running = None;
            }
            Some(reply) = commands.summary_requests.recv() => {
                meter.flush(shared.start.elapsed().saturating_sub(job.warmup), update);
                // Requests in flight are counted when they end. If the caller is gone, the summary is dropped.
                let summary = take_outcome(&shared, &mut meter, job, begin).summary;
                let _ = reply.send(Summary { in_flight: 0, ..summary });
            }
        }
    }
    drop(running);
    if left == Left::Unsent {
        shared.count_left(&meter.worker_stats[0]);
    }
    meter.flush(shared.start.elapsed().saturating_sub(job.warmup), update);
    update(Update::Progress(meter.progress()));
    Ok(take_outcome(&shared, &mut meter, job, begin))
}

/// Takes the results since the last call.
fn take_outcome(shared: &Shared, meter: &mut Meter, job: &Job, begin: DateTime<Utc>) -> Outcome {
    let mut summary = Summary::new(begin + job.warmup);
    conclude(shared, meter, &mut summary);
    let total = std::mem::replace(&mut meter.total, Tally::new(job.callers.len()));
    let samples = locked(&shared.net.samples).clone();
    Outcome { samples, ..total.outcome(summary, job.callers.iter().map(|caller| caller.name.clone())) }
}

fn ticks(shared: &Shared) -> tokio::time::Interval {
    let mut ticks = interval_at((shared.start + first_tick(shared.warmup)).into(), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Time of the first tick, chosen so that a tick falls on the end of the warm-up.
fn first_tick(warmup: Duration) -> Duration {
    let past = warmup.as_nanos() % TICK.as_nanos();
    Duration::from_nanos(u64::try_from(past).unwrap_or(0))
}

/// One runtime per core, but not more than there are connections. One is enough for a low rate, so a process that sends to many
/// labs, as the server of a room does, has fewer threads.
fn runtimes(job: &Job) -> Result<Vec<Runtime>, LoadError> {
    let count = if highest_rate(&job.pace).is_some_and(|rate| rate <= LOW_RATE) {
        1
    } else {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        cores.min(job.connections as usize)
    };
    let runtime = |_| Builder::new_current_thread().enable_all().build();
    let runtimes: Result<Vec<_>, _> = (0..count).map(runtime).collect();
    runtimes.map_err(|error| LoadError::Start { detail: error.to_string() })
}

/// Highest rate of a schedule in requests per second. `None` if the responses decide.
fn highest_rate(pace: &Pace) -> Option<f64> {
    match pace {
        Pace::Open { stages, .. } => Some(stages.iter().map(|stage| stage.from.max(stage.to)).fold(0.0, f64::max)),
        Pace::Closed => None,
    }
}

/// Creates the workers' shared state. Also returns the planned number of requests, 0 if unknown.
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
        // A longer limit has no effect, since the timeout ends the attempt first.
        connect_timeout: if job.connect_timeout < job.timeout { job.connect_timeout } else { Duration::MAX },
        keepalive: job.keepalive,
        samples: Mutex::default(),
    };
    let shared = Shared {
        start: Instant::now(),
        warmup: job.warmup,
        timeout: job.timeout,
        timeouts: job.callers.iter().map(|caller| caller.timeout.unwrap_or(job.timeout)).collect(),
        retries: job.callers.iter().map(|caller| caller.retry).collect(),
        targets,
        mix: Mix::new(&parts, job.requests.len(), job.callers.iter().map(|caller| caller.request).collect()),
        net: Arc::new(net),
        model,
        stopped: OnceLock::new(),
        stop,
    };
    (Arc::new(shared), planned)
}

/// Releases requests when they are due. Runs on its own thread because the runtime's timer has a resolution of a millisecond,
/// which would be added to every latency.
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
                // One more permit per connection, so that each notices the end.
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
    let sum = |of: fn(&WorkerStats) -> &AtomicU64| -> u64 { meter.sum(of) };
    summary.in_flight = sum(|stats| &stats.begun) - sum(|stats| &stats.done);
    summary.interrupted = !shared.is_exhausted() || summary.in_flight > 0;
    if let Some(stopped) = shared.stopped.get().filter(|_| summary.interrupted) {
        summary.duration = stopped.saturating_sub(shared.warmup);
    }
}

impl WorkerStats {
    fn new(callers: usize) -> Self {
        Self { tally: Mutex::new(Tally::new(callers)), begun: AtomicU64::new(0), done: AtomicU64::new(0) }
    }
}

/// Collects the counts of the workers.
struct Meter {
    worker_stats: Vec<Arc<WorkerStats>>,
    planned: u64,
    /// Always empty. It is swapped with a worker's tally, so the worker is blocked only for the swap.
    spare: Tally,
    interval: Tally,
    total: Tally,
    /// Start of the current interval.
    since: Duration,
    /// Length of an interval.
    length: Duration,
}

impl Meter {
    fn new(worker_stats: Vec<Arc<WorkerStats>>, planned: u64, callers: usize, length: Duration) -> Self {
        let tally = || Tally::new(callers);
        Self { worker_stats, planned, spare: tally(), interval: tally(), total: tally(), since: Duration::ZERO, length }
    }

    fn tick(&mut self, now: Duration, update: &(dyn Fn(Update<'_>) + Send + Sync)) {
        update(Update::Progress(self.progress()));
        // Interval lengths are multiples, so they do not drift. After a stall, several become one, since the distribution of the
        // counts within them is unknown.
        let past = now.saturating_sub(self.since).as_nanos() / self.length.as_nanos();
        if past > 0 {
            self.flush(self.since + self.length * u32::try_from(past).unwrap_or(u32::MAX), update);
        }
    }

    /// Ends the interval.
    fn flush(&mut self, now: Duration, update: &(dyn Fn(Update<'_>) + Send + Sync)) {
        for stats in &self.worker_stats {
            std::mem::swap(&mut *locked(&stats.tally), &mut self.spare);
            self.interval.add(&self.spare);
            self.spare.clear();
        }
        update(Update::Interval(&self.interval.interval(self.since, now.saturating_sub(self.since))));
        self.total.add(&self.interval);
        self.interval.clear();
        self.since = now;
    }

    fn progress(&self) -> TrafficProgress {
        TrafficProgress { done: self.sum(|stats| &stats.done), planned: self.planned }
    }

    fn sum(&self, of: impl Fn(&WorkerStats) -> &AtomicU64) -> u64 {
        self.worker_stats.iter().map(|stats| of(stats).load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Retry;

    #[test]
    fn intervals_do_not_drift_and_a_stall_becomes_one_interval() {
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
    fn a_low_rate_has_one_thread() {
        let job = |rate| {
            Job::from(&Load {
                url: "http://127.0.0.1:1/".to_owned(),
                method: "GET".to_owned(),
                headers: Vec::new(),
                amount: Amount::Requests(1),
                rate,
                connections: 8,
                timeout: SECOND,
                retry: Retry::default(),
            })
        };
        let cores = std::thread::available_parallelism().unwrap().get();
        assert_eq!([50.0, 50.1].map(|rate| runtimes(&job(rate)).unwrap().len()), [1, cores.min(8)]);
        let closed = Job { pace: Pace::Closed, ..job(1.0) };
        assert_eq!(runtimes(&closed).unwrap().len(), cores.min(8));
    }

    #[test]
    fn there_is_a_tick_at_the_end_of_the_warm_up() {
        let cases = [(0, 0), (1000, 0), (1050, 50), (30, 30)];
        for (warmup, first) in cases {
            assert_eq!(first_tick(Duration::from_millis(warmup)), Duration::from_millis(first), "{warmup}");
        }
    }
}
