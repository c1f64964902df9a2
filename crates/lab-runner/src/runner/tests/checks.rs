//! Checks outside of a run's steps, waiting for a person, and where `--until` stops.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Checks, Until, check as execute};
use super::support::*;
use crate::runner::Interrupt;
use lab_core::event::Phase::{self, Baseline, Inject, Observe, Remedy, Verify};
use lab_core::event::{EventKind, Status};
use lab_scenario::Plan;
use lab_testkit::wire::MockWire;

/// The server's key is rotated, and a person has to align the caller's.
const PERSON: &str = "
title: Wait
kind: part
steps:
  - rotate_key: { server: apikey-v2 }
  - { name: person, phase: remedy, wait_for: { resolved: true, TIMEOUT } }
resolved_check:
  - check: { path: /api/users }
  - check: { path: /api/users, key: apikey-v1, status: 401 }
";

fn person(timeout: &str) -> Plan {
    loaded(&PERSON.replace("TIMEOUT", timeout))
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_until_a_person_has_fixed_the_incident() {
    let fixture = Fixture::new();
    let lab = fixture.lab.clone();
    let played = play(fixture.run(person("timeout: 20m")), move |event| {
        if matches!(&event.kind, EventKind::StepStarted(step) if step.name == "person") {
            let lab = lab.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(7)).await;
                // The run does not hold the lock while it waits.
                let _change = lab.try_lock_change("lab key align").unwrap();
                lab.set_caller_key(V2, &by_hand()).unwrap();
            });
        }
        Ok(())
    })
    .await;
    let step = played.step("person");
    assert_eq!(step.status, Status::Passed, "{}", played.text());
    // At once after the change, not at the next poll.
    let detail = step.detail.as_deref().unwrap_or_default();
    assert!(detail.starts_with("the resolved check passes after 7."), "{detail}");
    let notices = played.notices();
    assert!(
        notices.iter().any(|notice| notice.contains("caller apikey-v1 > apikey-v2: changed by anna")),
        "{notices:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_person_ends_at_the_deadline_with_what_is_wrong() {
    let fixture = Fixture::new();
    let played = fixture.play(person("timeout: 12s")).await;
    let step = played.step("person");
    assert_eq!(step.status, Status::Failed);
    let [failed, passed] = &step.expectations[..] else { panic!("{step:?}") };
    assert_eq!(failed.expected, "GET /api/users is 200 within 12s");
    assert_eq!(failed.observed_text, "check.status: expected == 200, observed 401");
    assert!(passed.passed && !failed.passed);
    assert_eq!(step.detail.as_deref(), Some("1 of 2 resolved checks fail at last"));
}

#[tokio::test(start_paused = true)]
async fn a_check_changes_nothing_and_names_what_is_wrong() {
    let fixture = Fixture::new();
    let plan = loaded(
        "
title: T
kind: part
callers: { web: {}, batch: { key: old } }
steps: [{ wait: 1s }]
resolved_check:
  - check: { path: /api/users, caller: web }
  - check: { path: /api/users, caller: batch }
  - { traffic: { requests: 4, callers: [web] }, expect: { status.200: \"100%\" } }
",
    );
    let before = fixture.whole();
    let checks = Checks {
        lab: fixture.lab.clone(),
        engine: Arc::new(fixture.engine.clone()),
        wire: Arc::new(MockWire::new(fixture.engine.clone())),
        interrupt: Interrupt::new(),
    };
    let results = execute(checks, &plan, &plan.claims.resolved_check).await;
    let passed: Vec<bool> = results.iter().map(super::super::CheckResult::passed).collect();
    assert_eq!(passed, [true, false, true], "{results:?}");
    assert_eq!(results[1].reasons(), ["check.status: expected == 200, observed 401"]);
    assert_eq!(fixture.whole(), before);
    assert!(!fixture.log_exists());
}

#[test]
fn a_phase_ends_before_the_first_step_of_a_later_one() {
    let phases = |phases: &[Phase]| -> Vec<lab_scenario::Step> {
        phases.iter().map(|phase| step(phase.name(), *phase, align())).collect()
    };
    let blind = phases(&[Baseline, Inject, Observe, Observe, Remedy, Observe, Remedy, Verify]);
    let last = |phase| Until::Phase(phase).last_step(&blind);
    assert_eq!(
        [Baseline, Inject, Observe, Remedy, Verify].map(last),
        [Some(0), Some(1), Some(3), Some(6), Some(7)],
        "a step of an earlier phase does not end it"
    );
    assert_eq!(Until::Phase(Remedy).last_step(&blind[..4]), None);
    assert_eq!(Until::Step("observe".to_owned()).last_step(&blind), Some(5));
}
