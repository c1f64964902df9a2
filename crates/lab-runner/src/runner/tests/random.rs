//! Whatever a run changes, in whatever order and from whatever state, is put back; also by `recover` after a crash.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::support::*;
use crate::runner::run;
use lab_core::engine::{KEY_VARIABLE, RunState, ServiceChange};
use lab_core::event::{Phase, UndoOutcome};
use lab_scenario::plan::{Action, Kind, Verb};

fn action() -> impl Strategy<Value = Action> {
    let service = prop::sample::select(vec!["gateway", "app", "db"]);
    let verbs = vec![Verb::Stop, Verb::Start, Verb::Kill, Verb::Pause, Verb::Unpause];
    prop_oneof![
        2 => "v[1-3]".prop_map(|key| rotate(&key)),
        1 => Just(align()),
        1 => ("[AB]", "[01]").prop_map(|(name, value)| set_env(&name, &value)),
        4 => (prop::sample::select(verbs), service).prop_map(|(of, service)| verb(of, service)),
        1 => Just(traffic(2)),
    ]
}

fn state() -> impl Strategy<Value = RunState> {
    prop_oneof![4 => Just(RunState::Running), 1 => Just(RunState::Paused), 1 => Just(RunState::Stopped)]
}

proptest! {
    #[test]
    fn the_lab_is_as_before(
        actions in prop::collection::vec(action(), 0..12),
        states in [state(), state(), state()],
        crash in prop::option::of(0usize..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new();
            fixture.engine.alter("app", &ServiceChange::env(KEY_VARIABLE, "v1")).unwrap();
            // An app whose database is down to begin with can be stopped, and never be redeployed again.
            let [app, gateway, db] = states;
            let app = if db == RunState::Running { app } else { RunState::Stopped };
            for (service, state) in [("app", app), ("gateway", gateway), ("db", db)] {
                fixture.engine.alter(service, &ServiceChange::run(state)).unwrap();
            }
            let before = fixture.whole();
            let name = |(index, action)| step(&format!("step-{index}"), Phase::Inject, action);
            let steps = actions.into_iter().enumerate().map(name).collect();
            let mut seen = 0;
            let life = run(fixture.run(plan(Kind::Part, steps)), |_| {
                assert!(Some(seen) != crash, "SIGKILL");
                seen += 1;
                Ok(())
            });
            match AssertUnwindSafe(life).catch_unwind().await {
                Ok(outcome) => assert_eq!(outcome.undo, UndoOutcome::Complete),
                Err(_) => assert_eq!(fixture.recover().await.unwrap().status, UndoOutcome::Complete),
            }
            assert_eq!(fixture.whole(), before);
            assert!(!fixture.log_exists());
        });
    }
}
