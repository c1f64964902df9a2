//! First and last sections of a review: summary, expectations, state of the lab after the run.

use super::facts::{self, ACCEPTED, REFUSED, join, part};
use super::{Block, Cell, Grid, code, name};
use crate::report::journal::{INCOMPLETE, Journal};
use crate::report::text::clean;
use crate::report::{human, undo_text};
use lab_core::event::{Status, UndoOutcome, UndoStatus};

/// Summary in a few sentences, and key figures.
pub(super) fn blocks(journal: &Journal) -> Vec<Block> {
    let sentences = [Some(verdict(journal)), Some(outage(journal)), undo(journal)];
    let text = sentences.into_iter().flatten().collect::<Vec<_>>().join(" ");
    vec![Block::Text(text), Block::Facts(figures(journal))]
}

fn verdict(journal: &Journal) -> String {
    let reason = journal.reason.as_deref().map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    let missed = journal.steps.iter().flat_map(|step| &step.expectations).filter(|result| !result.passed).count();
    match journal.status {
        Status::Passed => "The run went as the scenario expects.".to_owned(),
        Status::Failed if missed > 0 => {
            let what = human::count(missed as u64, "expectation");
            format!("The run did not go as the scenario expects: {what} failed.")
        }
        Status::Failed => format!("The run did not go as the scenario expects{reason}."),
        Status::Error => {
            let broken = journal.steps.iter().find_map(|step| step.error.as_ref().map(|error| (step, error)));
            match broken {
                Some((step, error)) => format!("{} failed with an error: {}.", name(step), clean(error)),
                None => format!("The run failed with an error{reason}."),
            }
        }
        Status::Interrupted if journal.reason.as_deref() == Some(INCOMPLETE) => {
            "The run was interrupted: its record is incomplete.".to_owned()
        }
        Status::Interrupted => "The run was interrupted.".to_owned(),
    }
}

fn outage(journal: &Journal) -> String {
    let sent = facts::sent(journal);
    match journal.outage {
        None if sent == 0 => "No request was sent.".to_owned(),
        None => format!("None of {} failed.", human::count(sent, "request")),
        Some(outage) => {
            let failed = part(outage.failed_requests, sent);
            let lasted = human::clock(outage.duration);
            let from = human::clock(outage.impact_at);
            match outage.recovered_at {
                Some(recovered) => format!(
                    "The outage lasted {lasted}, from {from} to {} into the run; {failed} failed.",
                    human::clock(recovered)
                ),
                None => format!("The outage started {from} into the run and lasted to its end; {failed} failed."),
            }
        }
    }
}

fn undo(journal: &Journal) -> Option<String> {
    let text = match journal.undo.status {
        UndoOutcome::Complete if journal.undo.items.is_empty() => return None,
        UndoOutcome::Complete => "All changes were undone.".to_owned(),
        UndoOutcome::Kept => "The changes were kept, as requested.".to_owned(),
        UndoOutcome::Incomplete => "Some changes were not undone: run `lab recover`.".to_owned(),
    };
    Some(text)
}

fn figures(journal: &Journal) -> Vec<(&'static str, String)> {
    let (sent, failed) = (facts::sent(journal), facts::failed(journal));
    let mut figures = vec![("Duration", human::clock(journal.duration))];
    if let Some(outage) = journal.outage {
        let open = if outage.recovered_at.is_none() { ", ongoing at the end of the run" } else { "" };
        figures.push(("Outage", format!("{}{open}", human::clock(outage.duration))));
    }
    if sent > 0 {
        figures.push(("Requests", sent.to_string()));
        figures.push(("Failed", format!("{failed} ({})", human::share(failed, sent))));
    }
    for (what, counter) in [("Keys accepted", ACCEPTED), ("Keys refused", REFUSED)] {
        let known: Option<f64> = journal.steps.iter().map(|step| facts::delta(step, counter)).sum();
        if sent > 0 {
            figures.push((what, known.map_or_else(|| "unknown".to_owned(), human::number)));
        }
    }
    let slowest = journal.steps.iter().filter_map(|step| Some((step.latency_ms?.p99, step)));
    if let Some((p99, step)) = slowest.max_by(|one, other| one.0.total_cmp(&other.0)) {
        figures.push(("Slowest p99", format!("{} ({})", human::millis(p99), clean(&step.name))));
    }
    figures
}

/// Expectations with observed values.
pub(super) fn expectations(journal: &Journal) -> Vec<Block> {
    let mut grid = Grid::new("Expectations", &["step", "expected", "observed", "verdict"], &[]);
    for step in &journal.steps {
        for result in &step.expectations {
            let expected = format!("{} {}", code(&result.metric), clean(&result.expected));
            let verdict = if result.passed { Status::Passed } else { Status::Failed };
            let observed = clean(&result.observed_text);
            grid.rows.push(vec![name(step).into(), expected.into(), observed.into(), verdict.into()]);
        }
    }
    if grid.rows.is_empty() { Vec::new() } else { vec![Block::Grid(grid)] }
}

/// Changes with their values before the run and their state after it.
pub(super) fn final_state(journal: &Journal) -> Vec<Block> {
    let mut grid = Grid::new("Changes", &["change", "before the run", "after the run"], &[]);
    for item in &journal.undo.items {
        let status = match item.status {
            UndoStatus::Undone => Cell { text: "restored".to_owned(), status: Some(Status::Passed) },
            UndoStatus::Kept => Cell { text: "kept".to_owned(), status: Some(Status::Interrupted) },
            UndoStatus::Failed => {
                let why = item.error.as_deref().map(|error| format!(": {}", clean(error))).unwrap_or_default();
                Cell { text: format!("not restored{why}"), status: Some(Status::Failed) }
            }
        };
        let what = match undo_text::parts(&item.target) {
            (owner, Some(name)) => format!("{} {}", code(&owner), code(name)),
            (owner, None) => code(&owner),
        };
        grid.rows.push(vec![what.into(), clean(undo_text::value(&item.target)).into(), status]);
    }
    let mut blocks = Vec::new();
    if !grid.rows.is_empty() {
        blocks.push(Block::Grid(grid));
    }
    if let Some(keys) = &journal.keys
        && let Some(after) = &keys.after
        && *after != keys.before
    {
        let (server, caller) = (code(&after.server), code(&after.caller));
        let words = [format!("the server expects {server}"), format!("the caller sends {caller}")];
        blocks.push(Block::Text(format!("After the run {}.", join(&words))));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::{Block, final_state};
    use crate::report::journal::Journal;
    use lab_core::event::UndoTarget;
    use lab_testkit::sample_runs::{item, rotate_key};

    #[test]
    fn a_value_of_several_words_is_shown_in_full() {
        let mut journal = Journal::from_events(&rotate_key()).expect("a whole run");
        let values = [("LOG_NOTE", Some("now then old one")), ("DEBUG", None)];
        let item = |(name, value): (&str, Option<&str>)| {
            let (service, name, value) = ("app".to_owned(), name.to_owned(), value.map(str::to_owned));
            item(UndoTarget::Variable { service, name, value }, None)
        };
        journal.undo.items = values.map(item).into();
        let blocks = final_state(&journal);
        let Block::Grid(grid) = &blocks[0] else { panic!("{blocks:?}") };
        let before: Vec<&str> = grid.rows.iter().map(|row| row[1].text.as_str()).collect();
        assert_eq!(before, ["now then old one", "unset"]);
    }
}
