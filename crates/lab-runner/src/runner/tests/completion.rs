//! Ends of runs: kept faults, runs that stop after a step, temporary labs, and verdicts on whole runs.

use super::support::*;
use crate::lab::Record;
use crate::runner::Until;
use crate::undo::{pending, record_new_lab};
use lab_core::engine::EngineErrorKind;
use lab_core::error::Exit;
use lab_core::event::{Keys, Phase, Status, UndoOutcome};
use lab_scenario::plan::{Action, Kind, Plan, Traffic, Verb};
use lab_testkit::engine::Script;

#[tokio::test(start_paused = true)]
async fn a_kept_fault_is_not_pending_and_recover_undoes_it() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut run = fixture.run(rotate_key());
    run.keep = true;
    let played = play(run, |_| Ok(())).await;
    assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::Passed, UndoOutcome::Kept));
    let both = Keys { server: V2.to_owned(), caller: V2.to_owned(), ..Keys::default() };
    assert_eq!(played.finished().keys, Some(both));
    let kept = pending(&fixture.lab).unwrap().unwrap();
    assert!(kept.kept && kept.scenario == "rotate-key" && kept.records.len() == 2, "{kept:?}");

    assert_eq!(fixture.recover().await.unwrap().items.len(), 2);
    assert_eq!(fixture.whole(), before);
    assert_eq!(pending(&fixture.lab).unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_run_after_a_kept_one_undoes_only_its_own_changes() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut first = fixture.run(rotate_key());
    first.keep = true;
    play(first, |_| Ok(())).await;
    let kept = (fixture.whole(), pending(&fixture.lab).unwrap());

    let steps = vec![step("rotate", Phase::Inject, rotate("apikey-v3")), step("observe", Phase::Observe, traffic(2))];
    let mut second = fixture.run(plan(Kind::Incident, steps));
    second.id = "20261124T101530Z-0000".to_owned();
    let played = play(second, |_| Ok(())).await;
    assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::Passed, UndoOutcome::Complete));
    assert_eq!((fixture.whole(), pending(&fixture.lab).unwrap()), kept);

    fixture.recover().await.unwrap();
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn until_stops_after_a_step_or_a_phase_and_leaves_the_lab_so() {
    for until in [Until::Step("rotate-key".to_owned()), Until::Phase(Phase::Inject)] {
        let fixture = Fixture::new();
        let mut run = fixture.run(rotate_key());
        run.until = Some(until);
        let played = play(run, |_| Ok(())).await;
        assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::Passed, UndoOutcome::Kept));
        insta::assert_snapshot!("until", played.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_reach_until_is_undone() {
    let fixture = Fixture::new();
    let before = fixture.whole();
    let mut run = fixture.run(rotate_key());
    run.until = Some(Until::Phase(Phase::Remedy));
    let interrupt = run.interrupt.clone();
    let played = play(run, move |event| {
        if event.elapsed > 3.0 && interrupt.signal().is_none() {
            interrupt.raise(crate::runner::Signal::Terminate);
        }
        Ok(())
    })
    .await;
    assert_eq!((played.outcome.exit, played.outcome.undo), (Exit::Terminated, UndoOutcome::Complete));
    assert_eq!(fixture.whole(), before);
}

#[tokio::test(start_paused = true)]
async fn until_a_step_that_is_not_there_runs_nothing() {
    let fixture = Fixture::new();
    let mut run = fixture.run(rotate_key());
    run.until = Some(Until::Step("nothing".to_owned()));
    let played = play(run, |_| Ok(())).await;
    assert_eq!((played.outcome.exit, played.events.len()), (Exit::Failed, 2));
}

/// A lab that does not exist yet, and is made for a run as the command does it.
fn owned() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.lab = fixture.state.lab("run-7f3a").unwrap();
    record_new_lab(&fixture.lab, "20261124T101530Z-7f3a", "rotate-key").unwrap();
    fixture.lab.save(&Record::new("mock", 0)).unwrap();
    fixture
}

#[tokio::test(start_paused = true)]
async fn a_temporary_lab_is_removed_after_its_run() {
    let fixture = owned();
    let mut run = fixture.run(rotate_key());
    run.owned = true;
    let played = play(run, |_| Ok(())).await;
    assert_eq!(played.outcome.exit, Exit::Passed);
    assert!(!fixture.engine.is_up() && !fixture.lab.folder().root().exists());
    assert_eq!(played.finished().keys, None);
    let undo = serde_json::to_value(&played.finished().undo).unwrap();
    insta::assert_json_snapshot!("owned_undo", undo);
}

#[tokio::test(start_paused = true)]
async fn the_undo_of_a_temporary_lab_that_cannot_be_removed_is_pending() {
    let fixture = owned();
    let error = lab_core::engine::EngineError::new(EngineErrorKind::System, "busy");
    fixture.engine.script("down", Script::Fail(error.clone()));
    fixture.engine.script("down", Script::Fail(error));
    let mut run = fixture.run(rotate_key());
    run.owned = true;
    let played = play(run, |_| Ok(())).await;
    assert_eq!((played.outcome.exit, played.outcome.status), (Exit::UndoIncomplete, Status::Passed));
    fixture.recover().await.unwrap();
    assert!(!fixture.engine.is_up() && !fixture.lab.folder().root().exists());
    assert_eq!(fixture.recover().await.unwrap().items, []);
}

