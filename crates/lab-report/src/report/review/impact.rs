//! Impact on callers, and the timeline.

use super::facts;
use super::{Block, Cell, Grid, name, paragraphs};
use crate::report::human;
use crate::report::journal::Journal;
use crate::report::text::clean;
use lab_core::event::{AlertState, Latency, Status, StepResult};

/// Ticket, symptom, and the responses to the traffic of each step.
pub(super) fn customers(journal: &Journal) -> Vec<Block> {
    let mut blocks = Vec::new();
    blocks.extend(journal.about.ticket.iter().map(|ticket| Block::Quote(ticket.trim().to_owned())));
    blocks.extend(journal.about.symptom.iter().flat_map(|text| paragraphs(text)).map(Block::Text));
    let numbers = ["sent", "failed", "median", "p99"];
    let mut grid = Grid::new("Traffic", &["step", "responses"], &numbers);
    for step in &journal.steps {
        if let Some(sent) = step.sent {
            let (sent, latency) = ((sent, step.attempts, step.failed_requests), step.latency_ms);
            grid.rows.push(traffic_row(name(step), facts::codes(step), sent, latency));
        }
        let callers = step.callers.iter().map(|(caller, result)| ("caller", caller, result));
        let background = step.background.iter().map(|(of, result)| ("background", of, result));
        for (what, who, result) in callers.chain(background) {
            let sender = format!("{}, {what} {}", name(step), super::code(who));
            let answers = facts::answers(&result.codes, &result.errors);
            let sent = (result.sent, result.attempts, result.failed_requests);
            grid.rows.push(traffic_row(sender, answers, sent, result.latency_ms));
        }
    }
    if !grid.rows.is_empty() {
        blocks.push(Block::Grid(grid));
    }
    blocks
}

/// Table row of the traffic of one sender, with the numbers of requests, of attempts if some were retried, and of failures.
fn traffic_row(
    sender: String,
    answers: String,
    (sent, attempts, failed): (u64, Option<u64>, u64),
    latency: Option<Latency>,
) -> Vec<Cell> {
    let share = format!("{failed} ({})", human::share(failed, sent));
    let failed = Cell { text: share, status: (failed > 0).then_some(Status::Failed) };
    let millis =
        |pick: fn(Latency) -> f64| latency.map_or_else(|| "-".to_owned(), |latency| human::millis(pick(latency)));
    let (median, tail) = (millis(|latency| latency.p50), millis(|latency| latency.p99));
    let requests = attempts.map_or_else(|| sent.to_string(), |attempts| format!("{sent} ({attempts} attempts)"));
    vec![sender.into(), answers.into(), requests.into(), failed, median.into(), tail.into()]
}

/// Charts, and a table of steps, log lines, alerts and notes.
pub(super) fn timeline(journal: &Journal) -> Vec<Block> {
    let mut rows: Vec<(f64, Vec<Cell>)> = Vec::new();
    for (index, step) in journal.steps.iter().enumerate() {
        rows.push((step.elapsed, row(index + 1, step)));
    }
    for (at, what, text, status) in events_between_steps(journal) {
        let place = rows.iter().position(|(elapsed, _)| *elapsed > at).unwrap_or(rows.len());
        let text = Cell { text, status };
        let cells = vec!["".into(), human::clock(at).into(), "".into(), what.into(), text, "".into()];
        rows.insert(place, (at, cells));
    }
    for planned in journal.not_run() {
        let cells = vec!["".into(), "-".into(), super::code(planned).into(), "".into(), "not run".into(), "".into()];
        rows.push((f64::INFINITY, cells));
    }
    let mut grid = Grid::new("Steps", &["no", "at", "step", "phase", "what happened", "verdict"], &[]);
    grid.rows = rows.into_iter().map(|(_, cells)| cells).collect();
    vec![Block::Charts, Block::Grid(grid)]
}

/// Log lines, alerts and notes, by time.
fn events_between_steps(journal: &Journal) -> Vec<(f64, &'static str, String, Option<Status>)> {
    let mut all = Vec::new();
    for line in journal.steps.iter().flat_map(|step| &step.logs) {
        let service = clean(&line.service);
        all.push((line.written, "log", format!("{service}: {}", super::code(&shortened(&essence(&line.text)))), None));
    }
    for alert in &journal.alerts {
        let summary = if alert.state == AlertState::Firing { clean(&alert.summary) } else { String::new() };
        let joint = if summary.is_empty() { "" } else { ": " };
        let status = match alert.state {
            AlertState::Pending => Some(Status::Interrupted),
            AlertState::Firing => Some(Status::Failed),
            AlertState::Resolved => Some(Status::Passed),
            AlertState::Cleared => None,
        };
        let text = format!("{} {}{joint}{summary}", super::code(&alert.name), alert.state.name());
        all.push((alert.since, "alert", text, status));
    }
    for notice in &journal.notices {
        all.push((notice.elapsed, "", format!("Note: {}", clean(&notice.message)), None));
    }
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    all
}

/// Message of a log line without its time. An access line is reduced to request and response; the journal has the full line.
fn essence(text: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let (method, path) = (line["method"].as_str(), line["path"].as_str());
    if let (Some(method), Some(path), Some(status)) = (method, path, line["status"].as_u64()) {
        let upstream = match &line["upstream_status"] {
            serde_json::Value::Number(code) if code.as_u64() == Some(status) => String::new(),
            serde_json::Value::Number(code) => format!(", upstream {code}"),
            _ => ", no answer from upstream".to_owned(),
        };
        return format!("{method} {path} {status}{upstream}");
    }
    match text.split_once(' ') {
        Some((time, rest)) if time.parse::<chrono::DateTime<chrono::Utc>>().is_ok() => rest.to_owned(),
        _ => text.to_owned(),
    }
}

/// Truncates a log line to fit a table cell.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 180;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn row(number: usize, step: &StepResult) -> Vec<Cell> {
    let judged = step.sent.is_some() || !step.expectations.is_empty() || step.status != Status::Passed;
    let verdict = if judged { step.status.into() } else { "".into() };
    let at = human::clock(step.elapsed);
    let phase = step.phase.name();
    vec![number.to_string().into(), at.into(), name(step).into(), phase.into(), happened(step).into(), verdict]
}

/// Describes a step in one line.
fn happened(step: &StepResult) -> String {
    let mut parts = Vec::new();
    if let Some(sent) = step.sent {
        let attempts = step.attempts.map_or_else(String::new, |attempts| format!(" ({attempts} attempts)"));
        parts.push(format!("{}{attempts}: {}", human::count(sent, "request"), facts::codes(step)));
        parts.extend(step.detail.as_deref().map(clean));
    } else {
        let took = human::millis(step.duration * 1000.0);
        let waits = step.action.starts_with("wait") || step.duration < 0.01;
        parts.push(if waits { facts::detail(step) } else { format!("{}, {took}", facts::detail(step)) });
    }
    if step.unsent > 0 {
        parts.push(format!("{} not sent in time", human::count(step.unsent, "request")));
    }
    parts.extend(step.expectations.iter().filter(|result| !result.passed).map(|result| {
        let (expected, observed) = (clean(&result.expected), clean(&result.observed_text));
        format!("expected {} {expected}, observed {observed}", super::code(&result.metric))
    }));
    parts.extend(step.error.as_deref().map(|error| format!("error: {}", clean(error))));
    parts.join("; ")
}
