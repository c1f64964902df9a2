//! Somebody else changes the lab while a run is on: that is told, and judged by nobody.

use std::time::Duration;

use super::support::*;
use crate::engine::{KEY_VARIABLE, RunState, ServiceChange};
use crate::error::Exit;
use crate::event::{EventKind, Phase};
use crate::scenario::plan::{Action, Kind, Verb};

#[tokio::test(start_paused = true)]
async fn a_change_by_somebody_else_is_told_once() {
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
                    lab.set_caller_key("apikey-v9").unwrap();
                    engine.alter("app", &ServiceChange::env(KEY_VARIABLE, "apikey-v9")).unwrap();
                });
            }
            EventKind::StepFinished(step) if step.name == "stop" => {
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
    assert_eq!(played.outcome.exit, Exit::Held);
    // What the run did not change is not the run's to put back. The caller's key is: the run changed the server's.
    assert_eq!(fixture.engine.state()["gateway"].0, RunState::Stopped);
    assert_eq!(fixture.lab.caller_key().unwrap(), "apikey-v1");
}

#[tokio::test(start_paused = true)]
async fn the_runs_own_changes_are_no_news() {
    let fixture = Fixture::new();
    assert_eq!(fixture.play(rotate_key()).await.notices(), Vec::<&str>::new());
}
