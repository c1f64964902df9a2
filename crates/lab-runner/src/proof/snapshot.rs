//! Snapshot of everything in a lab that a run may change.

use std::collections::{BTreeMap, BTreeSet};

use super::ProofLab;
use crate::lab::LabError;
use lab_core::engine::{EngineError, RunState};

/// Reason why the state of a lab is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// States and environments of the services, and keys of the callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    values: BTreeMap<String, String>,
}

impl Snapshot {
    /// Reads the current state.
    pub(super) async fn read(proof_lab: &ProofLab) -> Result<Self, SnapshotError> {
        let description = proof_lab.engine.describe().await?;
        let record = proof_lab.lab.existing()?;
        let mut values = BTreeMap::from([("the caller's key".to_owned(), record.caller_key)]);
        values.extend(record.callers.into_iter().map(|(name, key)| (format!("the key of caller {name}"), key)));
        for service in description.services {
            let name = service.name;
            let variables = service.env.into_iter().map(|(variable, value)| (format!("{name} {variable}"), value));
            values.extend(variables);
            values.insert(name, RunState::name(service.state).to_owned());
        }
        Ok(Self { values })
    }

    /// Describes each difference.
    pub(super) fn differences<'a>(&'a self, now: &'a Self) -> impl Iterator<Item = String> + 'a {
        let names: BTreeSet<&String> = self.values.keys().chain(now.values.keys()).collect();
        names.into_iter().filter_map(|name| {
            let (before, now) = (self.values.get(name), now.values.get(name));
            let shown = |value: Option<&String>| value.map_or("unset", String::as_str).to_owned();
            (before != now).then(|| format!("{name} is {}, and was {}", shown(now), shown(before)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_both_values() {
        let snapshot = |values: &[(&str, &str)]| Snapshot {
            values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let before = snapshot(&[("app", "running"), ("app A", "1"), ("app B", "2")]);
        let now = snapshot(&[("app", "stopped"), ("app A", "1"), ("app C", "3")]);
        let found: Vec<String> = before.differences(&now).collect();
        assert_eq!(
            found,
            ["app is stopped, and was running", "app B is unset, and was 2", "app C is 3, and was unset"]
        );
    }
}
