//! What a journal adds up to: sums over its steps, and which of them are which part of the story.

use std::collections::BTreeMap;

use crate::report::human;
use crate::report::journal::Journal;
use crate::report::text::clean;
use lab_core::event::{Phase, StepResult};

/// The app's counter of keys that it accepted.
pub(super) const ACCEPTED: &str = "app_auth_success_total";
/// The app's counter of keys that it refused.
pub(super) const REFUSED: &str = "app_auth_failures_total";

/// Requests sent, those in the background as well.
pub(in crate::report) fn sent(journal: &Journal) -> u64 {
    let own = |step: &StepResult| step.sent.unwrap_or(0) + step.background.values().map(|one| one.sent).sum::<u64>();
    journal.steps.iter().map(own).sum()
}

/// Requests that failed, those in the background as well.
pub(in crate::report) fn failed(journal: &Journal) -> u64 {
    let behind = |step: &StepResult| step.background.values().map(|one| one.failed_requests).sum::<u64>();
    journal.steps.iter().map(|step| step.failed_requests + behind(step)).sum()
}

/// `200 x38, refused x2`; `-` where nothing was sent.
pub(in crate::report) fn codes(step: &StepResult) -> String {
    answers(&step.codes, &step.errors)
}

/// The same of any answers.
pub(super) fn answers(codes: &BTreeMap<String, u64>, errors: &BTreeMap<String, u64>) -> String {
    let all = codes.iter().chain(errors);
    let all: Vec<String> = all.map(|(code, count)| format!("{} x{count}", clean(code))).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// The steps of a phase that changed something, or tried to.
pub(super) fn changes(journal: &Journal, phase: Phase) -> Vec<&StepResult> {
    let looks = ["traffic", "wait", "wait_for", "check"];
    journal.steps.iter().filter(|step| step.phase == phase && !looks.contains(&step.action.as_str())).collect()
}

/// The increase of a counter in a step; none where it is unknown.
pub(super) fn delta(step: &StepResult, counter: &str) -> Option<f64> {
    step.deltas.get(counter).copied().flatten()
}

/// `40 of 120 requests`.
pub(super) fn part(part: u64, whole: u64) -> String {
    format!("{part} of {}", human::count(whole, "request"))
}

/// What a step did, in words: its detail, else its action.
pub(super) fn detail(step: &StepResult) -> String {
    clean(step.detail.as_deref().unwrap_or(&step.action))
}

/// One word after the other: `a`, `a and b`, `a, b and c`.
pub(super) fn join(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}
