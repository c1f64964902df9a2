//! Detection, root cause, fix and prevention.

use super::facts::{ACCEPTED, REFUSED, changes, delta, detail, join};
use super::{Block, Grid, name, paragraphs};
use crate::report::human;
use crate::report::journal::Journal;
use crate::report::text::clean;
use lab_core::event::{AlertChanged, AlertState, Phase, StepResult};

/// Tolerance in seconds between the clocks of the caller and of the steps.
const ROUNDING: f64 = 0.001;

/// Time of the first failed request, and the app's metrics during the failures.
pub(super) fn detection(journal: &Journal) -> Vec<Block> {
    let mut lines = Vec::new();
    if let Some(outage) = journal.outage {
        let at = human::clock(outage.impact_at);
        let before_impact = |step: &&&StepResult| step.elapsed <= outage.impact_at + ROUNDING;
        lines.push(match changes(journal, Phase::Inject).iter().rev().find(before_impact) {
            Some(step) => {
                let after = human::clock(outage.impact_at - step.elapsed);
                format!("The first failed request started {at} into the run, {after} after {} began.", name(step))
            }
            None => format!("The first failed request started {at} into the run."),
        });
        lines.push(counters(journal));
    }
    let unreadable: Vec<String> = steps_without_metrics(journal).map(name).collect();
    if !unreadable.is_empty() {
        lines.push(format!("The app's metrics could not be read in {}.", join(&unreadable)));
    }
    lines.extend(only_pending(journal));
    lines.retain(|line| !line.is_empty());
    let mut blocks = if lines.is_empty() { Vec::new() } else { vec![Block::Text(lines.join(" "))] };
    blocks.extend(alerts(journal));
    blocks
}

/// The alerts that fired, and how long detection, mitigation and resolution took.
fn alerts(journal: &Journal) -> Vec<Block> {
    let mut grid = Grid::new("Alerts", &["alert", "severity", "pending", "fired", "resolved", "summary"], &[]);
    for (index, fired) in journal.alerts.iter().enumerate().filter(|(_, alert)| alert.state == AlertState::Firing) {
        let own = |alert: &&AlertChanged| alert.name == fired.name;
        let before = journal.alerts[..index].iter().rfind(own).filter(|alert| alert.state == AlertState::Pending);
        let after = journal.alerts[index + 1..].iter().find(own);
        let at = |alert: &AlertChanged| human::clock(alert.since);
        grid.rows.push(vec![
            super::code(&fired.name).into(),
            clean(&fired.severity).into(),
            before.map_or_else(|| "-".to_owned(), at).into(),
            at(fired).into(),
            after.map_or_else(|| "not before the run ended".to_owned(), at).into(),
            clean(&fired.summary).into(),
        ]);
    }
    if grid.rows.is_empty() {
        return Vec::new();
    }
    let mut blocks = Vec::new();
    if let Some(outage) = journal.outage {
        let time = |seconds: Option<f64>| seconds.map_or_else(|| "not before the run ended".to_owned(), human::clock);
        blocks.push(Block::Text("Measured from the first failed request:".to_owned()));
        blocks.push(Block::Facts(vec![
            ("Time to detect", time(outage.time_to_detect)),
            ("Time to mitigate", time(outage.time_to_mitigate)),
            ("Time to resolve", time(outage.time_to_resolve)),
        ]));
    }
    blocks.push(Block::Grid(grid));
    blocks
}

/// Sentence about alerts that did not get beyond pending, as in a run of a few seconds.
fn only_pending(journal: &Journal) -> Option<String> {
    let of = |state: AlertState| journal.alerts.iter().filter(move |alert| alert.state == state);
    let mut names: Vec<String> = of(AlertState::Pending).map(|alert| super::code(&alert.name)).collect();
    names.dedup();
    let only = !names.is_empty() && of(AlertState::Firing).next().is_none();
    only.then(|| format!("No alert fired; only pending: {}.", join(&names)))
}

