//! Prometheus' arithmetic: the increase of a counter over a range, extrapolated to its ends
//! (`extrapolatedRate`), and a quantile of a histogram (`bucketQuantile`). Both are after
//! <https://github.com/prometheus/prometheus/tree/main/promql> (functions.go, quantile.go).

use super::seconds;

/// Increase over a range of milliseconds that ends at `end`, extrapolated. `None` for fewer than two samples. The samples are
/// in order of time. A counter that falls was reset and counts from 0.
pub(super) fn increase(samples: &[(i64, f64)], end: i64, range: i64) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    if samples.len() < 2 {
        return None;
    }
    let falls = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1);
    let grown = last.1 - first.1 + falls.sum::<f64>();
    let length = seconds(last.0 - first.0);
    #[expect(clippy::cast_precision_loss, reason = "a few samples")]
    let between = length / (samples.len() - 1) as f64;
    // If the end of the range is not much farther away than the next sample would be, the series extends to it.
    let reach = |gap: f64| if gap < between * 1.1 { gap } else { between / 2.0 };
    let mut to_start = reach(seconds(first.0 - (end - range)));
    if grown > 0.0 && first.1 >= 0.0 {
        // A counter was never below 0.
        to_start = to_start.min(length * (first.1 / grown));
    }
    let to_end = reach(seconds(end - last.0));
    Some(grown * (length + to_start + to_end) / length)
}

/// Quantile of a histogram, interpolated linearly within a bucket. Buckets are upper bounds with cumulative counts. NaN if there
/// are no observations or no bucket to infinity.
pub(crate) fn quantile(quantile: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if quantile.is_nan() || buckets.is_empty() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&quantile) {
        return f64::INFINITY.copysign(quantile);
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    // `le="1"` and `le="1.0"` are one bucket.
    buckets.dedup_by(|next, kept| {
        let is_same = next.0.total_cmp(&kept.0).is_eq();
        kept.1 += if is_same { next.1 } else { 0.0 };
        is_same
    });
    // Scrapes are not atomic, so a count may be below the previous one. Counts that differ only by rounding are equal.
    let mut most = buckets[0].1;
    for (_, count) in &mut buckets {
        if *count > most && !is_rounding(most, *count) {
            most = *count;
        }
        *count = most;
    }
    let &[.., (before_last, _), (last, all)] = &buckets[..] else { return f64::NAN };
    if last != f64::INFINITY || all.is_nan() || all <= 0.0 {
        return f64::NAN;
    }
    let rank = quantile * all;
    let place = buckets[..buckets.len() - 1].iter().position(|(_, count)| *count >= rank);
    let Some(place) = place else { return before_last };
    let (end, count) = buckets[place];
    if place == 0 && end <= 0.0 {
        return end;
    }
    let (start, below) = if place == 0 { (0.0, 0.0) } else { buckets[place - 1] };
    start + (end - start) * ((rank - below) / (count - below))
}

/// Returns true if two counts differ by less than their precision.
fn is_rounding(one: f64, other: f64) -> bool {
    one != 0.0 && other != 0.0 && (one - other).abs() / (one.abs() + other.abs()) < 1e-12
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_steady_increase_is_extrapolated_to_the_whole_range() {
        let samples: Vec<(i64, f64)> =
            (0..=15_i32).map(|n| (i64::from(n) * 2_000, 1_000.0 + 40.0 * f64::from(n))).collect();
        assert_eq!(increase(&samples, 30_000, 30_000), Some(600.0));
        // The last sample is 1 s before the end of the range, the first is 1 s after its start.
        assert_eq!(increase(&samples[..15], 29_000, 30_000), Some(600.0));
        assert_eq!(increase(&samples[..1], 30_000, 30_000), None);
        assert_eq!(increase(&[], 30_000, 30_000), None);
    }

    #[test]
    fn a_new_series_is_not_extrapolated_to_before_its_start() {
        // The series began 4 s ago. A start at 0 is not extrapolated; a higher start is, by half an interval.
        assert_eq!(increase(&[(26_000, 0.0), (28_000, 40.0), (30_000, 80.0)], 30_000, 30_000), Some(80.0));
        assert_eq!(increase(&[(26_000, 500.0), (28_000, 540.0), (30_000, 580.0)], 30_000, 30_000), Some(100.0));
    }

    #[test]
    fn a_reset_counts_from_zero() {
        let samples = [(0, 1_000.0), (10_000, 1_200.0), (20_000, 40.0), (30_000, 240.0)];
        assert_eq!(increase(&samples, 30_000, 30_000), Some(200.0 + 40.0 + 200.0));
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let infinite = f64::INFINITY;
        let buckets = || vec![(0.2, 20.0), (0.1, 10.0), (infinite, 40.0)];
        let is = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(is(quantile(0.25, buckets()), 0.1));
        assert!(is(quantile(0.375, buckets()), 0.15));
        assert!(is(quantile(0.99, buckets()), 0.2), "a quantile in the bucket to infinity is the last finite bound");
        for nothing in [vec![], vec![(infinite, 1.0)], vec![(1.0, 0.0), (infinite, 0.0)], vec![(1.0, 5.0), (2.0, 5.0)]]
        {
            assert!(quantile(0.5, nothing.clone()).is_nan(), "{nothing:?}");
        }
        let doubled = vec![(1.0, 1.0), (0.1, 10.0), (1.0, 19.0), (infinite, 20.0), (infinite, 20.0)];
        assert!(is(quantile(0.5, doubled), 1.0), "20 of 40 observations are at most 1");
        let outside = [(-0.1, -infinite), (1.5, infinite)];
        assert!(outside.into_iter().all(|(rank, expected)| quantile(rank, buckets()).total_cmp(&expected).is_eq()));
        assert!(quantile(f64::NAN, buckets()).is_nan());
        let fallen = quantile(0.5, vec![(0.1, 10.0), (0.2, 9.0), (infinite, 10.0)]);
        assert!(is(fallen, 0.05), "a falling count is corrected");
    }

    proptest! {
        /// With restarts at any point, the increase is the sum of all scraped increases.
        #[test]
        fn restarts_lose_no_scraped_increase(steps in prop::collection::vec((0_u32..50, any::<bool>()), 2..40)) {
            let (mut value, mut counted, mut samples, mut at) = (0.0, 0.0, Vec::new(), 0);
            for (index, (step, restart)) in steps.iter().enumerate() {
                let step = f64::from(*step);
                let before = value;
                value = if *restart && step < value { step } else { value + step };
                if index > 0 {
                    counted += if value < before { value } else { value - before };
                }
                samples.push((at, value));
                at += 2_000;
            }
            let end = at - 2_000;
            // The range begins and ends with a sample, so nothing is extrapolated.
            let found = increase(&samples, end, end.max(1)).expect("two samples");
            prop_assert!((found - counted).abs() < 1e-6, "{found} of {counted}");
        }

        #[test]
        fn a_quantile_lies_within_the_buckets(
            counts in prop::collection::vec(0_u32..100, 2..12),
            rank in 0.0..=1.0_f64,
        ) {
            let mut all = 0.0;
            let mut buckets: Vec<(f64, f64)> = counts
                .iter()
                .enumerate()
                .map(|(index, count)| {
                    all += f64::from(*count);
                    (f64::from(u32::try_from(index).expect("few")) + 1.0, all)
                })
                .collect();
            buckets.push((f64::INFINITY, all));
            let last = buckets[buckets.len() - 2].0;
            let found = quantile(rank, buckets);
            prop_assert!(if all > 0.0 { (0.0..=last).contains(&found) } else { found.is_nan() }, "{found}");
        }
    }
}
