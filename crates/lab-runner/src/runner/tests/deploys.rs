//! Deploys that are to be rolled back: by the service's own doing, and by nothing else.

use std::time::Duration;

use super::support::*;
use lab_core::engine::{EngineError, EngineErrorKind, ServiceChange};
use lab_core::error::Exit;
use lab_core::event::{Phase, Status, UndoOutcome};
use lab_scenario::plan::{Action, Change, Kind, Plan, Verb};
use lab_testkit::engine::Script;

fn deploy(pool: &str) -> Plan {
    let change = ServiceChange::env("APP_DB_POOL", pool);
    let deploy = Action::Change(Change { verb: Verb::SetEnv, service: "app".to_owned(), change, rolled_back: true });
    plan(Kind::Practice, vec![step("deploy", Phase::Inject, deploy), step("observe", Phase::Observe, traffic(2))])
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_version_can_be_expected() {
    for kind in [EngineErrorKind::Exited, EngineErrorKind::Unhealthy, EngineErrorKind::StartupTimeout] {
        let fixture = Fixture::new();
        let before = fixture.whole();
        fixture
            .engine
            .script("app", Script::Fail(EngineError::new(kind, "APP_DB_POOL is malformed").for_service("app")));
        let played = fixture.play(deploy("many")).await;
        assert_eq!(played.outcome.exit, Exit::Passed);
        let step = played.step("deploy");
        assert_eq!(step.detail.as_deref(), Some("app rolled back: APP_DB_POOL is malformed"));
        assert!(step.expectations[0].passed && step.expectations[0].observed_text == "APP_DB_POOL is malformed");
        assert_eq!(played.step("observe").codes["200"], 2);
        assert_eq!(fixture.whole(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_version_that_was_expected_to_fail_is_undone() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let played = fixture.play(deploy("8")).await;
    assert_eq!((played.outcome.exit, played.outcome.status), (Exit::NotPassed, Status::Failed));
    assert_eq!(played.step("deploy").expectations[0].observed_text, "app is healthy and keeps serving");
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_fails_is_an_error_all_the_same() {
    let fixture = Fixture::new();
    let full = EngineError::new(EngineErrorKind::System, "no space left on device").for_service("app");
    fixture.engine.script("app", Script::Fail(full));
    let played = fixture.play(deploy("many")).await;
    assert_eq!((played.outcome.exit, played.outcome.status), (Exit::Failed, Status::Error));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_uses_up_its_own_deadlines_is_not_given_up_for_it() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    // On Docker a minute for what is new, and another for what comes back.
    for _ in ["the change", "its undo"] {
        fixture.engine.script("app", Script::Slow(Duration::from_mins(2)));
    }
    let played = fixture.play(rotate_key()).await;
    assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::Passed, UndoOutcome::Complete), "{}", played.text());
    assert!(played.finished().duration > 240.0, "{}", played.text());
    assert_eq!(fixture.whole(), before);
}
