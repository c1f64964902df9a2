//! [`Exposition`]: one `/metrics` page, read.

use std::collections::BTreeMap;

use super::Series;

/// What one instance said: values by series, counters and gauges alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// Value by series. A histogram is its `_count`, `_sum` and `_bucket` series.
    pub values: BTreeMap<Series, f64>,
}

/// Why a page is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// No answer.
    #[error("{url} does not answer: {detail}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        detail: String,
    },
}
