//! Labels, which identify a series.

use std::collections::BTreeMap;

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";
/// Series in which Prometheus stores the start times of its alerts.
pub(super) const ALERTS_SINCE: &str = "ALERTS_FOR_STATE";
/// Label of a histogram's buckets: the upper bound.
pub(super) const LE: &str = "le";

/// Label names and values, including the metric's name as `__name__`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Labels of a metric with this name. An empty name is left out.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        labels.iter().fold(Self::default().with(NAME, name), |all, (name, value)| all.with(name, value))
    }

    /// Value of a label. Empty if it is missing, which is equivalent in `PromQL`.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets a label. An empty value removes it.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Removes the metric's name.
    #[must_use]
    pub fn nameless(self) -> Self {
        self.with(NAME, "")
    }

    /// Keeps only these labels.
    pub(super) fn only(&self, names: &[String]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    /// Removes these labels.
    pub(super) fn except(&self, names: &[String]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    /// Labels sorted by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Returns true for a valid label name, or a metric name, which may contain colons.
pub(super) fn is_name(text: &str, is_metric: bool) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_' || (is_metric && char == ':');
    !text.is_empty() && text.chars().all(is_part) && !text.starts_with(|char: char| char.is_ascii_digit())
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<String> = self.pairs().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}}", pairs.join(", "))
    }
}
