//! Actions: what a step does. Each action has a file with its keys, its reader, its values in the plan, its requirements
//! and its description. This file lists the actions once; every match is exhaustive, so the compiler finds the places
//! that a new variant needs.

mod align_key;
mod background;
mod change;
mod check;
mod fields;
mod include;
mod keys;
mod rotate_key;
mod run;
mod set_env;
pub(crate) mod traffic;
mod wait;
mod wait_for;

use std::time::Duration;

use crate::deferred::Response;
use crate::file::{Args, StepFile};
use crate::reader::Reader;
use crate::schema::{KeySpec, Shape};
use fields::ActionFields;
use lab_core::engine::{Ability, ServiceChange};
use lab_core::event::{Phase, Secrets};
use lab_yaml::node::Text;

pub(crate) use change::SERVICES;
pub use change::{Change, Verb};
pub use check::Check;
pub use run::Command;
pub use traffic::{CallerLoad, Traffic};
pub use wait_for::{Condition, WaitFor};

/// Declares [`ActionKind`], so that an action is listed once, with its definition.
macro_rules! actions {
    ($($action:ident => $definition:path,)+) => {
        /// Actions of scenario files, in the order of the reference.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum ActionKind {
            $($action,)+
        }

        impl ActionKind {
            pub(crate) const ALL: &[Self] = &[$(Self::$action,)+];

            pub(crate) fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$action => &$definition,)+
                }
            }
        }
    };
}

actions! {
    Traffic => traffic::DEFINITION,
    Background => background::BACKGROUND,
    StopBackground => background::STOP_BACKGROUND,
    RotateKey => rotate_key::DEFINITION,
    AlignKey => align_key::DEFINITION,
    SetEnv => set_env::DEFINITION,
    Stop => change::STOP,
    Start => change::START,
    Kill => change::KILL,
    Pause => change::PAUSE,
    Unpause => change::UNPAUSE,
    Wait => wait::DEFINITION,
    WaitFor => wait_for::DEFINITION,
    Check => check::DEFINITION,
    Run => run::DEFINITION,
    Scenario => include::DEFINITION,
}

impl ActionKind {
    /// Finds an action by its key.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Key in scenario files.
    pub(crate) fn name(self) -> &'static str {
        self.definition().key.name
    }
}

/// Syntax of an action: its key, and the reader of its value.
pub(crate) struct Definition {
    /// Key in a step, with the shape and the documentation of its value.
    pub(crate) key: KeySpec,
    reading: Reading,
    /// Outputs for later steps, in addition to those of every step.
    pub(crate) outputs: &'static [&'static str],
    pub(crate) traffic: TrafficKind,
    /// Advice for an expectation that needs traffic, if the action sends none.
    pub(crate) traffic_hint: &'static str,
}

/// Traffic of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrafficKind {
    /// None.
    None,
    /// Measured by the step itself.
    Step,
    /// Goes on while later steps run, and is measured by them.
    Background,
}

