//! A service that hangs, seen by traffic in the background: what is open when a step ends goes on, and counts where it ends.

use std::time::Duration;

use super::support::*;
use crate::runner::Signal;
use crate::runner::clock::Clock;
use crate::runner::expectation::Measurements;
use crate::runner::outage::{AttemptedChange, OutageTracker};
use crate::runner::traffic_results::TrafficResults;
use lab_core::event::{CallerResult, EventKind, Phase, Status, StepResult};
use lab_scenario::plan::Kind;
use lab_traffic::{Cause, Summary};

fn users(step: &StepResult) -> &CallerResult {
    &step.background["users"]
}

fn steps(played: &Played) -> impl Iterator<Item = &StepResult> {
    played.events.iter().filter_map(|event| match &event.kind {
        EventKind::StepFinished(step) => Some(&step.result),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_hang_shows_in_background_traffic() {
    let text = |kind: &str| {
        format!(
            "title: T\nkind: {kind}\nsteps:\n  \
             - {{ name: users, background: {{ rate: 10, connections: 20, timeout: 1s }} }}\n  \
             - {{ name: calm, wait: 1s }}\n  - {{ name: freeze, pause: gateway }}\n  \
             - {{ name: w1, wait: 600ms }}\n  - {{ name: w2, wait: 600ms }}\n  - {{ name: w3, wait: 600ms }}\n  \
             - {{ name: thaw, unpause: gateway }}\n  - {{ name: after, wait: 2s }}\n"
        )
    };
    let played = Fixture::new().play(loaded(&text("practice"))).await;
    let reason = played.finished().reason.as_deref().unwrap();
    assert!(reason.ends_with("requests failed; none may fail"), "{reason}");
    let played = Fixture::new().play(loaded(&text("incident"))).await;
    assert_eq!((played.finished().status, &played.finished().reason), (Status::Passed, &None), "{}", played.text());
    // Each in the step in which its time was up: those of w1 beside w2.
    assert_eq!(played.step("w1").background.get("users").map_or(0, |slice| slice.failed_requests), 0);
    for name in ["w2", "w3", "after"] {
        assert!(users(played.step(name)).errors["timeout"] > 0, "{name}: {}", played.text());
    }
    for step in steps(&played) {
        let answered: u64 = step.background.values().flat_map(|slice| slice.codes.values()).sum();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let answered = answered as f64;
        assert_eq!(step.deltas["app_requests_total"], Some(answered), "{}", step.name);
    }
    let failed: u64 = steps(&played).flat_map(|step| step.background.values()).map(|slice| slice.failed_requests).sum();
    let outage = played.finished().outage.unwrap();
    assert_eq!(outage.failed_requests, failed);
    assert!(outage.recovered_at.unwrap() >= played.step("thaw").elapsed, "{outage:?}");
}

const ENDS_IN_IT: &str = r"
title: It ends while it hangs
steps:
  - { name: users, background: { rate: 10, connections: 20, timeout: 10s } }
  - { name: calm, wait: 1s }
  - { name: freeze, pause: gateway }
  - { name: w1, wait: 1s }
  - { name: target, wait: 500ms }
";

#[tokio::test(start_paused = true)]
async fn after_the_last_step_what_is_open_is_waited_for() {
    let played = Fixture::new().play(loaded(ENDS_IN_IT)).await;
    assert_eq!((played.finished().status, &played.finished().reason), (Status::Passed, &None), "{}", played.text());
    let last = played.step("target");
    assert!(users(last).errors["timeout"] >= 14, "{}", played.text());
    assert!((10.0..11.0).contains(&last.duration), "{}", last.duration);
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_that_wait() {
    let fixture = Fixture::new();
    let run = fixture.run(loaded(ENDS_IN_IT));
    let interrupt = run.interrupt.clone();
    let played = play(run, move |event| {
        if matches!(&event.kind, EventKind::StepStarted(step) if step.name == "target") {
            let interrupt = interrupt.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                interrupt.raise(Signal::Interrupt);
            });
        }
        Ok(())
    });
    let played = played.await;
    assert_eq!(played.finished().status, Status::Interrupted);
    let last = played.step("target");
    assert!((2.0..2.5).contains(&last.duration), "{}", last.duration);
}

#[tokio::test]
async fn what_started_during_a_fault_and_failed_after_it_is_an_effect() {
    let clock = Clock::start();
    let saw = |at: f64, sent: u64, failed: u64| {
        let first_failure = (failed > 0).then_some(Duration::ZERO);
        let errors = first_failure.map(|_| (Cause::Timeout, failed)).into_iter().collect();
        let codes = [(200, sent - failed)].into();
        let summary =
            Summary { sent, codes, errors, first_failure, last_failure: first_failure, ..Summary::new(clock.at(at)) };
        Measurements { traffic: Some(TrafficResults::new(None, summary)), ..Measurements::default() }
    };
    let change = |begun| AttemptedChange { begun, attempted: true, changed: true };
    for (started, seen) in [(1.5, true), (2.5, false)] {
        let mut tracker = OutageTracker::new(Kind::Incident, clock);
        tracker.add(&step("stall", Phase::Inject, rotate(V2)), &change(1.0), saw(1.0, 3, 0));
        tracker.add(&step("fix", Phase::Remedy, align()), &change(2.0), saw(started, 4, 4));
        let nothing = "no effect: none of the 3 requests after stall failed";
        assert_eq!(tracker.problem(true).as_deref(), (!seen).then_some(nothing), "{started}");
    }
}
