//! The `check` action: sends one request and evaluates the response like an expectation.

use super::{ActionResult, StepOutputs, headers};
use crate::runner::context::Context;
use crate::runner::error::StepError;
use crate::runner::observation::Observation;
use lab_core::event::{ExpectationResult, Secrets};
use lab_scenario::plan::Check;
use lab_telemetry::wire::{Probe, ProbeError, ProbeResponse};

/// Maximum length of a quoted body, in characters.
const MAX_EXCERPT: usize = 60;

pub(super) async fn check(context: &Context, check: &Check, now: &Observation) -> Result<ActionResult, StepError> {
    let probe = probe(check, now)?;
    let answer = tokio::select! {
        () = context.stop.cancelled() => return Ok(ActionResult::default()),
        answer = context.wire.probe(&probe) => answer,
    };
    let detail = Some(summary(check, &answer));
    let checks = evaluate("check", check, &answer, &context.secrets);
    Ok(ActionResult { detail, checks, outputs: outputs(&answer), ..ActionResult::default() })
}

pub(super) fn probe(check: &Check, now: &Observation) -> Result<Probe, StepError> {
    let key = match &check.key {
        Some(key) => key.as_str(),
        None => now.key_of(check.caller.as_deref())?,
    };
    Ok(Probe {
        url: format!("{}{}", now.description.endpoints.gateway, check.path),
        method: check.method.clone(),
        headers: headers(&check.headers, key).into_iter().collect(),
        timeout: check.timeout,
    })
}

/// Short summary for the timeline.
pub(super) fn summary(check: &Check, answer: &Result<ProbeResponse, ProbeError>) -> String {
    let seen = match answer {
        Ok(response) => response.status.to_string(),
        Err(error) => error.detail.clone(),
    };
    format!("{} {} {seen}", check.method, check.path)
}

pub(super) fn outputs(answer: &Result<ProbeResponse, ProbeError>) -> StepOutputs {
    let response = answer.as_ref().ok();
    let (status, body) = (response.map(|response| response.status), response.map(|response| response.body.clone()));
    StepOutputs { status, body, ..StepOutputs::default() }
}

/// Evaluates the response. `step` is the name of the action. Secrets are masked before a text is quoted or truncated,
/// because they would no longer be recognised afterwards.
pub(super) fn evaluate(
    step: &str,
    check: &Check,
    answer: &Result<ProbeResponse, ProbeError>,
    secrets: &Secrets,
) -> Vec<ExpectationResult> {
    let no_answer = |error: &ProbeError| format!("no answer: {}", error.detail);
    let response = answer.as_ref().ok();
    let mut results = vec![ExpectationResult {
        metric: format!("{step}.status"),
        expected: format!("== {}", check.status),
        observed: response.map(|response| f64::from(response.status)),
        observed_text: answer.as_ref().map_or_else(no_answer, |response| response.status.to_string()),
        passed: response.is_some_and(|response| response.status == check.status),
    }];
    if let Some(text) = &check.body {
        results.push(ExpectationResult {
            metric: format!("{step}.body"),
            expected: format!("contains {:?}", secrets.mask(text)),
            observed: None,
            observed_text: answer
                .as_ref()
                .map_or_else(no_answer, |response| excerpt(&closest(&secrets.mask(&response.body), text))),
            passed: response.is_some_and(|response| response.body.contains(text)),
        });
    }
    results
}

/// Line of a body that begins with the first word of the expected text: the metric that has another value. The whole body
/// if there is none.
fn closest(body: &str, expected: &str) -> String {
    let first = expected.split_whitespace().next().unwrap_or_default();
    let found = body.lines().find(|line| !first.is_empty() && line.split_whitespace().next() == Some(first));
    found.unwrap_or(body).to_owned()
}

/// Start of a body, on one line.
fn excerpt(body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_EXCERPT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Check, ProbeResponse, Secrets, closest, evaluate};

    #[test]
    fn the_metric_with_another_value_is_shown() {
        let page = "# HELP pool_size Connections.\npool_size 4\npool_size_max 8\n";
        assert_eq!(closest(page, "pool_size 8"), "pool_size 4");
        assert_eq!(closest(page, "size 8"), page);
    }

    #[test]
    fn a_secret_is_masked_before_a_text_is_quoted_or_cut() {
        let secret = "hush\"hush\\hush";
        let mut secrets = Secrets::default();
        secrets.add(secret);
        let check = Check {
            path: "/".to_owned(),
            method: "GET".to_owned(),
            headers: Vec::new(),
            caller: None,
            key: None,
            status: 200,
            body: Some(format!("my {secret}")),
            timeout: Duration::from_secs(1),
        };
        let body = format!("{}{secret}", "x".repeat(50));
        let answer = Ok(ProbeResponse { status: 200, body });
        let body = &evaluate("check", &check, &answer, &secrets)[1];
        assert_eq!(body.expected, "contains \"my ***\"");
        assert_eq!(body.observed_text, format!("{}***", "x".repeat(50)));
        assert!(!body.passed);
    }
}
