//! [`Course`]: a load over its time, in pieces of a fifth of a second, in a load of more than a minute of a second and more:
//! what charts are drawn from. Latency is kept in bins 9 % wide, so that a piece takes some hundred bytes whatever the rate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::summary::add;
use super::{Cause, Interval};

/// So many pieces are kept as they come: a minute of them.
const FINE: usize = 300;
/// So many pieces of a second or longer: an hour.
const MOST: usize = 3_600;
/// What a piece is at least, once there are more than [`FINE`].
const SECOND: Duration = Duration::from_secs(1);
/// Each power of two has so many bins of latency, as bits.
const BIN_BITS: u32 = 3;

/// Pieces in the order of their beginnings. Those in which no request ended are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    pieces: Vec<Piece>,
    /// How long a piece is at least, where the next one follows it at once.
    least: Duration,
}

/// What became of the requests that ended within a piece of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// From the first request's scheduled start.
    pub start: Duration,
    /// From the same.
    pub end: Duration,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Responses by bin of their latency, in order.
    bins: Vec<(u16, u64)>,
    /// Microseconds.
    max: u64,
}

impl Course {
    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// One more interval.
    pub fn take(&mut self, interval: &Interval) {
        if interval.sent > 0 {
            self.push(Piece::of(interval));
            self.limit();
        }
    }

    /// Adds another load's, `mine` and `theirs` after their own times.
    pub(super) fn merge(&mut self, other: &Self, mine: Duration, theirs: Duration) {
        let later = |piece: &Piece, by| Piece { start: piece.start + by, end: piece.end + by, ..piece.clone() };
        let both = self.pieces.iter().map(|piece| later(piece, mine));
        self.pieces = both.chain(other.pieces.iter().map(|piece| later(piece, theirs))).collect();
        self.pieces.sort_by_key(|piece| piece.start);
        // Loads that were sent side by side are one load.
        self.pieces.dedup_by(|next, piece| {
            let same = next.start == piece.start && next.end == piece.end;
            if same {
                piece.add(next);
            }
            same
        });
        self.least = self.least.max(other.least);
        self.limit();
    }

    fn push(&mut self, piece: Piece) {
        match self.pieces.last_mut() {
            Some(last) if last.length() < self.least && piece.start <= last.end => last.add(&piece),
            _ => self.pieces.push(piece),
        }
    }

    /// Longer pieces, fewer of them, where there are too many.
    fn limit(&mut self) {
        while self.pieces.len() > if self.least < SECOND { FINE } else { MOST } {
            let before = self.pieces.len();
            self.least = if self.least < SECOND { SECOND } else { self.least * 2 };
            for piece in std::mem::take(&mut self.pieces) {
                self.push(piece);
            }
            // Loads far from each other stay apart; no more than that can be done.
            if self.pieces.len() == before && self.least > Duration::from_hours(24) {
                break;
            }
        }
    }
}

impl Piece {
    fn of(interval: &Interval) -> Self {
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

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// The latency in milliseconds that so many percent of the responses did not exceed, to 9 %; none without a response.
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

    /// The longest, in milliseconds; none without a response.
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

/// The bin of a latency: its power of two, and the three bits after its first.
fn bin(micros: u64) -> u16 {
    let micros = micros.max(1);
    let power = micros.ilog2();
    let low = if power >= BIN_BITS { micros >> (power - BIN_BITS) } else { micros << (BIN_BITS - power) };
    u16::try_from((u64::from(power) << BIN_BITS) | (low & ((1 << BIN_BITS) - 1))).unwrap_or(u16::MAX)
}

/// The highest latency of a bin.
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
        Interval { start, length, sent, unsent: 0, codes: [(code, sent)].into(), errors: [].into(), latency }
    }

    fn total(course: &Course) -> u64 {
        course.pieces().iter().flat_map(|piece| piece.codes.values()).sum()
    }

    #[test]
    fn a_piece_is_what_came_in_it_and_silence_is_none() {
        let mut course = Course::default();
        course.take(&interval(0, 200, 200, &[1_000, 3_000]));
        course.take(&interval(200, 200, 200, &[]));
        course.take(&interval(400, 200, 401, &[2_000]));
        let seen: Vec<_> =
            course.pieces().iter().map(|piece| (piece.start.as_millis(), piece.end.as_millis())).collect();
        assert_eq!(seen, [(0, 200), (400, 600)]);
        // Three digits of it are kept.
        assert!(course.pieces()[0].max_ms().is_some_and(|longest| (3.0..3.01).contains(&longest)));
        assert!(course.pieces()[0].percentile_ms(50.0).is_some_and(|median| (1.0..1.1).contains(&median)));
        assert_eq!(course.pieces()[1].codes, [(401, 1)].into());
    }

    #[test]
    fn a_long_load_has_longer_pieces_and_loses_nothing() {
        for (seconds, most) in [(59_u64, 300), (1_800, 1_800), (3_600, 3_600), (8_000, 3_600)] {
            let mut course = Course::default();
            let mut next = interval(0, 200, 200, &[500]);
            for _ in 0..seconds * 5 {
                course.take(&next);
                next.start += next.length;
            }
            assert_eq!(total(&course), seconds * 5, "{seconds} s");
            assert!(course.pieces().len() <= most, "{seconds} s: {}", course.pieces().len());
        }
    }

    #[test]
    fn several_become_one_in_order_of_time() {
        let (mut one, mut other) = (Course::default(), Course::default());
        one.take(&interval(0, 200, 200, &[1_000]));
        other.take(&interval(0, 200, 200, &[2_000]));
        other.take(&interval(200, 200, 503, &[4_000]));
        one.merge(&other, Duration::from_secs(90), Duration::from_millis(100));
        let starts: Vec<_> = one.pieces().iter().map(|piece| piece.start.as_millis()).collect();
        assert_eq!(starts, [100, 300, 90_000]);
        assert_eq!(total(&one), 3);
    }

    proptest! {
        #[test]
        fn a_bin_is_at_most_an_eighth_wide(micros in 1_u64..u64::MAX / 2) {
            let end = upper(bin(micros));
            prop_assert!(end >= micros, "{micros} lies beyond {end}");
            prop_assert!(end - micros <= micros / 8, "{micros} is far from {end}");
        }
    }
}
