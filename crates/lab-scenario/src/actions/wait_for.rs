//! `wait_for`: waits for a condition.

use std::time::Duration;

use super::check::{self, Check, read_request};
use super::fields::{self, ActionFields};
use super::{Action, Amounts, Definition, Profile, Reading, Requirement, keys, mapping_key};
use crate::deferred::Response;
use crate::file::Args;
use crate::plan::{AlertIs, Expectation, Threshold};
use crate::schema::{KeySpec, MappingSpec, Shape, kinds};
use crate::{Expected, expect, value};
use lab_core::event::Secrets;
use lab_yaml::{Diagnostic, quote_list};

/// Default deadline. Alerts have their own, because their rules look back 30 seconds, and then hold for several more.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Default deadline of a wait for a person.
const PERSON_TIMEOUT: Duration = Duration::from_mins(20);
/// Default polling interval of the resolved check, whose requests callers and counters see. A change by hand is checked at
/// once.
const PERSON_INTERVAL: Duration = Duration::from_secs(5);

static KEYS: MappingSpec = MappingSpec {
    name: "wait_for",
    label: "`wait_for`",
    description: "Waits for a condition. The step fails if the deadline passes first.",
    keys: &[
        KeySpec::new(
            "metrics",
            Shape::ExpectDeltas,
            "growth of the app's counters since the start of the step; all must match",
            "{ auth_failures.delta: \"> 5\" }",
        ),
        KeySpec::new(
            "path",
            Shape::Scalar(kinds::PATH),
            "alternatively, a request with the expected response",
            "/health",
        ),
        keys::METHOD.requires("path"),
        keys::HEADERS.requires("path"),
        keys::CALLER.requires("path"),
        keys::KEY.requires("path"),
        keys::STATUS.requires("path"),
        keys::BODY.requires("path"),
        KeySpec::new(
            "query",
            Shape::Scalar(kinds::QUERY),
            "alternatively, a query to the lab's Prometheus that returns a series",
            "\"sum(rate(app_auth_failures_total[1m]))\"",
        ),
        KeySpec::new("is", Shape::Scalar(kinds::THRESHOLD), "expected value of at least one series", "\"> 0.5\"")
            .requires("query")
            .default_described("any value"),
        KeySpec::new(
            "alert",
            Shape::Scalar(kinds::ALERT),
            "alternatively, an alert of the stack's rules",
            "AuthFailureRatioHigh",
        ),
        KeySpec::new(
            "state",
            Shape::Scalar(kinds::ALERT_STATE),
            "expected state: pending or firing, firing, or resolved after it fired",
            "firing",
        )
        .requires("alert")
        .default_value("firing"),
        KeySpec::new("within", Shape::Scalar(kinds::STEP_DURATION), "the deadline for the alert", "60s")
            .requires("alert")
            .default_value("60s"),
        KeySpec::new(
            "resolved",
            Shape::Scalar(kinds::BOOL),
            "alternatively, `true`: the scenario's `resolved_check`; a person fixes the incident meanwhile",
            "true",
        ),
        KeySpec::new("timeout", Shape::Scalar(kinds::STEP_DURATION), "the deadline", "10s")
            .default_described("30s; `within` for alerts; 20m with `resolved`"),
        KeySpec::new(
            "every",
            Shape::Scalar(kinds::EVERY),
            "polling interval; one last check happens at the deadline; with `resolved`, 5s unless given, and at once after a \
             change by hand",
            "200ms",
        )
        .default_value("500ms"),
    ],
    one_of: &["metrics", "path", "query", "alert", "resolved"],
    exclusive: &[("caller", "key"), ("timeout", "within")],
};

pub(super) static DEFINITION: Definition = Definition::new(
    mapping_key(&KEYS, "waits for a condition, and fails at the deadline", "{ path: /health, timeout: 10s }"),
    Reading::Fields(read),
);

/// Waits for a condition. The step fails if the deadline passes first.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitFor {
    /// Condition that ends the wait.
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
    Alert {
        /// Name of the alert.
        alert: String,
        /// Expected state.
        is: AlertIs,
    },
    /// A query to the lab's Prometheus.
    Query {
        /// In `PromQL`.
        query: String,
        /// Expected value of at least one series. `None`: any series.
        is: Option<Threshold>,
    },
    /// The scenario's `resolved_check`.
    Resolved,
}

/// Kinds of conditions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConditionKind {
    Metrics,
    Answer,
    Query,
    Alert,
    Resolved,
}

impl ConditionKind {
    const ALL: [Self; 5] = [Self::Metrics, Self::Answer, Self::Query, Self::Alert, Self::Resolved];

    /// Key that selects the condition, and the keys that are only allowed with it.
    fn keys(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Metrics => ("metrics", &[]),
            Self::Answer => ("path", &["method", "headers", "caller", "key", "status", "body"]),
            Self::Query => ("query", &["is"]),
            Self::Alert => ("alert", &["state", "within"]),
            Self::Resolved => ("resolved", &[]),
        }
    }
}

