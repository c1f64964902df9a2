//! Results over time, for charts: slices of 200 ms, or of a second and more for traffic longer than a minute. Latency is kept
//! in bins 9 % wide, so a slice takes a few hundred bytes at any rate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::summary::add;
use super::{Cause, Interval};

/// Maximum number of slices shorter than a second: a minute of them.
const MAX_SHORT: usize = 300;
/// Maximum number of slices of a second or longer: an hour of them.
const MAX_LONG: usize = 3_600;
/// Minimum length of a slice once there are more than [`MAX_SHORT`].
const SECOND: Duration = Duration::from_secs(1);
/// Number of latency bins per power of two, in bits.
const BIN_BITS: u32 = 3;

/// Slices in the order of their start. Slices without a completed request are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    slices: Vec<TimeSlice>,
    /// Minimum length of a slice that is directly followed by another.
    min_length: Duration,
}

/// Results of the requests that ended within a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSlice {
    /// Offset from the scheduled start of the first request.
    pub start: Duration,
    /// Offset from the scheduled start of the first request.
    pub end: Duration,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Responses by latency bin, in order.
    bins: Vec<(u16, u64)>,
    /// Longest latency in microseconds.
    max: u64,
}

impl Timeline {
    /// The slices, in order of time.
    pub fn slices(&self) -> &[TimeSlice] {
        &self.slices
    }

    /// Appends an interval.
    pub fn add(&mut self, interval: &Interval) {
        if interval.sent > 0 {
            self.push(TimeSlice::new(interval));
            self.limit();
        }
    }

    /// Adds another timeline, after shifting this one by `mine` and the other by `theirs`.
    pub(super) fn merge(&mut self, other: &Self, mine: Duration, theirs: Duration) {
        let later = |slice: &TimeSlice, by| TimeSlice { start: slice.start + by, end: slice.end + by, ..slice.clone() };
        let both = self.slices.iter().map(|slice| later(slice, mine));
        self.slices = both.chain(other.slices.iter().map(|slice| later(slice, theirs))).collect();
        self.slices.sort_by_key(|slice| slice.start);
        // Slices of concurrent traffic are combined.
        self.slices.dedup_by(|next, slice| {
            let same = next.start == slice.start && next.end == slice.end;
            if same {
                slice.add(next);
            }
            same
        });
        self.min_length = self.min_length.max(other.min_length);
        self.limit();
    }

    fn push(&mut self, slice: TimeSlice) {
        match self.slices.last_mut() {
            Some(last) if last.length() < self.min_length && slice.start <= last.end => last.add(&slice),
            _ => self.slices.push(slice),
        }
    }

    /// Combines slices until there are few enough.
    fn limit(&mut self) {
        while self.slices.len() > if self.min_length < SECOND { MAX_SHORT } else { MAX_LONG } {
            let before = self.slices.len();
            self.min_length = if self.min_length < SECOND { SECOND } else { self.min_length * 2 };
            for slice in std::mem::take(&mut self.slices) {
                self.push(slice);
            }
            // Slices with gaps between them cannot be combined any further.
            if self.slices.len() == before && self.min_length > Duration::from_hours(24) {
                break;
            }
        }
    }
}

impl TimeSlice {
    fn new(interval: &Interval) -> Self {
        let mut bins = Vec::new();
        for value in interval.latency.iter_recorded() {
            add_bin(&mut bins, bin(value.value_iterated_to()), value.count_since_last_iteration());
        }
        Self {
            start: interval.start,
            end: interval.start + interval.length,
            codes: interval.codes.clone(),
            errors: interval.errors.clone(),
            bins,
            max: interval.latency.max(),
        }
    }

    /// Duration from the start to the end.
    pub fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// A latency percentile in milliseconds, accurate to 9 %. `None` without responses.
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        let all: u64 = self.bins.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let wanted = all as f64 * percent / 100.0;
        let mut seen = 0;
        let found = self.bins.iter().find(|(_, count)| {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let reached = seen as f64 >= wanted;
            reached
        });
        found.map(|(bin, _)| milliseconds(upper(*bin).min(self.max)))
    }

    /// The longest latency in milliseconds. `None` without responses.
    pub fn max_ms(&self) -> Option<f64> {
        (!self.bins.is_empty()).then(|| milliseconds(self.max))
    }

    fn add(&mut self, other: &Self) {
        self.end = self.end.max(other.end);
        add(&mut self.codes, &other.codes);
        add(&mut self.errors, &other.errors);
        for (bin, count) in &other.bins {
            add_bin(&mut self.bins, *bin, *count);
        }
        self.max = self.max.max(other.max);
    }
}

