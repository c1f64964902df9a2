//! The `wait_for` action: polls until a condition is met or the deadline passes. The last observation is evaluated like
//! an expectation.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::act::{Acted, Facts};
use super::alerts::Shared;
use super::check;
use super::context::Context;
use super::expect::{Observed, evaluate};
use super::observe::{Observation, deltas, observe};
use lab_core::event::ExpectationResult;
use lab_scenario::plan::{AlertIs, Condition, Expectation, Threshold, WaitFor};
use lab_telemetry::wire::Probe;

/// Minimum time for a poll, even if it starts at the deadline.
const LAST: Duration = Duration::from_secs(1);
/// Time limit of a query.
const QUERY: Duration = Duration::from_secs(5);

/// Prometheus' status code for an invalid query.
const BAD_REQUEST: u16 = 400;

/// Result of one poll.
#[derive(Default)]
struct Look {
    results: Vec<ExpectationResult>,
    facts: Facts,
    /// Short summary for the timeline.
    told: String,
}

impl Look {
    fn passed(&self) -> bool {
        self.results.iter().all(|result| result.passed)
    }
}

pub(super) async fn wait_for(
    context: &Context,
    alerts: &Shared,
    wanted: &WaitFor,
    before: &Result<Observation, String>,
) -> Result<Acted, String> {
    let start = Instant::now();
    let deadline = start + wanted.timeout;
    loop {
        let begun = Instant::now();
        let seen = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(Acted::default()),
            seen = timeout_at(deadline.max(begun + LAST), look(context, alerts, wanted, before)) => seen,
        };
        let mut seen = seen.unwrap_or_else(|_| Ok(unanswered(wanted)))?;
        let passed = seen.passed();
        if passed || Instant::now() >= deadline {
            if !passed {
                let within = format!(" within {:?}", wanted.timeout);
                seen.results.iter_mut().for_each(|result| result.expected.push_str(&within));
            }
            let took = start.elapsed().as_secs_f64();
            let detail =
                if passed { format!("{} after {took:.1}s", seen.told) } else { format!("{} at last", seen.told) };
            let Look { results: checks, facts, .. } = seen;
            return Ok(Acted { detail: Some(detail), checks, facts, ..Acted::default() });
        }
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(Acted::default()),
            () = sleep_until((begun + wanted.every).min(deadline)) => {}
        }
    }
}

async fn look(
    context: &Context,
    alerts: &Shared,
    wanted: &WaitFor,
    before: &Result<Observation, String>,
) -> Result<Look, String> {
    match &wanted.what {
        Condition::Alert { alert, is } => Ok(standing(alerts, alert, *is)),
        Condition::Metrics(expected) => Ok(counters(context, expected, before).await),
        Condition::Answer(asked) => {
            let mut probe = check::probe(asked, before.as_ref()?)?;
            probe.timeout = probe.timeout.min(wanted.timeout.max(LAST));
            let answer = context.wire.probe(&probe).await;
            Ok(Look {
                results: check::judged("wait_for", asked, &answer, &context.secrets),
                facts: check::facts(&answer),
                told: check::told(asked, &answer),
            })
        }
        Condition::Query { query, is } => {
            let prometheus = before.as_ref()?.description.endpoints.prometheus.as_ref();
            let prometheus = prometheus.ok_or("the lab's Prometheus does not run")?;
            Ok(asked(query, is.as_ref(), &ask(context, prometheus, query).await?))
        }
    }
}

/// State of an alert. Alerts are polled by a task of their own, so this sends no request.
fn standing(alerts: &Shared, alert: &str, is: AlertIs) -> Look {
    let (passed, text) = alerts.is(alert, is);
    let (metric, expected) = (format!("alert.{alert}"), is.name().to_owned());
    let told = format!("{alert} {text}");
    let result = ExpectationResult { metric, expected, observed: None, observed_text: text, passed };
    Look { results: vec![result], told, ..Look::default() }
}

