//! What a proof is made of, and what it says of runs that are not as the scenario claims.

use std::sync::Arc;

use super::runs::{ProofRun, runs};
use super::verdict::evaluate;
use super::{Proof, ProofLab, Share, Verdict, prove};
use crate::lab::{Record, StateFolder};
use crate::runner::Interrupt;
use lab_core::event::{
    Event, EventKind, ExpectationResult, Phase, Role, RunFinished, Status, StepFinished, StepResult, StepStarted, Undo,
    UndoOutcome,
};
use lab_scenario::plan::Kind;
use lab_scenario::vary::draw;
use lab_scenario::{LoadOptions, Plan, Source, library, load};
use lab_testkit::engine::MockEngine;
use lab_testkit::wire::MockWire;

fn rotate_key() -> Plan {
    load(&Source::Library("rotate-key".into()), &LoadOptions::default()).unwrap()
}

fn read(text: &str) -> Plan {
    let source = Source::Text { name: "test.yaml".into(), text: text.into() };
    load(&source, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"))
}

fn names(run: &ProofRun) -> Vec<&str> {
    run.plan.steps.iter().map(|step| step.name.as_str()).collect()
}

fn event(kind: EventKind) -> Event {
    Event { at: chrono::DateTime::UNIX_EPOCH, elapsed: 0.0, kind }
}

/// Events of a run. `ends` has one letter per step: `h` passes, `f` fails, `e` is an error.
fn played(run: &ProofRun, ends: &str, reason: Option<&str>) -> Vec<Event> {
    let step = |(index, end): (usize, char)| {
        let status = match end {
            'h' => Status::Passed,
            'f' => Status::Failed,
            _ => Status::Error,
        };
        let seen = ExpectationResult {
            metric: "check.status".to_owned(),
            expected: "== 401".to_owned(),
            observed: Some(200.0),
            observed_text: "200".to_owned(),
            passed: status != Status::Failed,
        };
        let result = StepResult {
            status,
            expectations: vec![seen],
            error: (status == Status::Error).then(|| "the app is gone".to_owned()),
            ..result(run, index)
        };
        event(EventKind::StepFinished(Box::new(StepFinished { index, result })))
    };
    let mut events: Vec<Event> = ends.chars().enumerate().map(step).collect();
    let status = if ends.contains('e') { Status::Error } else { Status::Failed };
    let undo = Undo { status: UndoOutcome::Complete, items: Vec::new() };
    let reason = reason.map(str::to_owned);
    events.push(event(EventKind::RunFinished(Box::new(RunFinished {
        status,
        duration: 1.0,
        outage: None,
        undo,
        keys: None,
        reason,
    }))));
    events
}

#[test]
fn an_incident_is_run_whole_up_to_its_fault_and_with_each_wrong_fix() {
    let runs = runs(&rotate_key()).unwrap();
    let parts: Vec<&str> = runs.iter().map(|run| run.part.as_str()).collect();
    let expected = [
        "healthy",
        "broken",
        "fixed",
        "wrong fix put-the-old-key-back",
        "wrong fix restart-the-app",
        "other fix accept-both-keys-for-a-while",
        "undone",
    ];
    assert_eq!(parts, expected);
    assert_eq!(names(&runs[0]), ["healthy", "1/check", "1/check-2"]);
    let broken =
        ["baseline", "rotate-key", "drive-traffic", "1/check", "1/check-2", "2/check", "2/check-2", "2/check-3"];
    assert_eq!(names(&runs[1]), broken);
    assert_eq!(names(&runs[2])[..5], ["baseline", "rotate-key", "drive-traffic", "realign", "verify"]);
    assert_eq!(names(&runs[3])[3..5], ["1/rotate-key", "2/check"]);
    assert_eq!(runs[3].plan.steps[3].phase, Phase::Remedy, "it is tried in place of the remedy");
    assert_eq!(names(&runs[5])[3..7], ["1/set-env", "1/align-key", "1/set-env-2", "2/check"]);
    assert_eq!(names(&runs[6]), ["healthy"]);
    for run in &runs {
        assert_eq!(run.titles.len(), run.plan.steps.len());
        let unique: std::collections::BTreeSet<&str> = names(run).into_iter().collect();
        assert_eq!(unique.len(), run.plan.steps.len());
    }
}

#[test]
fn the_runs_of_a_proof_are_shared_and_every_share_ends_with_the_last_one() {
    let numbers = |most: usize| -> Vec<Vec<usize>> {
        let shares = Share::split(&rotate_key(), most).unwrap().into_iter();
        shares
            .map(|share| share.select(runs(&rotate_key()).unwrap()).iter().map(|(number, _)| *number).collect())
            .collect()
    };
    assert_eq!(numbers(0), [[0, 1, 2, 3, 4, 5, 6]]);
    assert_eq!(numbers(1), [[0, 1, 2, 3, 4, 5, 6]]);
    assert_eq!(numbers(4), [vec![0, 4, 6], vec![1, 5, 6], vec![2, 6], vec![3, 6]]);
    assert_eq!(numbers(100).len(), 6);
}

#[test]
fn what_a_check_looks_back_on_is_its_own() {
    let plan = read(
        "title: T\nsteps: [{ stop: app }, { traffic: }, { start: app }]\n\
         symptom_check: [{ traffic: }, { scenario: drive-traffic, name: again, expect: { failed: '100%' } }]\n\
         resolved_check: [{ check: { path: /health } }]\n",
    );
    let runs = runs(&plan).unwrap();
    assert_eq!(names(&runs[1]), ["stop", "traffic", "1/traffic", "1/again", "2/check"]);
    assert_eq!(runs[1].plan.steps[3].expect[0].since, 3);
}

#[test]
fn missing_claims_are_an_error() {
    let lack = |text: &str| runs(&read(text)).unwrap_err().to_string();
    let steps = "title: T\nsteps: [{ stop: app }]\n";
    assert!(lack(steps).contains("test has no `symptom_check`"));
    let check = "symptom_check: [{ check: { path: / } }]\n";
    assert!(lack(&format!("{steps}{check}")).contains("test has no `resolved_check`"));
    let both = format!("{steps}{check}resolved_check: [{{ check: {{ path: / }} }}]\n");
    assert!(lack(&both).contains("no fault that is fixed"));
    assert!(lack(&format!("{steps}kind: part\n")).contains("a part for other scenarios"));
    assert!(runs(&read(&format!("{steps}kind: practice\n"))).is_ok(), "a practice claims that nobody is harmed");
}

#[test]
fn a_check_must_pass_and_fail_where_it_should() {
    let runs = runs(&rotate_key()).unwrap();
    // Three steps of its own, the symptom's two, the resolved check's three.
    let broken = |ends: &str| evaluate(&runs[1], &played(&runs[1], ends, None)).findings;
    assert_eq!(broken("hhhhhhhf"), Vec::<String>::new());
    let own = broken("hhfhhhhf");
    assert!(own[0].starts_with("a step up to the fault fails: drive-traffic (library:drive-traffic.yaml:"), "{own:?}");
    assert!(own[0].ends_with("expected check.status == 401, seen 200"), "{own:?}");
    let symptom = broken("hhhhfhhf");
    assert!(symptom[0].starts_with("`symptom_check` fails while it is broken: check-2 ("), "{symptom:?}");
    assert_eq!(broken("hhhhhhhh"), ["`resolved_check` passes although it is still broken"]);
    let healthy = evaluate(&runs[0], &played(&runs[0], "hhh", None)).findings;
    assert_eq!(healthy, ["`symptom_check` passes although nothing is broken"]);
    let fix = evaluate(&runs[3], &played(&runs[3], "hhhhhhh", None)).findings;
    assert_eq!(fix, ["`resolved_check` passes after it: this fix is not wrong"]);
}

#[test]
fn what_is_wrong_with_a_run_as_a_whole_counts() {
    let runs = runs(&rotate_key()).unwrap();
    let found = evaluate(&runs[2], &played(&runs[2], "hhhhhhhhfh", Some("no effect: nobody noticed")));
    assert_eq!(found.findings.last().map(String::as_str), Some("no effect: nobody noticed"));
}

#[test]
fn a_step_that_could_not_be_carried_out_is_no_refutation() {
    let runs = runs(&rotate_key()).unwrap();
    let found = evaluate(&runs[1], &played(&runs[1], "he", None));
    assert!(found.findings.is_empty());
    let error = found.error.unwrap();
    assert!(error.starts_with("rotate-key (") && error.ends_with("the app is gone"), "{error}");
    let cut_off = evaluate(&runs[1], &played(&runs[1], "hh", None));
    assert_eq!(cut_off.error.as_deref(), Some("the run did not complete"));
}

#[test]
fn a_wrong_way_of_a_practice_harms_or_does_not_get_there() {
    let plan = read(
        "title: T\nkind: practice\nsteps: [{ rotate_key: { server: b } }, { align_key: { caller: server } }]\n\
         resolved_check: [{ check: { path: /api/users, key: b } }]\n\
         wrong_fixes: [{ name: hurry, why: It fails., steps: [{ rotate_key: { server: b } }, { traffic: }] }]\n",
    );
    let runs = runs(&plan).unwrap();
    let parts: Vec<&str> = runs.iter().map(|run| run.part.as_str()).collect();
    assert_eq!(parts, ["healthy", "unharmed", "wrong fix hurry", "undone"]);
    let wrong = |ends: &str, reason| evaluate(&runs[2], &played(&runs[2], ends, reason)).findings;
    let failed = "40 of 40 requests failed; none may fail";
    let harmful = evaluate(&runs[2], &failing(played(&runs[2], "hhh", Some(failed)), 1)).findings;
    assert_eq!(harmful, Vec::<String>::new());
    assert_eq!(wrong("hhf", None), Vec::<String>::new());
    assert_eq!(wrong("hhh", None), ["no request fails and `resolved_check` passes: this fix is not wrong"]);
    let harmed = evaluate(&runs[1], &failing(played(&runs[1], "hhh", Some(failed)), 0));
    assert_eq!(harmed.findings, [failed]);
}

#[test]
fn a_practice_that_sends_nothing_is_not_proved() {
    let plan = read(
        "title: T\nkind: practice\nsteps: [{ rotate_key: { server: b } }]\n\
         resolved_check: [{ traffic: { key: b }, expect: { failed: 0 } }]\n\
         wrong_fixes: [{ name: nothing, why: It is one., steps: [{ wait: 1s }] }]\n",
    );
    let runs = runs(&plan).unwrap();
    let silent = |run: &ProofRun, ends| {
        let mut events = played(run, ends, None);
        for event in &mut events {
            if let EventKind::StepFinished(step) = &mut event.kind
                && step.index == 0
            {
                step.result.sent = None;
            }
        }
        evaluate(run, &events).findings
    };
    let lack = "no request was sent, so nothing shows that callers are unaffected";
    assert_eq!(silent(&runs[1], "hh"), [lack], "what its check sends is not its own");
    assert_eq!(silent(&runs[2], "hh"), ["no request fails and `resolved_check` passes: this fix is not wrong"]);
    assert_eq!(evaluate(&runs[1], &played(&runs[1], "hh", None)).findings, Vec::<String>::new());
}

#[test]
fn requests_of_a_check_are_not_failures_of_callers() {
    let plan = read(
        "title: T\nkind: practice\nsteady_state: [{ check: { path: /health } }]\n\
         steps: [{ rotate_key: { server: b } }, { align_key: { caller: server } }]\n\
         resolved_check: [{ traffic: { key: apikey-v1 }, expect: { status.401: '100%' } }]\n\
         wrong_fixes: [{ name: nothing, why: It is one., steps: [{ rotate_key: { server: b } }] }]\n",
    );
    let runs = runs(&plan).unwrap();
    assert_eq!(names(&runs[0]), ["healthy", "1/check", "2/traffic"], "a practice has a steady state too");
    assert_eq!(names(&runs[1]), ["rotate-key", "align-key", "1/check", "2/traffic"]);
    let failed = "40 of 40 requests failed; none may fail";
    assert_eq!(runs[0].plan.kind, Kind::Part, "nothing is done yet that could harm");
    let unharmed = evaluate(&runs[1], &failing(played(&runs[1], "hhhh", Some(failed)), 3));
    assert_eq!(unharmed.findings, Vec::<String>::new());
    let fix = evaluate(&runs[2], &failing(played(&runs[2], "hh", Some(failed)), 1));
    assert_eq!(fix.findings, ["no request fails and `resolved_check` passes: this fix is not wrong"]);
}

/// The same with requests that failed in one of the steps.
fn failing(mut events: Vec<Event>, at: usize) -> Vec<Event> {
    for event in &mut events {
        if let EventKind::StepFinished(step) = &mut event.kind
            && step.index == at
        {
            step.result.failed_requests = 40;
        }
    }
    events
}

#[test]
fn an_other_fix_must_pass_the_resolved_check() {
    let runs = runs(&rotate_key()).unwrap();
    // Three steps up to the fault, three of the fix, three of the resolved check, two of the symptom check.
    let other = |ends: &str| evaluate(&runs[5], &played(&runs[5], ends, None)).findings;
    assert_eq!(other("hhhhhhhhhhf"), Vec::<String>::new());
    assert_eq!(other("hhhhhhhhhhh"), ["`symptom_check` still passes after it"]);
    let wrong = other("hhhhhhhhffh");
    assert!(wrong[0].starts_with("`resolved_check` fails after it: this fix is wrong: check-3 ("), "{wrong:?}");
    assert!(other("hhhhfhhhhhf")[0].starts_with("a step of the other fix fails: align-key ("));
}

#[tokio::test(start_paused = true)]
async fn a_weak_lesson_is_not_proven() {
    let plan = read(
        "title: The app is gone\ndiagnosis: { where: app, what: does not run }\nticket: Your app does not answer.\n\
         steps: [{ stop: app }, { traffic: { requests: 4 } }, { start: app }]\n\
         symptom_check: [{ check: { path: /health, status: 502 } }]\nresolved_check: [{ check: { path: /health } }]\n",
    );
    let proof = prove_on_the_mock(&plan).await;
    assert_eq!(proof.status, Verdict::NotProven);
    let failed: Vec<&str> = proof.parts.iter().filter(|part| !part.passed).map(|part| part.name.as_str()).collect();
    assert_eq!(failed, ["lesson"], "{proof:#?}");
    let finding = "the ticket gives the diagnosis away: it contains `app` (test.yaml:3:14): describe what can be seen from \
                   outside";
    assert_eq!(proof.parts[0].findings, [finding]);
}

#[tokio::test(start_paused = true)]
async fn the_library_proves_itself_on_the_mock() {
    for name in library::names() {
        prove_library(name, Vec::new()).await;
    }
}

/// Values that drills may draw are proven like the defaults.
#[tokio::test(start_paused = true)]
async fn the_library_proves_itself_with_drawn_values() {
    for name in library::names() {
        for number in 1..=2 {
            let set = draw(&Source::Library(name.into()), |_| number).unwrap();
            if !set.is_empty() {
                prove_library(name, set).await;
            }
        }
    }
}

async fn prove_library(name: &str, set: Vec<(String, String)>) {
    let options = LoadOptions { short: true, set };
    let plan = load(&Source::Library(name.into()), &options).unwrap();
    if plan.kind != Kind::Part {
        let proof = prove_on_the_mock(&plan).await;
        assert_eq!(proof.status, Verdict::Proven, "{options:?} {proof:#?}");
    }
}

async fn prove_on_the_mock(plan: &Plan) -> Proof {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let lab = StateFolder::at(&folder.path().join("state")).unwrap().lab("default").unwrap();
    lab.save(&Record::new("mock", 0)).unwrap();
    let engine = MockEngine::running("apikey-v1");
    let proof_lab = ProofLab {
        lab,
        wire: Arc::new(MockWire::new(engine.clone())),
        engine: Arc::new(engine),
        processes: None,
        id: "20261124T101530.123Z-7f3a".to_owned(),
        interrupt: Interrupt::new(),
    };
    prove(plan, Share::WHOLE, &proof_lab).await
}

fn result(run: &ProofRun, index: usize) -> StepResult {
    let step = &run.plan.steps[index];
    let (name, phase, action) = (step.name.clone(), step.phase, step.action.name().to_owned());
    let started = StepStarted { index, name, phase, role: Role::Step, action };
    StepResult { sent: Some(40), ..StepResult::new(started, Status::Passed, chrono::DateTime::UNIX_EPOCH, 0.0) }
}