fn read(mut fields: ActionFields<'_, '_>) -> Option<Action> {
    let kind = read_kind(&mut fields)?;
    let condition = match kind {
        ConditionKind::Metrics => counters(&mut fields),
        ConditionKind::Answer => {
            let timeout = fields::default_of(&keys::TIMEOUT, value::timeout);
            read_request(&mut fields, timeout).map(Condition::Answer)
        }
        ConditionKind::Query => {
            let query = fields.value("query", value::query);
            let is = fields.value("is", expect::threshold);
            query.map(|query| Condition::Query { query, is })
        }
        ConditionKind::Alert => alert(&mut fields),
        ConditionKind::Resolved => fields.value("resolved", only_true).map(|()| Condition::Resolved),
    };
    let timeout = fields.value("timeout", value::step_duration);
    let within = fields.value_or_default("within", value::step_duration);
    if let (Some(_), Some(text)) = (fields.text("timeout"), fields.text("within")) {
        let twice = Diagnostic::at("`within` cannot be combined with `timeout`", &text.place);
        fields.reader.out.push(twice.label("remove one of the two; they mean the same"));
    }
    let default = match kind {
        ConditionKind::Alert => within,
        ConditionKind::Resolved => PERSON_TIMEOUT,
        ConditionKind::Metrics | ConditionKind::Answer | ConditionKind::Query => TIMEOUT,
    };
    let mut every = fields.value_or_default("every", value::every);
    if kind == ConditionKind::Resolved && fields.text("every").is_none() {
        every = PERSON_INTERVAL;
    }
    condition.map(|what| Action::WaitFor(WaitFor { what, timeout: timeout.unwrap_or(default), every }))
}

/// Finds the one condition of the step. Reports a missing or a second one, and keys of another condition.
fn read_kind(fields: &mut ActionFields<'_, '_>) -> Option<ConditionKind> {
    let Args::Fields { texts, maps, .. } = &fields.step.args else { return None };
    let has = |key: &str| texts.contains_key(key) || maps.contains_key(key);
    let found: Vec<ConditionKind> = ConditionKind::ALL.into_iter().filter(|kind| has(kind.keys().0)).collect();
    let [kind] = found[..] else {
        let found = match &found[..] {
            [] => "has no condition".to_owned(),
            found => format!("has {}", quote_list(found.iter().map(|kind| kind.keys().0))),
        };
        fields.reader.out.push(
            Diagnostic::at(format!("`wait_for` {found}"), &fields.step.place)
                .label("expected one of `metrics`, `path`, `query`, `alert` and `resolved`"),
        );
        return None;
    };
    let (name, _) = kind.keys();
    for (other, keys) in ConditionKind::ALL.into_iter().filter(|other| *other != kind).map(ConditionKind::keys) {
        if let Some(key) = keys.iter().find(|key| has(key)) {
            let place = texts.get(key).map_or_else(|| fields.step.place.clone(), |text| text.place.clone());
            let message = format!("`{key}` cannot be combined with `{name}`");
            let label = format!("only allowed in a `wait_for` with `{other}`");
            fields.reader.out.push(Diagnostic::at(message, &place).label(label));
        }
    }
    Some(kind)
}

fn only_true(text: &str) -> Result<(), Expected> {
    if value::boolean(text)? { Ok(()) } else { Err(Expected::new("expected `true`, or another condition")) }
}

fn alert(fields: &mut ActionFields<'_, '_>) -> Option<Condition> {
    let alert = fields.value("alert", expect::alert);
    let is = match fields.text("state") {
        Some(_) => fields.value("state", |text| expect::alert_is(text, &AlertIs::WAITED)),
        None => Some(AlertIs::Firing),
    };
    alert.zip(is).map(|(alert, is)| Condition::Alert { alert, is })
}

fn counters(fields: &mut ActionFields<'_, '_>) -> Option<Condition> {
    let mut all = Vec::new();
    let metrics = fields.map("metrics");
    for (metric, bound) in &metrics {
        let Ok(subject @ expect::MetricName::Delta { .. }) = expect::metric_name(&metric.text) else {
            let message = format!("`wait_for` does not support {}", lab_yaml::quote(&metric.text));
            let wrong = Diagnostic::at(message, &metric.place).label("expected the delta of a counter");
            fields.reader.out.push(wrong.help(expect::counters()));
            continue;
        };
        let read = |bound: &str| expect::expectation(subject.clone(), &metric.text, bound);
        all.extend(bound.as_ref().and_then(|bound| fields.reader.value(&metric.text, bound, read)));
    }
    if metrics.is_empty() {
        let nothing = Diagnostic::at("`metrics` is empty", &fields.step.place);
        fields.reader.out.push(nothing.label("expected `metrics: { auth_failures.delta: \"> 5\" }`"));
    }
    (!all.is_empty()).then_some(Condition::Metrics(all))
}

pub(super) fn profile(wait: &WaitFor) -> Profile<'_> {
    let amounts = Amounts { deadline: Some(wait.timeout.as_secs_f64()), ..Amounts::default() };
    let (requirement, response) = match &wait.what {
        // The steps of the resolved check have requirements of their own.
        Condition::Metrics(_) | Condition::Resolved => (Requirement::None, Response::None),
        Condition::Answer(_) => (Requirement::None, Response::Request),
        Condition::Alert { alert, .. } => (Requirement::Alert(alert), Response::None),
        Condition::Query { .. } => (Requirement::Prometheus, Response::Query),
    };
    Profile { amounts, requirement, response, asserts: true, ..Profile::observation() }
}

pub(super) fn describe(wait: &WaitFor, secrets: &Secrets) -> String {
    let what = match &wait.what {
        Condition::Metrics(all) => {
            let each = all.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text));
            each.collect::<Vec<_>>().join(", ")
        }
        Condition::Answer(check) => check::describe(check, secrets),
        Condition::Query { query, is } => {
            let is = is.as_ref().map_or_else(|| "has an answer".to_owned(), |is| format!("is {}", is.text));
            format!("{query} {is}")
        }
        Condition::Alert { alert, is } => format!("the alert {alert} is {}", is.name()),
        Condition::Resolved => "the resolved check passes".to_owned(),
    };
    format!("until {what}, at most {:?}", wait.timeout)
}
