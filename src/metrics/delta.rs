//! [`Deltas`]: the increase of counters between two snapshots.

use std::collections::BTreeMap;

use super::Series;

/// The increase of each series, instances summed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deltas {
    /// Increase by series.
    pub increase: BTreeMap<Series, f64>,
}
