//! [`Plan`]: a scenario ready to run, with parameters filled in and includes flattened.

use std::collections::BTreeMap;
use std::time::Duration;

use super::deferred::DeferredStep;
use super::lesson::{Claims, Lesson, WrongFix, changes};
use super::vary::Vary;
use lab_core::event::{Phase, Secrets};
use lab_traffic::Retry;
use lab_yaml::Diagnostic;

mod expected;

pub use crate::actions::{Action, CallerLoad, Change, Check, Command, Condition, Traffic, Verb, WaitFor};

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
    /// Decides what is expected of the run as a whole.
    pub kind: Kind,
    /// Keywords for `lab scenario list`, in file order.
    pub tags: Vec<String>,
    /// Engines that it may run on. Empty: any engine that supports its steps.
    pub engines: Vec<String>,
    /// Values after defaults and `--set`. Secrets are masked.
    pub parameters: BTreeMap<String, String>,
    /// Parameters whose values differ from drill to drill; see [`draw`](crate::vary::draw).
    pub varied: BTreeMap<String, Vary>,
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
    /// Texts for people who practise; may be empty.
    pub lesson: Lesson,
    /// Checked by `lab scenario prove`.
    pub claims: Claims,
    /// Weaknesses of the lesson and the claims; they do not keep the scenario from running.
    pub lints: Vec<Diagnostic>,
    /// True if the run evaluates alerts, because steps refer to them or the pace leaves time for them.
    pub alerts: bool,
    /// `workshop`, or empty for the pace of the file.
    pub pace: String,
}

impl Plan {
    /// All steps in execution order, then those of the resolved check if a step waits for it. The other claims are not
    /// included.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        let awaited: &[Step] = if self.waits_for_person() { &self.claims.resolved_check } else { &[] };
        self.own_steps().chain(awaited)
    }

    /// All steps in execution order, without those of the claims.
    fn own_steps(&self) -> impl Iterator<Item = &Step> {
        self.steady_state.iter().chain(&self.steps).chain(&self.finally)
    }

    /// Changes of the scenario's own fix: the steps of the phase `remedy`, in order.
    pub fn remedy(&self) -> Vec<&Action> {
        changes(self.steps.iter().filter(|step| step.phase == Phase::Remedy))
    }

    /// Returns true if a legitimate fix contains all changes of this wrong fix. It is wrong only because it is
    /// incomplete, so a person who has made its changes may be about to finish the fix.
    pub fn is_incomplete(&self, fix: &WrongFix) -> bool {
        let contains = |legitimate: Vec<&Action>| {
            fix.changes().iter().all(|part| legitimate.iter().any(|change| includes(change, part)))
        };
        contains(self.remedy()) || self.claims.other_fixes.iter().any(|other| contains(other.changes()))
    }

    /// Returns true if a step waits until a person has fixed the incident.
    pub fn waits_for_person(&self) -> bool {
        self.own_steps().any(Step::waits_for_person)
    }
}

/// Returns true if a change does everything that another one does.
fn includes(change: &Action, part: &Action) -> bool {
    let names = |whole: &[String], part: &[String]| {
        whole == part || (!part.is_empty() && part.iter().all(|caller| whole.contains(caller)))
    };
    match (change, part) {
        (Action::Change(whole), Action::Change(part)) => {
            let (all, some) = (&whole.change, &part.change);
            whole.service == part.service
                && some.env.iter().all(|(name, value)| all.env.get(name) == Some(value))
                && some.run.is_none_or(|run| all.run == Some(run))
        }
        (Action::AlignKey { callers }, Action::AlignKey { callers: part }) => names(callers, part),
        (Action::CallerKey { key, callers }, Action::CallerKey { key: other, callers: part }) => {
            key == other && names(callers, part)
        }
        _ => change == part,
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
    /// Connections, each with one request in flight.
    pub connections: u32,
    /// Path of its requests, unless the step has another one.
    pub path: String,
    /// Timeout of an attempt, unless the step has another one.
    pub timeout: Duration,
    /// Further attempts of failed requests.
    pub retry: Retry,
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
    /// From the file, the action or the preceding step.
    pub phase: Phase,
    /// With sample values if `deferred` is set.
    pub action: Action,
    /// Expectations, checked after the action.
    pub expect: Vec<Expectation>,
    /// `file:line:column`, for messages.
    pub place: String,
    /// Set if values come from earlier steps; see [`Step::resolve_deferred`].
    pub deferred: Option<DeferredStep>,
}

impl Step {
    /// Returns true if the step waits for the scenario's resolved check.
    pub fn waits_for_person(&self) -> bool {
        matches!(&self.action, Action::WaitFor(wait) if wait.what == Condition::Resolved)
    }

    /// Description of the action, with secrets masked: `GET /health is 200`.
    pub fn describe(&self, secrets: &Secrets) -> String {
        self.action.describe(secrets)
    }
}
