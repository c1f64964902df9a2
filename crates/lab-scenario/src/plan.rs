//! What a scenario means: typed and resolved, parameters filled in, included scenarios laid out as steps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::late::Late;
use super::lesson::{Claims, Lesson};
use lab_core::engine::{Ability, ServiceChange};
use lab_core::event::{Phase, Secrets};

mod expected;

pub use expected::{AlertIs, Comparator, Expectation, Metric, Of, Threshold};

/// A scenario, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The file's stem.
    pub name: String,
    /// As it is typed after `lab scenario run`: a name of the library, or the file's path.
    pub source: String,
    /// One line.
    pub title: String,
    /// A paragraph.
    pub description: String,
    /// What is expected of it as a whole.
    pub kind: Kind,
    /// For listings.
    pub tags: Vec<String>,
    /// The engines that it can run on; empty: any that can do what its steps ask for.
    pub engines: Vec<String>,
    /// As resolved: defaults, and what `--set` gave. Those marked `secret` are masked.
    pub parameters: BTreeMap<String, String>,
    /// What is not to be shown to anybody.
    pub secrets: Secrets,
    /// Who sends traffic, in the order of the file; empty: the lab's one caller.
    pub callers: Vec<Caller>,
    /// What must hold before the first step and after the last: steps that only look.
    pub steady_state: Vec<Step>,
    /// In order; names are unique, those of `finally` included.
    pub steps: Vec<Step>,
    /// What is done at the end in every case.
    pub finally: Vec<Step>,
    /// What it tells those who practise with it.
    pub lesson: Lesson,
    /// What a proof looks at.
    pub claims: Claims,
    /// Its alerts are a part of the story: it asks for them, or its pace gives them time.
    pub alerts: bool,
    /// The pace that was asked for: `workshop`; empty: as it is written.
    pub pace: String,
}

impl Plan {
    /// Every step, in the order in which they may run; those of its claims aside.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steady_state.iter().chain(&self.steps).chain(&self.finally)
    }
}

/// Somebody who sends traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// What it sends as `X-API-Key` to begin with; none: what the server expects when the run begins.
    pub key: Option<String>,
    /// Requests a second.
    pub rate: f64,
    /// How many connections.
    pub connections: u32,
}

/// What is expected of a scenario as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    /// Something breaks: a run in which no request failed although something was injected had no effect.
    #[default]
    Incident,
    /// The right way to do it: not one request may fail.
    Practice,
    /// A part for other scenarios.
    Part,
}

impl Kind {
    /// As it is written in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Practice => "practice",
            Self::Part => "part",
        }
    }
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How other steps of the plan refer to it.
    pub id: usize,
    /// Unique in the plan.
    pub name: String,
    /// Which part of the story it is.
    pub phase: Phase,
    /// What happens.
    pub action: Action,
    /// What must be seen.
    pub expect: Vec<Expectation>,
    /// `file:line:column`, for messages.
    pub place: String,
    /// Set where values of it come from steps before it: [`Step::settled`] fills them in.
    pub late: Option<Late>,
}

/// What happens in a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Requests are sent.
    Traffic(Traffic),
    /// Requests are sent from now on, while the steps that follow happen.
    Background(Traffic),
    /// That ends.
    StopBackground {
        /// The [`Step::id`] of the step that began it.
        of: usize,
        /// Its name as written.
        name: String,
    },
    /// The server expects another key: the app is redeployed.
    RotateKey {
        /// The new key.
        server: String,
    },
    /// Callers send the key that the server expects.
    AlignKey {
        /// Which; empty: the lab's one caller.
        callers: Vec<String>,
    },
    /// Callers send another key.
    CallerKey {
        /// The new key.
        key: String,
        /// Which; empty: the lab's one caller.
        callers: Vec<String>,
    },
    /// A service is brought to another state: `set_env`, `stop`, `start`, `kill`, `pause`, `unpause`.
    Change(Change),
    /// Nothing, for a while.
    Wait(Duration),
    /// Until something is so.
    WaitFor(WaitFor),
    /// One request whose answer must be as stated.
    Check(Check),
    /// A command of the user's own.
    Run(Command),
}

