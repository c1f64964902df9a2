//! Table of all plans, and their execution.

use super::*;
use crate::engine::EngineErrorKind;

const OBSERVED: [Observed; 5] =
    [Observed::Absent, Observed::Stopped, Observed::Failed, Observed::Running, Observed::Paused];
const RUN: [Option<RunState>; 4] = [None, Some(RunState::Running), Some(RunState::Paused), Some(RunState::Stopped)];

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Start => "start",
        Operation::Create => "create",
        Operation::Replace => "replace",
        Operation::Configure => "configure",
        Operation::Stop { abrupt: false } => "stop",
        Operation::Stop { abrupt: true } => "kill",
        Operation::Pause => "pause",
        Operation::Unpause => "unpause",
        Operation::Settle => "settle",
        Operation::Acknowledge => "acknowledge",
    }
}

fn text(plan: &Plan) -> String {
    let operations: Vec<_> = plan.operations.iter().copied().map(name).collect();
    let rollback = plan.rollback.map(|operation| format!(" / {}", name(operation))).unwrap_or_default();
    format!("{}{rollback}", operations.join(" "))
}

fn all_desired() -> impl Iterator<Item = Desired> {
    RUN.into_iter().flat_map(|run| {
        [false, true].into_iter().flat_map(move |abrupt| [false, true].map(|new_env| Desired { run, abrupt, new_env }))
    })
}

/// Each row: observed state, desired run state, plan with the same environment, plan with a new one.
#[test]
fn every_combination_has_its_plan() {
    use Observed::{Absent, Failed, Paused, Running, Stopped};
    let table = [
        (Absent, None, "", "configure"),
        (Absent, Some(RunState::Running), "create settle", "create settle"),
        (Absent, Some(RunState::Paused), "create settle pause", "create settle pause"),
        (Absent, Some(RunState::Stopped), "", "configure"),
        (Stopped, None, "", "configure"),
        (Stopped, Some(RunState::Running), "start settle", "create settle"),
        (Stopped, Some(RunState::Paused), "start settle pause", "create settle pause"),
        (Stopped, Some(RunState::Stopped), "", "configure"),
        (Failed, None, "", "configure"),
        (Failed, Some(RunState::Running), "start settle", "create settle"),
        (Failed, Some(RunState::Paused), "start settle pause", "create settle pause"),
        (Failed, Some(RunState::Stopped), "acknowledge", "acknowledge configure"),
        (Running, None, "", "replace settle"),
        (Running, Some(RunState::Running), "", "replace settle"),
        (Running, Some(RunState::Paused), "pause", "replace settle pause"),
        (Running, Some(RunState::Stopped), "stop", "stop configure"),
        (Paused, None, "", "unpause replace settle pause / pause"),
        (Paused, Some(RunState::Running), "unpause settle", "unpause replace settle / pause"),
        (Paused, Some(RunState::Paused), "", "unpause replace settle pause / pause"),
        (Paused, Some(RunState::Stopped), "unpause stop", "unpause stop configure"),
    ];
    assert_eq!(table.len(), OBSERVED.len() * RUN.len());
    for (observed, run, same_env, new_env) in table {
        let desired = Desired { run, abrupt: false, new_env: false };
        assert_eq!(text(&plan(observed, desired)), same_env, "{observed:?} {run:?}");
        assert_eq!(
            text(&plan(observed, Desired { new_env: true, ..desired })),
            new_env,
            "{observed:?} {run:?} new env"
        );
        // An abrupt change only differs if it stops the service: it kills it, and does not resume it first.
        let killed = |text: &str| {
            if run == Some(RunState::Stopped) {
                text.replace("unpause stop", "stop").replace("stop", "kill")
            } else {
                text.to_owned()
            }
        };
        let abrupt = Desired { abrupt: true, ..desired };
        assert_eq!(text(&plan(observed, abrupt)), killed(same_env), "{observed:?} {run:?} abrupt");
        let abrupt = Desired { new_env: true, ..abrupt };
        assert_eq!(text(&plan(observed, abrupt)), killed(new_env), "{observed:?} {run:?} abrupt, new env");
    }
}

/// State that the operations lead to. Fails if an operation does not apply to the state before it.
fn simulate(observed: Observed, operations: &[Operation]) -> (Observed, bool) {
    operations.iter().fold((observed, false), |(state, configured), operation| match (operation, state) {
        (Operation::Start, Observed::Stopped | Observed::Failed) => (Observed::Running, configured),
        (Operation::Create, Observed::Absent | Observed::Stopped | Observed::Failed)
        | (Operation::Replace, Observed::Running) => (Observed::Running, true),
        (Operation::Configure, Observed::Absent | Observed::Stopped | Observed::Failed) => (Observed::Stopped, true),
        (Operation::Stop { .. }, Observed::Running)
        | (Operation::Stop { abrupt: true }, Observed::Paused)
        | (Operation::Acknowledge, Observed::Failed) => (Observed::Stopped, configured),
        (Operation::Pause, Observed::Running) => (Observed::Paused, configured),
        (Operation::Unpause, Observed::Paused) | (Operation::Settle, Observed::Running) => {
            (Observed::Running, configured)
        }
        (operation, state) => panic!("{operation:?} of a service that is {state:?}"),
    })
}

#[test]
fn every_plan_reaches_the_desired_state_and_is_empty_there() {
    for observed in OBSERVED {
        for desired in all_desired() {
            let plan = plan(observed, desired);
            let (state, configured) = simulate(observed, &plan.operations);
            let target = desired.run.unwrap_or(observed.run_state());
            assert_eq!(state.run_state(), target, "{observed:?} {desired:?}");
            assert!(configured || !desired.new_env, "{observed:?} {desired:?}");
            let again = super::plan(state, Desired { new_env: false, ..desired });
            assert_eq!(again, Plan::default(), "{observed:?} {desired:?}");
        }
    }
}

#[test]
fn a_plan_is_a_change_only_if_the_states_differ() {
    for observed in OBSERVED {
        for desired in all_desired() {
            let differs = desired.new_env || desired.run.is_some_and(|run| run != observed.run_state());
            assert_eq!(plan(observed, desired).is_change(), differs, "{observed:?} {desired:?}");
        }
    }
}

/// Executor that records the operations and fails at one of them.
struct Recorder {
    failing: Operation,
    executed: Vec<Operation>,
}

#[async_trait]
impl Execute for Recorder {
    async fn execute(&mut self, operation: Operation) -> Result<Option<Retired>, EngineError> {
        self.executed.push(operation);
        if operation == self.failing {
            return Err(EngineError::new(EngineErrorKind::Unhealthy, name(operation)));
        }
        let is_replaced = operation == Operation::Replace;
        Ok(is_replaced.then(|| Retired { instance: "app-1".to_owned(), exposition: None }))
    }
}

#[tokio::test]
async fn a_failed_redeploy_of_a_paused_service_pauses_it_again() {
    let plan = plan(Observed::Paused, Desired { new_env: true, ..Desired::default() });
    let mut recorder = Recorder { failing: Operation::Replace, executed: Vec::new() };
    assert_eq!(plan.run(&mut recorder).await.unwrap_err().detail, "replace");
    assert_eq!(recorder.executed, [Operation::Unpause, Operation::Replace, Operation::Pause]);
    let mut recorder = Recorder { failing: Operation::Create, executed: Vec::new() };
    let done = plan.run(&mut recorder).await.unwrap();
    assert!(done.changed);
    assert_eq!(done.retired.len(), 1);
    assert_eq!(recorder.executed, plan.operations);
}
