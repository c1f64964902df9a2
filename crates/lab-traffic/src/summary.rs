//! Totals of a run of traffic, or of several runs combined.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hdrhistogram::Histogram;

use super::outage::earliest;
use super::{Cause, Timeline};

/// Significant digits of the latency histogram, so percentiles are accurate to 0.1 %.
const DIGITS: u8 = 3;

/// Totals of a run of traffic. Offsets are from the scheduled start of the first request.
#[derive(Clone)]
pub struct Summary {
    /// Scheduled start of the first request.
    pub start: DateTime<Utc>,
    /// Offset of the end of the last response, or of the interruption.
    pub duration: Duration,
    /// Requests that were started, including those whose connection failed.
    pub sent: u64,
    /// Attempts of these requests. More than `sent` if some were retried.
    pub attempts: u64,
    /// Requests that could not be started in time.
    pub unsent: u64,
    /// Requests without a result at the interruption. They are in no other count.
    pub in_flight: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests that were started and got no complete response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Microseconds from the scheduled start of a request to the end of its response, for requests with a response.
    pub latency: Histogram<u64>,
    /// Results over time, by the end of the requests.
    pub timeline: Timeline,
    /// Start of the first failed request (not 2xx, or no response).
    pub first_failure: Option<Duration>,
    /// Start of the last failed request.
    pub last_failure: Option<Duration>,
    /// Start of the first successful request after the last failure, or the first successful request if
    /// none failed.
    pub lasting_success: Option<Duration>,
    /// True if the run was cancelled before its end.
    pub interrupted: bool,
}

impl Summary {
    /// An empty summary.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self {
            start,
            duration: Duration::ZERO,
            sent: 0,
            attempts: 0,
            unsent: 0,
            in_flight: 0,
            codes: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency: histogram(),
            timeline: Timeline::default(),
            first_failure: None,
            last_failure: None,
            lasting_success: None,
            interrupted: false,
        }
    }

    /// Number of failed requests: responses other than 2xx, and transport errors.
    pub fn failed(&self) -> u64 {
        failures(&self.codes, &self.errors)
    }

    /// A latency percentile (0 to 100) in milliseconds. `None` without responses.
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        let value = quantile(&self.latency, percent / 100.0);
        (!self.latency.is_empty()).then(|| milliseconds(value))
    }

    /// The longest latency in milliseconds, to three digits. `None` without responses.
    pub fn max_ms(&self) -> Option<f64> {
        (!self.latency.is_empty()).then(|| milliseconds(self.latency.max()))
    }

    /// Mean rate in requests per second. `None` for fewer than two requests.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
    pub fn rate(&self) -> Option<f64> {
        // The first request is due at 0, so n requests span n - 1 intervals.
        let seconds = self.duration.as_secs_f64();
        (self.sent > 1 && seconds > 0.0).then(|| (self.sent - 1) as f64 / seconds)
    }

    /// Adds another run, as if both were one. The two must not overlap in time, because the first success after the last
    /// failure of overlapping runs cannot be derived from their summaries.
    pub fn merge(&mut self, other: &Self) {
        let start = self.start.min(other.start);
        let (mine, theirs) = (offset(start, self.start), offset(start, other.start));
        let last = |summary: &Self, by| summary.last_failure.map(|at| at + by);
        let last_failure = last(self, mine).max(last(other, theirs));
        let lasting = |summary: &Self, by| {
            summary.lasting_success.map(|at| at + by).filter(|at| last_failure.is_none_or(|last| *at > last))
        };
        self.lasting_success = earliest(lasting(self, mine), lasting(other, theirs));
        self.first_failure =
            earliest(self.first_failure.map(|at| at + mine), other.first_failure.map(|at| at + theirs));
        self.last_failure = last_failure;
        self.duration = (self.duration + mine).max(other.duration + theirs);
        self.start = start;
        self.sent += other.sent;
        self.attempts += other.attempts;
        self.unsent += other.unsent;
        self.in_flight += other.in_flight;
        add(&mut self.codes, &other.codes);
        add(&mut self.errors, &other.errors);
        add_histogram(&mut self.latency, &other.latency);
        self.timeline.merge(&other.timeline, mine, theirs);
        self.interrupted |= other.interrupted;
    }
}

// Not derived, since that would print thousands of histogram buckets.
impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary")
            .field("start", &self.start)
            .field("duration", &self.duration)
            .field("sent", &self.sent)
            .field("attempts", &self.attempts)
            .field("unsent", &self.unsent)
            .field("in_flight", &self.in_flight)
            .field("codes", &self.codes)
            .field("errors", &self.errors)
            .field("p50_ms", &self.percentile_ms(50.0))
            .field("max_ms", &self.max_ms())
            .field("first_failure", &self.first_failure)
            .field("last_failure", &self.last_failure)
            .field("lasting_success", &self.lasting_success)
            .field("interrupted", &self.interrupted)
            .finish_non_exhaustive()
    }
}

/// Number of failed requests: responses other than 2xx, and transport errors.
pub(super) fn failures(codes: &BTreeMap<u16, u64>, errors: &BTreeMap<Cause, u64>) -> u64 {
    let codes: u64 = codes.iter().filter(|(code, _)| !is_success(**code)).map(|(_, count)| count).sum();
    codes + errors.values().sum::<u64>()
}

/// Returns true for 2xx.
pub fn is_success(code: u16) -> bool {
    (200..300).contains(&code)
}

/// Latency at a quantile (0 to 1), in the unit of the histogram. At most the longest latency, which the upper bound of the
/// bucket may exceed. 0 if the histogram is empty.
pub fn quantile(latency: &Histogram<u64>, quantile: f64) -> u64 {
    latency.value_at_quantile(quantile).min(latency.max())
}

/// An empty histogram of microseconds that resizes itself.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("three digits are within the valid range of 0 to 5")
}

/// Adds the counts in `from` to those in `to`.
pub(super) fn add<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(*key).or_default() += count;
    }
}

/// Adds a histogram to another one, which resizes itself.
pub(super) fn add_histogram(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.auto(true);
    to.add(from).expect("a resizing histogram of 64-bit counts accepts every value");
}

fn offset(start: DateTime<Utc>, at: DateTime<Utc>) -> Duration {
    (at - start).max(TimeDelta::zero()).to_std().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 microseconds")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
