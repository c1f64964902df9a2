//! Observes the lab, computes the difference of two observations and detects changes made outside the run.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::actions::{ActionResult, OwnChanges};
use super::context::Context;
use super::error::StepError;
use crate::lab::{Record, previous_key};
use lab_core::engine::{Description, EngineError, EngineErrorKind, Retired, RunState};
use lab_core::event::Keys;
use lab_system::deadline::timeout;
use lab_telemetry::metrics::{Deltas, Exposition, Snapshot, delta, names};

/// Time limit of a description; the engine's own deadlines are shorter.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Observed state of the lab at one time.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) description: Description,
    pub(super) caller_key: String,
    /// Keys of named callers.
    pub(super) callers: BTreeMap<String, String>,
    /// App counters, or why they are unknown.
    pub(super) snapshot: Result<Snapshot, StepError>,
}

impl Observation {
    /// Key of a caller; `None` is the lab's default caller.
    pub(super) fn key_of(&self, caller: Option<&str>) -> Result<&str, StepError> {
        match caller {
            None => Ok(&self.caller_key),
            Some(name) => {
                self.callers.get(name).map(String::as_str).ok_or_else(|| StepError::NoCaller(name.to_owned()))
            }
        }
    }
}

/// Observes the lab and scrapes every app instance.
pub(super) async fn observe(context: &Context) -> Result<Observation, StepError> {
    let description = describe(context).await?;
    let Record { caller_key, callers: known, .. } = context.lab.existing()?;
    let mut callers = context.default_callers.clone();
    callers.extend(known);
    let snapshot = scrape(context, &description).await;
    Ok(Observation { description, caller_key, callers, snapshot })
}

/// Like [`observe`], but cancelled when the run is asked to stop.
pub(super) async fn observe_unless_stopped(context: &Context) -> Result<Observation, StepError> {
    tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(StepError::Interrupted),
        observation = observe(context) => observation,
    }
}

/// Describes the stack, within a deadline.
pub(super) async fn describe(context: &Context) -> Result<Description, EngineError> {
    timeout(DESCRIBE_TIMEOUT, context.engine.describe()).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s", DESCRIBE_TIMEOUT.as_secs());
        Err(EngineError::new(EngineErrorKind::System, detail))
    })
}

/// Keys of the server and the callers.
pub(super) async fn keys(context: &Context) -> Result<Keys, StepError> {
    let description = describe(context).await?;
    let record = context.lab.existing()?;
    let server = description.server_key().unwrap_or_default().to_owned();
    let previous = description.app().and_then(|app| previous_key(app, &description.roles, chrono::Utc::now()));
    Ok(Keys { server, previous, caller: record.caller_key, callers: record.callers })
}

/// Scrapes every app instance.
pub(super) async fn scrape(context: &Context, description: &Description) -> Result<Snapshot, StepError> {
    // Scraping a frozen app would only run into the timeout.
    if description.app().is_some_and(|app| app.state == RunState::Paused) {
        return Err(StepError::AppPaused);
    }
    let scrapes = description.endpoints.metrics.iter().map(|endpoint| async {
        let exposition = context.wire.scrape(&endpoint.url).await?;
        Ok::<(String, Exposition), StepError>((endpoint.instance.clone(), exposition))
    });
    let instances = join_all(scrapes).await.into_iter().collect::<Result<_, StepError>>()?;
    Ok(Snapshot { at: context.clock.now(), instances })
}

/// Increase of the app's counters between two observations. `action` is what the run did in between.
pub(super) fn deltas(
    before: &Result<Observation, StepError>,
    after: &Result<Observation, StepError>,
    action: &ActionResult,
) -> Result<Deltas, StepError> {
    let before = before.as_ref()?.snapshot.as_ref()?;
    let after = after.as_ref()?.snapshot.as_ref()?;
    let mut retired = Vec::new();
    for Retired { instance, exposition } in &action.retired {
        let last = match exposition {
            Some(text) => Some(Exposition::parse(text, None).map_err(|error| {
                let instance = instance.clone();
                StepError::LastScrape { instance, error }
            })?),
            // A killed instance cannot be scraped again; the scrape before the step was its last.
            None if action.killed => None,
            None => return Err(StepError::NoLastScrape(instance.clone())),
        };
        retired.push((instance.clone(), last));
    }
    let ended = |instance: &&String| {
        !after.instances.contains_key(*instance) && !action.retired.iter().any(|retired| retired.instance == **instance)
    };
    match before.instances.keys().find(ended) {
        // A command of the run may have stopped it.
        Some(instance) if action.own.anything => Err(StepError::NoLastScrape(instance.clone())),
        Some(instance) => Err(StepError::EndedElsewhere(instance.clone())),
        None => Ok(delta::between(before, after, &retired)),
    }
}

/// Increase by counter for reports: every app counter, `None` if unknown.
pub(super) fn by_counter(deltas: &Result<Deltas, StepError>) -> BTreeMap<String, Option<f64>> {
    let known = deltas.as_ref().ok().map(Deltas::by_name);
    let value = |name: &str| known.as_ref().map(|known| known.get(name).copied().unwrap_or(0.0));
    names::COUNTERS.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

/// Lab state known to the run, used to detect changes made by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownState {
    server: Option<String>,
    caller: String,
    callers: BTreeMap<String, String>,
    states: BTreeMap<String, RunState>,
    /// The run may have changed more since, so differences cannot be attributed.
    outdated: bool,
}

impl KnownState {
    pub(super) fn from_observation(observation: &Observation) -> Self {
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

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.server.iter().chain([&self.caller]).chain(self.callers.values()).map(String::as_str)
    }

    /// Applies the run's own changes.
    pub(super) fn after(mut self, own: &OwnChanges) -> Self {
        self.server = own.server.clone().unwrap_or(self.server);
        self.caller = own.caller.clone().unwrap_or(self.caller);
        self.callers.extend(own.callers.iter().cloned());
        self.states.extend(own.state.clone());
        self.outdated |= own.anything;
        self
    }

    /// Marks the state as unreliable after a change whose result is unknown.
    pub(super) fn outdated(self) -> Self {
        Self { outdated: true, ..self }
    }

    /// Describes each change made outside the run.
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
