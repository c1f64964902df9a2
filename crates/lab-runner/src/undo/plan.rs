//! Derives revert steps from the recorded states. Pure, and the steps are idempotent.

use std::collections::BTreeMap;

use super::section::Before;
use crate::lab::Record;
use lab_core::engine::{Description, RunState, ServiceChange};

/// One step of an undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevertStep {
    /// Restores the state of a service.
    Service {
        /// Name of the service.
        service: String,
        /// Everything that was changed.
        change: ServiceChange,
    },
    /// Restores the key of the default caller.
    CallerKey {
        /// Key to restore.
        key: String,
    },
    /// Restores the key of a named caller, or removes the caller.
    Caller {
        /// Name of the caller.
        name: String,
        /// Key to restore. `None` removes the caller.
        key: Option<String>,
    },
    /// Removes the lab.
    NoLab,
}

impl RevertStep {
    /// Number of values that the step restores: variables, run states and keys.
    pub fn items(&self) -> usize {
        match self {
            Self::Service { change, .. } => change.env.len() + usize::from(change.run.is_some()),
            Self::CallerKey { .. } | Self::Caller { .. } | Self::NoLab => 1,
        }
    }

    /// Returns true if the lab already has the state that the step restores.
    pub fn is_met_by(&self, now: &Description, record: &Record) -> bool {
        match self {
            Self::Service { service, change } => now.service(service).is_some_and(|it| change.is_met_by(it)),
            Self::CallerKey { key } => record.caller_key == *key,
            Self::Caller { name, key } => record.callers.get(name) == key.as_ref(),
            Self::NoLab => false,
        }
    }

    /// Services that were running are restored first and the others last, because a service cannot be redeployed while
    /// one of its dependencies is down.
    fn rank(&self) -> u8 {
        match self {
            Self::Service { change, .. } if change.run == Some(RunState::Running) && change.env.is_empty() => 0,
            Self::Service { change, .. } if change.run.is_some_and(|run| run != RunState::Running) => 2,
            _ => 1,
        }
    }
}

/// Owner of the changed state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target<'r> {
    Service(&'r str),
    /// The default caller.
    TheCaller,
    /// A named caller.
    Caller(&'r str),
}

/// Returns the revert steps in order. For each value the first recorded state counts. Each service is one step. The
/// latest change is reverted first, within the limits of [`RevertStep::rank`]. If the lab did not exist, removing it
/// covers everything else.
pub fn plan(records: &[Before]) -> Vec<RevertStep> {
    if records.contains(&Before::NoLab) {
        return vec![RevertStep::NoLab];
    }
    let mut services: BTreeMap<&str, ServiceChange> = BTreeMap::new();
    let mut caller = None;
    let mut callers: BTreeMap<&str, &Option<String>> = BTreeMap::new();
    // In order of the first change.
    let mut order: Vec<Target> = Vec::new();
    for record in records {
        let target = match record {
            Before::Service { service, state } => {
                let merged = services.entry(service).or_default();
                for (name, value) in &state.env {
                    merged.env.entry(name.clone()).or_insert_with(|| value.clone());
                }
                merged.run = merged.run.or(state.run);
                Target::Service(service)
            }
            Before::CallerKey { key } => {
                caller.get_or_insert(key);
                Target::TheCaller
            }
            Before::Caller { name, key } => {
                callers.entry(name).or_insert(key);
                Target::Caller(name)
            }
            Before::NoLab => continue,
        };
        if !order.contains(&target) {
            order.push(target);
        }
    }
    let step = |target: Target| match target {
        Target::Service(service) => {
            let change = services.get(service)?.clone();
            Some(RevertStep::Service { service: service.to_owned(), change })
        }
        Target::TheCaller => caller.map(|key| RevertStep::CallerKey { key: key.clone() }),
        Target::Caller(name) => {
            let key = (*callers.get(name)?).clone();
            Some(RevertStep::Caller { name: name.to_owned(), key })
        }
    };
    let mut steps: Vec<RevertStep> = order.into_iter().rev().filter_map(step).collect();
    steps.sort_by_key(RevertStep::rank);
    steps
}
