//! A request from its start to the result of its last attempt. The connection that sent the first attempt is free again
//! after it: retries are tasks of their own, so that they delay no request that is due meanwhile.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Cause;
use super::client::{Client, Received};
use super::summary::is_success;
use super::tally::Exchange;
use super::worker::{Shared, WorkerStats, locked};

/// Maximum number of unused connections that a worker keeps for retries.
const MAX_SPARE: usize = 64;

/// Result of an attempt.
pub(super) type Attempted = Result<Received, Cause>;

/// State of one worker that its requests share.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) stats: Arc<WorkerStats>,
    /// Clients of earlier retries.
    spare: Arc<Mutex<Vec<Client>>>,
}

/// A request that was started.
pub(super) struct Request {
    pub(super) caller: usize,
    /// Index of its specification.
    pub(super) spec: usize,
    /// Position in the schedule.
    pub(super) number: u64,
    /// `None` in the closed model.
    pub(super) due: Option<Duration>,
    pub(super) started: Duration,
    /// False during the warm-up.
    pub(super) counts: bool,
    /// Slot in the outage clock.
    pub(super) slot: usize,
    /// Attempts that have ended.
    attempts: u32,
    received: u64,
    resent: u64,
}

impl Request {
    pub(super) fn new((caller, spec): (usize, usize), number: u64, times: (Option<Duration>, Duration)) -> Self {
        let (due, started) = times;
        Self { caller, spec, number, due, started, counts: true, slot: 0, attempts: 0, received: 0, resent: 0 }
    }

    /// Sets the connection that sends it, and whether it counts.
    pub(super) fn with_slot(self, slot: usize, counts: bool) -> Self {
        Self { counts, slot, ..self }
    }
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, stats: Arc<WorkerStats>) -> Self {
        Self { shared, stats, spare: Arc::default() }
    }

    /// Starts the first attempt.
    pub(super) fn begin(&self, request: &Request) {
        if let Some(mut outage) = self.shared.outage().filter(|_| request.counts) {
            outage.start(request.slot, request.started.saturating_sub(self.shared.warmup));
        }
    }

    /// Adds an attempt to its request. Returns the time until the next attempt, if there is one.
    pub(super) fn attempted(
        &self,
        request: &mut Request,
        client: &mut Client,
        outcome: &Attempted,
    ) -> Option<Duration> {
        request.attempts += 1;
        request.received += outcome.as_ref().map_or(0, |received| received.bytes);
        request.resent += std::mem::take(&mut client.resent);
        self.shared.retries[request.caller].wait(outcome, request.attempts, request.number)
    }

    /// Counts the result of a request. Returns the cause of a failure.
    pub(super) fn conclude(&self, request: &Request, outcome: Attempted) -> Option<Cause> {
        let shared = &self.shared;
        let since = |time: Duration| time.saturating_sub(shared.warmup);
        let end = shared.start.elapsed();
        let code = outcome.map(|received| received.code);
        if request.counts {
            if let Some(mut outage) = shared.outage() {
                outage.end(request.slot, Some(code.is_ok_and(is_success)));
            }
            let started = request.started;
            locked(&self.stats.tally).count(&Exchange {
                caller: request.caller,
                outcome: code,
                latency: micros(end.saturating_sub(request.due.unwrap_or(started))),
                attempts: u64::from(request.attempts),
                received: request.received,
                resent: request.resent,
                delay: request.due.map(|due| micros(started.saturating_sub(due))),
                end: since(end),
            });
            self.stats.done.fetch_add(1, Ordering::Relaxed);
        }
        code.err()
    }

    fn client(&self) -> Client {
        locked(&self.spare).pop().unwrap_or_else(|| Client::new(Arc::clone(&self.shared.net)))
    }

    fn keep(&self, client: Client) {
        let mut spare = locked(&self.spare);
        if spare.len() < MAX_SPARE {
            spare.push(client);
        }
    }
}

/// A request whose first attempt failed.
pub(super) struct Retrying {
    pub(super) worker: Worker,
    pub(super) request: Request,
    /// Result of the last attempt.
    pub(super) outcome: Attempted,
    /// Time until the next attempt.
    pub(super) wait: Duration,
}

impl Retrying {
    /// Makes the remaining attempts. Returns the cause of a failure.
    pub(super) async fn run(mut self) -> Option<Cause> {
        let mut next = Some(self.wait);
        while let Some(wait) = next {
            if !wait.is_zero() {
                sleep(wait).await;
            }
            let mut client = self.worker.client();
            let shared = &self.worker.shared;
            let (limit, prepared) =
                (shared.timeouts[self.request.caller], shared.targets.get(self.request.caller, self.request.spec));
            self.outcome = timeout(limit, client.send(prepared)).await.unwrap_or(Err(Cause::Timeout));
            next = self.worker.attempted(&mut self.request, &mut client, &self.outcome);
            self.worker.keep(client);
        }
        self.give_up()
    }

    /// Counts the request with the result of its last attempt.
    pub(super) fn give_up(self) -> Option<Cause> {
        self.worker.conclude(&self.request, self.outcome)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
