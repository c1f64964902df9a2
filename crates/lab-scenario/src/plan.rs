//! [`Plan`]: a scenario ready to run, with parameters filled in and includes flattened.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::deferred::DeferredStep;
use super::lesson::{Claims, Lesson};
use lab_core::engine::{Ability, ServiceChange};
use lab_core::event::{Phase, Secrets};

mod expected;

pub use expected::{AlertIs, Comparator, Expectation, Metric, Sender, Threshold};

/// A scenario, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// File stem.
    pub name: String,
    /// Argument for `lab scenario run`: a library name or a path.
    pub source: String,
    /// One line.
    pub title: String,
    /// One paragraph.
    pub description: String,
    pub kind: Kind,
    pub tags: Vec<String>,
    /// Engines that it may run on. Empty: any engine that supports its steps.
    pub engines: Vec<String>,
    /// Values after defaults and `--set`. Secrets are masked.
    pub parameters: BTreeMap<String, String>,
    /// Values to mask in all output.
    pub secrets: Secrets,
    /// In file order. Empty: the lab's single caller.
    pub callers: Vec<Caller>,
    /// Read-only steps that must pass before the first step and after the last.
    pub steady_state: Vec<Step>,
    /// In order. Names are unique, including those of `finally`.
    pub steps: Vec<Step>,
    /// Executed at the end in every case.
    pub finally: Vec<Step>,
    pub lesson: Lesson,
    /// Checked by `lab scenario prove`.
    pub claims: Claims,
    /// True if the run evaluates alerts, because steps refer to them or the pace leaves time for them.
    pub alerts: bool,
    /// `workshop`, or empty for the pace of the file.
    pub pace: String,
}

impl Plan {
    /// All steps in execution order, without those of the claims.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steady_state.iter().chain(&self.steps).chain(&self.finally)
    }
}

/// A sender of traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// `X-API-Key` at the start of the run. `None`: the key that the server expects then.
    pub key: Option<String>,
    /// Requests per second.
    pub rate: f64,
    pub connections: u32,
}

/// Kind of scenario, which decides what is expected of the run as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    /// Something breaks. A run that injects a fault without a failed request had no effect.
    #[default]
    Incident,
    /// The right procedure: no request may fail.
    Practice,
    /// Included by other scenarios.
    Part,
}

impl Kind {
    /// Name in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Practice => "practice",
            Self::Part => "part",
        }
    }
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Identifies the step in references from other steps.
    pub id: usize,
    /// Unique in the plan.
    pub name: String,
    pub phase: Phase,
    pub action: Action,
    pub expect: Vec<Expectation>,
    /// `file:line:column`, for messages.
    pub place: String,
    /// Set if values come from earlier steps; see [`Step::resolve_deferred`].
    pub deferred: Option<DeferredStep>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Sends requests.
    Traffic(Traffic),
    /// Sends requests while the following steps run.
    Background(Traffic),
    /// Ends background traffic.
    StopBackground {
        /// [`Step::id`] of the step that started it.
        step: usize,
        /// Name of that step, as written.
        name: String,
    },
    /// Makes the server expect another key, by redeploying the app.
    RotateKey { server: String },
    /// Makes callers send the key that the server expects.
    AlignKey {
        /// Empty: the lab's single caller.
        callers: Vec<String>,
    },
    /// Makes callers send another key.
    CallerKey {
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
    /// Key in the scenario file.
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

    /// Returns true for actions that change the lab, false for those that only observe it.
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
    /// Total amount of all senders.
    pub amount: lab_traffic::Amount,
    /// Total requests per second of all senders.
    pub rate: f64,
    /// Connections without callers. With callers, each has its own number.
    pub connections: u32,
    /// Empty: the lab's single caller.
    pub callers: Vec<CallerLoad>,
    /// Such as `/api/users`.
    pub path: String,
    /// Such as `GET`.
    pub method: String,
    /// In addition to `X-API-Key`.
    pub headers: Vec<(String, String)>,
    /// Replaces the caller's key in `X-API-Key`. Empty: no such header.
    pub key: Option<String>,
    /// Timeout of a request.
    pub timeout: Duration,
}

/// Share of one caller in the traffic of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct CallerLoad {
    pub name: String,
    pub amount: lab_traffic::Amount,
    /// Requests per second.
    pub rate: f64,
    pub connections: u32,
}

/// Waits for a condition. The step fails if the deadline passes first.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitFor {
    pub what: Condition,
    /// Deadline, measured from the start of the step.
    pub timeout: Duration,
    /// Polling interval.
    pub every: Duration,
}

/// Condition of a `wait_for` step.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Growth of the app's counters since the start of the step. All must match.
    Metrics(Vec<Expectation>),
    /// A request with the expected response.
    Answer(Check),
    /// State of an alert.
    Alert { alert: String, is: AlertIs },
    /// A query to the lab's Prometheus.
    Query {
        /// In `PromQL`.
        query: String,
        /// Expected value of at least one series. `None`: any series.
        is: Option<Threshold>,
    },
}

/// A command with its arguments, run without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Working directory: the folder of the scenario file. `None`: lab's own.
    pub folder: Option<PathBuf>,
    /// In addition to lab's environment and the addresses of the lab.
    pub env: BTreeMap<String, String>,
    pub timeout: Duration,
    /// Expected exit code.
    pub exit_code: u8,
}

/// A change of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub verb: Verb,
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
    /// Key in scenario files.
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

    /// Ability that the engine must have.
    pub fn needs(self) -> Ability {
        match self {
            Self::SetEnv => Ability::SetEnv,
            Self::Stop | Self::Start => Ability::Stop,
            Self::Kill => Ability::Kill,
            Self::Pause | Self::Unpause => Ability::Pause,
        }
    }
}

/// A request and its expected response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Path on the gateway, such as `/health`.
    pub path: String,
    /// Such as `GET`.
    pub method: String,
    pub headers: Vec<(String, String)>,
    /// Caller whose key is sent. `None`: the lab's single caller.
    pub caller: Option<String>,
    /// Replaces the caller's key in `X-API-Key`. Empty: no such header.
    pub key: Option<String>,
    /// Expected status.
    pub status: u16,
    /// Text that the body must contain.
    pub body: Option<String>,
    /// Timeout of the request.
    pub timeout: Duration,
}
