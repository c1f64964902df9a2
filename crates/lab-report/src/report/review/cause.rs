//! Why it happened, what showed it, what mended it, and what would keep it from happening again.

use super::facts::{ACCEPTED, REFUSED, changes, delta, detail, join};
use super::{Block, Grid, name, paragraphs};
use crate::report::human;
use crate::report::journal::Journal;
use crate::report::text::clean;
use lab_core::event::{AlertChanged, AlertState, Phase, StepResult};

/// Times of the caller and of the steps are taken apart from each other.
const ROUNDING: f64 = 0.001;

/// When the fault was felt, and what the app's metrics said of it.
pub(super) fn detection(journal: &Journal) -> Vec<Block> {
    let mut lines = Vec::new();
    if let Some(outage) = journal.outage {
        let at = human::clock(outage.impact_at);
        let since = |step: &&&StepResult| step.elapsed <= outage.impact_at + ROUNDING;
        lines.push(match changes(journal, Phase::Inject).iter().rev().find(since) {
            Some(step) => {
                let after = human::clock(outage.impact_at - step.elapsed);
                format!("The first failed request started {at} into the run, {after} after {} began.", name(step))
            }
            None => format!("The first failed request started {at} into the run."),
        });
        lines.push(counters(journal));
    }
    let blind: Vec<String> = unknown(journal).map(name).collect();
    if !blind.is_empty() {
        lines.push(format!("The app's metrics could not be read in {}.", join(&blind)));
    }
    lines.extend(only_pending(journal));
    lines.retain(|line| !line.is_empty());
    let mut blocks = if lines.is_empty() { Vec::new() } else { vec![Block::Text(lines.join(" "))] };
    blocks.extend(alerts(journal));
    blocks
}

/// The alerts that fired, and how long detection, mitigation and resolution took.
fn alerts(journal: &Journal) -> Vec<Block> {
    let mut grid = Grid::new("Alerts", &["alert", "severity", "pending", "fired", "resolved", "what it said"], &[]);
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
            after.map_or_else(|| "not by the end".to_owned(), at).into(),
            clean(&fired.summary).into(),
        ]);
    }
    if grid.rows.is_empty() {
        return Vec::new();
    }
    let mut blocks = Vec::new();
    if let Some(outage) = journal.outage {
        let time = |seconds: Option<f64>| seconds.map_or_else(|| "not by the end".to_owned(), human::clock);
        blocks.push(Block::Text("From the first failed request on it took:".to_owned()));
        blocks.push(Block::Facts(vec![
            ("Time to detect", time(outage.time_to_detect)),
            ("Time to mitigate", time(outage.time_to_mitigate)),
            ("Time to resolve", time(outage.time_to_resolve)),
        ]));
    }
    blocks.push(Block::Grid(grid));
    blocks
}

/// What a run of seconds has of alerts.
fn only_pending(journal: &Journal) -> Option<String> {
    let of = |state: AlertState| journal.alerts.iter().filter(move |alert| alert.state == state);
    let mut names: Vec<String> = of(AlertState::Pending).map(|alert| super::code(&alert.name)).collect();
    names.dedup();
    let only = !names.is_empty() && of(AlertState::Firing).next().is_none();
    only.then(|| format!("No alert fired; pending was {}.", join(&names)))
}

fn unknown(journal: &Journal) -> impl Iterator<Item = &StepResult> {
    journal.steps.iter().filter(|step| step.sent.is_some() && step.deltas.values().any(Option::is_none))
}

/// Whether the app's counters show what the caller saw.
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
            "`{REFUSED}` did not rise while requests failed, and `{ACCEPTED}` rose by {}: not the keys were the matter.",
            human::number(accepted)
        ),
        Some(_) => format!(
            "Neither `{REFUSED}` nor `{ACCEPTED}` rose while requests failed: they did not reach the app, or it did not get so far."
        ),
        None => String::new(),
    }
}

/// What was broken.
pub(super) fn root(journal: &Journal) -> Vec<Block> {
    let injected = changes(journal, Phase::Inject);
    let mut blocks: Vec<Block> = paragraphs(&clean_lines(&journal.about.description)).map(Block::Text).collect();
    if injected.is_empty() {
        return if journal.outage.is_some() { blocks } else { Vec::new() };
    }
    blocks.push(Block::List(injected.into_iter().map(done).collect()));
    blocks
}

/// `rotate-key at 2.0s: server apikey-v1 > apikey-v2`.
fn done(step: &StepResult) -> String {
    let error = step.error.as_deref().map(|error| format!("; error: {}", clean(error))).unwrap_or_default();
    format!("{} at {}: {}{error}", name(step), human::clock(step.elapsed), detail(step))
}

/// What mended it, and when that was felt.
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
            format!(", {after} after {} began", name(step))
        });
        let after = after.unwrap_or_default();
        blocks.push(Block::Text(format!(
            "From {at} into the run on no request failed any more: {lasted} after the first that failed{after}."
        )));
    } else if journal.outage.is_some() {
        blocks.push(Block::Text("The run ended before requests succeeded again.".to_owned()));
    }
    if !steps.is_empty() {
        blocks.push(Block::List(steps.into_iter().map(done).collect()));
    }
    blocks
}

/// What is to be learned from it.
pub(super) fn prevention(journal: &Journal) -> Vec<Block> {
    let lessons: Vec<String> = journal
        .about
        .lessons
        .iter()
        .map(|lesson| paragraphs(&clean_lines(lesson)).collect::<Vec<_>>().join(" "))
        .collect();
    if lessons.is_empty() { Vec::new() } else { vec![Block::List(lessons)] }
}

/// Without what a terminal or a page would obey, its line ends kept.
fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}
