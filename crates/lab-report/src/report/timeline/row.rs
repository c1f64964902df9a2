//! Table row of a step, and the notes below it: failed expectations with observed values, and errors.

use std::collections::BTreeMap;

use super::human;
use super::layout::{Cell, EMPTY, Field, Layout, Piece, Row};
use super::text;
use crate::report::{status_name, status_tone};
use crate::term::Tone;
use lab_core::event::{CallerResult, Latency, Status, StepResult};

/// Counters with a column.
const ACCEPTED: &str = "app_auth_success_total";
const REFUSED: &str = "app_auth_failures_total";

/// Builds the row of a step.
pub(super) fn cells(step: &StepResult, layout: &Layout) -> Row {
    let span = if step.sent.is_none() { Some(span(step, layout)) } else { None };
    let plain = |text: Option<String>| vec![text.map_or_else(none, |text| (text, Tone::Plain))];
    let latency = |pick: fn(Latency) -> f64| step.latency_ms.map(|latency| human::millis(pick(latency)));
    let cell = |field, pieces| Cell { field, pieces };
    let cells = vec![
        cell(Field::At, vec![(human::clock(step.elapsed), Tone::Dim)]),
        cell(Field::Step, plain(Some(text::clean(&step.name)))),
        cell(Field::Took, vec![(took(step), Tone::Dim)]),
        cell(Field::Sent, plain(step.sent.map(|sent| sent.to_string()))),
        cell(Field::Failed, failed(step.sent, unsuccessful(&step.codes, &step.errors))),
        cell(Field::Accepted, vec![delta(step, ACCEPTED, Tone::Plain)]),
        cell(Field::Refused, vec![delta(step, REFUSED, Tone::Warn)]),
        cell(Field::Codes, codes(step)),
        cell(Field::Median, plain(latency(|latency| latency.p50))),
        cell(Field::Tail, plain(latency(|latency| latency.p99))),
        cell(Field::Verdict, verdict(step)),
    ];
    Row { cells, span }
}

/// Rows for named callers and background traffic, below the row of the step.
pub(super) fn callers(step: &StepResult) -> Vec<Row> {
    let row = |name: String, result: &CallerResult| {
        let plain = |text: Option<String>| vec![text.map_or_else(none, |text| (text, Tone::Dim))];
        let latency = |pick: fn(Latency) -> f64| result.latency_ms.map(|latency| human::millis(pick(latency)));
        let cell = |field, pieces| Cell { field, pieces };
        let cells = vec![
            cell(Field::Step, vec![(name, Tone::Dim)]),
            cell(Field::Sent, plain(Some(result.sent.to_string()))),
            cell(Field::Failed, failed(Some(result.sent), unsuccessful(&result.codes, &result.errors))),
            cell(Field::Codes, answers(&result.codes, &result.errors)),
            cell(Field::Median, plain(latency(|latency| latency.p50))),
            cell(Field::Tail, plain(latency(|latency| latency.p99))),
        ];
        Row { cells, span: None }
    };
    let callers = step.callers.iter().map(|(name, result)| row(format!("· {}", text::clean(name)), result));
    let background = step.background.iter().map(|(name, result)| row(format!("~ {}", text::clean(name)), result));
    callers.chain(background).collect()
}

/// Steps that only change something have no verdict.
fn verdict(step: &StepResult) -> Vec<Piece> {
    if step.sent.is_none() && step.status == Status::Passed && step.expectations.is_empty() {
        return Vec::new();
    }
    vec![(status_name(step.status).to_owned(), status_tone(step.status))]
}

/// `+40`; `?` if it is unknown; `-` if the step sends nothing and the counter is unchanged.
fn delta(step: &StepResult, counter: &str, notable: Tone) -> Piece {
    match step.deltas.get(counter) {
        Some(Some(increase)) if *increase > 0.0 => (format!("+{}", human::number(*increase)), notable),
        Some(Some(_)) if step.sent.is_some() => ("+0".to_owned(), Tone::Plain),
        Some(None) => ("?".to_owned(), Tone::Warn),
        _ => none(),
    }
}