fn steps_without_metrics(journal: &Journal) -> impl Iterator<Item = &StepResult> {
    journal.steps.iter().filter(|step| step.sent.is_some() && step.deltas.values().any(Option::is_none))
}

/// Compares the app's counters with the failures that the caller observed.
fn counters(journal: &Journal) -> String {
    let rose: Vec<String> = journal
        .steps
        .iter()
        .filter_map(|step| Some((step, delta(step, REFUSED).filter(|rise| *rise > 0.0)?)))
        .map(|(step, rise)| format!("by {} in {}", human::number(rise), name(step)))
        .collect();
    if !rose.is_empty() {
        return format!("`{REFUSED}` rose {}.", join(&rose));
    }
    let failing = journal.steps.iter().filter(|step| step.failed_requests > 0);
    let accepted: Option<f64> = failing.map(|step| delta(step, ACCEPTED)).sum();
    match accepted {
        Some(accepted) if accepted > 0.0 => format!(
            "`{REFUSED}` did not rise while requests failed, and `{ACCEPTED}` rose by {}, so the keys were not the cause.",
            human::number(accepted)
        ),
        Some(_) => format!(
            "Neither `{REFUSED}` nor `{ACCEPTED}` rose while requests failed: they did not reach the app, or failed before the key check."
        ),
        None => String::new(),
    }
}

/// Description of the fault, and the steps that injected it.
pub(super) fn root(journal: &Journal) -> Vec<Block> {
    let injected = changes(journal, Phase::Inject);
    let mut blocks: Vec<Block> = paragraphs(&clean_lines(&journal.about.description)).map(Block::Text).collect();
    if injected.is_empty() {
        return if journal.outage.is_some() { blocks } else { Vec::new() };
    }
    blocks.push(Block::List(injected.into_iter().map(describe_change).collect()));
    blocks
}

/// `rotate-key at 2.0s: server apikey-v1 > apikey-v2`.
fn describe_change(step: &StepResult) -> String {
    let error = step.error.as_deref().map(|error| format!("; error: {}", clean(error))).unwrap_or_default();
    format!("{} at {}: {}{error}", name(step), human::clock(step.elapsed), detail(step))
}

/// Steps that fixed the incident, and the time of recovery.
pub(super) fn remedy(journal: &Journal) -> Vec<Block> {
    let mut blocks = Vec::new();
    let steps = changes(journal, Phase::Remedy);
    let solution = journal.about.solution.as_deref().map(clean_lines).unwrap_or_default();
    blocks.extend(paragraphs(&solution).map(Block::Text));
    if let Some(outage) = journal.outage
        && let Some(recovered) = outage.recovered_at
    {
        let lasted = human::clock(outage.duration);
        let at = human::clock(recovered);
        let before = steps.iter().rev().find(|step| step.elapsed <= recovered + ROUNDING);
        let after = before.map(|step| {
            let after = human::clock(recovered - step.elapsed);
            format!(" and {after} after {} began", name(step))
        });
        let after = after.unwrap_or_default();
        blocks.push(Block::Text(format!(
            "Requests recovered {at} into the run, {lasted} after the first failure{after}."
        )));
    } else if journal.outage.is_some() {
        blocks.push(Block::Text("The run ended before requests succeeded again.".to_owned()));
    }
    if !steps.is_empty() {
        blocks.push(Block::List(steps.into_iter().map(describe_change).collect()));
    }
    blocks
}

/// Lessons of the scenario.
pub(super) fn prevention(journal: &Journal) -> Vec<Block> {
    let lessons: Vec<String> = journal
        .about
        .lessons
        .iter()
        .map(|lesson| paragraphs(&clean_lines(lesson)).collect::<Vec<_>>().join(" "))
        .collect();
    if lessons.is_empty() { Vec::new() } else { vec![Block::List(lessons)] }
}

/// Removes control characters but keeps line ends.
fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}
