//! The log on disk, in whatever state a crash leaves it, and the plan made from it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::*;
use crate::lab::{Lab, Record, StateFolder};
use lab_core::engine::{Engine, EngineError, EngineErrorKind, Roles, RunState, ServiceChange};
use lab_core::event::{EventKind, UndoOutcome, UndoTarget};
use lab_testkit::engine::{MockEngine, Script};

fn lab() -> (tempfile::TempDir, Lab) {
    let folder = tempfile::tempdir().unwrap();
    let lab = StateFolder::at(&folder.path().join("state")).unwrap().lab("default").unwrap();
    lab.save(&Record::new("mock", 0)).unwrap();
    (folder, lab)
}

fn env(service: &str, name: &str, value: &str) -> Before {
    Before::Service { service: service.to_owned(), state: ServiceChange::env(name, value) }
}

fn state(service: &str, state: RunState) -> Before {
    Before::Service { service: service.to_owned(), state: ServiceChange::run(state) }
}

fn caller(key: &str) -> Before {
    Before::CallerKey { key: key.to_owned() }
}

fn back(service: &str, change: ServiceChange) -> RevertStep {
    RevertStep::Service { service: service.to_owned(), change }
}

#[test]
fn a_log_is_there_from_its_first_record_until_it_is_finished() {
    let (_folder, lab) = lab();
    let mut log = UndoLog::begin(&lab, "run-1", "rotate-key").unwrap();
    assert!(!lab.undo_path().exists());
    log.record(env("app", "K", "v1")).unwrap();
    log.record(caller("v1")).unwrap();
    let found = pending(&lab).unwrap().unwrap();
    assert_eq!((found.run.as_str(), found.scenario.as_str(), found.kept), ("run-1", "rotate-key", false));
    assert_eq!(found.records, [env("app", "K", "v1"), caller("v1")]);
    log.keep().unwrap();
    assert!(pending(&lab).unwrap().unwrap().kept);
    log.finish().unwrap();
    assert!(!lab.undo_path().exists());
    assert_eq!(pending(&lab).unwrap(), None);
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_the_log() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, lab) = lab();
    UndoLog::begin(&lab, "run-1", "rotate-key").unwrap().record(caller("v1")).unwrap();
    assert_eq!(fs::metadata(lab.undo_path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_log_is_documented_json_lines() {
    let (_folder, lab) = lab();
    let mut log = UndoLog::begin(&lab, "run-1", "rotate-key").unwrap();
    log.record(env("app", "APP_API_KEY", "apikey-v1")).unwrap();
    log.record(state("db", RunState::Running)).unwrap();
    log.record(caller("apikey-v1")).unwrap();
    log.record(Before::NoLab).unwrap();
    log.keep().unwrap();
    let text = fs::read_to_string(lab.undo_path()).unwrap();
    insta::with_settings!({ filters => [(r#""at":"[^"]+""#, r#""at":"[time]""#)] }, {
        insta::assert_snapshot!("log", text);
    });
}

#[test]
fn a_log_of_an_older_version_is_read() {
    let (_folder, lab) = lab();
    let text = r#"{"line":"run","version":1,"run":"20261124T101530.123Z-7f3a","scenario":"rotate-key","at":"2026-11-24T10:15:30.123456Z"}
{"line":"change","before":"service","service":"app","state":{"env":{"APP_API_KEY":"v1","DEBUG":null},"run":"running","abrupt":false}}
{"line":"change","before":"caller_key","key":"v1"}
{"line":"change","before":"caller","name":"web","key":null}
{"line":"secret","value":"hush"}
"#;
    fs::write(lab.undo_path(), text).unwrap();
    let found = pending(&lab).unwrap().unwrap();
    let env = BTreeMap::from([("APP_API_KEY".to_owned(), Some("v1".to_owned())), ("DEBUG".to_owned(), None)]);
    let service = ServiceChange { env, run: Some(RunState::Running), abrupt: false };
    let expected = [
        Before::Service { service: "app".to_owned(), state: service },
        caller("v1"),
        Before::Caller { name: "web".to_owned(), key: None },
    ];
    assert_eq!((found.records, found.kept), (expected.to_vec(), false));
    assert!(found.secrets.are_in("hush"));
}

#[test]
fn kept_values_are_typed_by_the_roles_of_the_stack() {
    let roles = Roles { app: "api".to_owned(), key_variable: "TOKEN".to_owned(), ..Roles::default() };
    let records = [env("api", "TOKEN", "v1"), env("app", "APP_API_KEY", "v2"), Before::NoLab];
    let targets: Vec<_> = kept(&records, &roles).into_iter().map(|item| item.target).collect();
    let text = |text: &str| text.to_owned();
    let expected = [
        UndoTarget::Variable { service: text("app"), name: text("APP_API_KEY"), value: Some(text("v2")) },
        UndoTarget::ServerKey { service: text("api"), variable: text("TOKEN"), key: Some(text("v1")) },
        UndoTarget::Lab,
    ];
    assert_eq!(targets, expected);
}

#[test]
fn a_truncated_log_reads_as_its_complete_records() {
    let (_folder, lab) = lab();
    let mut log = UndoLog::begin(&lab, "run-1", "rotate-key").unwrap();
    let records = [env("app", "K", "v1"), state("db", RunState::Running), caller("v1")];
    let mut whole = Vec::new();
    for record in &records {
        log.record(record.clone()).unwrap();
        whole.push(fs::metadata(lab.undo_path()).unwrap().len());
    }
    let text = fs::read(lab.undo_path()).unwrap();
    for cut in 0..=text.len() {
        fs::write(lab.undo_path(), &text[..cut]).unwrap();
        let expected = whole.iter().filter(|length| **length <= cut as u64).count();
        let found = pending(&lab).unwrap().map(|pending| pending.records).unwrap_or_default();
        assert_eq!(found, records[..expected], "cut at {cut}");

        // The run that goes on with it writes whole lines again.
        let mut log = UndoLog::begin(&lab, "run-1", "rotate-key").unwrap();
        log.record(Before::NoLab).unwrap();
        let found = pending(&lab).unwrap().unwrap().records;
        assert_eq!(found, [&records[..expected], &[Before::NoLab]].concat(), "cut at {cut}");
    }
}

#[test]
fn damage_elsewhere_is_an_error_that_names_the_line() {
    let (_folder, lab) = lab();
    let mut log = UndoLog::begin(&lab, "run-1", "rotate-key").unwrap();
    log.record(caller("v1")).unwrap();
    log.record(caller("v2")).unwrap();
    let text = fs::read_to_string(lab.undo_path()).unwrap();
    for (damaged, line) in [
        (text.replacen("caller_key", "caller_kez", 1), 2),
        (text.lines().skip(1).fold(String::new(), |all, line| all + line + "\n"), 1),
        (text.replacen("\"version\":1", "\"version\":2", 1), 1),
        (format!("{text}rubbish\n"), 4),
    ] {
        fs::write(lab.undo_path(), damaged).unwrap();
        let error = pending(&lab).unwrap_err();
        assert!(matches!(&error, UndoError::Damaged { line: found, .. } if *found == line), "{error}");
        assert!(error.to_string().contains("undo.ndjson"), "{error}");
        assert!(UndoLog::begin(&lab, "run-1", "rotate-key").is_err());
    }
}

#[test]
fn a_pending_undo_blocks_another_run_and_a_kept_fault_does_not() {
    let (_folder, lab) = lab();
    let mut first = UndoLog::begin(&lab, "run-1", "first").unwrap();
    first.record(caller("v1")).unwrap();
    let error = UndoLog::begin(&lab, "run-2", "second").unwrap_err().to_string();
    assert!(error.contains("run-1") && error.contains("lab recover"), "{error}");
    first.keep().unwrap();
    let kept = fs::read(lab.undo_path()).unwrap();

    let mut second = UndoLog::begin(&lab, "run-2", "second").unwrap();
    assert_eq!(second.records(), []);
    second.record(caller("v2")).unwrap();
    let found = pending(&lab).unwrap().unwrap();
    assert_eq!((found.run.as_str(), found.kept), ("run-2", false));
    assert_eq!(plan(&found.records), [RevertStep::CallerKey { key: "v1".to_owned() }]);
    second.finish().unwrap();
    assert_eq!(fs::read(lab.undo_path()).unwrap(), kept);
}

#[test]
fn runs_in_a_lab_that_is_not_to_exist_owe_their_own_part() {
    let (_folder, lab) = lab();
    record_new_lab(&lab, "proof", "rotate-key").unwrap();
    let made = fs::read(lab.undo_path()).unwrap();
    for run in ["proof.1", "proof.2"] {
        let mut log = UndoLog::begin(&lab, run, "rotate-key").unwrap();
        log.record(caller("v1")).unwrap();
        assert_eq!(log.records(), [caller("v1")]);
        // Cut off here, it is the whole lab that goes.
        let found = pending(&lab).unwrap().unwrap();
        assert_eq!((plan(&found.records), found.kept), (vec![RevertStep::NoLab], false));
        assert!(UndoLog::begin(&lab, "another", "rotate-key").is_err(), "a run within it blocks the next one");
        log.finish().unwrap();
        assert_eq!(fs::read(lab.undo_path()).unwrap(), made);
    }
}

#[test]
fn the_first_state_counts_and_a_service_is_one_step() {
    let records = [
        env("app", "K", "v1"),
        state("db", RunState::Running),
        env("app", "K", "v2"),
        caller("v1"),
        env("app", "L", "info"),
        state("app", RunState::Running),
        caller("v2"),
    ];
    let app = ServiceChange {
        env: BTreeMap::from([("K".to_owned(), Some("v1".to_owned())), ("L".to_owned(), Some("info".to_owned()))]),
        run: Some(RunState::Running),
        abrupt: false,
    };
    let expected = [
        back("db", ServiceChange::run(RunState::Running)),
        RevertStep::CallerKey { key: "v1".to_owned() },
        back("app", app),
    ];
    assert_eq!(plan(&records), expected);
    assert_eq!(expected.map(|step| step.items()), [1, 1, 3]);
}

#[test]
fn what_was_running_comes_first_and_what_was_not_goes_last() {
    let records = [env("app", "K", "v1"), state("db", RunState::Paused), state("gateway", RunState::Running)];
    let services: Vec<_> = plan(&records)
        .into_iter()
        .map(|step| match step {
            RevertStep::Service { service, .. } => service,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(services, ["gateway", "app", "db"]);
}

#[test]
fn that_there_was_no_lab_covers_all_else() {
    assert_eq!(plan(&[Before::NoLab, env("app", "K", "v1"), caller("v1")]), [RevertStep::NoLab]);
    assert_eq!(plan(&[]), []);
}

#[tokio::test(start_paused = true)]
async fn a_step_back_that_fails_once_is_tried_again_and_the_others_go_on() {
    for (failures, outcome) in [(1, UndoOutcome::Complete), (2, UndoOutcome::Incomplete)] {
        let (_folder, lab) = lab();
        let mock = MockEngine::running("v2");
        let mut log = UndoLog::begin(&lab, "run-1", "rotate-key").unwrap();
        log.record(caller("v1")).unwrap();
        log.record(env("app", "APP_API_KEY", "v1")).unwrap();
        for _ in 0..failures {
            mock.script("app", Script::Fail(EngineError::new(EngineErrorKind::System, "busy")));
        }
        let engine: Arc<dyn Engine> = Arc::new(mock.clone());
        let mut events = Vec::new();
        let give_up = tokio_util::sync::CancellationToken::new();
        let undo = recover(&lab, &engine, &give_up, |event| events.push(event)).await.unwrap();
        assert_eq!(undo.status, outcome);
        let [caller, app] = &undo.items[..] else { panic!("{:?}", undo.items) };
        assert_eq!(caller.target, UndoTarget::CallerKey { key: "v1".to_owned() });
        assert!(matches!(&app.target, UndoTarget::ServerKey { service, .. } if service == "app"));
        // Each thing is told once, with what became of it in the end.
        assert!(matches!(
            &events[..],
            [EventKind::UndoStarted { items: 2 }, EventKind::UndoItem(_), EventKind::UndoItem(_)]
        ));
        assert_eq!(lab.caller_key().unwrap(), "v1");
        assert_eq!(lab.undo_path().exists(), failures == 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_down_comes_up_with_the_keys_it_had() {
    for (record, server) in [(state("db", RunState::Running), "v7"), (env("app", "APP_API_KEY", "v5"), "v5")] {
        let (_folder, lab) = lab();
        lab.set_server_key("v7").unwrap();
        UndoLog::begin(&lab, "run-1", "rotate-key").unwrap().record(record).unwrap();
        let engine: Arc<dyn Engine> = Arc::new(MockEngine::new());
        let give_up = tokio_util::sync::CancellationToken::new();
        let undo = recover(&lab, &engine, &give_up, |_| {}).await.unwrap();
        assert_eq!(undo.status, UndoOutcome::Complete);
        assert_eq!(engine.describe().await.unwrap().server_key(), Some(server));
    }
}

#[tokio::test(start_paused = true)]
async fn reverting_the_servers_key_updates_the_record() {
    let (_folder, lab) = lab();
    lab.set_server_key("v2").unwrap();
    UndoLog::begin(&lab, "run-1", "rotate-key").unwrap().record(env("app", "APP_API_KEY", "v1")).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(MockEngine::running("v2"));
    recover(&lab, &engine, &tokio_util::sync::CancellationToken::new(), |_| {}).await.unwrap();
    assert_eq!(lab.existing().unwrap().server_key.as_deref(), Some("v1"));
    let mut older = lab.existing().unwrap();
    older.server_key = None;
    lab.save(&older).unwrap();
    assert_eq!(lab.existing().unwrap(), older, "an older version's record");
}

#[tokio::test(start_paused = true)]
async fn a_step_back_that_never_ends_is_given_up_at_its_deadline() {
    let (_folder, lab) = lab();
    let mock = MockEngine::running("v2");
    mock.script("app", Script::Slow(std::time::Duration::from_hours(1)));
    UndoLog::begin(&lab, "run-1", "rotate-key").unwrap().record(env("app", "APP_API_KEY", "v1")).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(mock);
    let undo = recover(&lab, &engine, &tokio_util::sync::CancellationToken::new(), |_| {}).await.unwrap();
    assert_eq!(undo.status, UndoOutcome::Complete, "the second try");
}

#[tokio::test(start_paused = true)]
async fn an_undo_abandoned_at_a_signal_stays_pending() {
    let (_folder, lab) = lab();
    UndoLog::begin(&lab, "run-1", "rotate-key").unwrap().record(env("app", "APP_API_KEY", "v1")).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(MockEngine::running("v2"));
    // Of `lab recover` it is the first.
    let signal = tokio_util::sync::CancellationToken::new();
    signal.cancel();
    let undo = recover(&lab, &engine, &signal, |_| {}).await.unwrap();
    assert_eq!(undo.status, UndoOutcome::Incomplete);
    assert_eq!(undo.items[0].error.as_deref(), Some("abandoned after a signal"));
    assert!(lab.undo_path().exists());
}

#[test]
fn a_settled_log_has_nothing_to_undo_and_can_be_continued() {
    let (_folder, lab) = lab();
    for run in ["run-1", "run-2"] {
        let mut log = UndoLog::begin(&lab, run, "app-down").unwrap();
        log.record(state("app", RunState::Running)).unwrap();
        log.keep().unwrap();
    }
    let kept = fs::read(lab.undo_path()).unwrap();
    settle_fixed(&lab).unwrap();
    assert_eq!(pending(&lab).unwrap(), None);
    assert_eq!(last_run(&lab, None).unwrap(), None);
    // Cut off anywhere in its line, it leaves the kept fault as it was.
    let settled = fs::read(lab.undo_path()).unwrap();
    fs::write(lab.undo_path(), &settled[..settled.len() - 1]).unwrap();
    assert_eq!(pending(&lab).unwrap().unwrap().records.len(), 2);
    settle_fixed(&lab).unwrap();
    let settled = fs::read(lab.undo_path()).unwrap();
    assert!(settled.starts_with(&kept) && pending(&lab).unwrap().is_none());
    // A later run has its own section, and removes only that.
    let mut log = UndoLog::begin(&lab, "run-3", "rotate-key").unwrap();
    log.record(caller("v1")).unwrap();
    assert_eq!(pending(&lab).unwrap().unwrap().records, [caller("v1")]);
    log.finish().unwrap();
    assert_eq!(fs::read(lab.undo_path()).unwrap(), settled);
}