/// Increase of the app's counters since the start of the step.
async fn counters(context: &Context, expected: &[Expectation], before: &Result<Observation, String>) -> Look {
    let now = observe(context).await;
    let deltas = deltas(before, &now, &Acted::default());
    let observed = Observed { deltas, ..Observed::default() };
    let results: Vec<_> = expected.iter().map(|expected| evaluate(expected, &observed)).collect();
    let told = results.iter().map(|result| format!("{} {}", result.metric, result.observed_text));
    Look { told: told.collect::<Vec<_>>().join(", "), results, ..Look::default() }
}

/// Values of a query, or the reason why they are currently unavailable. A rejected query is an error, because retrying
/// would not help.
async fn ask(context: &Context, prometheus: &str, query: &str) -> Result<Result<Vec<f64>, String>, String> {
    let probe = Probe {
        url: format!("{prometheus}/api/v1/query?query={}", encoded(query)),
        method: "GET".to_owned(),
        headers: std::collections::BTreeMap::new(),
        timeout: QUERY,
    };
    let response = match context.wire.probe(&probe).await {
        Ok(response) => response,
        Err(error) => return Ok(Err(format!("no answer: {}", error.detail))),
    };
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let said = || body["error"].as_str().map_or_else(|| format!("status {}", response.status), str::to_owned);
    match (body["status"].as_str(), response.status) {
        (Some("success"), _) => Ok(Ok(values(&body["data"]))),
        (_, BAD_REQUEST) => Err(format!("Prometheus refuses the query `{query}`: {}", said())),
        _ => Ok(Err(said())),
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
fn asked(query: &str, is: Option<&Threshold>, answer: &Result<Vec<f64>, String>) -> Look {
    let holds = |value: &&f64| is.is_none_or(|is| is.comparator.holds(**value, is.bound));
    let (found, text) = match answer {
        Ok(values) => {
            let passed = values.iter().find(holds);
            (
                passed.or(values.first()).copied(),
                passed.or(values.first()).map_or("no series".to_owned(), f64::to_string),
            )
        }
        Err(why) => (None, why.clone()),
    };
    let passed = answer.as_ref().is_ok_and(|values| values.iter().any(|value| holds(&value)));
    let expected = is.map_or_else(|| "a series".to_owned(), |is| is.text.clone());
    let result =
        ExpectationResult { metric: query.to_owned(), expected, observed: found, observed_text: text.clone(), passed };
    let facts = Facts { value: found.map(|value| value.to_string()), ..Facts::default() };
    Look { results: vec![result], facts, told: format!("{query} is {text}") }
}

/// Result of a poll that timed out.
fn unanswered(wanted: &WaitFor) -> Look {
    let metric = match &wanted.what {
        Condition::Metrics(_) => "wait_for.metrics".to_owned(),
        Condition::Answer(_) => "wait_for.status".to_owned(),
        Condition::Query { query, .. } => query.clone(),
        Condition::Alert { alert, .. } => format!("alert.{alert}"),
    };
    let (expected, observed_text) = ("an answer".to_owned(), "no answer".to_owned());
    let result = ExpectationResult { metric, expected, observed: None, observed_text, passed: false };
    Look { results: vec![result], told: "no answer".to_owned(), ..Look::default() }
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
        let seen = |answer, is| {
            let look = asked("up", is, &answer);
            (look.results[0].passed, look.results[0].observed_text.clone())
        };
        assert_eq!(seen(Ok(vector), Some(&is)), (true, "0.75".to_owned()));
        assert_eq!(seen(Ok(vec![0.25]), Some(&is)), (false, "0.25".to_owned()));
        assert_eq!(seen(Ok(vec![0.0]), None), (true, "0".to_owned()));
        assert_eq!(seen(Ok(Vec::new()), None), (false, "no series".to_owned()));
        assert_eq!(seen(Err("parse error".to_owned()), None), (false, "parse error".to_owned()));
    }

    #[test]
    fn a_query_is_a_part_of_a_url() {
        assert_eq!(
            encoded("rate(a_b{c=\"d\"}[1m]) > 0.5&é"),
            "rate%28a_b%7Bc%3D%22d%22%7D%5B1m%5D%29%20%3E%200.5%26%C3%A9"
        );
    }
}
