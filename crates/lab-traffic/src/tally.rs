//! [`Tally`]: counts and histograms, a worker's or the sum of several. A worker counts into one of its own, which is taken
//! away and added to the whole every second; so nothing is shared on the way of a request, and memory stays what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::outcome::{CallerOutcome, Interval, Outcome};
use super::summary::{add_histogram, histogram};
use super::{Cause, Summary};

/// What was seen of all callers' requests.
#[derive(Debug)]
pub(super) struct Tally {
    callers: Vec<CallerTally>,
    /// Microseconds from due to started.
    delay: Histogram<u64>,
    received: u64,
    resent: u64,
    /// When the last one ended.
    pub(super) end: Duration,
}

#[derive(Debug, Default)]
struct CallerTally {
    unsent: u64,
    /// Few: looked through faster than a map.
    codes: Vec<(u16, Histogram<u64>)>,
    errors: [u64; Cause::ALL.len()],
}

/// A request that is over. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) caller: usize,
    pub(super) outcome: Result<u16, Cause>,
    pub(super) latency: u64,
    pub(super) received: u64,
    /// How often it was sent again.
    pub(super) resent: u64,
    /// None in the closed model.
    pub(super) delay: Option<u64>,
    pub(super) end: Duration,
}

impl Tally {
    pub(super) fn new(callers: usize) -> Self {
        let callers = std::iter::repeat_with(CallerTally::default).take(callers).collect();
        Self { callers, delay: histogram(), received: 0, resent: 0, end: Duration::ZERO }
    }

    /// One request more.
    pub(super) fn count(&mut self, exchange: &Exchange) {
        self.end = self.end.max(exchange.end);
        self.received += exchange.received;
        self.resent += exchange.resent;
        if let Some(delay) = exchange.delay {
            record(&mut self.delay, delay);
        }
        let caller = &mut self.callers[exchange.caller];
        match exchange.outcome {
            Ok(code) => record(caller.code(code), exchange.latency),
            Err(cause) => caller.errors[cause as usize] += 1,
        }
    }

    /// A request that could not be started in time.
    pub(super) fn give_up(&mut self, caller: usize) {
        self.callers[caller].unsent += 1;
    }

    /// Adds another's.
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

    /// Back to nothing; what was allocated stays.
    pub(super) fn clear(&mut self) {
        for caller in &mut self.callers {
            caller.unsent = 0;
            caller.errors = [0; Cause::ALL.len()];
            for (_, latency) in &mut caller.codes {
                latency.reset();
            }
        }
        self.delay.reset();
        (self.received, self.resent, self.end) = (0, 0, Duration::ZERO);
    }

    /// As a piece of the run.
    pub(super) fn interval(&self, start: Duration, length: Duration) -> Interval {
        let all = self.all();
        let CallerOutcome { sent, unsent, codes, errors, latency, .. } = all.outcome(String::new());
        Interval { start, length, sent, unsent, codes, errors, latency }
    }

    /// As the end of the run.
    pub(super) fn outcome(self, mut summary: Summary, names: impl Iterator<Item = String>) -> Outcome {
        let all = self.all();
        let whole = all.outcome(String::new());
        (summary.sent, summary.unsent) = (whole.sent, whole.unsent);
        summary.duration = summary.duration.max(self.end);
        (summary.codes, summary.errors, summary.latency) = (whole.codes, whole.errors, whole.latency);
        let callers = self.callers.iter().zip(names).map(|(caller, name)| caller.outcome(name)).collect();
        let by_code = all.codes.into_iter().filter(|(_, latency)| !latency.is_empty()).collect();
        Outcome { summary, callers, by_code, delay: self.delay, received: self.received, resent: self.resent }
    }

    /// All callers as one.
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
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
        for (code, latency) in other.codes.iter().filter(|(_, latency)| !latency.is_empty()) {
            add_histogram(self.code(*code), latency);
        }
    }

    fn outcome(&self, name: String) -> CallerOutcome {
        let mut latency = histogram();
        let mut codes = BTreeMap::new();
        for (code, of_code) in self.codes.iter().filter(|(_, latency)| !latency.is_empty()) {
            codes.insert(*code, of_code.len());
            add_histogram(&mut latency, of_code);
        }
        let errors: BTreeMap<Cause, u64> =
            Cause::ALL.into_iter().zip(self.errors).filter(|(_, count)| *count > 0).collect();
        let sent = codes.values().chain(errors.values()).sum();
        CallerOutcome { name, sent, unsent: self.unsent, codes, errors, latency }
    }
}

fn record(histogram: &mut Histogram<u64>, micros: u64) {
    histogram.record(micros.max(1)).expect("a histogram that resizes itself takes every value");
}
