//! The step `check`: one request whose answer must be as stated. What it shows is judged like an expectation.

use super::act::{Acted, headers};
use super::context::Context;
use super::observe::Observation;
use crate::event::ExpectationResult;
use crate::scenario::plan::Check;
use crate::wire::{Probe, ProbeError, ProbeResponse};

/// How much of a body a person is shown.
const SHOWN: usize = 60;

pub(super) async fn check(context: &Context, check: &Check, now: &Observation) -> Acted {
    let probe = Probe {
        url: format!("{}{}", now.description.endpoints.gateway, check.path),
        method: check.method.clone(),
        headers: headers(&check.headers, check.key.as_deref().unwrap_or(&now.caller_key)).into_iter().collect(),
        timeout: check.timeout,
    };
    let answer = tokio::select! {
        () = context.interrupt.stop().cancelled() => return Acted::default(),
        answer = context.wire.probe(&probe) => answer,
    };
    let seen = match &answer {
        Ok(response) => response.status.to_string(),
        Err(error) => error.detail.clone(),
    };
    let detail = format!("{} {} {seen}", check.method, check.path);
    Acted { detail: Some(detail), checks: judged(check, &answer), ..Acted::default() }
}

fn judged(check: &Check, answer: &Result<ProbeResponse, ProbeError>) -> Vec<ExpectationResult> {
    let no_answer = |error: &ProbeError| format!("no answer: {}", error.detail);
    let response = answer.as_ref().ok();
    let mut results = vec![ExpectationResult {
        metric: "check.status".to_owned(),
        expected: format!("== {}", check.status),
        observed: response.map(|response| f64::from(response.status)),
        observed_text: answer.as_ref().map_or_else(no_answer, |response| response.status.to_string()),
        held: response.is_some_and(|response| response.status == check.status),
    }];
    if let Some(text) = &check.body {
        results.push(ExpectationResult {
            metric: "check.body".to_owned(),
            expected: format!("contains {text:?}"),
            observed: None,
            observed_text: answer.as_ref().map_or_else(no_answer, |response| excerpt(&response.body)),
            held: response.is_some_and(|response| response.body.contains(text)),
        });
    }
    results
}

/// The beginning of a body, on one line.
fn excerpt(body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
