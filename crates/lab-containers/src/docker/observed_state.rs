//! [`ObservedState`] of a lab. The Docker engine is stateless: everything is derived from the daemon and its labels.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::client::{Client, Inspected, State};
use super::names::{
    DEFINITION_LABEL, INSTANCE_LABEL, NETWORK_LABEL, Names, OVERRIDES_LABEL, SERVICE_LABEL, VERSION, VERSION_LABEL,
};
use lab_core::engine::{EngineError, EngineErrorKind, Observed, RunState};

/// Environment changes on top of the stack's: a value, or `None` for a removed variable.
pub(super) type Overrides = BTreeMap<String, Option<String>>;

/// Observed containers of a lab.
#[derive(Clone, Debug, Default)]
pub(super) struct ObservedState {
    /// Active container per service. Falls back to the container that an interrupted change renamed.
    pub(super) active: BTreeMap<String, ServiceContainer>,
    /// Containers that are listed but cannot be inspected. Only `describe` continues without them.
    pub(super) unreadable: BTreeMap<String, Unreadable>,
    /// Containers that an interrupted change left behind, as well as carriers.
    pub(super) leftovers: Vec<String>,
    /// Place of the lab's owner, if it is not ours.
    pub(super) foreign_owner: Option<String>,
    /// Id of the network. Only set by `up`.
    pub(super) network: Option<String>,
}

/// A service's container that could be listed but not inspected.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    pub(super) state: RunState,
    /// Error of the inspection.
    pub(super) error: EngineError,
}

#[derive(Clone, Debug)]
pub(super) struct ServiceContainer {
    pub(super) service: String,
    pub(super) container: Inspected,
}

impl ObservedState {
    /// Lists and inspects everything with the lab's label.
    pub(super) async fn inspect(client: &Client, names: &Names) -> Result<Self, EngineError> {
        let listed = client.containers(&names.filter()).await?;
        let mut observed = Self::default();
        let mut wanted = Vec::new();
        for container in listed {
            if let Some(place) = names.foreign_owner(&container.labels) {
                observed.foreign_owner = Some(place);
                continue;
            }
            match container.labels.get(SERVICE_LABEL) {
                Some(service)
                    if container.name == names.container(service) || names.is_renamed(service, &container.name) =>
                {
                    wanted.push((service.clone(), container.state, container.id));
                }
                _ => observed.leftovers.push(container.id),
            }
        }
        let looked = join_all(wanted.into_iter().map(async |(service, state, id)| match client.inspect(&id).await {
            // Removed since it was listed.
            Ok(container) => Ok(container.map(|container| ServiceContainer { service, container })),
            Err(fault) => {
                Err((service.clone(), Unreadable { state: run_state(state), error: fault.service(&service) }))
            }
        }));
        let mut found: Vec<ServiceContainer> = Vec::new();
        for looked in looked.await {
            match looked {
                Ok(container) => found.extend(container),
                Err((service, unreadable)) => drop(observed.unreadable.insert(service, unreadable)),
            }
        }
        let mut looked = found;
        // If two containers were renamed, prefer the running one; the other one may be on its way out.
        let is_renamed = |found: &ServiceContainer| found.container.name != names.container(&found.service);
        looked.sort_by_key(|found| (is_renamed(found), found.state() != RunState::Running));
        for found in looked {
            if observed.active.contains_key(&found.service) {
                observed.leftovers.push(found.container.id);
            } else {
                observed.active.insert(found.service.clone(), found);
            }
        }
        // If no container can be inspected, the daemon is the problem.
        if observed.active.is_empty() { observed.require_complete() } else { Ok(observed) }
    }

