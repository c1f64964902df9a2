//! [`Summary`]: what a run of traffic saw, and several of them added up.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hdrhistogram::Histogram;

use super::outage::earliest;
use super::{Cause, Course};

/// Significant digits of the latency histogram: a percentile is right to 0.1 %.
const DIGITS: u8 = 3;

/// What was seen. Offsets are from the first request's scheduled start.
#[derive(Clone)]
pub struct Summary {
    /// When the first request was due.
    pub start: DateTime<Utc>,
    /// From the first request's scheduled start to the last response's end; where it was cut short to that, if it is later.
    pub duration: Duration,
    /// Requests that were started, connections that could not be made included.
    pub sent: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Requests that were started, and neither answered nor failed when it was cut short; they are in no other count.
    pub in_flight: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests that were started and got no whole response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Microseconds from a request's scheduled start to the end of its response, of those that got one.
    pub latency: Histogram<u64>,
    /// The same over time, by when the requests ended.
    pub course: Course,
    /// When the first failed request (not 2xx, or no response) started.
    pub first_failure: Option<Duration>,
    /// When the last failed request started.
    pub last_failure: Option<Duration>,
    /// When the first successful request after the last failure started; the first of all where none failed.
    pub lasting_success: Option<Duration>,
    /// Whether it was cut short by cancellation.
    pub interrupted: bool,
}

impl Summary {
    /// Nothing sent yet.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self {
            start,
            duration: Duration::ZERO,
            sent: 0,
            unsent: 0,
            in_flight: 0,
            codes: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency: histogram(),
            course: Course::default(),
            first_failure: None,
            last_failure: None,
            lasting_success: None,
            interrupted: false,
        }
    }

    /// Not 2xx, and transport errors.
    pub fn failed(&self) -> u64 {
        let codes: u64 = self.codes.iter().filter(|(code, _)| !is_success(**code)).map(|(_, count)| count).sum();
        codes + self.errors.values().sum::<u64>()
    }

    /// The latency in milliseconds that so many percent of the responses (0 to 100) did not exceed; none where nothing
    /// was answered.
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        // The end of the bucket could lie beyond the longest latency of all.
        let value = self.latency.value_at_quantile(percent / 100.0).min(self.latency.max());
        (!self.latency.is_empty()).then(|| milliseconds(value))
    }

    /// The longest latency in milliseconds, to three digits.
    pub fn max_ms(&self) -> Option<f64> {
        (!self.latency.is_empty()).then(|| milliseconds(self.latency.max()))
    }

    /// Requests a second that were started, over the time they took; none where that says nothing (fewer than two).
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
    pub fn rate(&self) -> Option<f64> {
        // The first request is due at 0, so n requests span n - 1 intervals.
        let seconds = self.duration.as_secs_f64();
        (self.sent > 1 && seconds > 0.0).then(|| (self.sent - 1) as f64 / seconds)
    }

    /// Adds another run's, as if both were one. The two must not overlap in time: of overlapping ones the first success
    /// after the last failure cannot be known from their summaries.
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
        self.unsent += other.unsent;
        self.in_flight += other.in_flight;
        add(&mut self.codes, &other.codes);
        add(&mut self.errors, &other.errors);
        add_histogram(&mut self.latency, &other.latency);
        self.course.merge(&other.course, mine, theirs);
        self.interrupted |= other.interrupted;
    }
}

// By hand: derived, it would print each of the histogram's thousands of buckets.
impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary")
            .field("start", &self.start)
            .field("duration", &self.duration)
            .field("sent", &self.sent)
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

/// Whether a status code counts as success.
pub(super) fn is_success(code: u16) -> bool {
    (200..300).contains(&code)
}

/// An empty histogram of microseconds, which grows with what is recorded.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("three digits are within the 0 to 5 that it takes")
}

/// Adds counts to counts.
pub(super) fn add<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(*key).or_default() += count;
    }
}

/// Adds a histogram to one that grows.
pub(super) fn add_histogram(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.auto(true);
    to.add(from).expect("a histogram of 64-bit counts that resizes itself takes every value");
}

fn offset(start: DateTime<Utc>, at: DateTime<Utc>) -> Duration {
    (at - start).max(TimeDelta::zero()).to_std().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 microseconds")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
