//! [`plan`]: from what was before each change to the steps back. Pure; what it makes may be taken twice.

use std::collections::BTreeMap;

use super::log::Before;
use crate::engine::{RunState, ServiceChange};

/// One step back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackStep {
    /// A service gets its state back.
    Service {
        /// Which service.
        service: String,
        /// All of the state that was changed.
        change: ServiceChange,
    },
    /// The caller gets its key back.
    CallerKey {
        /// The key.
        key: String,
    },
    /// The lab goes away.
    NoLab,
}

impl BackStep {
    /// How many things it puts back: one a variable, a run state or a key.
    pub fn items(&self) -> usize {
        match self {
            Self::Service { change, .. } => change.env.len() + usize::from(change.run.is_some()),
            Self::CallerKey { .. } | Self::NoLab => 1,
        }
    }

    /// What was running comes back first, and what was not running goes last: a service cannot be redeployed while one that
    /// it needs is down.
    fn rank(&self) -> u8 {
        match self {
            Self::Service { change, .. } if change.run == Some(RunState::Running) && change.env.is_empty() => 0,
            Self::Service { change, .. } if change.run.is_some_and(|run| run != RunState::Running) => 2,
            _ => 1,
        }
    }
}

/// The steps back, in order. Of each variable, run state and key the first state recorded counts; a service is one step;
/// what was changed last is put back first, within what [`BackStep::rank`] allows. That there was no lab covers all else.
pub fn plan(records: &[Before]) -> Vec<BackStep> {
    if records.contains(&Before::NoLab) {
        return vec![BackStep::NoLab];
    }
    let mut services: BTreeMap<&str, ServiceChange> = BTreeMap::new();
    let mut caller = None;
    // In the order in which each was changed first; `None` is the caller.
    let mut order: Vec<Option<&str>> = Vec::new();
    for record in records {
        let target = match record {
            Before::Service { service, state } => {
                let merged = services.entry(service).or_default();
                for (name, value) in &state.env {
                    merged.env.entry(name.clone()).or_insert_with(|| value.clone());
                }
                merged.run = merged.run.or(state.run);
                Some(service.as_str())
            }
            Before::CallerKey { key } => {
                caller.get_or_insert(key);
                None
            }
            Before::NoLab => continue,
        };
        if !order.contains(&target) {
            order.push(target);
        }
    }
    let step = |target: Option<&str>| match target {
        Some(service) => {
            let change = services.get(service)?.clone();
            Some(BackStep::Service { service: service.to_owned(), change })
        }
        None => caller.map(|key| BackStep::CallerKey { key: key.clone() }),
    };
    let mut steps: Vec<BackStep> = order.into_iter().rev().filter_map(step).collect();
    steps.sort_by_key(BackStep::rank);
    steps
}
