//! Manual changes of the lab during a run: they are reported and do not affect the outcome. The run's own changes
//! are not reported as manual ones, even if the lab could not be observed after them.

use std::time::Duration;

use super::support::*;
use crate::lab::revisions::Author;
use crate::runner::Signal;
use lab_core::engine::{EngineError, EngineErrorKind, KEY_VARIABLE, RunState, ServiceChange};
use lab_core::error::Exit;
use lab_core::event::{EventKind, Phase, Status};
use lab_scenario::plan::{Action, Change, Kind, Plan, Verb};
use lab_testkit::engine::Script;

#[tokio::test(start_paused = true)]
async fn a_manual_change_is_reported_once() {
    let fixture = Fixture::new();
    let steps = vec![
        step("rotate", Phase::Inject, rotate(V2)),
        step("think", Phase::Observe, Action::Wait(Duration::from_secs(2))),
        step("stop", Phase::Inject, verb(Verb::Stop, "db")),
        step("observe", Phase::Observe, traffic(2)),
    ];
    let (engine, lab) = (fixture.engine.clone(), fixture.lab.clone());
    let played = play(fixture.run(plan(Kind::Incident, steps)), move |event| {
        let (engine, lab) = (engine.clone(), lab.clone());
        match &event.kind {
            EventKind::StepStarted(step) if step.name == "think" => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    lab.set_caller_key("apikey-v9", &Author::Found).unwrap();
                    engine.alter("app", &ServiceChange::env(KEY_VARIABLE, "apikey-v9")).unwrap();
                });
            }
            EventKind::StepFinished(step) if step.result.name == "stop" => {
                engine.alter("gateway", &ServiceChange::run(RunState::Stopped)).unwrap();
            }
            _ => {}
        }
        Ok(())
    })
    .await;
    assert_eq!(
        played.notices(),
        [
            "server key is now apikey-v9: changed outside this run",
            "caller key is now apikey-v9: changed outside this run",
            "gateway is now stopped: changed outside this run",
        ]
    );
    // An instance that went away without a last scrape makes the increase unknown, not 0.
    assert!(played.step("think").deltas.values().all(Option::is_none));
    assert_eq!(played.outcome.exit, Exit::Passed);
    // What the run did not change is not the run's to put back. The caller's key is: the run changed the server's.
    assert_eq!(fixture.engine.state()["gateway"].0, RunState::Stopped);
    assert_eq!(fixture.lab.caller_key().unwrap(), "apikey-v1");
}

#[tokio::test(start_paused = true)]
async fn the_runs_own_changes_are_not_reported() {
    let fixture = Fixture::new();
    assert_eq!(fixture.play(rotate_key()).await.notices(), Vec::<&str>::new());
}

/// Runs a step while the daemon stops answering in the middle of it, until the step is over; then one that only waits.
async fn unobserved(fixture: &Fixture, action: Action, after: Action) -> Played {
    let steps = vec![
        step("baseline", Phase::Baseline, Action::Wait(Duration::from_secs(1))),
        step("change", Phase::Inject, action),
        step("after", Phase::Observe, after),
    ];
    let engine = fixture.engine.clone();
    play(fixture.run(plan(Kind::Practice, steps)), move |event| {
        match &event.kind {
            EventKind::StepStarted(step) if step.name == "change" => {
                let engine = engine.clone();
                tokio::spawn(async move {
                    // In the middle of the change, which takes 0.1 s.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    engine.set_hidden(Some(EngineError::new(EngineErrorKind::Unreachable, "the daemon is silent")));
                });
            }
            EventKind::StepFinished(step) if step.result.name == "change" => engine.set_hidden(None),
            _ => {}
        }
        Ok(())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn own_changes_are_not_reported_after_a_failed_observation() {
    let unset = [(KEY_VARIABLE.to_owned(), None)].into();
    let unset = ServiceChange { env: unset, ..ServiceChange::default() };
    let unset = Change { verb: Verb::SetEnv, service: "app".to_owned(), change: unset, rolled_back: false };
    let key = ServiceChange::env(KEY_VARIABLE, V2);
    let deployed = Change { verb: Verb::SetEnv, service: "app".to_owned(), change: key, rolled_back: true };
    for action in [
        rotate(V2),
        verb(Verb::Stop, "gateway"),
        verb(Verb::Kill, "app"),
        verb(Verb::Pause, "db"),
        Action::Change(unset),
        Action::Change(deployed),
    ] {
        let name = format!("{action:?}");
        let fixture = Fixture::new();
        let played = unobserved(&fixture, action, Action::Wait(Duration::from_secs(1))).await;
        assert!(played.step("change").deltas.values().all(Option::is_none), "it was not observed: {name}");
        assert_eq!(played.notices(), Vec::<&str>::new(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn manual_changes_are_reported_after_a_failed_observation() {
    let fixture = Fixture::new();
    let (engine, lab) = (fixture.engine.clone(), fixture.lab.clone());
    tokio::spawn(async move {
        // While nobody observes, and while the last step waits.
        tokio::time::sleep(Duration::from_millis(1075)).await;
        lab.set_caller_key("apikey-v9", &Author::Found).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        engine.alter("gateway", &ServiceChange::run(RunState::Paused)).unwrap();
    });
    let played = unobserved(&fixture, rotate(V2), Action::Wait(Duration::from_secs(3))).await;
    assert_eq!(
        played.notices(),
        ["caller key is now apikey-v9: changed outside this run", "gateway is now paused: changed outside this run"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_change_is_not_attributed_to_others() {
    let fixture = Fixture::new();
    let failed = EngineError::new(EngineErrorKind::Unreachable, "the daemon is silent");
    fixture.engine.script("app", Script::FailAfter(failed));
    let plan = Plan {
        finally: vec![step("look", Phase::Observe, Action::Wait(Duration::from_secs(1)))],
        ..plan(Kind::Incident, vec![step("rotate", Phase::Inject, rotate(V2))])
    };
    let engine = fixture.engine.clone();
    let played = play(fixture.run(plan), move |event| {
        match &event.kind {
            EventKind::StepStarted(step) if step.name == "rotate" => {
                let engine = engine.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    engine.set_hidden(Some(EngineError::new(EngineErrorKind::Unreachable, "the daemon is silent")));
                });
            }
            EventKind::StepFinished(step) if step.result.name == "rotate" => engine.set_hidden(None),
            _ => {}
        }
        Ok(())
    })
    .await;
    assert_eq!(played.notices(), Vec::<&str>::new());
    assert_eq!(played.outcome.exit, Exit::Failed);
    assert_eq!(fixture.engine.state()["app"].1[KEY_VARIABLE], V1, "undone");
}

#[tokio::test(start_paused = true)]
async fn after_an_interrupted_change_finally_does_not_attribute_it_to_others() {
    let fixture = Fixture::new();
    let plan = Plan {
        finally: vec![step("look", Phase::Observe, Action::Wait(Duration::from_secs(1)))],
        ..plan(Kind::Incident, vec![step("rotate", Phase::Inject, rotate(V2))])
    };
    let run = fixture.run(plan);
    let interrupt = run.interrupt.clone();
    let played = play(run, move |event| {
        if matches!(&event.kind, EventKind::StepStarted(step) if step.name == "rotate") {
            let interrupt = interrupt.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                interrupt.raise(Signal::Interrupt);
            });
        }
        Ok(())
    })
    .await;
    assert_eq!(played.step("look").status, Status::Passed, "{}", played.text());
    assert_eq!(played.notices(), Vec::<&str>::new());
}
