//! Differences between two readings of a stack, for messages. Values of variables may be secrets and are not shown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Bind, FolderEntry, Mount, Service, Stack};

impl Stack {
    /// Describes the changes in a new reading of this stack, one per line.
    pub fn differences(&self, new: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for service in &self.services {
            match new.service(&service.name) {
                Some(other) => {
                    let parts = service.differences(other);
                    if !parts.is_empty() {
                        lines.push(format!("{}: {}", service.name, parts.join("; ")));
                    }
                }
                None => lines
                    .push(format!("{}: no longer in the stack; its container remains until lab down", service.name)),
            }
        }
        for service in new.services.iter().filter(|service| self.service(&service.name).is_none()) {
            lines.push(format!("{}: new in the stack", service.name));
        }
        if self.volumes != new.volumes {
            lines.push("volumes: changed".to_owned());
        }
        if self.lab != new.lab {
            lines.push("x-lab: changed".to_owned());
        }
        lines
    }
}

impl Service {
    fn differences(&self, new: &Self) -> Vec<String> {
        let mut parts = Vec::new();
        for key in changed(&keys(self), &keys(new)) {
            parts.extend(match key.as_str() {
                "image" => vec![format!("image {} is now {}", self.image, new.image)],
                "environment" => {
                    vec![format!("environment: {} changed", changed(&self.environment, &new.environment).join(", "))]
                }
                "volumes" => mounts(&self.mounts, &new.mounts),
                other => vec![format!("{other} changed")],
            });
        }
        parts
    }
}

/// A service as JSON, by key.
fn keys(service: &Service) -> BTreeMap<String, Value> {
    match serde_json::to_value(service) {
        Ok(Value::Object(entries)) => entries.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

/// Keys whose values differ or that exist on only one side.
fn changed<K: Ord + Clone, V: PartialEq>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Vec<K> {
    let all: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    all.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

fn mounts(old: &[Mount], new: &[Mount]) -> Vec<String> {
    let by_target = |mounts: &[Mount]| -> BTreeMap<String, Mount> {
        mounts.iter().map(|mount| (mount.target().to_owned(), mount.clone())).collect()
    };
    let (old, new) = (by_target(old), by_target(new));
    let mut parts = Vec::new();
    for target in changed(&old, &new) {
        parts.push(match (old.get(&target), new.get(&target)) {
            (Some(Mount::Bind(old)), Some(Mount::Bind(new))) if old.source == new.source => {
                format!("{}: {} changed", new.source.display(), entries(old, new).join(", "))
            }
            _ => format!("the mount at {target} changed"),
        });
    }
    parts
}

fn entries(old: &Bind, new: &Bind) -> Vec<String> {
    /// Number of paths that are listed.
    const NAMED: usize = 5;
    let by_path = |bind: &Bind| -> BTreeMap<String, FolderEntry> {
        let named = |entry: &FolderEntry| {
            if entry.path.as_os_str().is_empty() { ".".to_owned() } else { entry.path.display().to_string() }
        };
        bind.entries.iter().map(|entry| (named(entry), entry.clone())).collect()
    };
    let mut paths = changed(&by_path(old), &by_path(new));
    let more = paths.len().saturating_sub(NAMED);
    if more > 0 {
        paths.truncate(NAMED);
        paths.push(format!("and {more} more"));
    }
    paths
}
