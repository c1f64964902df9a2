//! [`Labels`]: what tells a series from others.

use std::collections::BTreeMap;

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";
/// The series in which Prometheus keeps since when its alerts are active.
pub(super) const ALERTS_SINCE: &str = "ALERTS_FOR_STATE";
/// The label of a histogram's buckets: its upper end.
pub(super) const LE: &str = "le";

/// Label names and values; the metric's name among them, as `__name__`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// A metric's name and its labels.
    pub fn of(name: &str, labels: &[(&str, &str)]) -> Self {
        labels.iter().fold(Self::default().with(NAME, name), |all, (name, value)| all.with(name, value))
    }

    /// The value of a label; empty where there is none, which `PromQL` takes for the same.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// With a label more, or another value of it. An empty value is no label.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Without the metric's name.
    #[must_use]
    pub fn nameless(self) -> Self {
        self.with(NAME, "")
    }

    /// These labels alone.
    pub(super) fn only(&self, names: &[String]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    /// All but these.
    pub(super) fn except(&self, names: &[String]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
    }

    /// All of them, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether it is the name of a label, or of a metric, which may have colons.
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
