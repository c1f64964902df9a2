//! [`Deltas`]: the increase of counters between two snapshots: Prometheus' `increase` without its extrapolation, exact
//! across redeploys if the last exposition of each retired instance is known.

use std::collections::BTreeMap;

use super::names::{COUNTERS, START_TIME};
use super::{Exposition, Series, Snapshot};

/// The increase of each series, instances summed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deltas {
    /// Increase by series.
    pub increase: BTreeMap<Series, f64>,
}

/// Computes the increase between two snapshots. `retired` lists the instances that ended in between, oldest first, each with
/// its last metrics if known. A killed instance has none and adds nothing beyond its earlier scrapes.
///
/// The increase of an instance is new minus old, or the whole new value if the counter fell or the start time changed. An
/// instance that is not in `before` counts from 0.
pub fn between(before: &Snapshot, after: &Snapshot, retired: &[(String, Option<Exposition>)]) -> Deltas {
    // Metrics of each instance after `before`, in order.
    let mut by_instance: BTreeMap<&str, Vec<&Exposition>> = BTreeMap::new();
    for (instance, exposition) in retired {
        by_instance.entry(instance).or_default().extend(exposition);
    }
    for (instance, exposition) in &after.instances {
        by_instance.entry(instance).or_default().push(exposition);
    }
    let mut deltas = Deltas::default();
    for (instance, expositions) in by_instance {
        let mut old = before.instances.get(instance);
        for new in expositions {
            deltas.add_increase(old, new);
            old = Some(new);
        }
    }
    deltas
}

impl Deltas {
    fn add_increase(&mut self, old: Option<&Exposition>, new: &Exposition) {
        let started = |exposition: &Exposition| exposition.value(START_TIME);
        // Without both start times, only a fall shows a restart.
        let old = old.filter(|old| started(old).zip(started(new)).is_none_or(|(old, new)| same_instant(old, new)));
        for (series, value) in &new.values {
            if series.name == START_TIME || new.gauges.contains(&series.name) || !value.is_finite() {
                continue;
            }
            let from = old.and_then(|old| old.values.get(series)).copied().filter(|old| *old <= *value);
            *self.increase.entry(series.clone()).or_default() += value - from.unwrap_or(0.0);
        }
    }

    /// Increase of a counter, summed over all series that have at least these labels. 0 for a known counter without such
    /// series, `None` for an unknown counter.
    pub fn sum(&self, counter: &str, labels: &[(String, String)]) -> Option<f64> {
        let mut known = COUNTERS.contains(&counter);
        let mut sum = 0.0;
        for (series, increase) in self.increase.iter().filter(|(series, _)| series.name == counter) {
            known = true;
            if labels.iter().all(|label| series.labels.contains(label)) {
                sum += increase;
            }
        }
        known.then_some(sum)
    }

    /// Increase of each counter, summed over all labels: those of [`COUNTERS`] and all others in the snapshots. For a
    /// histogram or a summary only the count, since its buckets overlap and its sum is not a count.
    pub fn by_name(&self) -> BTreeMap<String, f64> {
        let mut sums: BTreeMap<String, f64> = COUNTERS.iter().map(|name| ((*name).to_owned(), 0.0)).collect();
        for (series, increase) in &self.increase {
            *sums.entry(series.name.clone()).or_default() += increase;
        }
        let counts: Vec<String> =
            sums.keys().filter_map(|name| name.strip_suffix("_count").map(str::to_owned)).collect();
        for base in counts {
            sums.remove(&format!("{base}_bucket"));
            sums.remove(&format!("{base}_sum"));
        }
        sums
    }

    /// Adds the increase of an interval that follows or precedes this one.
    pub fn merge(&mut self, other: &Self) {
        for (series, increase) in &other.increase {
            *self.increase.entry(series.clone()).or_default() += increase;
        }
    }
}

/// Start times are given to the millisecond.
fn same_instant(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.000_5
}
