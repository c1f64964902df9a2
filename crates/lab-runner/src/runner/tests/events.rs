//! Events of whole runs, from the first to the last.

use super::support::*;
use crate::runner::RunOutcome;
use lab_core::error::Exit;
use lab_core::event::{EventKind, Phase, Status, UndoOutcome};
use lab_scenario::plan::{Action, Comparator, Kind, Metric, Verb};

#[tokio::test(start_paused = true)]
async fn rotate_key_is_held_and_leaves_the_lab_as_it_was() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let played = fixture.play(rotate_key()).await;
    let held = RunOutcome { exit: Exit::Passed, status: Status::Passed, undo: UndoOutcome::Complete };
    assert_eq!(played.outcome, held);
    assert_eq!(fixture.whole(), before);
    assert!(!fixture.log_exists());
    insta::assert_snapshot!("rotate_key", played.text());
}

#[tokio::test(start_paused = true)]
async fn the_events_are_the_documented_json() {
    let fixture = Fixture::new();
    let mut events = serde_json::to_value(fixture.play(rotate_key()).await.events).unwrap();
    redact(&mut events);
    insta::assert_json_snapshot!("rotate_key_events", events);
}

/// Times of day, and what is reckoned from them.
fn redact(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(values) => values.iter_mut().for_each(redact),
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "at" | "start" | "impact_at" | "recovered_at" => *value = "[time]".into(),
                    _ => redact(value),
                }
            }
        }
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_outage_runs_from_the_first_failure_to_the_success_that_lasts() {
    let fixture = Fixture::new();
    let played = fixture.play(rotate_key()).await;
    let outage = played.finished().outage.unwrap();
    // Forty requests at 20/s: from the first 401 to the first request of the verification.
    assert_eq!(outage.failed_requests, 40);
    assert!((1.95..1.96).contains(&outage.duration), "{outage:?}");
    let drive = played.step("drive-traffic");
    assert!((outage.impact_at - drive.elapsed).abs() < 1.0, "{outage:?} {drive:?}");
    assert!((outage.recovered_at.unwrap() - outage.impact_at - outage.duration).abs() < 1e-6);
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_remedy_lasts_to_the_last_failure() {
    let fixture = Fixture::new();
    let mut plan = rotate_key();
    plan.steps.truncate(3);
    let outage = fixture.play(plan).await.finished().outage.unwrap();
    assert_eq!((outage.recovered_at, outage.duration), (None, 1.95));
}

#[tokio::test(start_paused = true)]
async fn a_run_continues_after_a_failed_expectation() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut plan = rotate_key();
    plan.steps[2] = step("drive-traffic", Phase::Observe, traffic(40))
        .expects(2, Metric::StatusCount(401), Comparator::Less, 40.0)
        .expects(2, Metric::Failed, Comparator::Equal, 40.0);
    let played = fixture.play(plan).await;
    assert_eq!(played.outcome.exit, Exit::NotPassed);
    assert_eq!(fixture.whole(), before);
    insta::assert_snapshot!("failed_expectation", played.text());
}

#[tokio::test(start_paused = true)]
async fn an_expectation_on_several_steps_sees_them_together() {
    let fixture = Fixture::new();
    let mut plan = rotate_key();
    let all = step("realign", Phase::Remedy, align())
        .expects(0, delta("app_requests_total"), Comparator::Equal, 80.0)
        .expects(0, Metric::Sent, Comparator::Equal, 80.0)
        .expects(1, Metric::FailedShare, Comparator::Equal, 100.0);
    plan.steps[3] = all;
    assert_eq!(fixture.play(plan).await.outcome.exit, Exit::Passed);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_change_has_a_description() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let inject = |name: &str, action| step(name, Phase::Inject, action);
    let steps = vec![
        inject("debug", set_env("LOG_LEVEL", "debug")),
        inject("freeze", verb(Verb::Pause, "db")),
        step("frozen", Phase::Observe, traffic(2)),
        inject("thaw", verb(Verb::Unpause, "db")),
        inject("kill", verb(Verb::Kill, "app")),
        step("dead", Phase::Observe, traffic(2)),
        inject("start", verb(Verb::Start, "app")),
        inject("again", verb(Verb::Start, "app")),
        inject("pause", verb(Verb::Pause, "app")),
        step("paused", Phase::Observe, traffic(2)),
        inject("close", verb(Verb::Stop, "gateway")),
        step("closed", Phase::Observe, traffic(2)),
        step("aligned", Phase::Remedy, align()),
        step("rest", Phase::Verify, Action::Wait(std::time::Duration::from_millis(1500))),
    ];
    let played = fixture.play(plan(Kind::Incident, steps)).await;
    assert_eq!(fixture.whole(), before);
    insta::assert_snapshot!("every_change", played.text());
}

#[tokio::test(start_paused = true)]
async fn a_check_is_judged_like_an_expectation() {
    let fixture = Fixture::new();
    let steps = vec![
        step("well", Phase::Baseline, check("/health", 200)),
        step("rotate", Phase::Inject, rotate(V2)),
        step("refused", Phase::Observe, check("/api/users", 200)),
        step("stop", Phase::Inject, verb(Verb::Stop, "gateway")),
        step("gone", Phase::Observe, check("/health", 200)),
    ];
    let played = fixture.play(plan(Kind::Incident, steps)).await;
    assert_eq!(played.outcome.exit, Exit::NotPassed);
    insta::assert_snapshot!("checks", played.text());
}

#[tokio::test(start_paused = true)]
async fn a_change_to_the_current_value_is_neither_made_nor_undone() {
    let fixture = Fixture::new();
    let steps = vec![
        step("rotate", Phase::Inject, rotate(V1)),
        step("start", Phase::Remedy, verb(Verb::Start, "db")),
        step("align", Phase::Remedy, align()),
    ];
    let played = fixture.play(plan(Kind::Part, steps)).await;
    let details = ["rotate", "start", "align"].map(|name| played.step(name).detail.clone().unwrap());
    assert_eq!(details, ["server already on apikey-v1", "db already running", "caller already on apikey-v1"]);
    assert_eq!(fixture.engine.calls(), Vec::<String>::new());
    assert!(!played.events.iter().any(|event| matches!(event.kind, EventKind::UndoStarted { .. })));
    assert_eq!(played.outcome.undo, UndoOutcome::Complete);
}