impl Action {
    /// Its key in the scenario file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Traffic(_) => "traffic",
            Self::Background(_) => "background",
            Self::StopBackground { .. } => "stop_background",
            Self::RotateKey { .. } | Self::CallerKey { .. } => "rotate_key",
            Self::AlignKey { .. } => "align_key",
            Self::Change(change) => change.verb.name(),
            Self::Wait(_) => "wait",
            Self::WaitFor(_) => "wait_for",
            Self::Check(_) => "check",
            Self::Run(_) => "run",
        }
    }

    /// Whether it is there to change the lab; else it only looks.
    pub fn is_change(&self) -> bool {
        match self {
            Self::RotateKey { .. }
            | Self::CallerKey { .. }
            | Self::AlignKey { .. }
            | Self::Change(_)
            | Self::Run(_) => true,
            Self::Traffic(_)
            | Self::Background(_)
            | Self::StopBackground { .. }
            | Self::Wait(_)
            | Self::WaitFor(_)
            | Self::Check(_) => false,
        }
    }
}

/// Traffic through the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// When to stop: all of it, of everyone who sends.
    pub amount: lab_traffic::Amount,
    /// Requests a second, of everyone who sends.
    pub rate: f64,
    /// How many connections; of callers, each its own number.
    pub connections: u32,
    /// Who sends, side by side; empty: the lab's one caller.
    pub callers: Vec<CallerLoad>,
    /// `/api/users`.
    pub path: String,
    /// `GET`.
    pub method: String,
    /// Beyond `X-API-Key`.
    pub headers: Vec<(String, String)>,
    /// Sent as `X-API-Key` instead of the caller's key; empty: no such header.
    pub key: Option<String>,
    /// How long to wait for a response.
    pub timeout: Duration,
}

/// A caller's part of a step's traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct CallerLoad {
    /// The caller.
    pub name: String,
    /// When it stops.
    pub amount: lab_traffic::Amount,
    /// Its requests a second.
    pub rate: f64,
    /// Its connections.
    pub connections: u32,
}

/// Waits until something is so, or until a deadline: then the step has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitFor {
    /// What is waited for.
    pub what: Condition,
    /// The deadline, from the step's beginning.
    pub timeout: Duration,
    /// How long from one look to the next.
    pub every: Duration,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The app's counters have grown so since the step began; all of these together.
    Metrics(Vec<Expectation>),
    /// A request is answered as stated.
    Answer(Check),
    /// An alert.
    Alert {
        /// Its name.
        alert: String,
        /// What it must be.
        is: AlertIs,
    },
    /// A query to the lab's Prometheus.
    Query {
        /// In `PromQL`.
        query: String,
        /// What one of its series must be; none: that there is a series.
        is: Option<Threshold>,
    },
}

/// A command with arguments, which no shell reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, then its arguments.
    pub command: Vec<String>,
    /// Where it runs: the folder of the scenario's file; none: where lab runs.
    pub folder: Option<PathBuf>,
    /// Beside lab's own environment and the lab's addresses.
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
    /// How it must end.
    pub exit_code: u8,
}

/// A service is brought to another state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As written.
    pub verb: Verb,
    /// Which service.
    pub service: String,
    /// The wanted state.
    pub change: ServiceChange,
    /// The service must not become well with it, and the old one serve on.
    pub rolled_back: bool,
}

/// The steps that change a service's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Redeploy with another environment.
    SetEnv,
    /// Stop, letting requests finish.
    Stop,
    /// Start again.
    Start,
    /// Kill.
    Kill,
    /// Freeze.
    Pause,
    /// Go on.
    Unpause,
}

impl Verb {
    /// As it is written in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetEnv => "set_env",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
        }
    }

    /// What the engine must be able to do for it.
    pub fn needs(self) -> Ability {
        match self {
            Self::SetEnv => Ability::SetEnv,
            Self::Stop | Self::Start => Ability::Stop,
            Self::Kill => Ability::Kill,
            Self::Pause | Self::Unpause => Ability::Pause,
        }
    }
}

/// One request whose answer must be as stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `/health`; through the gateway.
    pub path: String,
    /// `GET`.
    pub method: String,
    /// Sent with it.
    pub headers: Vec<(String, String)>,
    /// Whose key is sent; none: the lab's one caller's.
    pub caller: Option<String>,
    /// Sent as `X-API-Key`; none: the caller's; empty: no such header.
    pub key: Option<String>,
    /// The status that it must show.
    pub status: u16,
    /// Text that the body must contain.
    pub body: Option<String>,
    /// How long to wait for the answer.
    pub timeout: Duration,
}