/// Reader of the value of an action.
enum Reading {
    /// Reads a scalar.
    Scalar(fn(&mut Reader<'_>, &Text) -> Option<Action>),
    /// Reads a mapping.
    Fields(fn(ActionFields<'_, '_>) -> Option<Action>),
    /// The value names a file whose steps replace this step.
    Include,
}

impl Definition {
    /// An action without outputs of its own.
    const fn new(key: KeySpec, reading: Reading) -> Self {
        Self {
            key,
            reading,
            outputs: &[],
            traffic: TrafficKind::None,
            traffic_hint: "move it to a step with `traffic`",
        }
    }

    const fn with_outputs(self, outputs: &'static [&'static str]) -> Self {
        Self { outputs, ..self }
    }

    const fn with_traffic(self, traffic: TrafficKind) -> Self {
        Self { traffic, ..self }
    }

    const fn with_traffic_hint(self, traffic_hint: &'static str) -> Self {
        Self { traffic_hint, ..self }
    }

    /// Returns true if the steps of another file replace the step.
    pub(crate) fn is_include(&self) -> bool {
        matches!(self.reading, Reading::Include)
    }
}

/// Reads the action of a step. Reports errors and returns `None`. Includes have no action.
pub(crate) fn read(step: &StepFile, reader: &mut Reader<'_>) -> Option<Action> {
    let before = reader.out.len();
    let action = match (&step.kind.definition().reading, &step.args) {
        (Reading::Scalar(read), Args::Text(text)) => read(reader, text),
        (Reading::Fields(read), Args::Fields { .. }) => read(ActionFields { step, reader: &mut *reader }),
        // The shape of the key decides which arguments the step has.
        (Reading::Scalar(_), Args::Fields { .. }) | (Reading::Fields(_), Args::Text(_)) | (Reading::Include, _) => None,
    };
    action.filter(|_| reader.out.len() == before)
}

/// Action of a step in a plan, with its values.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Sends requests.
    Traffic(Traffic),
    /// Sends requests while the following steps run.
    Background(Traffic),
    /// Ends background traffic.
    StopBackground {
        /// [`Step::id`](crate::Step::id) of the step that started it.
        step: usize,
        /// Name of that step, as written.
        name: String,
    },
    /// Makes the server expect another key, by redeploying the app.
    RotateKey {
        /// The new key.
        server: String,
    },
    /// Makes callers send the key that the server expects.
    AlignKey {
        /// Empty: the lab's single caller.
        callers: Vec<String>,
    },
    /// Makes callers send another key.
    CallerKey {
        /// The new key.
        key: String,
        /// Empty: the lab's single caller.
        callers: Vec<String>,
    },
    /// Changes a service: `set_env`, `stop`, `start`, `kill`, `pause`, `unpause`.
    Change(Change),
    /// Waits for a fixed time.
    Wait(Duration),
    /// Waits for a condition.
    WaitFor(WaitFor),
    /// Sends one request and checks the response.
    Check(Check),
    /// Runs a command of the user.
    Run(Command),
}

impl Action {
    pub(crate) fn kind(&self) -> ActionKind {
        match self {
            Self::Traffic(_) => ActionKind::Traffic,
            Self::Background(_) => ActionKind::Background,
            Self::StopBackground { .. } => ActionKind::StopBackground,
            Self::RotateKey { .. } | Self::CallerKey { .. } => ActionKind::RotateKey,
            Self::AlignKey { .. } => ActionKind::AlignKey,
            Self::Change(change) => change.verb.kind(),
            Self::Wait(_) => ActionKind::Wait,
            Self::WaitFor(_) => ActionKind::WaitFor,
            Self::Check(_) => ActionKind::Check,
            Self::Run(_) => ActionKind::Run,
        }
    }

    /// Key in the scenario file.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Traffic that the step sends and measures itself.
    pub(crate) fn traffic(&self) -> Option<&Traffic> {
        match self {
            Self::Traffic(traffic) => Some(traffic),
            Self::Background(_)
            | Self::StopBackground { .. }
            | Self::RotateKey { .. }
            | Self::AlignKey { .. }
            | Self::CallerKey { .. }
            | Self::Change(_)
            | Self::Wait(_)
            | Self::WaitFor(_)
            | Self::Check(_)
            | Self::Run(_) => None,
        }
    }

    /// Returns true for actions that change the lab, false for those that only observe it.
    pub fn is_change(&self) -> bool {
        self.profile().effect == Effect::Changes
    }

