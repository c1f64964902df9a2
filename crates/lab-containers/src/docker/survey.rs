//! [`Survey`]: what of a lab is there. The daemon and the labels are all the memory that this engine has.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::client::{Client, Inspected, State};
use super::naming::{
    DEFINITION_LABEL, INSTANCE_LABEL, NETWORK_LABEL, Names, OVERRIDES_LABEL, SERVICE_LABEL, VERSION, VERSION_LABEL,
};
use lab_core::engine::{EngineError, EngineErrorKind, RunState};

/// An environment beyond the stack's: a value, or that there is none.
pub(super) type Overrides = BTreeMap<String, Option<String>>;

/// The containers of a lab.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// By service, the one that serves; where none has the service's name, the one that a change put aside and that was cut
    /// short.
    pub(super) serving: BTreeMap<String, Found>,
    /// Those that the daemon lists and cannot tell more about. Only a view goes on without them.
    pub(super) unread: BTreeMap<String, Unread>,
    /// Those on their way in or out, and carriers: of a change that was cut short.
    pub(super) leftovers: Vec<String>,
    /// Where the one is found who keeps a lab of this name, if that is somebody else.
    pub(super) stranger: Option<String>,
    /// Its network, by what it is addressed by; looked up when the lab comes up, and nowhere else.
    pub(super) network: Option<String>,
}

/// A container of a service of which only its line in the list is known.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    pub(super) state: RunState,
    /// Why nothing more is known.
    pub(super) error: EngineError,
}

/// A container of a service.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) service: String,
    pub(super) container: Inspected,
}

impl Survey {
    /// Looks at everything that has the lab's label.
    pub(super) async fn of(client: &Client, names: &Names) -> Result<Self, EngineError> {
        let listed = client.containers(&names.filter()).await?;
        let mut survey = Self::default();
        let mut wanted = Vec::new();
        for container in listed {
            if let Some(place) = names.stranger(&container.labels) {
                survey.stranger = Some(place);
                continue;
            }
            match container.labels.get(SERVICE_LABEL) {
                Some(service)
                    if container.name == names.container(service) || names.is_aside(service, &container.name) =>
                {
                    wanted.push((service.clone(), container.state, container.id));
                }
                _ => survey.leftovers.push(container.id),
            }
        }
        let looked = join_all(wanted.into_iter().map(async |(service, state, id)| match client.inspect(&id).await {
            // Gone since it was listed: then it is not there.
            Ok(container) => Ok(container.map(|container| Found { service, container })),
            Err(fault) => Err((service.clone(), Unread { state: run_state(state), error: fault.service(&service) })),
        }));
        let mut found: Vec<Found> = Vec::new();
        for looked in looked.await {
            match looked {
                Ok(container) => found.extend(container),
                Err((service, unread)) => drop(survey.unread.insert(service, unread)),
            }
        }
        let mut looked = found;
        // Of two that were put aside, one may be on its way out.
        let is_aside = |found: &Found| found.container.name != names.container(&found.service);
        looked.sort_by_key(|found| (is_aside(found), found.state() != RunState::Running));
        for found in looked {
            if survey.serving.contains_key(&found.service) {
                survey.leftovers.push(found.container.id);
            } else {
                survey.serving.insert(found.service.clone(), found);
            }
        }
        // A daemon that tells nothing of any of them is the matter itself.
        if survey.serving.is_empty() { survey.whole() } else { Ok(survey) }
    }

    /// Itself, if the daemon could tell of every container: what changes the lab has to know all of it.
    pub(super) fn whole(self) -> Result<Self, EngineError> {
        match self.unread.values().next() {
            Some(unread) => Err(unread.error.clone()),
            None => Ok(self),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.serving.is_empty() && self.leftovers.is_empty()
    }

    pub(super) fn get(&self, service: &str) -> Option<&Found> {
        self.serving.get(service)
    }

    /// The network that the lab's containers are on.
    pub(super) fn network_in_use(&self, names: &Names) -> String {
        let network = self.serving.values().next().map(|found| found.network(names));
        self.network.clone().or(network).unwrap_or_else(|| names.network())
    }

    /// A lab that somebody else keeps is none of ours, and one that another version of lab made can be taken down, and nothing
    /// else.
    pub(super) fn check(&self, lab: &str) -> Result<(), EngineError> {
        if let Some(place) = &self.stranger {
            return Err(foreign(lab, place));
        }
        let versions = self.serving.values().filter_map(|found| found.container.labels.get(VERSION_LABEL));
        match versions.into_iter().find(|version| series(version) != series(VERSION)) {
            None => Ok(()),
            Some(version) => {
                let detail = format!("lab {lab} was brought up by version {version} of lab; this is {VERSION}");
                let error = EngineError::new(EngineErrorKind::Unsupported, detail);
                Err(error.hint("lab down, then lab up (keys start again from the first)"))
            }
        }
    }
}

/// Another state folder, found at `place`, has a lab of this name.
pub(super) fn foreign(lab: &str, place: &str) -> EngineError {
    let detail = format!("lab {lab} is kept in {place}, which is not this state folder");
    let hint = format!("lab up --name ANOTHER, beside it; lab down --name {lab} --force takes it down");
    EngineError::new(EngineErrorKind::Foreign, detail).hint(hint)
}

/// `0.1` of `0.1.7`: within it, the labels mean the same.
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

impl Found {
    pub(super) fn id(&self) -> &str {
        &self.container.id
    }

    pub(super) fn state(&self) -> RunState {
        run_state(self.container.state)
    }

    /// It was not ended from outside, and is not done: it failed, or took more memory than its limit.
    pub(super) fn ended_by_itself(&self) -> bool {
        // 137 and 143: by SIGKILL and SIGTERM.
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

    /// What its network is addressed by. Of a container of an older version that is the name.
    pub(super) fn network(&self, names: &Names) -> String {
        self.label(NETWORK_LABEL).map_or_else(|| names.network(), str::to_owned)
    }

    /// Its address on the lab's network, while it runs and is on it.
    pub(super) fn network_address(&self, names: &Names) -> Option<&str> {
        self.container.addresses.get(&self.network(names)).map(String::as_str)
    }

    pub(super) fn definition(&self) -> &str {
        self.label(DEFINITION_LABEL).unwrap_or_default()
    }

    pub(super) fn overrides(&self) -> Overrides {
        self.label(OVERRIDES_LABEL).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// `HOST:PORT`, where this port of the container is reached, if it is published.
    pub(super) fn address(&self, client: &Client, target: u16) -> Option<String> {
        self.container.ports.get(&target).map(|port| client.reach.address(*port))
    }
}

/// The stack's environment with its overrides.
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
    fn a_variable_of_the_stack_can_be_changed_and_taken_away() {
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
