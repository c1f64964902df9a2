//! Ctrl-C in every kind of step: before it and during it, once and twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::*;
use crate::runner::{Interrupt, Signal};
use lab_core::error::Exit;
use lab_core::event::{EventKind, Phase, Status, UndoOutcome};
use lab_scenario::plan::{Action, Command, Comparator, Condition, Kind, Plan, Verb, WaitFor};
use lab_testkit::engine::Script;

/// Every kind of step, after changes that are to be put back.
fn plans() -> Vec<Plan> {
    let actions = [
        traffic(40),
        rotate("apikey-v3"),
        align(),
        set_env("LOG_LEVEL", "debug"),
        verb(Verb::Stop, "db"),
        verb(Verb::Start, "gateway"),
        verb(Verb::Kill, "db"),
        verb(Verb::Pause, "db"),
        verb(Verb::Unpause, "gateway"),
        Action::Wait(Duration::from_secs(5)),
        check("/health", 200),
        Action::CallerKey { key: "apikey-v3".to_owned(), callers: Vec::new() },
        Action::WaitFor(WaitFor {
            what: Condition::Metrics(
                step("x", Phase::Verify, traffic(1))
                    .expects(0, delta("app_requests_total"), Comparator::Greater, 1000.0)
                    .expect,
            ),
            timeout: Duration::from_secs(20),
            every: Duration::from_millis(500),
        }),
        Action::Run(Command {
            command: vec!["sleep".to_owned(), "20".to_owned()],
            folder: None,
            env: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            exit_code: 0,
        }),
    ];
    let around = |action| {
        let steps = vec![
            step("rotate", Phase::Inject, rotate(V2)),
            step("close", Phase::Inject, verb(Verb::Pause, "gateway")),
            step("target", Phase::Observe, action),
            step("never", Phase::Verify, traffic(2)),
        ];
        plan(Kind::Incident, steps)
    };
    actions.map(around).into()
}

/// Raises signals when the step `target` starts, or some time after it.
fn raise_at(interrupt: &Interrupt, event: &EventKind, after: Duration, times: usize) {
    if !matches!(event, EventKind::StepStarted(step) if step.name == "target") {
        return;
    }
    let interrupt = interrupt.clone();
    let raise = move || (0..times).for_each(|_| interrupt.raise(Signal::Interrupt));
    if after.is_zero() {
        return raise();
    }
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        raise();
    });
}

#[tokio::test(start_paused = true)]
async fn one_signal_stops_the_step_and_puts_everything_back() {
    for plan in plans() {
        for after in [Duration::ZERO, Duration::from_millis(50)] {
            let fixture = Fixture::new();
            let before = fixture.whole();
            let action = plan.steps[2].action.name();
            let key_of_a_caller = matches!(plan.steps[2].action, Action::CallerKey { .. });
            let run = fixture.run(plan.clone());
            let interrupt = run.interrupt.clone();
            let played = play(run, move |event| {
                raise_at(&interrupt, &event.kind, after, 1);
                Ok(())
            })
            .await;
            let seen = (played.outcome.exit, played.outcome.status, played.outcome.undo);
            assert_eq!(seen, (Exit::Interrupted, Status::Interrupted, UndoOutcome::Complete), "{action} {after:?}");
            // To align keys takes no time: there is nothing to interrupt.
            if after.is_zero() || !(action == "align_key" || key_of_a_caller) {
                assert_eq!(played.step("target").status, Status::Interrupted, "{action} {after:?}");
                assert!(!played.text().contains("never:"), "{action}: a step ran after the signal");
            }
            assert_eq!(fixture.whole(), before, "{action} {after:?}");
            assert!(!fixture.log_exists(), "{action} {after:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_signals_leave_the_undo_pending_for_recover() {
    for plan in plans() {
        for after in [Duration::ZERO, Duration::from_millis(50)] {
            let fixture = Fixture::new();
            let before = fixture.whole();
            let action = plan.steps[2].action.name();
            let run = fixture.run(plan.clone());
            let interrupt = run.interrupt.clone();
            let played = play(run, move |event| {
                raise_at(&interrupt, &event.kind, after, 2);
                Ok(())
            })
            .await;
            assert_eq!(played.outcome.exit, Exit::UndoIncomplete, "{action} {after:?}");
            assert!(fixture.log_exists(), "{action} {after:?}");
            assert!(played.finished().undo.items.iter().any(|item| item.error.is_some()), "{action} {after:?}");
            assert_eq!(fixture.recover().await.unwrap().status, UndoOutcome::Complete);
            assert_eq!(fixture.whole(), before, "{action} {after:?}");
            assert!(!fixture.log_exists(), "{action} {after:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_puts_back_also_what_was_to_be_kept() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut plan = rotate_key();
    plan.steps[2].name = "target".to_owned();
    let mut run = fixture.run(plan);
    run.keep = true;
    let interrupt = run.interrupt.clone();
    let played = play(run, move |event| {
        raise_at(&interrupt, &event.kind, Duration::from_secs(1), 1);
        Ok(())
    })
    .await;
    assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::Interrupted, UndoOutcome::Complete));
    assert_eq!(played.step("target").sent, Some(20), "what was sent before the signal is told");
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_signal_before_the_first_step_runs_nothing() {
    let fixture = Fixture::new();
    let run = fixture.run(rotate_key());
    run.interrupt.raise(Signal::Terminate);
    let played = play(run, |_| Ok(())).await;
    assert_eq!((played.outcome.exit, played.events.len()), (Exit::Terminated, 2));
}

#[tokio::test(start_paused = true)]
async fn a_signal_during_the_undo_does_not_stop_it_but_a_second_one_does() {
    for (signals, exit, outcome) in
        [(1, Exit::Interrupted, UndoOutcome::Complete), (2, Exit::UndoIncomplete, UndoOutcome::Incomplete)]
    {
        let fixture = Fixture::new();
        let before = fixture.whole();
        let run = fixture.run(rotate_key());
        let (interrupt, engine) = (run.interrupt.clone(), fixture.engine.clone());
        let played = play(run, move |event| {
            if matches!(event.kind, EventKind::UndoStarted { .. }) {
                engine.script("app", Script::Slow(Duration::from_millis(1200)));
                let interrupt = interrupt.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    (0..signals).for_each(|_| interrupt.raise(Signal::Interrupt));
                });
            }
            Ok(())
        })
        .await;
        assert_eq!((played.outcome.exit, played.outcome.undo), (exit, outcome));
        // The second signal does not wait for a step back that takes long.
        let undo = played.events.iter().find(|event| matches!(event.kind, EventKind::UndoStarted { .. })).unwrap();
        let took = played.finished().duration - undo.elapsed;
        assert_eq!(took > 1.2, signals == 1, "{took}");
        fixture.recover().await.unwrap();
        assert_eq!(fixture.whole(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_under_way_is_carried_to_its_end_before_the_undo() {
    let fixture = Fixture::new();
    fixture.engine.script("app", Script::Slow(Duration::from_secs(5)));
    let mut plan = rotate_key();
    plan.steps[1].name = "target".to_owned();
    let run = fixture.run(plan);
    let interrupt = run.interrupt.clone();
    let played = play(run, move |event| {
        raise_at(&interrupt, &event.kind, Duration::from_secs(1), 1);
        Ok(())
    })
    .await;
    insta::assert_snapshot!("interrupted_change", played.text());
}