    /// Properties of the action that are known before it runs.
    pub(crate) fn profile(&self) -> Profile<'_> {
        match self {
            Self::Traffic(traffic) => traffic::profile(traffic),
            Self::Background(_) | Self::StopBackground { .. } => background::profile(),
            Self::RotateKey { .. } => rotate_key::server_profile(),
            Self::CallerKey { callers, .. } => rotate_key::caller_profile(callers),
            Self::AlignKey { callers } => align_key::profile(callers),
            Self::Change(change) => change::profile(change),
            Self::Wait(time) => wait::profile(*time),
            Self::WaitFor(wait) => wait_for::profile(wait),
            Self::Check(_) => check::profile(),
            Self::Run(command) => run::profile(command),
        }
    }

    /// Describes the action for `--dry-run`.
    pub(crate) fn describe(&self, secrets: &Secrets) -> String {
        match self {
            Self::Traffic(traffic) => traffic::describe(traffic),
            Self::Background(traffic) => background::describe(traffic),
            Self::StopBackground { name, .. } => background::describe_stop(name),
            Self::RotateKey { server } => rotate_key::describe_server(server),
            Self::CallerKey { key, callers } => rotate_key::describe_callers(callers, key),
            Self::AlignKey { callers } => align_key::describe(callers),
            Self::Change(change) => change::describe(change),
            Self::Wait(time) => wait::describe(*time),
            Self::WaitFor(wait) => wait_for::describe(wait, secrets),
            Self::Check(check) => check::describe(check, secrets),
            Self::Run(command) => run::describe(command),
        }
    }
}

/// Properties of an action that are known before it runs.
#[derive(Debug)]
pub(crate) struct Profile<'a> {
    pub(crate) effect: Effect,
    /// Phase that the action implies. `None` if it depends on the preceding steps.
    pub(crate) phase: Option<Phase>,
    pub(crate) requirement: Requirement<'a>,
    pub(crate) amounts: Amounts,
    /// Target (a service, `caller` or `caller NAME`) and part of each change that the undo reverts.
    pub(crate) undo: Vec<(String, String)>,
    /// Response that later steps can refer to.
    pub(crate) response: Response,
    /// True if the action fails by itself when the lab does not behave, even without `expect`.
    pub(crate) asserts: bool,
}

impl Profile<'_> {
    /// An action that only observes the lab and needs nothing.
    fn observation() -> Self {
        Self {
            effect: Effect::Observes,
            phase: None,
            requirement: Requirement::None,
            amounts: Amounts::default(),
            undo: Vec::new(),
            response: Response::None,
            asserts: false,
        }
    }
}

/// Effect of an action on the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// None after the step, so it may be part of `steady_state`.
    Observes,
    /// Starts or ends traffic that outlives the step.
    ControlsTraffic,
    /// Changes the lab.
    Changes,
}

/// Requirements of an action, checked before a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Requirement<'a> {
    None,
    /// The engine must be able to change the service.
    Ability {
        service: &'a str,
        ability: Ability,
        /// For messages: "cannot be `stopped`".
        participle: &'static str,
        /// Desired state, if the scenario sets it.
        change: Option<&'a ServiceChange>,
    },
    /// The lab must run Prometheus.
    Prometheus,
    /// The lab must have this alert and evaluate it.
    Alert(&'a str),
    /// The user must allow commands.
    Commands,
}

/// Traffic and time of an action.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amounts {
    pub(crate) requests: Option<u64>,
    /// Duration, if it does not depend on the engine.
    pub(crate) seconds: Option<f64>,
    /// Maximum duration of an action that waits for a condition.
    pub(crate) deadline: Option<f64>,
}

/// Keys of all actions, in the order of the reference.
pub(crate) fn keys() -> impl Iterator<Item = &'static KeySpec> + Clone {
    ActionKind::ALL.iter().map(|kind| &kind.definition().key)
}

/// Key of an action whose value is this mapping.
const fn mapping_key(
    mapping: &'static crate::schema::MappingSpec,
    description: &'static str,
    example: &'static str,
) -> KeySpec {
    KeySpec::new(mapping.name, Shape::Mapping(mapping), description, example)
}

/// Undo of a key change: one entry per caller, or one for the lab's single caller.
fn caller_undo(callers: &[String]) -> Vec<(String, String)> {
    if callers.is_empty() {
        return vec![("caller".to_owned(), "key".to_owned())];
    }
    callers.iter().map(|name| (format!("caller {name}"), "key".to_owned())).collect()
}

/// Callers as the subject of a sentence, with the verb for one and for several.
fn callers_do(callers: &[String], one: &str, several: &str) -> String {
    match callers {
        [] => format!("the caller {one}"),
        [name] => format!("{name} {one}"),
        names => format!("{} {several}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