fn injected(kind: Kind, action: Action) -> Plan {
    let steps = vec![
        step("baseline", Phase::Baseline, traffic(2)),
        step("inject", Phase::Inject, action),
        step("observe", Phase::Observe, traffic(3)),
    ];
    plan(kind, steps)
}

#[tokio::test(start_paused = true)]
async fn a_fault_without_effect_fails_an_incident() {
    let cases = [
        (Kind::Incident, set_env("LOG_LEVEL", "debug"), Exit::NotPassed),
        (Kind::Incident, rotate(V2), Exit::Passed),
        (Kind::Incident, rotate(V1), Exit::NotPassed),
        (Kind::Practice, set_env("LOG_LEVEL", "debug"), Exit::Passed),
        (Kind::Practice, rotate(V2), Exit::NotPassed),
        (Kind::Part, set_env("LOG_LEVEL", "debug"), Exit::Passed),
    ];
    let mut reasons = Vec::new();
    for (kind, action, exit) in cases {
        let played = Fixture::new().play(injected(kind, action)).await;
        assert_eq!(played.outcome.exit, exit, "{kind:?}");
        reasons.extend(played.finished().reason.clone());
    }
    assert_eq!(
        reasons,
        [
            "no effect: none of the 3 requests after inject failed",
            "no effect: inject changed nothing",
            "3 of 5 requests failed; none may fail"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_practice_without_requests_proves_nothing() {
    let quiet = || vec![step("inject", Phase::Inject, set_env("LOG_LEVEL", "debug"))];
    let played = Fixture::new().play(plan(Kind::Practice, quiet())).await;
    assert_eq!(played.outcome.exit, Exit::NotPassed);
    let reason = played.finished().reason.as_deref();
    assert_eq!(reason, Some("no request was sent, so nothing shows that callers are unaffected"));
    // What would have been sent was left out.
    let fixture = Fixture::new();
    let mut run = fixture.run(plan(Kind::Practice, quiet()));
    run.plan.steps.push(step("observe", Phase::Observe, traffic(3)));
    run.until = Some(Until::Step("inject".to_owned()));
    assert_eq!(play(run, |_| Ok(())).await.outcome.exit, Exit::Passed);
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_judged_by_the_traffic_that_follows_it() {
    let inject = |name: &str, action| step(name, Phase::Inject, action);
    let observe = |name: &str| step(name, Phase::Observe, traffic(3));
    let harmless = || set_env("LOG_LEVEL", "debug");
    let stranger = |name: &str| {
        let Action::Traffic(usual) = traffic(3) else { unreachable!("it is traffic") };
        step(name, Phase::Observe, Action::Traffic(Traffic { key: Some("nobody".to_owned()), ..usual }))
    };
    let restart =
        || vec![inject("stop", verb(Verb::Stop, "app")), step("start", Phase::Remedy, verb(Verb::Start, "app"))];
    let cases = [
        // What is injected before any traffic is one fault.
        (vec![inject("one", harmless()), inject("two", rotate(V2)), observe("see")], None),
        (vec![inject("one", rotate(V2)), observe("see"), inject("two", harmless()), observe("see-2")], None),
        (
            vec![
                inject("one", rotate(V2)),
                observe("see"),
                step("mend", Phase::Remedy, align()),
                inject("two", harmless()),
                observe("see-2"),
            ],
            Some("no effect: none of the 3 requests after two failed"),
        ),
        // A restart that mends the fault is no fault of its own.
        ([vec![inject("one", rotate(V2)), observe("see")], restart(), vec![observe("see-2")]].concat(), None),
        // A fault that is over before anybody looks has shown no effect.
        ([restart(), vec![observe("see")]].concat(), Some("no effect: none of the 3 requests after stop failed")),
        // A check that fails is a sight of it where nobody sends, and none where somebody does.
        (vec![inject("one", verb(Verb::Stop, "db")), step("see", Phase::Observe, check("/health", 503))], None),
        (
            vec![inject("one", harmless()), observe("see"), step("refused", Phase::Observe, check("/nowhere", 404))],
            Some("no effect: none of the 3 requests after one failed"),
        ),
        // Who was refused before it is no sight of it, unless more are, or in another way.
        (
            vec![stranger("a"), observe("b"), inject("one", harmless()), stranger("c"), observe("d")],
            Some("no effect: the 6 requests after one failed as those before it did"),
        ),
        (vec![stranger("a"), observe("b"), inject("one", rotate(V2)), stranger("c"), observe("d")], None),
        (vec![stranger("a"), inject("one", verb(Verb::Stop, "gateway")), stranger("b")], None),
    ];
    for (steps, reason) in cases {
        let names: Vec<_> = steps.iter().map(|step| step.name.clone()).collect();
        let played = Fixture::new().play(plan(Kind::Incident, steps)).await;
        assert_eq!(played.finished().reason.as_deref(), reason, "{names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_has_the_times_to_impact_and_to_recovery() {
    let fixture = Fixture::new();
    let played = fixture.play(rotate_key()).await;
    let outage = played.finished().outage.unwrap();
    // From the beginning of the redeploy, which takes a tenth of a second, to the first request after it.
    assert!((0.1..0.11).contains(&outage.time_to_impact.unwrap()), "{outage:?}");
    assert!((0.0..0.01).contains(&outage.time_to_recovery.unwrap()), "{outage:?}");
}
