//! The `wait_for` action: polls until a condition is met or the deadline passes. The last observation is evaluated like
//! an expectation.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::check;
use super::{ActionResult, StepOutputs};
use crate::runner::alerts::SharedAlerts;
use crate::runner::checks::{self, CheckResult};
use crate::runner::context::Context;
use crate::runner::error::{MeasurementError, StepError};
use crate::runner::expectation::{Measurements, evaluate};
use crate::runner::observation::{Observation, deltas, observe};
use lab_core::event::ExpectationResult;
use lab_scenario::plan::{AlertIs, Condition, Expectation, Threshold, WaitFor};
use lab_telemetry::wire::Probe;

/// Minimum time for a poll, even if it starts at the deadline.
const MIN_POLL_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit of a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of the look for a change by hand, which reads the time of one file.
const CHANGE_INTERVAL: Duration = Duration::from_millis(200);

/// Prometheus' status code for an invalid query.
const BAD_REQUEST: u16 = 400;

/// Result of one poll.
#[derive(Default)]
struct Poll {
    results: Vec<ExpectationResult>,
    outputs: StepOutputs,
    /// Short summary for the timeline.
    summary: String,
}

impl Poll {
    fn passed(&self) -> bool {
        self.results.iter().all(|result| result.passed)
    }
}

pub(super) async fn wait_for(
    context: &Arc<Context>,
    alerts: &Arc<SharedAlerts>,
    wait: &WaitFor,
    before: &Result<Observation, StepError>,
) -> Result<ActionResult, StepError> {
    let start = Instant::now();
    let deadline = start + wait.timeout;
    loop {
        let begun = Instant::now();
        // Read before the poll, so that a change during it is not missed.
        let changes = context.lab.last_change();
        let poll = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(ActionResult::default()),
            poll = timeout_at(deadline.max(begun + MIN_POLL_TIMEOUT), poll(context, alerts, wait, before)) => poll,
        };
        let mut poll = poll.unwrap_or_else(|_| Ok(unanswered(wait)))?;
        let passed = poll.passed();
        if passed || Instant::now() >= deadline {
            if !passed {
                let within = format!(" within {:?}", wait.timeout);
                poll.results.iter_mut().for_each(|result| result.expected.push_str(&within));
            }
            let took = start.elapsed().as_secs_f64();
            let detail =
                if passed { format!("{} after {took:.1}s", poll.summary) } else { format!("{} at last", poll.summary) };
            let Poll { results: checks, outputs, .. } = poll;
            return Ok(ActionResult { detail: Some(detail), checks, outputs, ..ActionResult::default() });
        }
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(ActionResult::default()),
            () = sleep_until((begun + wait.every).min(deadline)) => {}
            () = changed_by_hand(context, changes), if wait.what == Condition::Resolved => {}
        }
    }
}

/// Waits until someone has changed the lab since `before`, and the change is complete.
async fn changed_by_hand(context: &Context, before: Option<SystemTime>) {
    while context.lab.last_change() == before || context.lab.changing().is_some() {
        sleep(CHANGE_INTERVAL).await;
    }
}

async fn poll(
    context: &Arc<Context>,
    alerts: &Arc<SharedAlerts>,
    wait: &WaitFor,
    before: &Result<Observation, StepError>,
) -> Result<Poll, StepError> {
    match &wait.what {
        Condition::Resolved => Ok(resolved(checks::resolved(Arc::clone(context), Arc::clone(alerts)).await)),
        Condition::Alert { alert, is } => Ok(alert_state(alerts, alert, *is)),
        Condition::Metrics(expected) => Ok(counter_increase(context, expected, before).await),
        Condition::Answer(check) => {
            let mut probe = check::probe(check, before.as_ref()?)?;
            probe.timeout = probe.timeout.min(wait.timeout.max(MIN_POLL_TIMEOUT));
            let answer = context.wire.probe(&probe).await;
            Ok(Poll {
                results: check::evaluate("wait_for", check, &answer, &context.secrets),
                outputs: check::outputs(&answer),
                summary: check::summary(check, &answer),
            })
        }
        Condition::Query { query, is } => {
            let prometheus = before.as_ref()?.description.endpoints.prometheus.as_ref();
            let prometheus = prometheus.ok_or(StepError::NoPrometheus)?;
            Ok(evaluate_query(query, is.as_ref(), &run_query(context, prometheus, query).await?))
        }
    }
}

/// Summary of the resolved check.
fn resolved(steps: Vec<CheckResult>) -> Poll {
    let (failed, total) = (steps.iter().filter(|step| !step.passed()).count(), steps.len());
    let summary = match failed {
        0 => "the resolved check passes".to_owned(),
        _ => format!("{failed} of {total} resolved checks fail"),
    };
    let result = |step: CheckResult| ExpectationResult {
        metric: "resolved_check".to_owned(),
        passed: step.passed(),
        observed: None,
        observed_text: step.reasons().first().cloned().unwrap_or_else(|| "passed".to_owned()),
        expected: step.what,
    };
    Poll { results: steps.into_iter().map(result).collect(), summary, ..Poll::default() }
}

/// State of an alert. Alerts are polled by a task of their own, so this sends no request.
fn alert_state(alerts: &SharedAlerts, alert: &str, is: AlertIs) -> Poll {
    let (passed, text) = alerts.is(alert, is);
    let (metric, expected) = (format!("alert.{alert}"), is.name().to_owned());
    let summary = format!("{alert} {text}");
    let result = ExpectationResult { metric, expected, observed: None, observed_text: text, passed };
    Poll { results: vec![result], summary, ..Poll::default() }
}

