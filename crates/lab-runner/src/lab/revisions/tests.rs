//! Revisions in memory and on disk, in whatever state a crash leaves them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::*;
use crate::lab::testing::mock_lab;
use crate::lab::{Lab, LabError, StateFolder};
use lab_core::engine::{APP, DB, Engine, EngineError, EngineErrorKind, KEY_VARIABLE};
use lab_testkit::engine::Script;

fn anna(command: &str) -> Author {
    Author::Hand { user: Some("anna".to_owned()), command: command.to_owned() }
}

/// One line per revision: `2 done anna (lab env set): A unset > 1`.
fn lines(lab: &Lab, subject: &str) -> Vec<String> {
    let revisions = lab.revisions().unwrap();
    let line = |entry: &Entry<'_>| {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
        let change = |it: &Difference| format!("{} {} > {}", it.name, value(&it.old), value(&it.new));
        let run = entry.run_change().map(|(old, new)| format!("{} > {}", old.name(), new.name()));
        let changes: Vec<String> = entry.differences().iter().map(change).chain(run).collect();
        let Revision { number, outcome, author, .. } = entry.revision;
        format!("{number} {outcome:?} {}: {}", author.text(), changes.join(", "))
    };
    revisions.entries(subject).iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn each_change_is_a_revision_with_its_author() {
    let (_folder, lab, engine) = mock_lab("v1").await;
    let set = [ServiceChange::env("APP_RATE_LIMIT", "5/s")];
    lab.reconcile(&engine, APP, &set, &anna("lab env set")).await.unwrap();
    // Nothing changes, so there is no revision.
    lab.reconcile(&engine, APP, &set, &anna("lab env set")).await.unwrap();
    let run = Author::Run { run: "20261124T101530.123Z-7f3a".to_owned() };
    lab.reconcile(&engine, APP, &[ServiceChange::run(RunState::Stopped)], &run).await.unwrap();
    lab.reconcile(&engine, APP, &[ServiceChange::run(RunState::Running)], &anna("lab start")).await.unwrap();
    let restart = [ServiceChange::run(RunState::Stopped), ServiceChange::run(RunState::Running)];
    lab.reconcile(&engine, APP, &restart, &anna("lab restart")).await.unwrap();
    lab.set_caller_key("v2", &anna("lab key align")).unwrap();
    let expected = [
        "1 Done lab up: ",
        "2 Done anna (lab env set): APP_RATE_LIMIT unset > 5/s",
        "3 Done run 7f3a: running > stopped",
        "4 Done anna (lab start): stopped > running",
        "5 Done anna (lab restart): ",
    ];
    assert_eq!(lines(&lab, APP), expected);
    assert_eq!(lines(&lab, DB), ["1 Done lab up: "]);
    assert_eq!(lines(&lab, CALLERS), ["1 Done lab up: ", "2 Done anna (lab key align): caller apikey-v1 > v2"]);
    let revisions = lab.revisions().unwrap();
    // Neither the restart nor the stopped app: it runs, with another environment.
    assert_eq!(revisions.previous(APP).unwrap().number, 1);
    assert_eq!(revisions.previous(DB), None);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_rolled_back_has_failed() {
    let (_folder, lab, engine) = mock_lab("v1").await;
    engine.script(APP, Script::NeverHealthy);
    let change = [ServiceChange::env(KEY_VARIABLE, "v2")];
    assert!(lab.reconcile(&engine, APP, &change, &anna("lab key rotate")).await.is_err());
    assert_eq!(lines(&lab, APP)[1], "2 Failed anna (lab key rotate): APP_API_KEY v1 > v2");
    assert_eq!(lab.revisions().unwrap().current(APP).unwrap().number, 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_command_leaves_a_pending_revision_that_is_settled_by_what_the_service_has() {
    for (made, outcome) in [(true, "Done"), (false, "Failed")] {
        let (_folder, lab, engine) = mock_lab("v1").await;
        engine.script(APP, Script::Slow(Duration::from_hours(1)));
        let (change, author) = ([ServiceChange::env("APP_RATE_LIMIT", "5/s")], anna("lab env set"));
        let cut = tokio::time::timeout(Duration::from_secs(1), lab.reconcile(&engine, APP, &change, &author));
        assert!(cut.await.is_err());
        assert_eq!(lines(&lab, APP)[1], "2 Pending anna (lab env set): APP_RATE_LIMIT unset > 5/s");
        if made {
            engine.reconcile(APP, &change[0]).await.unwrap();
        }
        // The next change settles it first.
        lab.reconcile(&engine, DB, &[ServiceChange::run(RunState::Paused)], &author).await.unwrap();
        assert_eq!(lines(&lab, APP)[1], format!("2 {outcome} anna (lab env set): APP_RATE_LIMIT unset > 5/s"));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_changes_if_the_revision_cannot_be_written_except_an_undo() {
    let (_folder, lab, engine) = mock_lab("v1").await;
    let path = lab.folder().path("revisions.ndjson");
    fs::write(&path, "rubbish\n").unwrap();
    let change = [ServiceChange::env("APP_RATE_LIMIT", "5/s")];
    let error = lab.reconcile(&engine, APP, &change, &anna("lab env set")).await.unwrap_err().to_string();
    assert!(error.contains("revisions.ndjson is damaged: line 1"), "{error}");
    assert!(lab.set_caller_key("v2", &anna("lab key align")).is_err());
    assert!(engine.calls().is_empty() && lab.caller_key().unwrap() == "apikey-v1");
    let undo = Author::Undo { run: "x-7f3a".to_owned() };
    lab.reconcile(&engine, APP, &change, &undo).await.unwrap();
    lab.set_caller_key("v2", &undo).unwrap();
    fs::write(&path, "{\"line\":\"history\",\"version\":9}\n").unwrap();
    assert!(matches!(lab.revisions(), Err(LabError::Newer { found: 9, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lab_of_an_older_version_begins_with_what_is_found() {
    let (_folder, lab, engine) = mock_lab("v1").await;
    fs::remove_file(lab.folder().path("revisions.ndjson")).unwrap();
    let change = [ServiceChange::env("APP_RATE_LIMIT", "5/s")];
    lab.reconcile(&engine, APP, &change, &anna("lab env set")).await.unwrap();
    assert_eq!(lines(&lab, APP)[0], "1 Done before the history: ");
    assert_eq!(lines(&lab, APP).len(), 2);
    engine.set_hidden(Some(EngineError::new(EngineErrorKind::System, "no answer")));
    let pause = [ServiceChange::run(RunState::Paused)];
    assert!(lab.reconcile(&engine, DB, &pause, &anna("lab pause")).await.is_err(), "its state is not known");
}

#[test]
fn a_truncated_history_reads_as_its_complete_lines() {
    let folder = tempfile::tempdir().unwrap();
    let lab = StateFolder::at(folder.path()).unwrap().lab("default").unwrap();
    let state = |key: &str| State { env: BTreeMap::from([("K".to_owned(), key.to_owned())]), run: RunState::Running };
    let path = lab.folder().path("revisions.ndjson");
    let mut history = lab.history().unwrap();
    let mut whole = Vec::new();
    for key in ["v1", "v2"] {
        history.record("app", &Author::Up, state(key)).unwrap();
        whole.push(fs::metadata(&path).unwrap().len());
    }
    let text = fs::read(&path).unwrap();
    for cut in 0..=text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        let expected = whole.iter().filter(|length| **length <= cut as u64).count();
        assert_eq!(lab.revisions().unwrap().iter().count(), expected, "cut at {cut}");
        lab.history().unwrap().record("app", &Author::Reset, state("v3")).unwrap();
        let revisions = lab.revisions().unwrap();
        assert_eq!(revisions.iter().count(), expected + 1, "cut at {cut}");
        assert_eq!(revisions.current("app").unwrap().state, state("v3"));
    }
}

#[cfg(unix)]
#[test]
fn the_history_is_bounded_and_only_the_user_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let lab = StateFolder::at(folder.path()).unwrap().lab("default").unwrap();
    for number in 0..1500 {
        let env = BTreeMap::from([("N".to_owned(), number.to_string())]);
        let state = State { env, run: RunState::Running };
        lab.history().unwrap().record("app", &Author::Up, state).unwrap();
    }
    let revisions = lab.revisions().unwrap();
    assert!(revisions.iter().count() < 1100);
    assert_eq!(revisions.first("app").unwrap().number, 1);
    assert_eq!(revisions.current("app").unwrap().number, 1500);
    assert_eq!(revisions.get("app", 2), None);
    let mode = fs::metadata(lab.folder().path("revisions.ndjson")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
