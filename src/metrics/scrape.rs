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

/// Why a page is not metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no metrics page: {0}")]
pub struct NotMetrics(String);

impl Exposition {
    /// Reads the text format.
    pub fn parse(text: &str, _content_type: Option<&str>) -> Result<Self, NotMetrics> {
        let mut values = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').ok_or_else(|| NotMetrics(line.to_owned()))?;
            let value = value.parse().map_err(|_| NotMetrics(line.to_owned()))?;
            let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
            let label = |pair: &str| {
                pair.split_once('=').map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
            };
            let labels = labels.split(',').filter_map(label).collect();
            values.insert(Series { name: name.to_owned(), labels }, value);
        }
        Ok(Self { values })
    }
}
