//! `JUnit` XML for CI systems: one suite per run and one case per step, plus a case for results
//! of the whole run and one for the undo.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::journal::Journal;
use super::undo_text::describe_undo;
use super::{human, review, text};
use lab_core::event::{Status, StepResult, UndoOutcome, UndoStatus};

/// Case for results of the whole run. Names of steps have no spaces.
const WHOLE: &str = "the run as a whole";
/// Case for the undo.
const UNDO: &str = "the undo";

/// Writes a run as one suite.
pub fn write(out: &mut impl Write, journal: &Journal) -> io::Result<()> {
    let mut report = Report::new("lab");
    report.set_timestamp(journal.start);
    report.set_time(seconds(journal.duration));
    report.add_test_suite(suite(journal));
    report.serialize(&mut *out).map_err(|error| io::Error::other(error.to_string()))?;
    out.write_all(b"\n")?;
    out.flush()
}

fn suite(journal: &Journal) -> TestSuite {
    let class = format!("lab.{}", text::clean(&journal.scenario));
    let mut suite = TestSuite::new(text::clean(&journal.scenario));
    suite.set_timestamp(journal.start);
    suite.set_time(seconds(journal.duration));
    suite.add_properties(properties(journal));
    let steps = journal.steps.iter().map(step);
    let skipped = journal.not_run().map(|name| {
        let mut status = TestCaseStatus::skipped();
        status.set_message("the run ended before this step");
        TestCase::new(text::clean(name), status)
    });
    for mut case in steps.chain(skipped).chain([whole(journal), undo(journal)]) {
        case.set_classname(class.as_str());
        suite.add_test_case(case);
    }
    suite
}

fn properties(journal: &Journal) -> Vec<Property> {
    let mut all = vec![
        ("run", journal.id.clone()),
        ("lab", journal.lab.clone()),
        ("engine", journal.engine.clone()),
        ("requests", review::sent(journal).to_string()),
        ("failed_requests", review::failed(journal).to_string()),
    ];
    all.extend(journal.outage.map(|outage| ("outage_seconds", human::number(outage.duration))));
    let all = all.into_iter().map(|(name, value)| (name.to_owned(), value));
    let parameters = journal.parameters.iter().map(|(name, value)| (format!("parameter.{name}"), value.clone()));
    all.chain(parameters).map(|(name, value)| Property::new(text::clean(&name), text::clean(&value))).collect()
}

fn step(step: &StepResult) -> TestCase {
    let missed: Vec<String> = step.expectations.iter().filter(|result| !result.passed).map(missed).collect();
    let error = step.error.as_deref().map(text::clean);
    let status = match step.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Failed => bad(NonSuccessKind::Failure, "expectation", &missed.join("; "), &missed.join("\n")),
        Status::Error => {
            let error = error.unwrap_or_default();
            bad(NonSuccessKind::Error, "error", &error, &error)
        }
        Status::Interrupted => bad(NonSuccessKind::Error, "interrupted", "the run was interrupted in this step", ""),
    };
    let mut case = TestCase::new(text::clean(&step.name), status);
    case.set_time(seconds(step.duration));
    case.set_timestamp(step.start);
    case.set_assertions(step.expectations.len());
    case.set_system_out(text::clean(&output(step)));
    case
}

fn missed(result: &lab_core::event::ExpectationResult) -> String {
    let (expected, observed) = (text::clean(&result.expected), text::clean(&result.observed_text));
    format!("expected {} {expected}, observed {observed}", text::clean(&result.metric))
}

/// Short result of a step, as in the timeline.
fn output(step: &StepResult) -> String {
    let detail = step.detail.as_deref().unwrap_or(&step.action);
    match step.sent {
        Some(sent) => format!("{}: {}", human::count(sent, "request"), review::codes(step)),
        None => detail.to_owned(),
    }
}

fn whole(journal: &Journal) -> TestCase {
    let reason = journal.reason.as_deref().map(text::clean);
    let status = match (journal.status, reason) {
        (Status::Failed, Some(reason)) => bad(NonSuccessKind::Failure, "effect", &reason, &reason),
        (Status::Error, Some(reason)) => bad(NonSuccessKind::Error, "error", &reason, &reason),
        (Status::Interrupted, reason) => {
            let reason = reason.unwrap_or_else(|| "the run was interrupted".to_owned());
            bad(NonSuccessKind::Error, "interrupted", &reason, &reason)
        }
        _ => TestCaseStatus::success(),
    };
    TestCase::new(WHOLE, status)
}

fn undo(journal: &Journal) -> TestCase {
    let left = journal.undo.items.iter().filter(|item| item.status == UndoStatus::Failed);
    let left: Vec<String> = left
        .map(|item| {
            let why = item.error.as_deref().map(|error| format!(" ({})", text::clean(error))).unwrap_or_default();
            format!("{}{why}", text::clean(&describe_undo(item)))
        })
        .collect();
    let status = match journal.undo.status {
        UndoOutcome::Complete | UndoOutcome::Kept => TestCaseStatus::success(),
        UndoOutcome::Incomplete => {
            let message = "some changes were not undone: run lab recover";
            bad(NonSuccessKind::Error, "undo", message, &left.join("\n"))
        }
    };
    TestCase::new(UNDO, status)
}

fn bad(kind: NonSuccessKind, what: &str, message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what).set_message(message);
    if !description.is_empty() {
        status.set_description(description);
    }
    status
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use quick_junit::{TestCase, TestCaseStatus};

    use super::write;
    use crate::report::journal::Journal;
    use lab_testkit::sample_runs;

    #[test]
    fn every_sample_run() {
        for (name, events) in sample_runs::all() {
            let journal = Journal::from_events(&events).expect(name);
            let mut bytes = Vec::new();
            write(&mut bytes, &journal).expect("in memory");
            insta::assert_snapshot!(name, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn the_counts_are_those_of_the_cases() {
        // Cases, and those of them that did not run; the run as a whole and the undo are two more than there are steps.
        let expected = [
            ("rotate_key", 7, 0),
            ("failed", 7, 2),
            ("no_effect", 7, 0),
            ("error", 7, 3),
            ("cut_short", 7, 2),
            ("interrupted", 7, 2),
            ("incomplete", 7, 2),
            ("kept", 5, 0),
            ("transport_errors", 6, 0),
            ("long_names", 5, 0),
            ("baseline", 3, 0),
            ("grown", 9, 0),
            ("alerted", 7, 0),
        ];
        let counted = sample_runs::all().into_iter().map(|(name, events)| {
            let journal = Journal::from_events(&events).expect(name);
            let mut bytes = Vec::new();
            write(&mut bytes, &journal).expect("in memory");
            let report = quick_junit::Report::deserialize_from_str(&String::from_utf8_lossy(&bytes)).expect(name);
            let cases = &report.test_suites[0].test_cases;
            let skipped = |case: &&TestCase| matches!(case.status, TestCaseStatus::Skipped { .. });
            (name, cases.len(), cases.iter().filter(skipped).count())
        });
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }
}
