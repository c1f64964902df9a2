//! `lab stop`, `start`, `restart`, `kill`, `pause` and `unpause`, with the meanings of Docker Compose.

use std::time::Instant;

use super::change::ManualChange;
use super::session::{Connected, Session, unknown_service};
use lab_core::engine::{Ability, Description, RunState, ServiceChange};
use lab_core::error::{Exit, Failure};
use lab_report::report::human;

/// What to do with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Stop,
    Start,
    Restart,
    Kill,
    Pause,
    Unpause,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
        }
    }

    /// Result, for messages.
    fn done(self) -> &'static str {
        match self {
            Self::Stop => "stopped",
            Self::Start => "started",
            Self::Restart => "restarted",
            Self::Kill => "killed",
            Self::Pause => "paused",
            Self::Unpause => "unpaused",
        }
    }

    /// What the engine must be able to do with the service. What it can stop, it can start.
    fn ability(self) -> Ability {
        match self {
            Self::Stop | Self::Start | Self::Restart => Ability::Stop,
            Self::Kill => Ability::Kill,
            Self::Pause | Self::Unpause => Ability::Pause,
        }
    }

    /// Plans the way from a state to the one that the verb asks for.
    fn plan(self, state: RunState) -> Result<Plan, Refused> {
        use RunState::{Paused, Running, Stopped};
        let run = |state| Plan::Changes(vec![ServiceChange::run(state)]);
        Ok(match (self, state) {
            (Self::Stop, Running | Paused) => run(Stopped),
            (Self::Stop | Self::Kill, Stopped) => Plan::Nothing("already stopped"),
            (Self::Kill, Running | Paused) => Plan::Changes(vec![ServiceChange::kill()]),
            (Self::Start | Self::Restart, Stopped) | (Self::Unpause, Paused) => run(Running),
            (Self::Start, Running) => Plan::Nothing("already running"),
            (Self::Start, Paused) => return Err(Refused { reason: "is paused", first: "unpause" }),
            (Self::Restart, Running | Paused) => {
                Plan::Changes(vec![ServiceChange::run(Stopped), ServiceChange::run(Running)])
            }
            (Self::Pause, Running) => run(Paused),
            (Self::Pause, Paused) => Plan::Nothing("already paused"),
            (Self::Pause | Self::Unpause, Stopped) => return Err(Refused { reason: "is stopped", first: "start" }),
            (Self::Unpause, Running) => Plan::Nothing("not paused"),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Changes(Vec<ServiceChange>),
    /// The service is in the desired state already; the words follow its name.
    Nothing(&'static str),
}

/// The verb has no meaning in this state.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    /// State of the service, after "it".
    reason: &'static str,
    /// Verb that comes first.
    first: &'static str,
}

pub(super) async fn run(session: &Session, verb: Verb, services: &[String]) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let services = selected(&connected, verb, services)?;
    let change = match ManualChange::begin(session, &connected, &format!("lab {}", verb.name())).await? {
        Ok(change) => change,
        Err(exit) => return Ok(exit),
    };
    let description = connected.describe().await?;
    let plans = plans(&connected, verb, &services, &description)?;
    for (service, plan) in plans {
        if change.is_interrupted() {
            break;
        }
        let changes = match plan {
            Plan::Changes(changes) => changes,
            Plan::Nothing(state) => {
                session.line(&format!("{service} {state}"))?;
                continue;
            }
        };
        let start = Instant::now();
        change.apply(service, &changes).await?;
        session.line(&format!("{service} {} in {}", verb.done(), human::duration(start.elapsed())))?;
    }
    Ok(change.exit())
}

/// The named services, each once. All names are checked before anything changes.
fn selected<'a>(connected: &Connected, verb: Verb, services: &'a [String]) -> anyhow::Result<Vec<&'a str>> {
    let known = connected.engine.services();
    let mut selected: Vec<&str> = Vec::new();
    for name in services {
        let Some(spec) = known.iter().find(|spec| spec.name == *name) else {
            return Err(unknown_service(name, known.iter().map(|spec| spec.name.as_str())).into());
        };
        if !spec.abilities.contains(&verb.ability()) {
            let engine = connected.engine.name();
            let message = format!("the {engine} engine cannot {} {name}", verb.name());
            let able = known.iter().filter(|spec| spec.abilities.contains(&verb.ability()));
            let able: Vec<&str> = able.map(|spec| spec.name.as_str()).collect();
            return Err(Failure::usage(message).hint(format!("it can for {}", able.join(", "))).into());
        }
        if !selected.contains(&name.as_str()) {
            selected.push(name);
        }
    }
    Ok(selected)
}

/// Plans of all services. An error if the verb has no meaning for one of them: then none is changed.
fn plans<'a>(
    connected: &Connected,
    verb: Verb,
    services: &[&'a str],
    description: &Description,
) -> anyhow::Result<Vec<(&'a str, Plan)>> {
    let mut plans = Vec::new();
    for service in services {
        // A container that was removed is as good as stopped: starting it creates it again.
        let state = description.service(service).map_or(RunState::Stopped, |found| found.state);
        let plan = verb.plan(state).map_err(|Refused { reason, first }| {
            let message = format!("cannot {} {service}: it {reason}", verb.name());
            let hint = format!("lab {first} {service}{}", connected.lab.name_option());
            Failure::failed(message).hint(hint)
        })?;
        plans.push((*service, plan));
    }
    Ok(plans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_plan_for_every_state() {
        use RunState::{Paused, Running, Stopped};
        let run = |state| Ok(Plan::Changes(vec![ServiceChange::run(state)]));
        let kill = || Ok(Plan::Changes(vec![ServiceChange::kill()]));
        let restart = || Ok(Plan::Changes(vec![ServiceChange::run(Stopped), ServiceChange::run(Running)]));
        let nothing = |state| Ok(Plan::Nothing(state));
        let refused = |reason, first| Err(Refused { reason, first });
        let table = [
            (Verb::Stop, [run(Stopped), run(Stopped), nothing("already stopped")]),
            (Verb::Kill, [kill(), kill(), nothing("already stopped")]),
            (Verb::Start, [nothing("already running"), refused("is paused", "unpause"), run(Running)]),
            (Verb::Restart, [restart(), restart(), run(Running)]),
            (Verb::Pause, [run(Paused), nothing("already paused"), refused("is stopped", "start")]),
            (Verb::Unpause, [nothing("not paused"), run(Running), refused("is stopped", "start")]),
        ];
        for (verb, expected) in table {
            assert_eq!([Running, Paused, Stopped].map(|state| verb.plan(state)), expected, "{verb:?}");
        }
    }
}
