//! Snapshot of everything in a lab that a run may change.

use std::collections::{BTreeMap, BTreeSet};

use super::ProofLab;
use lab_core::engine::RunState;

/// States and environments of the services, and keys of the callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    things: BTreeMap<String, String>,
}

impl Sight {
    /// Reads the current state.
    pub(super) async fn of(ground: &ProofLab) -> Result<Self, String> {
        let description = ground.engine.describe().await.map_err(|error| error.to_string())?;
        let record = ground.lab.existing().map_err(|error| error.to_string())?;
        let mut things = BTreeMap::from([("the caller's key".to_owned(), record.caller_key)]);
        things.extend(record.callers.into_iter().map(|(name, key)| (format!("the key of caller {name}"), key)));
        for service in description.services {
            let name = service.name;
            let variables = service.env.into_iter().map(|(variable, value)| (format!("{name} {variable}"), value));
            things.extend(variables);
            things.insert(name, RunState::name(service.state).to_owned());
        }
        Ok(Self { things })
    }

    /// Describes each difference.
    pub(super) fn differences<'a>(&'a self, now: &'a Self) -> impl Iterator<Item = String> + 'a {
        let names: BTreeSet<&String> = self.things.keys().chain(now.things.keys()).collect();
        names.into_iter().filter_map(|name| {
            let (before, now) = (self.things.get(name), now.things.get(name));
            let shown = |value: Option<&String>| value.map_or("unset", String::as_str).to_owned();
            (before != now).then(|| format!("{name} is {}, and was {}", shown(now), shown(before)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_with_both_sides() {
        let sight = |things: &[(&str, &str)]| Sight {
            things: things.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let before = sight(&[("app", "running"), ("app A", "1"), ("app B", "2")]);
        let now = sight(&[("app", "stopped"), ("app A", "1"), ("app C", "3")]);
        let found: Vec<String> = before.differences(&now).collect();
        assert_eq!(
            found,
            ["app is stopped, and was running", "app B is unset, and was 2", "app C is 3, and was unset"]
        );
    }
}