fn add_bin(bins: &mut Vec<(u16, u64)>, bin: u16, count: u64) {
    match bins.binary_search_by_key(&bin, |(bin, _)| *bin) {
        Ok(place) => bins[place].1 += count,
        Err(place) => bins.insert(place, (bin, count)),
    }
}

/// Bin of a latency: its power of two, followed by its next three bits.
fn bin(micros: u64) -> u16 {
    let micros = micros.max(1);
    let power = micros.ilog2();
    let low = if power >= BIN_BITS { micros >> (power - BIN_BITS) } else { micros << (BIN_BITS - power) };
    u16::try_from((u64::from(power) << BIN_BITS) | (low & ((1 << BIN_BITS) - 1))).unwrap_or(u16::MAX)
}

/// Upper bound of a bin.
fn upper(bin: u16) -> u64 {
    let (power, low) = (u32::from(bin) >> BIN_BITS, u64::from(bin) & ((1 << BIN_BITS) - 1));
    let next = (1_u128 << BIN_BITS) + u128::from(low) + 1;
    let end = if power >= BIN_BITS { next << (power - BIN_BITS) } else { next >> (BIN_BITS - power) };
    u64::try_from(end.saturating_sub(1).max(1)).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 microseconds")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::summary::histogram;

    fn interval(start: u64, length: u64, code: u16, micros: &[u64]) -> Interval {
        let mut latency = histogram();
        for value in micros {
            latency.record(*value).expect("it resizes");
        }
        let (start, length) = (Duration::from_millis(start), Duration::from_millis(length));
        let sent = micros.len() as u64;
        Interval {
            start,
            length,
            sent,
            unsent: 0,
            codes: [(code, sent)].into(),
            errors: [].into(),
            latency,
            callers: Vec::new(),
        }
    }

    fn total(timeline: &Timeline) -> u64 {
        timeline.slices().iter().flat_map(|slice| slice.codes.values()).sum()
    }

    #[test]
    fn intervals_without_responses_have_no_slice() {
        let mut timeline = Timeline::default();
        timeline.add(&interval(0, 200, 200, &[1_000, 3_000]));
        timeline.add(&interval(200, 200, 200, &[]));
        timeline.add(&interval(400, 200, 401, &[2_000]));
        let seen: Vec<_> =
            timeline.slices().iter().map(|slice| (slice.start.as_millis(), slice.end.as_millis())).collect();
        assert_eq!(seen, [(0, 200), (400, 600)]);
        // The histogram keeps three digits.
        assert!(timeline.slices()[0].max_ms().is_some_and(|longest| (3.0..3.01).contains(&longest)));
        assert!(timeline.slices()[0].percentile_ms(50.0).is_some_and(|median| (1.0..1.1).contains(&median)));
        assert_eq!(timeline.slices()[1].codes, [(401, 1)].into());
    }

    #[test]
    fn long_traffic_has_longer_slices_and_loses_no_count() {
        for (seconds, most) in [(59_u64, 300), (1_800, 1_800), (3_600, 3_600), (8_000, 3_600)] {
            let mut timeline = Timeline::default();
            let mut next = interval(0, 200, 200, &[500]);
            for _ in 0..seconds * 5 {
                timeline.add(&next);
                next.start += next.length;
            }
            assert_eq!(total(&timeline), seconds * 5, "{seconds} s");
            assert!(timeline.slices().len() <= most, "{seconds} s: {}", timeline.slices().len());
        }
    }

    #[test]
    fn merging_sorts_by_time() {
        let (mut one, mut other) = (Timeline::default(), Timeline::default());
        one.add(&interval(0, 200, 200, &[1_000]));
        other.add(&interval(0, 200, 200, &[2_000]));
        other.add(&interval(200, 200, 503, &[4_000]));
        one.merge(&other, Duration::from_secs(90), Duration::from_millis(100));
        let starts: Vec<_> = one.slices().iter().map(|slice| slice.start.as_millis()).collect();
        assert_eq!(starts, [100, 300, 90_000]);
        assert_eq!(total(&one), 3);
    }

    proptest! {
        #[test]
        fn a_bin_is_at_most_an_eighth_wide(micros in 1_u64..u64::MAX / 2) {
            let end = upper(bin(micros));
            prop_assert!(end >= micros, "{micros} is above {end}");
            prop_assert!(end - micros <= micros / 8, "{micros} is far from {end}");
        }
    }
}
