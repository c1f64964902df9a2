//! What a scenario means: typed and resolved, parameters filled in, included scenarios laid out as steps.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{Ability, ServiceChange};
use crate::event::Phase;

/// A scenario, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The file's stem.
    pub name: String,
    /// One line.
    pub title: String,
    /// A paragraph.
    pub description: String,
    /// What is expected of it as a whole.
    pub kind: Kind,
    /// For listings.
    pub tags: Vec<String>,
    /// As resolved: defaults, and what `--set` gave.
    pub parameters: BTreeMap<String, String>,
    /// In order; names are unique.
    pub steps: Vec<Step>,
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

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
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
}

/// What happens in a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Requests are sent.
    Traffic(Traffic),
    /// The server expects another key: the app is redeployed.
    RotateKey {
        /// The new key.
        server: String,
    },
    /// The caller sends the key that the server expects.
    AlignKey,
    /// A service is brought to another state: `set_env`, `stop`, `start`, `kill`, `pause`, `unpause`.
    Change(Change),
    /// Nothing, for a while.
    Wait(Duration),
    /// One request whose answer must be as stated.
    Check(Check),
}

impl Action {
    /// Its key in the scenario file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Traffic(_) => "traffic",
            Self::RotateKey { .. } => "rotate_key",
            Self::AlignKey => "align_key",
            Self::Change(change) => change.verb.name(),
            Self::Wait(_) => "wait",
            Self::Check(_) => "check",
        }
    }
}

/// Traffic through the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// When to stop.
    pub amount: crate::traffic::Amount,
    /// Requests a second.
    pub rate: f64,
    /// How many connections.
    pub connections: u32,
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

/// A service is brought to another state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As written.
    pub verb: Verb,
    /// Which service.
    pub service: String,
    /// The wanted state.
    pub change: ServiceChange,
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
    /// Sent as `X-API-Key`; none: the caller's; empty: no such header.
    pub key: Option<String>,
    /// The status that it must show.
    pub status: u16,
    /// Text that the body must contain.
    pub body: Option<String>,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

/// What must be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// What is measured.
    pub metric: Metric,
    /// The metric as written: `auth_failures.delta`.
    pub metric_text: String,
    /// How it is compared.
    pub comparator: Comparator,
    /// With what: a count, a share in percent, or milliseconds, as the metric says.
    pub bound: f64,
    /// Comparator and bound as written: `== 40`.
    pub text: String,
    /// The index of the first step that it looks at: its own, except on a `scenario` step with several steps, where it
    /// looks at all of them together.
    pub since: usize,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// The increase of a counter of the app, of all series with these labels.
    Delta {
        /// The counter's full name.
        counter: String,
        /// Label names and values; empty: all series, summed up.
        labels: Vec<(String, String)>,
    },
    /// Responses with this code, as a count.
    StatusCount(u16),
    /// Responses with this code, as a share of what was sent, in percent.
    StatusShare(u16),
    /// A latency percentile, in milliseconds: 50.0 to 99.9.
    Latency(f64),
    /// Requests sent.
    Sent,
    /// Requests that failed, as a count.
    Failed,
    /// Requests that failed, as a share of what was sent, in percent.
    FailedShare,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Comparator {
    /// Whether `observed` compares so with `bound`.
    pub fn holds(self, observed: f64, bound: f64) -> bool {
        // Counts are whole numbers and shares come from one division: compared with a tolerance far below one request.
        let equal = (observed - bound).abs() < 1e-9;
        match self {
            Self::Equal => equal,
            Self::NotEqual => !equal,
            Self::Less => observed < bound && !equal,
            Self::AtMost => observed < bound || equal,
            Self::Greater => observed > bound && !equal,
            Self::AtLeast => observed > bound || equal,
        }
    }
}