    /// Fails if a container could not be inspected: a change must know all of them.
    pub(super) fn require_complete(self) -> Result<Self, EngineError> {
        match self.unreadable.values().next() {
            Some(unreadable) => Err(unreadable.error.clone()),
            None => Ok(self),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.leftovers.is_empty()
    }

    pub(super) fn get(&self, service: &str) -> Option<&ServiceContainer> {
        self.active.get(service)
    }

    pub(super) fn network_in_use(&self, names: &Names) -> String {
        let network = self.active.values().next().map(|found| found.network(names));
        self.network.clone().or(network).unwrap_or_else(|| names.network())
    }

    /// Fails if the lab has another owner or was created by an incompatible version. Such a lab can only be taken down.
    pub(super) fn check(&self, lab: &str) -> Result<(), EngineError> {
        if let Some(place) = &self.foreign_owner {
            return Err(foreign(lab, place));
        }
        let versions = self.active.values().filter_map(|found| found.container.labels.get(VERSION_LABEL));
        match versions.into_iter().find(|version| series(version) != series(VERSION)) {
            None => Ok(()),
            Some(version) => {
                let detail = format!("lab {lab} was created by version {version} of lab; this is {VERSION}");
                let error = EngineError::new(EngineErrorKind::Unsupported, detail);
                Err(error.hint("lab down, then lab up (API keys are reset)"))
            }
        }
    }
}

/// Error for a lab of this name that belongs to the state folder at `place`.
pub(super) fn foreign(lab: &str, place: &str) -> EngineError {
    let detail = format!("lab {lab} belongs to another state folder, {place}");
    let hint = format!("use another name with lab up --name NAME, or remove it with lab down --name {lab} --force");
    EngineError::new(EngineErrorKind::Foreign, detail).hint(hint)
}

/// `0.1` for `0.1.7`. Versions of one series use the same labels.
fn series(version: &str) -> &str {
    match version.match_indices('.').nth(1) {
        Some((at, _)) => &version[..at],
        None => version,
    }
}

fn run_state(state: State) -> RunState {
    match state {
        State::Running => RunState::Running,
        State::Paused => RunState::Paused,
        State::Created | State::Exited => RunState::Stopped,
    }
}

impl ServiceContainer {
    pub(super) fn id(&self) -> &str {
        &self.container.id
    }

    pub(super) fn state(&self) -> RunState {
        run_state(self.container.state)
    }

    /// State on which a plan is based.
    pub(super) fn observed(&self) -> Observed {
        if self.has_failed() { Observed::Failed } else { self.state().into() }
    }

    /// Returns true if the process failed or exceeded its memory limit, rather than being stopped or finishing.
    pub(super) fn has_failed(&self) -> bool {
        // 137 and 143 mean SIGKILL and SIGTERM.
        let signalled = matches!(self.container.exit_code, 0 | 137 | 143);
        let out_of_memory = self.container.exit_code == 137 && self.container.out_of_memory;
        self.state() == RunState::Stopped && (out_of_memory || !signalled)
    }

    pub(super) fn label(&self, label: &str) -> Option<&str> {
        self.container.labels.get(label).map(String::as_str)
    }

    pub(super) fn instance(&self) -> &str {
        self.label(INSTANCE_LABEL).unwrap_or(&self.container.id)
    }

    /// Id of its network. Containers of an older version only have the name.
    pub(super) fn network(&self, names: &Names) -> String {
        self.label(NETWORK_LABEL).map_or_else(|| names.network(), str::to_owned)
    }

    /// Address on the lab's network, if the container is running and connected.
    pub(super) fn network_address(&self, names: &Names) -> Option<&str> {
        self.container.addresses.get(&self.network(names)).map(String::as_str)
    }

    pub(super) fn definition(&self) -> &str {
        self.label(DEFINITION_LABEL).unwrap_or_default()
    }

    pub(super) fn overrides(&self) -> Overrides {
        self.label(OVERRIDES_LABEL).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// `HOST:PORT` at which a port of the container is published.
    pub(super) fn address(&self, client: &Client, target: u16) -> Option<String> {
        self.container.ports.get(&target).map(|port| client.reach.address(*port))
    }
}

/// The stack's environment with the overrides applied.
pub(super) fn merged(stack: &BTreeMap<String, String>, overrides: &Overrides) -> BTreeMap<String, String> {
    let mut env = stack.clone();
    for (name, value) in overrides {
        match value {
            Some(value) => env.insert(name.clone(), value.clone()),
            None => env.remove(name),
        };
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_change_and_remove_variables_of_the_stack() {
        let stack = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
        let overrides = Overrides::from([
            ("A".to_owned(), None),
            ("B".to_owned(), Some("3".to_owned())),
            ("C".to_owned(), Some(String::new())),
        ]);
        let env = merged(&stack, &overrides);
        assert_eq!(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(), ["B=3", "C="]);
    }

    #[test]
    fn a_version_counts_by_its_first_two_numbers() {
        assert_eq!(series("0.1.7"), "0.1");
        assert_eq!(series("0.1"), "0.1");
    }
}
