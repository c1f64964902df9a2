//! Totals over the steps of a journal, and the steps of a phase.

use std::collections::BTreeMap;

use crate::report::human;
use crate::report::journal::Journal;
use crate::report::text::clean;
use lab_core::event::{Phase, StepResult};

/// The app's counter of keys that it accepted.
pub(super) const ACCEPTED: &str = "app_auth_success_total";
/// The app's counter of keys that it refused.
pub(super) const REFUSED: &str = "app_auth_failures_total";

/// Requests sent, including background traffic.
pub(in crate::report) fn sent(journal: &Journal) -> u64 {
    let own = |step: &StepResult| step.sent.unwrap_or(0) + step.background.values().map(|one| one.sent).sum::<u64>();
    journal.steps.iter().map(own).sum()
}

/// Failed requests, including background traffic.
pub(in crate::report) fn failed(journal: &Journal) -> u64 {
    let background = |step: &StepResult| step.background.values().map(|one| one.failed_requests).sum::<u64>();
    journal.steps.iter().map(|step| step.failed_requests + background(step)).sum()
}

/// `200 x38, refused x2`; `-` if nothing was sent.
pub(in crate::report) fn codes(step: &StepResult) -> String {
    answers(&step.codes, &step.errors)
}

/// Formats counts of status codes and transport errors like [`codes`].
pub(super) fn answers(codes: &BTreeMap<String, u64>, errors: &BTreeMap<String, u64>) -> String {
    let all = codes.iter().chain(errors);
    let all: Vec<String> = all.map(|(code, count)| format!("{} x{count}", clean(code))).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// Steps of a phase whose action changes the lab.
pub(super) fn changes(journal: &Journal, phase: Phase) -> Vec<&StepResult> {
    let read_only = ["traffic", "wait", "wait_for", "check"];
    journal.steps.iter().filter(|step| step.phase == phase && !read_only.contains(&step.action.as_str())).collect()
}

/// The increase of a counter in a step; `None` if it is unknown.
pub(super) fn delta(step: &StepResult, counter: &str) -> Option<f64> {
    step.deltas.get(counter).copied().flatten()
}

/// `40 of 120 requests`.
pub(super) fn part(part: u64, whole: u64) -> String {
    format!("{part} of {}", human::count(whole, "request"))
}

/// Detail of a step, or else its action.
pub(super) fn detail(step: &StepResult) -> String {
    clean(step.detail.as_deref().unwrap_or(&step.action))
}

/// Joins words: `a`, `a and b`, `a, b and c`.
pub(super) fn join(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}