/// Increase of the app's counters since the start of the step.
async fn counter_increase(
    context: &Context,
    expected: &[Expectation],
    before: &Result<Observation, StepError>,
) -> Poll {
    let now = observe(context).await;
    let deltas = deltas(before, &now, &ActionResult::default()).map_err(MeasurementError::from);
    let observed = Measurements { deltas, ..Measurements::default() };
    let results: Vec<_> = expected.iter().map(|expected| evaluate(expected, &observed)).collect();
    let summary = results.iter().map(|result| format!("{} {}", result.metric, result.observed_text));
    Poll { summary: summary.collect::<Vec<_>>().join(", "), results, ..Poll::default() }
}

/// Reason why a query has no values at the moment, which may change.
struct Unavailable(String);

/// Values of a query, or the reason why they are currently unavailable. A rejected query is an error, because retrying
/// would not help.
async fn run_query(
    context: &Context,
    prometheus: &str,
    query: &str,
) -> Result<Result<Vec<f64>, Unavailable>, StepError> {
    let probe = Probe {
        url: format!("{prometheus}/api/v1/query?query={}", encoded(query)),
        method: "GET".to_owned(),
        headers: std::collections::BTreeMap::new(),
        timeout: QUERY_TIMEOUT,
    };
    let response = match context.wire.probe(&probe).await {
        Ok(response) => response,
        Err(error) => return Ok(Err(Unavailable(format!("no answer: {}", error.detail)))),
    };
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let reason = || body["error"].as_str().map_or_else(|| format!("status {}", response.status), str::to_owned);
    match (body["status"].as_str(), response.status) {
        (Some("success"), _) => Ok(Ok(values(&body["data"]))),
        (_, BAD_REQUEST) => Err(StepError::QueryRefused { query: query.to_owned(), detail: reason() }),
        _ => Ok(Err(Unavailable(reason()))),
    }
}

/// Values of a scalar or a vector.
fn values(data: &Value) -> Vec<f64> {
    let value = |sample: &Value| sample[1].as_str()?.parse::<f64>().ok();
    match data["resultType"].as_str() {
        Some("scalar") => value(&data["result"]).into_iter().collect(),
        _ => data["result"].as_array().into_iter().flatten().filter_map(|series| value(&series["value"])).collect(),
    }
}

/// Evaluates a query: one of its series must match. Without a threshold, any series does.
fn evaluate_query(query: &str, is: Option<&Threshold>, answer: &Result<Vec<f64>, Unavailable>) -> Poll {
    let holds = |value: &&f64| is.is_none_or(|is| is.comparator.holds(**value, is.bound));
    let (found, text) = match answer {
        Ok(values) => {
            let passed = values.iter().find(holds);
            (
                passed.or(values.first()).copied(),
                passed.or(values.first()).map_or("no series".to_owned(), f64::to_string),
            )
        }
        Err(Unavailable(why)) => (None, why.clone()),
    };
    let passed = answer.as_ref().is_ok_and(|values| values.iter().any(|value| holds(&value)));
    let expected = is.map_or_else(|| "a series".to_owned(), |is| is.text.clone());
    let result =
        ExpectationResult { metric: query.to_owned(), expected, observed: found, observed_text: text.clone(), passed };
    let outputs = StepOutputs { value: found.map(|value| value.to_string()), ..StepOutputs::default() };
    Poll { results: vec![result], outputs, summary: format!("{query} is {text}") }
}

/// Result of a poll that timed out.
fn unanswered(wait: &WaitFor) -> Poll {
    let metric = match &wait.what {
        Condition::Metrics(_) => "wait_for.metrics".to_owned(),
        Condition::Answer(_) => "wait_for.status".to_owned(),
        Condition::Query { query, .. } => query.clone(),
        Condition::Alert { alert, .. } => format!("alert.{alert}"),
        Condition::Resolved => "resolved_check".to_owned(),
    };
    let (expected, observed_text) = ("an answer".to_owned(), "no answer".to_owned());
    let result = ExpectationResult { metric, expected, observed: None, observed_text, passed: false };
    Poll { results: vec![result], summary: "no answer".to_owned(), ..Poll::default() }
}

/// Percent-encodes a text for the query of a URL: everything except letters, digits and `-._~` (RFC 3986).
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_scenario::plan::Comparator;

    #[test]
    fn a_query_holds_where_one_of_its_series_does() {
        let is = Threshold { comparator: Comparator::Greater, bound: 0.5, text: "> 0.5".to_owned() };
        let series = |text: &str| values(&serde_json::from_str::<Value>(text).unwrap());
        let vector = series(
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1.5,"0.25"]},{"metric":{},"value":[1.5,"0.75"]}]}"#,
        );
        assert_eq!(vector, [0.25, 0.75]);
        assert_eq!(series(r#"{"resultType":"scalar","result":[1.5,"2"]}"#), [2.0]);
        let observed = |answer, is| {
            let look = evaluate_query("up", is, &answer);
            (look.results[0].passed, look.results[0].observed_text.clone())
        };
        assert_eq!(observed(Ok(vector), Some(&is)), (true, "0.75".to_owned()));
        assert_eq!(observed(Ok(vec![0.25]), Some(&is)), (false, "0.25".to_owned()));
        assert_eq!(observed(Ok(vec![0.0]), None), (true, "0".to_owned()));
        assert_eq!(observed(Ok(Vec::new()), None), (false, "no series".to_owned()));
        assert_eq!(observed(Err(Unavailable("parse error".to_owned())), None), (false, "parse error".to_owned()));
    }

    #[test]
    fn a_query_is_a_part_of_a_url() {
        assert_eq!(
            encoded("rate(a_b{c=\"d\"}[1m]) > 0.5&é"),
            "rate%28a_b%7Bc%3D%22d%22%7D%5B1m%5D%29%20%3E%200.5%26%C3%A9"
        );
    }
}
