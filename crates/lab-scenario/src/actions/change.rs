//! `stop`, `start`, `kill`, `pause` and `unpause`: changes of the state of a service. They share [`Change`] with `set_env`.

use super::{Action, ActionKind, Definition, Effect, Profile, Reading, Requirement, set_env};
use crate::Expected;
use crate::reader::Reader;
use crate::schema::{KeySpec, Shape, kinds};
use lab_core::engine::{APP, Ability, DB, GATEWAY, RunState, ServiceChange};
use lab_core::event::Phase;
use lab_yaml::node::Text;
use lab_yaml::{did_you_mean, quote_list};

/// Services of the stack. Each engine decides what can be done to them.
pub(crate) const SERVICES: [&str; 5] = [GATEWAY, APP, DB, "prometheus", "grafana"];

pub(super) static STOP: Definition = Definition::new(
    KeySpec::new("stop", Shape::Scalar(kinds::SERVICE), "stops a service gracefully, letting requests finish", "app"),
    Reading::Scalar(|reader, text| read(reader, text, Verb::Stop, ServiceChange::run(RunState::Stopped))),
);

pub(super) static START: Definition = Definition::new(
    KeySpec::new("start", Shape::Scalar(kinds::SERVICE), "starts a stopped or killed service", "app"),
    Reading::Scalar(|reader, text| read(reader, text, Verb::Start, ServiceChange::run(RunState::Running))),
);

pub(super) static KILL: Definition = Definition::new(
    KeySpec::new("kill", Shape::Scalar(kinds::SERVICE), "kills a service immediately", "app"),
    Reading::Scalar(|reader, text| read(reader, text, Verb::Kill, ServiceChange::kill())),
);

pub(super) static PAUSE: Definition = Definition::new(
    KeySpec::new(
        "pause",
        Shape::Scalar(kinds::SERVICE),
        "freezes a service: connections stay open, but nothing answers",
        "db",
    ),
    Reading::Scalar(|reader, text| read(reader, text, Verb::Pause, ServiceChange::run(RunState::Paused))),
);

pub(super) static UNPAUSE: Definition = Definition::new(
    KeySpec::new("unpause", Shape::Scalar(kinds::SERVICE), "resumes a frozen service", "db"),
    Reading::Scalar(|reader, text| read(reader, text, Verb::Unpause, ServiceChange::run(RunState::Running))),
);

/// A change of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Action as written, for messages and the forecast.
    pub verb: Verb,
    /// Name of the service, such as `app`.
    pub service: String,
    /// Desired state.
    pub change: ServiceChange,
    /// The service is expected to stay unhealthy, so that the old one keeps serving.
    pub rolled_back: bool,
}

/// Actions that change a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Redeploy with other variables.
    SetEnv,
    /// Stop gracefully, letting requests finish.
    Stop,
    /// Start again.
    Start,
    /// Kill immediately.
    Kill,
    /// Freeze.
    Pause,
    /// Resume.
    Unpause,
}

impl Verb {
    pub(super) fn kind(self) -> ActionKind {
        match self {
            Self::SetEnv => ActionKind::SetEnv,
            Self::Stop => ActionKind::Stop,
            Self::Start => ActionKind::Start,
            Self::Kill => ActionKind::Kill,
            Self::Pause => ActionKind::Pause,
            Self::Unpause => ActionKind::Unpause,
        }
    }

    /// Key in scenario files.
    pub fn name(self) -> &'static str {
        self.kind().name()
    }

    /// Ability that the engine must have.
    pub fn needs(self) -> Ability {
        match self {
            Self::SetEnv => Ability::SetEnv,
            Self::Stop | Self::Start => Ability::Stop,
            Self::Kill => Ability::Kill,
            Self::Pause | Self::Unpause => Ability::Pause,
        }
    }

    /// For messages: "cannot be `stopped`".
    fn participle(self) -> &'static str {
        match self {
            Self::SetEnv => "given another environment",
            Self::Stop => "stopped",
            Self::Start => "started",
            Self::Kill => "killed",
            Self::Pause => "paused",
            Self::Unpause => "unpaused",
        }
    }

    fn phase(self) -> Phase {
        match self {
            Self::SetEnv | Self::Stop | Self::Kill | Self::Pause => Phase::Inject,
            Self::Start | Self::Unpause => Phase::Remedy,
        }
    }
}

fn read(reader: &mut Reader<'_>, text: &Text, verb: Verb, change: ServiceChange) -> Option<Action> {
    let service = reader.fixed(verb.name(), text, service)?;
    Some(Action::Change(Change { verb, service, change, rolled_back: false }))
}

/// Parses a service name.
pub(super) fn service(text: &str) -> Result<String, Expected> {
    if SERVICES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Expected::new(did_you_mean(text, SERVICES, &format!("expected a service: {}", quote_list(SERVICES)))))
}

pub(super) fn profile(change: &Change) -> Profile<'_> {
    let item = |part: &str| (change.service.clone(), part.to_owned());
    let verb = change.verb;
    Profile {
        effect: Effect::Changes,
        phase: Some(verb.phase()),
        requirement: Requirement::Ability {
            service: &change.service,
            ability: verb.needs(),
            participle: verb.participle(),
            change: Some(&change.change),
        },
        undo: match verb {
            Verb::SetEnv => change.change.env.keys().map(|name| item(name)).collect(),
            Verb::Stop | Verb::Start | Verb::Kill | Verb::Pause | Verb::Unpause => vec![item("state")],
        },
        ..Profile::observation()
    }
}

pub(super) fn describe(change: &Change) -> String {
    let service = &change.service;
    match change.verb {
        Verb::SetEnv => set_env::describe(change),
        Verb::Stop => format!("{service} stopped"),
        Verb::Start => format!("{service} started"),
        Verb::Kill => format!("{service} killed"),
        Verb::Pause => format!("{service} frozen"),
        Verb::Unpause => format!("{service} resumed"),
    }
}
