//! Several callers, each with a key of its own.

use super::support::*;
use crate::runner::Until;
use lab_core::engine::ServiceChange;
use lab_core::error::Exit;
use lab_core::event::{EventKind, Keys, Status, UndoOutcome};

const STALE: &str = r#"
title: One of two was forgotten
callers:
  web: { rate: 30 }
  batch: { rate: 10, connections: 2 }
steps:
  - { name: baseline, traffic: { requests: 40 }, expect: { status.200: "100%", caller.batch.sent: 10 } }
  - { name: rotate, rotate_key: { server: apikey-v2 } }
  - { name: some, align_key: { caller: server, callers: [web] } }
  - name: observe
    phase: observe
    traffic: { requests: 40 }
    expect: { caller.web.status.200: "100%", caller.batch.status.401: "100%", auth_failures.delta: 10 }
  - { name: rest, align_key: { caller: server } }
  - { name: verify, traffic: { duration: 1s, callers: batch }, expect: { status.200: "100%", sent: 10 } }
"#;

#[tokio::test(start_paused = true)]
async fn callers_have_keys_of_their_own_and_are_forgotten_at_the_end() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let played = fixture.play(loaded(STALE)).await;
    assert_eq!(played.outcome.exit, Exit::Passed, "{}", played.text());
    let observe = played.step("observe");
    assert_eq!((observe.sent, observe.failed_requests), (Some(40), 10));
    assert_eq!((observe.callers["web"].sent, observe.callers["batch"].codes["401"]), (30, 10));
    assert_eq!(played.step("rest").detail.as_deref(), Some("web already on apikey-v2, batch apikey-v1 > apikey-v2"));
    assert_eq!(played.step("verify").callers.len(), 1);
    // The caller that had no failure does not end the outage of the one that had.
    let outage = played.finished().outage.unwrap();
    assert!(outage.recovered_at.unwrap() >= played.step("verify").elapsed, "{outage:?}");
    assert_eq!(fixture.whole(), before);
    insta::assert_snapshot!("stale_caller", played.text());
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_kept_stay_and_another_run_gives_them_back() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut run = fixture.run(loaded(STALE));
    run.until = Some(Until::Step("observe".to_owned()));
    let played = play(run, |_| Ok(())).await;
    assert_eq!(played.outcome.undo, UndoOutcome::Kept);
    let keys = played.finished().keys.clone().unwrap();
    let callers = [("batch", "apikey-v1"), ("web", "apikey-v2")].map(|(name, key)| (name.to_owned(), key.to_owned()));
    assert_eq!(keys.callers, callers.into());
    let kept = fixture.whole();
    let mut again = fixture.run(loaded(STALE));
    again.id = "20261124T101530Z-0000".to_owned();
    play(again, |_| Ok(())).await;
    assert_eq!(fixture.whole(), kept);
    fixture.recover().await.unwrap();
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_caller_fixed_by_hand_is_reported_and_undone() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let lab = fixture.lab.clone();
    let played = play(fixture.run(loaded(STALE)), move |event| {
        if matches!(&event.kind, EventKind::StepFinished(step) if step.result.name == "observe") {
            lab.set_named_key("batch", Some("apikey-v2"), &by_hand()).unwrap();
        }
        Ok(())
    })
    .await;
    assert_eq!(played.notices(), ["caller batch apikey-v1 > apikey-v2: changed by anna (lab key align)"]);
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_run_begins_with_the_keys_that_the_lab_has() {
    let fixture = Fixture::new();
    fixture.engine.alter("app", &ServiceChange::env(lab_core::engine::KEY_VARIABLE, "apikey-v7")).unwrap();
    let played = fixture
        .play(loaded(
            "title: T\nkind: part\ncallers: { web: {}, old: { key: apikey-v1 } }\nsteps:\n  - traffic: { requests: 4 }\n",
        ))
        .await;
    let EventKind::RunStarted(started) = &played.events[0].kind else { panic!("{:?}", played.events[0]) };
    let Keys { callers, .. } = &started.keys;
    assert_eq!((callers["web"].as_str(), callers["old"].as_str()), ("apikey-v7", "apikey-v1"));
    assert_eq!(played.step("traffic").callers["web"].codes["200"], 2);
}

/// The mock engine's app is stopped, so every attempt gets a 502.
#[tokio::test(start_paused = true)]
async fn requests_and_attempts_are_counted_apart() {
    let fixture = Fixture::new();
    let played = fixture
        .play(loaded(
            "
title: T
kind: part
callers: { web: { retries: 2, backoff: 100ms }, batch: {} }
steps:
  - { traffic: { requests: 10 }, expect: { attempts: 10, sent: 10 } }
  - stop: app
  - name: broken
    traffic: { requests: 10, connections: 10 }
    expect: { sent: 10, failed: \"100%\", attempts: 20, caller.web.attempts: 15, caller.batch.attempts: 5 }
",
        ))
        .await;
    assert_eq!(played.finished().status, Status::Passed, "{}", played.text());
    let step = played.step("broken");
    let counts = |name: &str| (step.callers[name].sent, step.callers[name].attempts);
    assert_eq!(
        (step.sent, step.attempts, counts("web"), counts("batch")),
        (Some(10), Some(20), (5, Some(15)), (5, None))
    );
    assert_eq!(played.step("traffic").attempts, None, "as many as requests");
}
