//! What the lab shows at a moment ([`Observation`]), the difference of two, and what in it was somebody else's doing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::act::{Acted, Own};
use super::context::Context;
use crate::lab::Record;
use crate::undo::explained;
use lab_core::engine::{Description, EngineError, EngineErrorKind, Retired, RunState};
use lab_core::event::Keys;
use lab_system::deadline::timeout;
use lab_telemetry::metrics::{Deltas, Exposition, Snapshot, delta, names};

/// How long a description may take. A backstop: the engine has deadlines of its own.
const DEADLINE: Duration = Duration::from_secs(10);

/// The lab at a moment.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) description: Description,
    pub(super) caller_key: String,
    /// The keys of callers that have names.
    pub(super) callers: BTreeMap<String, String>,
    /// The app's counters, or why they are unknown.
    pub(super) snapshot: Result<Snapshot, String>,
}

impl Observation {
    /// What a caller sends; none: the lab's one caller.
    pub(super) fn key_of(&self, caller: Option<&str>) -> Result<&str, String> {
        match caller {
            None => Ok(&self.caller_key),
            Some(name) => {
                self.callers.get(name).map(String::as_str).ok_or_else(|| format!("the lab has no caller {name}"))
            }
        }
    }
}

/// Looks at the lab, and scrapes every instance of the app. An error says why that could not be done.
pub(super) async fn observe(context: &Context) -> Result<Observation, String> {
    let description = describe(context).await.map_err(|error| explained(&error))?;
    let Record { caller_key, callers, .. } = context.lab.existing().map_err(|error| error.to_string())?;
    let snapshot = scrape(context, &description).await;
    Ok(Observation { description, caller_key, callers, snapshot })
}

/// Like [`observe`], given up when the run is asked to stop.
pub(super) async fn observe_unless_stopped(context: &Context) -> Result<Observation, String> {
    tokio::select! {
        biased;
        () = context.stop.cancelled() => Err("interrupted".to_owned()),
        observation = observe(context) => observation,
    }
}

/// The stack as it is now, within a deadline.
pub(super) async fn describe(context: &Context) -> Result<Description, EngineError> {
    timeout(DEADLINE, context.engine.describe()).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s", DEADLINE.as_secs());
        Err(EngineError::new(EngineErrorKind::System, detail))
    })
}

/// The keys of both sides.
pub(super) async fn keys(context: &Context) -> Result<Keys, String> {
    let description = describe(context).await.map_err(|error| explained(&error))?;
    let record = context.lab.existing().map_err(|error| error.to_string())?;
    let server = description.server_key().unwrap_or_default().to_owned();
    Ok(Keys { server, caller: record.caller_key, callers: record.callers })
}

/// One scrape of every instance of the app, or why it is unknown.
pub(super) async fn scrape(context: &Context, description: &Description) -> Result<Snapshot, String> {
    // A frozen app would keep every scrape waiting until its deadline, and tell nothing.
    if description.app().is_some_and(|app| app.state == RunState::Paused) {
        return Err("the app is paused".to_owned());
    }
    let scrapes = description.endpoints.metrics.iter().map(|endpoint| async {
        let exposition = context.wire.scrape(&endpoint.url).await.map_err(|error| error.to_string())?;
        Ok::<(String, Exposition), String>((endpoint.instance.clone(), exposition))
    });
    let instances = join_all(scrapes).await.into_iter().collect::<Result<_, _>>()?;
    Ok(Snapshot { at: context.clock.now(), instances })
}

/// The increase of the app's counters between two observations, or why it is unknown. `acted`: what the run did in between.
pub(super) fn deltas(
    before: &Result<Observation, String>,
    after: &Result<Observation, String>,
    acted: &Acted,
) -> Result<Deltas, String> {
    let before = before.as_ref()?.snapshot.as_ref()?;
    let after = after.as_ref()?.snapshot.as_ref()?;
    let mut retired = Vec::new();
    for Retired { instance, exposition } in &acted.retired {
        let last = match exposition {
            Some(text) => {
                Some(Exposition::parse(text, None).map_err(|error| format!("the last scrape of {instance} {error}"))?)
            }
            // What is killed is not asked once more: the scrape before the step was its last.
            None if acted.killed => None,
            None => return Err(format!("{instance} ended without a last scrape")),
        };
        retired.push((instance.clone(), last));
    }
    let ended = |instance: &&String| {
        !after.instances.contains_key(*instance) && !acted.retired.iter().any(|retired| retired.instance == **instance)
    };
    match before.instances.keys().find(ended) {
        // A command of the run may have ended it.
        Some(instance) if acted.own.anything => Err(format!("{instance} ended without a last scrape")),
        Some(instance) => Err(format!("{instance} ended, and this run did not end it")),
        None => Ok(delta::between(before, after, &retired)),
    }
}

/// The increase by counter as reports show it: every counter of the app, null where it is unknown.
pub(super) fn by_counter(deltas: &Result<Deltas, String>) -> BTreeMap<String, Option<f64>> {
    let known = deltas.as_ref().ok().map(Deltas::by_name);
    let value = |name: &str| known.as_ref().map(|known| known.get(name).copied().unwrap_or(0.0));
    names::COUNTERS.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

/// What a run knows of the lab, to tell its own changes from somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    server: Option<String>,
    caller: String,
    callers: BTreeMap<String, String>,
    states: BTreeMap<String, RunState>,
    /// The run may have changed more than this since: nothing that is otherwise can be attributed.
    outdated: bool,
}

impl Known {
    pub(super) fn of(observation: &Observation) -> Self {
        let Observation { description, caller_key, callers, .. } = observation;
        let states = description.services.iter().map(|service| (service.name.clone(), service.state)).collect();
        Self {
            server: description.server_key().map(str::to_owned),
            caller: caller_key.clone(),
            callers: callers.clone(),
            states,
            outdated: false,
        }
    }

    /// Every key.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.server.iter().chain([&self.caller]).chain(self.callers.values()).map(String::as_str)
    }

    /// As it is after the run's own change.
    pub(super) fn after(mut self, own: &Own) -> Self {
        self.server = own.server.clone().unwrap_or(self.server);
        self.caller = own.caller.clone().unwrap_or(self.caller);
        self.callers.extend(own.callers.iter().cloned());
        self.states.extend(own.state.clone());
        self.outdated |= own.anything;
        self
    }

    /// As it is after an attempted change whose outcome is unknown.
    pub(super) fn outdated(self) -> Self {
        Self { outdated: true, ..self }
    }

    /// What is otherwise now by another's doing, in one sentence each.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.outdated {
            return found;
        }
        if self.server != now.server {
            found.push(format!("server key is now {}", now.server.as_deref().unwrap_or("not set")));
        }
        if self.caller != now.caller {
            found.push(format!("caller key is now {}", now.caller));
        }
        for (name, key) in &now.callers {
            if self.callers.get(name) != Some(key) {
                found.push(format!("key of caller {name} is now {key}"));
            }
        }
        for (service, state) in &now.states {
            if self.states.get(service) != Some(state) {
                found.push(format!("{service} is now {}", state.name()));
            }
        }
        found.into_iter().map(|what| format!("{what}: changed outside this run")).collect()
    }
}
