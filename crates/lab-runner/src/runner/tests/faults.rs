//! What goes wrong in a run, and that the lab is as before all the same.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::*;
use lab_core::engine::{EngineError, EngineErrorKind};
use lab_core::error::Exit;
use lab_core::event::{EventKind, Phase, Status, UndoOutcome};
use lab_scenario::plan::{Action, Comparator, Kind, Verb};
use lab_telemetry::metrics::names::COUNTERS;
use lab_testkit::engine::Script;

fn broken() -> EngineError {
    EngineError::new(EngineErrorKind::System, "no space left on device").for_service("app").hint("free some space")
}

#[tokio::test(start_paused = true)]
async fn an_engine_error_ends_the_run_and_is_undone_whether_half_was_changed_or_nothing() {
    for (name, script) in [("nothing", Script::Fail(broken())), ("half", Script::FailAfter(broken()))] {
        let fixture = Fixture::new();
        let before = fixture.whole();
        fixture.engine.script("app", script);
        let played = fixture.play(rotate_key()).await;
        assert_eq!(played.outcome.exit, Exit::Failed);
        assert_eq!(fixture.whole(), before);
        assert!(!fixture.log_exists());
        insta::assert_snapshot!(format!("engine_error_{name}_changed"), played.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_redeploy_that_never_becomes_healthy_leaves_the_old_instance_serving() {
    let fixture = Fixture::new();
    fixture.engine.script("app", Script::NeverHealthy);
    let played = fixture.play(rotate_key()).await;
    let step = played.step("rotate-key");
    assert_eq!(step.status, Status::Error);
    assert!(step.error.as_deref().unwrap().contains("never became healthy"), "{step:?}");
    assert_eq!(fixture.engine.request("/api/users", Some(V1)).await.status(), Some(200));
    assert_eq!(played.outcome.undo, UndoOutcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_step_is_an_error_of_the_step_and_is_undone() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut plan = rotate_key();
    if let Action::Traffic(traffic) = &mut plan.steps[2].action {
        traffic.path = "/panic".to_owned();
    }
    let played = fixture.play(plan).await;
    assert_eq!(played.outcome.exit, Exit::Failed);
    let error = played.step("drive-traffic").error.clone().unwrap();
    assert_eq!(error, "a defect in lab: a defect in the traffic");
    assert_eq!(fixture.whole(), before);
    assert!(!fixture.log_exists());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_change_and_in_its_undo_is_tried_again() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    fixture.engine.script("app", Script::Panic);
    fixture.engine.script("app", Script::Panic);
    let played = fixture.play(rotate_key()).await;
    assert_eq!(played.outcome.status, Status::Error);
    assert_eq!(played.outcome.undo, UndoOutcome::Complete);
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_stops_the_run_and_never_the_undo() {
    let events = Fixture::new().play(rotate_key()).await.events.len();
    for failing in 0..events {
        let fixture = Fixture::new();
        let before = fixture.whole();
        let seen = AtomicUsize::new(0);
        let played = play(fixture.run(rotate_key()), |_| {
            let index = seen.fetch_add(1, Ordering::Relaxed);
            if index == failing { Err(io::Error::other("the disk is full")) } else { Ok(()) }
        })
        .await;
        assert_eq!(played.events.len(), failing + 1, "nothing is emitted after the failure");
        assert_eq!(played.outcome.exit, Exit::Failed, "failing at {failing}");
        assert_eq!(played.outcome.undo, UndoOutcome::Complete);
        assert_eq!(fixture.whole(), before);
        assert!(!fixture.log_exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_scrape_is_unknown_and_never_zero() {
    let fixture = Fixture::new();
    let none = || delta("app_auth_failures_total");
    let steps = vec![
        step("pause", Phase::Inject, verb(Verb::Pause, "app")).expects(0, none(), Comparator::Equal, 0.0),
        step("observe", Phase::Observe, traffic(2)),
    ];
    let played = fixture.play(plan(Kind::Incident, steps)).await;
    assert_eq!(played.outcome.exit, Exit::NotPassed);
    let step = played.step("pause");
    assert!(step.deltas.values().all(Option::is_none) && step.deltas.len() == COUNTERS.len(), "{:?}", step.deltas);
    assert_eq!(step.expectations[0].observed, None);
    assert_eq!(step.expectations[0].observed_text, "unknown: the app is paused");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_does_not_run_counts_nothing() {
    let fixture = Fixture::new();
    let steps = vec![step("stop", Phase::Inject, verb(Verb::Stop, "app")), step("observe", Phase::Observe, traffic(2))];
    let played = fixture.play(plan(Kind::Incident, steps)).await;
    assert!(played.step("observe").deltas.values().all(|delta| *delta == Some(0.0)));
    assert_eq!(played.step("observe").codes["502"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_stack_leaves_the_undo_pending_and_recover_restarts_it() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let engine = fixture.engine.clone();
    let played = play(fixture.run(rotate_key()), move |event| {
        if matches!(&event.kind, EventKind::StepStarted(step) if step.name == "drive-traffic") {
            engine.lose();
        }
        Ok(())
    })
    .await;
    assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::UndoIncomplete, UndoOutcome::Incomplete));
    assert_eq!(played.finished().keys, None);
    assert!(fixture.log_exists());
    assert_eq!(fixture.recover().await.unwrap().status, UndoOutcome::Complete);
    assert_eq!(fixture.whole(), before);
    assert!(!fixture.log_exists());
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_undo_is_pending_and_blocks_the_next_run() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let engine = fixture.engine.clone();
    let played = play(fixture.run(rotate_key()), move |event| {
        if matches!(event.kind, EventKind::UndoStarted { .. }) {
            engine.script("app", Script::Fail(broken()));
            engine.script("app", Script::Fail(broken()));
        }
        Ok(())
    })
    .await;
    assert_eq!(played.outcome.exit, Exit::UndoIncomplete);
    insta::assert_snapshot!("undo_incomplete", played.text());

    let mut next = fixture.run(rotate_key());
    next.id = "20261124T101530Z-0000".to_owned();
    let next = play(next, |_| Ok(())).await;
    assert_eq!((next.outcome.exit, next.events.len()), (Exit::Failed, 2));
    assert!(next.finished().reason.as_deref().unwrap().contains("lab recover"));

    assert_eq!(fixture.recover().await.unwrap().status, UndoOutcome::Complete);
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_another_needs_comes_back_first() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let steps = vec![
        step("freeze", Phase::Inject, verb(Verb::Pause, "db")),
        step("thaw", Phase::Inject, verb(Verb::Unpause, "db")),
        step("rotate", Phase::Inject, rotate(V2)),
        step("freeze-again", Phase::Inject, verb(Verb::Pause, "db")),
        step("observe", Phase::Observe, traffic(2)),
    ];
    let played = fixture.play(plan(Kind::Incident, steps)).await;
    assert_eq!(played.outcome.undo, UndoOutcome::Complete);
    assert_eq!(fixture.whole(), before);
    let undo = fixture.engine.calls()[4..].join(", ");
    assert_eq!(undo, "reconcile db running, reconcile app APP_API_KEY=apikey-v1");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_not_up_is_an_error_before_the_first_step() {
    let fixture = Fixture::new();
    fixture.engine.lose();
    let played = fixture.play(rotate_key()).await;
    assert_eq!((played.outcome.exit, played.events.len()), (Exit::Failed, 2));
    assert!(played.finished().reason.as_deref().unwrap().contains("is gone"));
}
