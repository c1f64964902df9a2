//! [`plan`]: from what was before each change to the steps back. Pure; what it makes may be taken twice.

use std::collections::BTreeMap;

use super::log::Before;
use lab_core::engine::{RunState, ServiceChange};

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
    /// A caller of a scenario gets its key back, or is forgotten.
    Caller {
        /// Its name.
        name: String,
        /// The key; none: it is forgotten.
        key: Option<String>,
    },
    /// The lab goes away.
    NoLab,
}

impl BackStep {
    /// How many things it puts back: one a variable, a run state or a key.
    pub fn items(&self) -> usize {
        match self {
            Self::Service { change, .. } => change.env.len() + usize::from(change.run.is_some()),
            Self::CallerKey { .. } | Self::Caller { .. } | Self::NoLab => 1,
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

/// Whose state was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target<'r> {
    Service(&'r str),
    /// The lab's one caller.
    TheCaller,
    /// A caller of a scenario.
    Caller(&'r str),
}

/// The steps back, in order. Of each variable, run state and key the first state recorded counts; a service is one step;
/// what was changed last is put back first, within what [`BackStep::rank`] allows. That there was no lab covers all else.
pub fn plan(records: &[Before]) -> Vec<BackStep> {
    if records.contains(&Before::NoLab) {
        return vec![BackStep::NoLab];
    }
    let mut services: BTreeMap<&str, ServiceChange> = BTreeMap::new();
    let mut caller = None;
    let mut callers: BTreeMap<&str, &Option<String>> = BTreeMap::new();
    // In the order in which each was changed first.
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
            Some(BackStep::Service { service: service.to_owned(), change })
        }
        Target::TheCaller => caller.map(|key| BackStep::CallerKey { key: key.clone() }),
        Target::Caller(name) => {
            let key = (*callers.get(name)?).clone();
            Some(BackStep::Caller { name: name.to_owned(), key })
        }
    };
    let mut steps: Vec<BackStep> = order.into_iter().rev().filter_map(step).collect();
    steps.sort_by_key(BackStep::rank);
    steps
}
