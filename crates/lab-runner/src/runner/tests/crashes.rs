//! The run dies without a word, after any of its events: `recover` makes the lab what it was. A sink that panics stands for
//! the SIGKILL: the run goes no further, and nothing in it does any clearing up.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use super::support::*;
use crate::lab::Record;
use crate::runner::{Interrupt, Run, run};
use crate::undo::{self, Before, UndoLog, record_new_lab};
use lab_core::engine::{Engine, KEY_VARIABLE, ServiceChange};
use lab_core::event::{Phase, UndoOutcome, UndoTarget};
use lab_scenario::plan::{Kind, Plan, Verb};
use lab_scenario::{LoadOptions, Source, library, load};
use lab_testkit::engine::MockEngine;

fn rich() -> Plan {
    let steps = vec![
        step("debug", Phase::Inject, set_env("LOG_LEVEL", "debug")),
        step("freeze", Phase::Inject, verb(Verb::Pause, "db")),
        step("observe", Phase::Observe, traffic(2)),
        step("thaw", Phase::Remedy, verb(Verb::Unpause, "db")),
        step("rotate", Phase::Inject, rotate(V2)),
        step("realign", Phase::Remedy, align()),
        step("restart", Phase::Inject, verb(Verb::Stop, "app")),
        step("close", Phase::Inject, verb(Verb::Stop, "gateway")),
        step("freeze-again", Phase::Inject, verb(Verb::Pause, "db")),
    ];
    plan(Kind::Incident, steps)
}

/// Dies right after the event of this index; says whether it came so far.
async fn dies(of: Run, index: usize) -> bool {
    let mut seen = 0;
    let life = run(of, |_| {
        assert!(seen != index, "SIGKILL");
        seen += 1;
        Ok(())
    });
    AssertUnwindSafe(life).catch_unwind().await.is_err()
}

/// Dies after every event in turn, each time in a lab of its own; how many there were.
async fn dies_everywhere(plan: &Plan, lost: bool) -> usize {
    let name = &plan.name;
    let mut index = 0;
    loop {
        let fixture = Fixture::new();
        let before = fixture.whole();
        let died = dies(fixture.run(plan.clone()), index).await;
        if lost {
            fixture.engine.lose();
        }
        let owed = fixture.log_exists();
        let undo = fixture.recover().await.unwrap();
        assert_eq!(undo.status, UndoOutcome::Complete, "{name} {index}: {undo:?}");
        if owed || !lost {
            assert_eq!(fixture.whole(), before, "{name} died at {index}, the stack lost: {lost}");
        }
        assert!(!fixture.log_exists());
        // Once more is harmless.
        assert_eq!(fixture.recover().await.unwrap().items, []);
        if !died {
            return index;
        }
        index += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn after_any_event_recover_restores_the_lab() {
    for (plan, lost) in [(rich(), false), (rich(), true), (everything(), false), (everything(), true)] {
        let events = dies_everywhere(&plan, lost).await;
        assert!(events > 20, "the run has more events than {events}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_any_event_of_any_scenario_recover_restores_the_lab() {
    for name in library::names() {
        let options = LoadOptions { short: true, ..LoadOptions::default() };
        let plan = load(&Source::Library(name.to_owned()), &options).unwrap();
        let events = dies_everywhere(&plan, false).await;
        assert!(events > 3, "{name} has more events than {events}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_any_event_of_a_run_in_its_own_lab_recover_leaves_nothing() {
    let mut index = 0;
    loop {
        let mut fixture = Fixture::new();
        fixture.lab = fixture.state.lab("run-7f3a").unwrap();
        record_new_lab(&fixture.lab, "20261124T101530Z-7f3a", "rotate-key").unwrap();
        fixture.lab.save(&Record::new("mock", 0)).unwrap();
        let mut of = fixture.run(rotate_key());
        of.owned = true;
        let died = dies(of, index).await;
        fixture.recover().await.unwrap();
        assert!(!fixture.engine.is_up() && !fixture.lab.folder().root().exists(), "died at {index}");
        if !died {
            break;
        }
        index += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lab_that_was_announced_and_never_made_is_forgotten() {
    let mut fixture = Fixture::new();
    fixture.engine = MockEngine::new();
    fixture.lab = fixture.state.lab("run-7f3a").unwrap();
    record_new_lab(&fixture.lab, "20261124T101530Z-7f3a", "rotate-key").unwrap();
    assert_eq!(fixture.recover().await.unwrap().items[0].target, UndoTarget::Lab);
    assert!(!fixture.lab.folder().root().exists());
}

#[tokio::test(start_paused = true)]
async fn a_recover_that_dies_at_any_of_its_events_can_be_done_again() {
    for index in 0..6 {
        let fixture = Fixture::new();
        let before = fixture.whole();
        let mut of = fixture.run(rich());
        of.keep = true;
        run(of, |_| Ok(())).await;
        let engine: Arc<dyn Engine> = Arc::new(fixture.engine.clone());
        let (interrupt, mut seen) = (Interrupt::new(), 0);
        let recovery = undo::recover(&fixture.lab, &engine, interrupt.give_up(), |_| {
            assert!(seen != index, "SIGKILL");
            seen += 1;
        });
        assert!(AssertUnwindSafe(recovery).catch_unwind().await.is_err(), "{index}");
        assert!(fixture.log_exists());
        fixture.recover().await.unwrap();
        assert_eq!(fixture.whole(), before, "died at {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_change_was_never_made_is_harmless() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut log = UndoLog::begin(&fixture.lab, "run", "rotate-key").unwrap();
    let state = ServiceChange::env(KEY_VARIABLE, V1);
    log.record(Before::Service { service: "app".to_owned(), state }).unwrap();
    log.record(Before::CallerKey { key: V1.to_owned() }).unwrap();
    drop(log);
    let undo = fixture.recover().await.unwrap();
    assert_eq!((undo.status, undo.items.len()), (UndoOutcome::Complete, 2));
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_in_the_middle_of_a_change_leaves_no_half_of_it() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let life = run(fixture.run(rotate_key()), |_| Ok(()));
    // Between the beginning and the end of the redeploy.
    let died = tokio::time::timeout(std::time::Duration::from_secs(2), life).await;
    assert!(died.is_err());
    // The change is not made yet, and what was before it is on disk.
    assert_eq!(fixture.whole(), before);
    assert!(fixture.log_exists());
    fixture.recover().await.unwrap();
    assert_eq!(fixture.whole(), before);
}