/// Requests that failed as callers saw them; `-` if the step sends nothing.
fn failed(sent: Option<u64>, failed: u64) -> Vec<Piece> {
    match (sent, failed) {
        (None, 0) => vec![none()],
        (_, 0) => vec![("0".to_owned(), Tone::Plain)],
        (_, failed) => vec![(failed.to_string(), Tone::Failed)],
    }
}

/// Responses other than 2xx, plus transport errors.
fn unsuccessful(codes: &BTreeMap<String, u64>, errors: &BTreeMap<String, u64>) -> u64 {
    codes.iter().filter(|(code, _)| !code.starts_with('2')).chain(errors).map(|(_, count)| count).sum()
}

/// Placeholder for an empty cell.
fn none() -> Piece {
    (EMPTY.to_owned(), Tone::Dim)
}

/// `200 x38`, `401 x2`, `refused x40`, each a piece.
fn codes(step: &StepResult) -> Vec<Piece> {
    answers(&step.codes, &step.errors)
}

fn answers(codes: &BTreeMap<String, u64>, errors: &BTreeMap<String, u64>) -> Vec<Piece> {
    let codes = codes.iter().map(|(code, count)| {
        let tone = if code.starts_with('2') { Tone::Plain } else { Tone::Warn };
        (format!("{} x{count}", text::clean(code)), tone)
    });
    let errors = errors.iter().map(|(cause, count)| (format!("{} x{count}", text::clean(cause)), Tone::Warn));
    let all: Vec<Piece> = codes.chain(errors).collect();
    if all.is_empty() { vec![none()] } else { all }
}

fn took(step: &StepResult) -> String {
    human::millis(step.duration * 1000.0)
}

/// Detail of a step without traffic. Includes a noticeable duration if the layout has no column for it.
fn span(step: &StepResult, layout: &Layout) -> String {
    let detail = step.detail.clone().unwrap_or_else(|| step.action.clone());
    let noticeable = step.duration >= 0.01 && !layout.shows(Field::Took);
    if noticeable && !matches!(step.action.as_str(), "wait" | "wait_for") {
        format!("{detail}, {}", took(step))
    } else {
        detail
    }
}

/// Attempts of the callers and of the background traffic that retried: `~ reports: 320 attempts of 80 requests`.
fn retries(step: &StepResult) -> impl Iterator<Item = String> + '_ {
    let callers = step.callers.iter().map(|(name, result)| ('·', name, result));
    let background = step.background.iter().map(|(name, result)| ('~', name, result));
    callers.chain(background).filter_map(|(mark, name, result)| {
        let of = human::count(result.sent, "request");
        Some(format!("{mark} {}: {} attempts of {of}", text::clean(name), result.attempts?))
    })
}

/// Notes below the row.
pub(super) fn notes(step: &StepResult) -> Vec<(Tone, String)> {
    let mut notes: Vec<_> = retries(step).map(|note| (Tone::Plain, note)).collect();
    if step.sent.is_some() {
        notes.extend(step.detail.iter().map(|detail| (Tone::Plain, detail.clone())));
    }
    if step.unsent > 0 {
        let due = human::count(step.sent.unwrap_or(0) + step.unsent, "request");
        notes.push((Tone::Warn, format!("{} of {due} not sent in time", step.unsent)));
    }
    notes.extend(step.expectations.iter().filter(|expectation| !expectation.passed).map(|expectation| {
        let (metric, expected, observed) = (&expectation.metric, &expectation.expected, &expectation.observed_text);
        (Tone::Failed, format!("expected {metric} {expected}, observed {observed}"))
    }));
    if step.status != Status::Passed {
        notes.extend(step.output.iter().map(|line| (Tone::Dim, format!("| {line}"))));
    }
    notes.extend(step.error.iter().map(|error| (Tone::Failed, format!("error: {error}"))));
    notes
}
