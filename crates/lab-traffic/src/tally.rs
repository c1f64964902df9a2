//! Counters and histograms of a worker, or the sum of several. Each worker has its own [`Tally`], which is swapped out and
//! added to the total every second, so requests share no state and memory use stays constant.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::outcome::{CallerCounts, CallerOutcome, Interval, Outcome};
use super::summary::{add_histogram, histogram};
use super::{Cause, Summary};

/// Counts the requests of all callers.
#[derive(Debug)]
pub(super) struct Tally {
    callers: Vec<CallerTally>,
    /// Microseconds between the due time and the start.
    delay: Histogram<u64>,
    received: u64,
    resent: u64,
    /// End of the last request.
    pub(super) end: Duration,
}

#[derive(Debug, Default)]
struct CallerTally {
    unsent: u64,
    attempts: u64,
    /// A vector, since a linear search through a few codes is faster than a map.
    codes: Vec<(u16, Histogram<u64>)>,
    errors: [u64; Cause::ALL.len()],
}

/// A completed request. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) caller: usize,
    pub(super) outcome: Result<u16, Cause>,
    pub(super) latency: u64,
    /// Number of times it was sent, without those in `resent`.
    pub(super) attempts: u64,
    pub(super) received: u64,
    /// Number of times it was sent again because an idle connection was closed.
    pub(super) resent: u64,
    /// `None` in the closed model.
    pub(super) delay: Option<u64>,
    pub(super) end: Duration,
}

impl Tally {
    pub(super) fn new(callers: usize) -> Self {
        let callers = std::iter::repeat_with(CallerTally::default).take(callers).collect();
        Self { callers, delay: histogram(), received: 0, resent: 0, end: Duration::ZERO }
    }

    /// Counts a completed request.
    pub(super) fn count(&mut self, exchange: &Exchange) {
        self.end = self.end.max(exchange.end);
        self.received += exchange.received;
        self.resent += exchange.resent;
        if let Some(delay) = exchange.delay {
            record(&mut self.delay, delay);
        }
        let caller = &mut self.callers[exchange.caller];
        caller.attempts += exchange.attempts;
        match exchange.outcome {
            Ok(code) => record(caller.code(code), exchange.latency),
            Err(cause) => caller.errors[cause as usize] += 1,
        }
    }

    /// Counts a request that could not be started in time.
    pub(super) fn give_up(&mut self, caller: usize) {
        self.callers[caller].unsent += 1;
    }

    /// Adds the counts of another tally.
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.callers.iter_mut().zip(&other.callers) {
            mine.add(theirs);
        }
        if !other.delay.is_empty() {
            add_histogram(&mut self.delay, &other.delay);
        }
        self.received += other.received;
        self.resent += other.resent;
        self.end = self.end.max(other.end);
    }

    /// Resets all counts and keeps the allocations.
    pub(super) fn clear(&mut self) {
        for caller in &mut self.callers {
            (caller.unsent, caller.attempts) = (0, 0);
            caller.errors = [0; Cause::ALL.len()];
            for (_, latency) in &mut caller.codes {
                latency.reset();
            }
        }
        self.delay.reset();
        (self.received, self.resent, self.end) = (0, 0, Duration::ZERO);
    }

    /// Converts the counts to an interval of the run.
    pub(super) fn interval(&self, start: Duration, length: Duration) -> Interval {
        let all = self.all();
        let CallerOutcome { sent, unsent, codes, errors, latency, .. } = all.outcome(String::new());
        let callers = self.callers.iter().map(CallerTally::counts).collect();
        Interval { start, length, sent, unsent, codes, errors, latency, callers }
    }

    /// Converts the counts to the final result.
    pub(super) fn outcome(self, mut summary: Summary, names: impl Iterator<Item = String>) -> Outcome {
        let all = self.all();
        let whole = all.outcome(String::new());
        (summary.sent, summary.attempts, summary.unsent) = (whole.sent, whole.attempts, whole.unsent);
        summary.duration = summary.duration.max(self.end);
        (summary.codes, summary.errors, summary.latency) = (whole.codes, whole.errors, whole.latency);
        let callers = self.callers.iter().zip(names).map(|(caller, name)| caller.outcome(name)).collect();
        let by_code = all.codes.into_iter().filter(|(_, latency)| !latency.is_empty()).collect();
        let (delay, received, resent) = (self.delay, self.received, self.resent);
        Outcome { summary, callers, by_code, delay, received, resent, samples: std::collections::BTreeMap::new() }
    }

    /// The sum over all callers.
    fn all(&self) -> CallerTally {
        let mut all = CallerTally::default();
        for caller in &self.callers {
            all.add(caller);
        }
        all
    }
}

impl CallerTally {
    fn code(&mut self, code: u16) -> &mut Histogram<u64> {
        let at = self.codes.iter().position(|(known, _)| *known == code).unwrap_or_else(|| {
            self.codes.push((code, histogram()));
            self.codes.len() - 1
        });
        &mut self.codes[at].1
    }

    fn add(&mut self, other: &Self) {
        self.unsent += other.unsent;
        self.attempts += other.attempts;
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
        for (code, latency) in other.codes.iter().filter(|(_, latency)| !latency.is_empty()) {
            add_histogram(self.code(*code), latency);
        }
    }

    fn counts(&self) -> CallerCounts {
        let codes = self.codes.iter().filter(|(_, latency)| !latency.is_empty());
        CallerCounts {
            attempts: self.attempts,
            unsent: self.unsent,
            codes: codes.map(|(code, latency)| (*code, latency.len())).collect(),
            errors: Cause::ALL.into_iter().zip(self.errors).filter(|(_, count)| *count > 0).collect(),
        }
    }

    fn outcome(&self, name: String) -> CallerOutcome {
        let mut latency = histogram();
        for (_, of_code) in self.codes.iter().filter(|(_, latency)| !latency.is_empty()) {
            add_histogram(&mut latency, of_code);
        }
        let CallerCounts { attempts, unsent, codes, errors } = self.counts();
        let sent = codes.values().chain(errors.values()).sum();
        CallerOutcome { name, sent, attempts, unsent, codes, errors, latency }
    }
}

fn record(histogram: &mut Histogram<u64>, micros: u64) {
    histogram.record(micros.max(1)).expect("a resizing histogram accepts every value");
}
