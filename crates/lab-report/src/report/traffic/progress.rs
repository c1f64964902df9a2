//! Output of `lab traffic` during the run: a line for the last second, and a sparkline of the last minute.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::fine;
use crate::report::human;
use crate::report::spark::sparkline;
use lab_traffic::{Cause, Interval};

/// Seconds in the sparkline.
const HISTORY: usize = 60;

/// Rates of the last minute.
#[derive(Clone, Debug, Default)]
pub struct RateHistory {
    rates: VecDeque<f64>,
}

/// Sum of consecutive intervals.
#[derive(Clone, Debug)]
pub struct Window {
    end: Duration,
    length: Duration,
    sent: u64,
    unsent: u64,
    codes: BTreeMap<u16, u64>,
    errors: BTreeMap<Cause, u64>,
    latency: Histogram<u64>,
}

impl RateHistory {
    /// Adds a second.
    pub fn add(&mut self, interval: &Interval) {
        if self.rates.len() == HISTORY {
            self.rates.pop_front();
        }
        self.rates.push_back(rate(interval.sent, interval.length));
    }

    /// Draws one bar per second.
    pub fn sparkline(&self) -> String {
        let rates: Vec<f64> = self.rates.iter().copied().collect();
        let most = rates.iter().copied().fold(0.0, f64::max);
        sparkline(&rates, most)
    }
}

impl Window {
    /// Starts with one interval.
    pub fn new(interval: &Interval) -> Self {
        Self {
            end: interval.start + interval.length,
            length: interval.length,
            sent: interval.sent,
            unsent: interval.unsent,
            codes: interval.codes.clone(),
            errors: interval.errors.clone(),
            latency: interval.latency.clone(),
        }
    }

    /// Adds the next interval.
    pub fn add(&mut self, interval: &Interval) {
        self.end = interval.start + interval.length;
        self.length += interval.length;
        self.sent += interval.sent;
        self.unsent += interval.unsent;
        for (code, count) in &interval.codes {
            *self.codes.entry(*code).or_default() += count;
        }
        for (cause, count) in &interval.errors {
            *self.errors.entry(*cause).or_default() += count;
        }
        self.latency.auto(true);
        // Adding to a resizing histogram cannot fail.
        let _ = self.latency.add(&interval.latency);
    }

    /// Length of the window.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// `20/s · 200 97.5% · 401 2.5% · p50 0.9ms · p99 2.1ms`.
    pub fn figures(&self) -> String {
        let mut parts = vec![format!("{}/s", human::number(rate(self.sent, self.length).round()))];
        parts.extend(self.codes.iter().map(|(code, count)| format!("{code} {}", human::share(*count, self.sent))));
        let errors = self.errors.iter();
        parts.extend(errors.map(|(cause, count)| format!("{} {}", cause.name(), human::share(*count, self.sent))));
        if !self.latency.is_empty() {
            let at = |share| millis(lab_traffic::quantile(&self.latency, share));
            parts.push(format!("p50 {}", fine(at(0.5))));
            parts.push(format!("p99 {}", fine(at(0.99))));
        }
        if self.unsent > 0 {
            parts.push(format!("{} not sent in time", self.unsent));
        }
        parts.join(" · ")
    }

    /// Line with time and figures, for a pipe: `5.0s: 20/s · …`.
    pub fn line(&self) -> String {
        format!("{}: {}", human::clock(self.end.as_secs_f64()), self.figures())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn rate(count: u64, length: Duration) -> f64 {
    let seconds = length.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 microseconds")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
