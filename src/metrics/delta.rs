//! [`Deltas`]: the increase of counters between two snapshots.

use std::collections::BTreeMap;

use super::{Exposition, Series, Snapshot};

/// The increase of each series, instances summed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deltas {
    /// Increase by series.
    pub increase: BTreeMap<Series, f64>,
}

/// The increase between two snapshots. `retired`: the instances that went away between the two, each with its last exposition
/// where there is one.
pub fn between(before: &Snapshot, after: &Snapshot, retired: &[(String, Option<Exposition>)]) -> Deltas {
    let mut deltas = Deltas::default();
    let gone = retired.iter().filter_map(|(instance, last)| Some((instance, last.as_ref()?)));
    for (instance, exposition) in gone.chain(&after.instances) {
        for (series, new) in &exposition.values {
            let old = before.instances.get(instance).and_then(|old| old.values.get(series)).copied().unwrap_or(0.0);
            *deltas.increase.entry(series.clone()).or_default() += if old <= *new { new - old } else { *new };
        }
    }
    deltas
}

impl Deltas {
    /// The increase of a counter, of all series with these labels.
    pub fn of(&self, counter: &str, labels: &[(String, String)]) -> Option<f64> {
        let fits = |series: &Series| series.name == counter && labels.iter().all(|label| series.labels.contains(label));
        Some(self.increase.iter().filter(|(series, _)| fits(series)).map(|(_, increase)| increase).sum())
    }

    /// The increase of each counter, labels summed up.
    pub fn by_name(&self) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (series, increase) in &self.increase {
            *sums.entry(series.name.clone()).or_default() += increase;
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
