//! [`Snapshot`]: one scrape of every instance of the app.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Exposition;

/// A series within an instance: its name and its labels, sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// Label names and values, sorted by name.
    pub labels: Vec<(String, String)>,
}

impl Series {
    /// A series by its name and labels, in any order.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let mut labels: Vec<_> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        labels.sort();
        Self { name: name.to_owned(), labels }
    }
}

/// One scrape of every running instance of the app. It is empty if the app does not run, which is not a failed scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Time of the scrape.
    pub at: DateTime<Utc>,
    /// Metrics by the engine's id of the instance.
    pub instances: BTreeMap<String, Exposition>,
}
