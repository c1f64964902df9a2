//! Stores the samples of all series, for the longest range of any rule. As in Prometheus, a series that disappears gets an end
//! marker: it has no current value from then on, but its earlier samples still count in ranges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::expr::Selector;
use super::labels::{Labels, NAME};

/// Time for which a series without new samples keeps its last value, in milliseconds.
pub(super) const LOOKBACK: i64 = 300_000;

/// A time in milliseconds and a value, or `None` for the end of the series.
type Sample = (i64, Option<f64>);

#[derive(Debug)]
pub(super) struct Store {
    series: BTreeMap<String, BTreeMap<Labels, VecDeque<Sample>>>,
    /// Retention of samples in milliseconds.
    keep: i64,
    /// Series in the last update of each source, to detect those that disappear.
    current: BTreeMap<String, BTreeSet<Labels>>,
}

impl Store {
    /// `longest` is the longest range of any rule, in milliseconds.
    pub(super) fn new(longest: i64) -> Self {
        Self { series: BTreeMap::new(), keep: longest.max(LOOKBACK), current: BTreeMap::new() }
    }

    /// Stores all series of a source at a time, and ends those that it no longer has.
    pub(super) fn record(&mut self, source: &str, at: i64, samples: impl IntoIterator<Item = (Labels, f64)>) {
        let mut now = BTreeSet::new();
        for (labels, value) in samples {
            self.push(at, labels.clone(), Some(value));
            now.insert(labels);
        }
        let before = self.current.insert(source.to_owned(), now.clone()).unwrap_or_default();
        for gone in before.difference(&now) {
            self.push(at, gone.clone(), None);
        }
        self.forget(at);
    }

    /// Stores one sample. Samples that are not newer than the last one are ignored.
    pub(super) fn push(&mut self, at: i64, labels: Labels, value: Option<f64>) {
        let samples = self.series.entry(labels.get(NAME).to_owned()).or_default().entry(labels).or_default();
        if samples.back().is_none_or(|(last, _)| *last < at) {
            samples.push_back((at, value));
        }
    }

    fn forget(&mut self, now: i64) {
        let old = now - self.keep;
        for all in self.series.values_mut() {
            for samples in all.values_mut() {
                while samples.front().is_some_and(|(at, _)| *at < old) {
                    samples.pop_front();
                }
            }
            all.retain(|_, samples| !samples.is_empty());
        }
        self.series.retain(|_, all| !all.is_empty());
    }

    fn matching<'s>(&'s self, selector: &'s Selector) -> impl Iterator<Item = (&'s Labels, &'s VecDeque<Sample>)> {
        let named = |name: &str| selector.name.is_empty() || selector.name == name;
        let all = self.series.iter().filter(move |(name, _)| named(name)).flat_map(|(_, all)| all);
        all.filter(|(labels, _)| {
            selector.matchers.iter().all(|matcher| matcher.how.matches(labels.get(&matcher.label)))
        })
    }

    /// Current values of the selected series.
    pub(super) fn instant(&self, selector: &Selector, at: i64) -> Vec<(Labels, f64)> {
        let value = |samples: &VecDeque<Sample>| {
            let last = samples.iter().rev().find(|(time, _)| *time <= at)?;
            last.1.filter(|_| last.0 > at - LOOKBACK)
        };
        self.matching(selector).filter_map(|(labels, samples)| Some((labels.clone(), value(samples)?))).collect()
    }

    /// Samples of the selected series in a range that ends at `at` and excludes its start, as in Prometheus 3.
    pub(super) fn range(&self, selector: &Selector, at: i64, range: i64) -> Vec<(Labels, Vec<(i64, f64)>)> {
        let within = |samples: &VecDeque<Sample>| {
            let within = samples.iter().filter(|(time, _)| *time > at - range && *time <= at);
            within.filter_map(|(time, value)| Some((*time, (*value)?))).collect::<Vec<_>>()
        };
        self.matching(selector).map(|(labels, samples)| (labels.clone(), within(samples))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(name: &str) -> Selector {
        Selector { name: name.to_owned(), matchers: Vec::new() }
    }

    #[test]
    fn a_series_that_ended_is_gone_but_counts_in_a_range() {
        let mut store = Store::new(0);
        let (one, other) = (Labels::new("a", &[("x", "1")]), Labels::new("a", &[("x", "2")]));
        store.record("app", 1_000, [(one.clone(), 1.0), (other.clone(), 2.0)]);
        store.record("app", 2_000, [(one.clone(), 3.0)]);
        assert_eq!(store.instant(&selector("a"), 2_000), [(one.clone(), 3.0)]);
        assert_eq!(store.instant(&selector("a"), 1_999).len(), 2);
        let range = store.range(&selector("a"), 2_000, 2_000);
        assert_eq!(range, [(one.clone(), vec![(1_000, 1.0), (2_000, 3.0)]), (other, vec![(1_000, 2.0)])]);
        assert_eq!(
            store.range(&selector("a"), 2_000, 1_000)[0].1,
            [(2_000, 3.0)],
            "the start of the range is excluded"
        );
        store.record("app", 3_000, []);
        assert_eq!(store.instant(&selector("a"), 3_000), []);
        store.record("app", 4_000, [(one.clone(), 4.0)]);
        assert_eq!(store.instant(&selector("a"), 4_000), [(one, 4.0)]);
    }

    #[test]
    fn old_samples_are_dropped() {
        let mut store = Store::new(0);
        let labels = Labels::new("a", &[]);
        for second in 0..1_000 {
            store.record("app", second * 1_000, [(labels.clone(), 1.0)]);
        }
        let kept = store.range(&selector("a"), 999_000, i64::MAX / 2);
        assert_eq!(kept[0].1.len(), 301);
        assert_eq!(store.instant(&selector("a"), 999_000 + LOOKBACK - 1).len(), 1);
        assert_eq!(store.instant(&selector("a"), 999_000 + LOOKBACK).len(), 0);
        store.record("other", 2_000_000, [(Labels::new("b", &[]), 1.0)]);
        assert_eq!(store.series.len(), 1, "a series without samples is dropped");
    }
}
