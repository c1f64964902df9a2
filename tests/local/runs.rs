//! Runs of scenarios through the command line, and their interruptions.

use std::process::Stdio;

use rustix::process::Signal;

use crate::desk::Desk;
use crate::support::until;

/// Parameters for short traffic.
const QUICK: [&str; 4] = ["--set", "requests=5", "--set", "rate=200"];

/// Arguments of a run with [`QUICK`].
pub(crate) fn quick<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["scenario", "run"], args, &QUICK[..]].concat()
}

/// Scenario with five seconds of traffic, and with several kinds of changes.
const SLOW: &str = "\
title: Slow
description: For being interrupted.
tags: [test]
steps:
  - name: before
    traffic: { requests: 100, rate: 20 }
  - rotate_key: { server: apikey-v9 }
  - align_key: { caller: server }
  - pause: app
  - wait: 5s
";

fn keys(desk: &Desk) -> String {
    let keys = desk.lab(&["key", "show", "--json"]).status(0).json();
    format!("{} {}", keys["server"].as_str().expect("a key"), keys["caller"].as_str().expect("a key"))
}

#[test]
fn a_run_leaves_only_its_journal() {
    let desk = Desk::new();
    let result = desk.lab(&quick(&["rotate-key"])).status(0);
    let rows: Vec<String> = result.stdout.lines().map(str::to_owned).collect();
    for step in ["baseline", "rotate-key", "drive-traffic", "realign", "verify"] {
        assert!(rows.iter().any(|row| row.split_whitespace().nth(1) == Some(step)), "{step}: {}", result.stdout);
    }
    let result = result.says("401 x5").says("passed · 5 steps").says("5 requests failed").says("temporary lab removed");
    assert!(rows.iter().all(|row| row.chars().count() <= 80), "{}", result.stdout);
    assert!(!result.stdout.contains('\u{1b}'), "no colour in a pipe");
    desk.assert_clean();
    desk.lab(&["runs", "list"]).status(0).says("rotate-key").says("passed");
    let id = desk.lab(&["runs", "list", "--json"]).json()[0]["id"].as_str().expect("an id").to_owned();
    let shown = desk.lab(&["runs", "show", &id[id.len() - 4..]]).status(0);
    assert_eq!(shown.stdout, result.stdout, "the same output as during the run");
    let journal = std::fs::read_to_string(desk.state().join("runs").join(&id).join("journal.json")).expect("it exists");
    assert_eq!(desk.lab(&["runs", "show", &id, "--format", "json"]).status(0).stdout, journal);
    desk.lab(&["runs", "show", "zzzz"]).status(2).complains("no run id ends in");
}

#[test]
fn a_run_restores_an_existing_lab() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let json = desk.lab(&[&quick(&["rotate-key"])[..], &["--format", "json"]].concat()).status(0).json();
    assert_eq!(json["lab"], "default");
    assert_eq!(json["status"], "passed");
    assert_eq!(json["steps"][2]["deltas"]["app_auth_failures_total"], 5);
    assert_eq!(json["steps"][2]["codes"]["401"], 5);
    assert_eq!(json["undo"]["status"], "complete");
    assert_eq!(keys(&desk), "apikey-v1 apikey-v1");
    let events = desk.lab(&[&quick(&["realign"])[..2], &["realign", "--format", "ndjson"]].concat()).status(0);
    let last = events.stdout.lines().last().expect("events").to_owned();
    assert!(last.contains("\"event\":\"run_finished\""), "{last}");
    assert!(events.stdout.contains("caller already on"), "{}", events.stdout);
    for part in ["baseline", "drive-traffic"] {
        desk.lab(&quick(&[part])).status(0);
    }
}

#[test]
fn a_kept_fault_is_shown_and_recovered() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&quick(&["rotate-key", "--until", "observe"])).status(0).says("lab recover");
    assert_eq!(keys(&desk), "apikey-v2 apikey-v1");
    desk.lab(&["status"]).status(0).says("kept fault of run");
    // A kept fault does not block other scenarios, and stays after their runs.
    desk.lab(&quick(&["drive-traffic"])).status(0);
    assert_eq!(keys(&desk), "apikey-v2 apikey-v1");
    desk.lab(&["recover"]).status(0).says("APP_API_KEY").says("is restored");
    assert_eq!(keys(&desk), "apikey-v1 apikey-v1");
    desk.lab(&["recover"]).status(0).says("nothing to undo");
    desk.lab(&quick(&["rotate-key", "--keep"])).status(0);
    assert_eq!(keys(&desk), "apikey-v2 apikey-v2");
    desk.lab(&quick(&["rotate-key", "--until", "nowhere"])).status(2).complains("realign").complains("observe");
}

#[test]
fn a_kept_fault_is_recovered_after_a_fix_by_hand() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&quick(&["rotate-key", "--until", "observe"])).status(0);
    desk.lab(&["key", "align"]).status(0);
    desk.lab(&["recover"]).status(0);
    assert_eq!(keys(&desk), "apikey-v1 apikey-v1");
    desk.lab(&["key", "rotate", "apikey-v5"]).status(0);
    desk.lab(&["scenario", "run", "realign", "--keep"]).status(0);
    desk.lab(&["key", "rotate", "apikey-v6"]).status(0);
    desk.lab(&["recover"]).status(0);
    assert_eq!(keys(&desk), "apikey-v5 apikey-v1");
}

#[test]
fn a_temporary_lab_can_be_kept() {
    let desk = Desk::new();
    let result = desk.lab(&quick(&["rotate-key", "--until", "observe"])).status(0);
    let name = desk.lab(&["status", "--all", "--json"]).json()[0]["lab"].as_str().expect("a lab").to_owned();
    let result = result.says(&name);
    assert!(result.stdout.contains("recover"), "{}", result.stdout);
    desk.lab(&["traffic", "--name", &name, "--requests", "3", "--rate", "100"]).status(0).says("401");
    desk.lab(&["recover", "--name", &name]).status(0);
    desk.assert_clean();
}

#[test]
fn a_failed_expectation_is_exit_1_with_the_observation() {
    let desk = Desk::new();
    let file = desk.write(
        "wrong.yaml",
        "title: Wrong\ndescription: Its expectation fails.\ntags: [test]\nkind: part\nsteps:\n  \
         - traffic: { requests: 5, rate: 200 }\n    expect: { status.200: \"== 4\", auth_failures.delta: \"> 0\" }\n",
    );
    desk.lab(&["scenario", "run", &file]).status(1).says("expected status.200 == 4").says("5").says("failed");
    desk.assert_clean();
}

#[test]
fn a_fault_without_impact_fails_the_run() {
    let desk = Desk::new();
    let file = desk.write(
        "harmless.yaml",
        "title: Harmless\ndescription: A change without impact.\ntags: [test]\nsteps:\n  \
         - set_env: { service: app, env: { APP_DB_POOL: \"4\" } }\n  - traffic: { requests: 5, rate: 200 }\n",
    );
    desk.lab(&["scenario", "run", &file]).status(1).says("no effect");
}

#[test]
fn mistakes_in_a_file_are_found_before_anything_starts() {
    let desk = Desk::new();
    desk.lab(&["scenario", "run", "rotate-keys"]).status(2).complains("rotate-key").complains("lab scenario list");
    let empty = desk.write("empty.yaml", "");
    desk.lab(&["scenario", "run", &empty]).status(2).complains("empty");
    let stop = desk.write("stop.yaml", "title: t\ndescription: d\ntags: [test]\nsteps:\n  - stop: db\n");
    desk.lab(&["scenario", "run", &stop]).status(2).complains("stop.yaml:5").complains("embedded");
    desk.lab(&["scenario", "validate", &empty, "rotate-key"]).status(2).says("ok  rotate-key");
    desk.lab(&["scenario", "validate"]).status(0).says("realign");
    desk.lab(&quick(&["rotate-key", "--set", "nope=1"])).status(2).complains("nope");
    desk.lab(&quick(&["rotate-key", "--set", "nope"])).status(2).complains("name=value");
    assert!(!desk.state().join("runs").exists() || desk.lab(&["runs", "list"]).stdout.contains("no runs yet"));
    desk.assert_clean();
}

#[test]
fn unknown_alerts_are_refused_before_the_run() {
    let desk = Desk::new();
    let file = desk.write(
        "alerts.yaml",
        "title: Alerts\nsteps:\n  - name: drive\n    traffic: { requests: 2 }\n    expect: { alert.AuthFailuresHigh: quiet }\n",
    );
    desk.lab(&["scenario", "validate", &file]).status(0).says("with the alerts AuthFailuresHigh");
    let refused = || desk.lab(&["scenario", "run", &file]).status(2);
    refused().complains("has no alert `AuthFailuresHigh`").complains("did you mean `AuthFailureRatioHigh`?");
    desk.lab(&["up", "--port", "0"]).status(0);
    refused().complains("step `drive`").complains("lab default has no alert");
}

#[test]
fn an_app_that_never_becomes_healthy_is_rolled_back() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let file = desk.write(
        "bad-deploy.yaml",
        "title: Bad deploy\ndescription: The new version cannot read its configuration.\ntags: [test]\nsteps:\n  \
         - set_env: { service: app, env: { APP_DB_POOL: many } }\n  - traffic: { requests: 5, rate: 200 }\n",
    );
    desk.lab(&["scenario", "run", &file]).status(3).says("error").says("APP_DB_POOL is malformed");
    desk.lab(&["traffic", "--requests", "5", "--rate", "200"]).status(0).says("none failed");
    desk.lab(&["status"]).status(0).says("healthy");
}

#[test]
fn two_runs_do_not_share_a_lab() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let slow = desk.write("slow.yaml", SLOW);
    let mut first = desk.start(&["scenario", "run", &slow]);
    first.lines().next().expect("its title");
    desk.lab(&quick(&["rotate-key"])).status(3).complains("is busy: run ");
    desk.lab(&["down"]).status(3).complains("is busy");
    desk.lab(&["status"]).status(0).says("busy: run");
    first.signal(Signal::INT);
    first.wait().status(130);
    assert_eq!(keys(&desk), "apikey-v1 apikey-v1");
}

#[test]
fn a_signal_in_any_step_triggers_the_undo() {
    let steps = ["before", "rotate-key", "align-key", "pause", "wait"];
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    // With short traffic, so that each step is reached soon. Only the last step is long.
    let slow = desk.write("slow.yaml", &SLOW.replace("requests: 100, rate: 20", "requests: 40, rate: 400"));
    for (index, step) in steps.iter().enumerate() {
        let mut run = desk.start(&["scenario", "run", &slow, "--format", "ndjson"]);
        let started = format!("\"event\":\"step_started\",\"index\":{index}");
        let mut lines = run.lines();
        assert!(lines.any(|line| line.contains(&started)), "{step} is not reached");
        let (signal, code) = if index % 2 == 0 { (Signal::INT, 130) } else { (Signal::TERM, 143) };
        run.signal(signal);
        let rest: Vec<String> = lines.collect();
        let last = rest.last().expect("the last event comes");
        assert!(last.contains("\"status\":\"complete\""), "{step}: {last}");
        run.wait().status(code);
        assert_eq!(keys(&desk), "apikey-v1 apikey-v1", "{step}");
        assert!(desk.status()["services"].as_array().expect("a list").iter().all(|one| one["state"] == "running"));
        assert!(desk.status()["undo"].is_null(), "{step}");
    }
}

#[test]
fn a_killed_run_has_a_pending_undo() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let slow = desk.write("slow.yaml", &SLOW.replace("requests: 100, rate: 20", "requests: 2, rate: 400"));
    let mut run = desk.start(&["scenario", "run", &slow, "--format", "ndjson"]);
    assert!(run.lines().any(|line| line.contains("\"index\":4")), "the wait is not reached");
    run.signal(Signal::KILL);
    run.wait();
    desk.lab(&["traffic", "--requests", "1", "--timeout", "100ms"]).complains("is pending");
    desk.lab(&["status"]).says("undo pending");
    desk.lab(&quick(&["rotate-key"])).status(3).complains("is pending").complains("lab recover");
    desk.lab(&["runs", "list"]).status(0).says("interrupted");
    desk.lab(&["doctor"]).status(0).says("lab recover --all");
    desk.lab(&["recover"]).status(0).says("app").says("caller");
    assert_eq!(keys(&desk), "apikey-v1 apikey-v1");
    desk.lab(&quick(&["rotate-key"])).status(0);
}

#[test]
fn a_run_in_progress_is_not_called_interrupted() {
    let desk = Desk::new();
    let slow = desk.write("slow.yaml", SLOW);
    let mut run = desk.start(&["scenario", "run", &slow, "--format", "ndjson"]);
    let lines = run.lines();
    assert!(lines.take(2).any(|line| line.contains("step_started")), "the run has not started");
    desk.lab(&["runs", "list"]).status(0).says("running");
    let id = desk.lab(&["runs", "list", "--json"]).json()[0]["id"].as_str().expect("an id").to_owned();
    let shown = desk.lab(&["runs", "show", &id]).status(0).complains("the run is in progress");
    assert!(!shown.stdout.contains("incomplete:"), "{}", shown.stdout);
    // An unwritable journal is reported and does not change the result.
    std::fs::remove_dir_all(desk.state().join("runs").join(&id)).expect("it exists");
    run.signal(Signal::INT);
    run.wait().status(130).complains("cannot report the run");
    desk.assert_clean();
}

#[test]
fn a_new_variable_is_unset_by_the_undo() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let file = desk.write(
        "variable.yaml",
        "title: Variable\ndescription: One more.\ntags: [test]\nkind: part\nsteps:\n  \
         - set_env: { service: app, env: { APP_DB_POOL: \"4\" } }\n  - pause: gateway\n",
    );
    desk.lab(&["scenario", "run", &file]).says("app APP_DB_POOL unset").says("gateway running");
    desk.lab(&["scenario", "run", &file, "--keep"]).says("APP_DB_POOL (before: unset)");
    desk.lab(&["recover"]).status(0).says("undone app APP_DB_POOL unset").says("undone gateway running");
}

#[test]
fn the_temporary_lab_of_a_killed_run_ends() {
    let desk = Desk::new();
    let slow = desk.write("slow.yaml", SLOW);
    let mut run = desk.start(&["scenario", "run", &slow]);
    run.lines().next().expect("its title");
    run.signal(Signal::KILL);
    run.wait();
    if cfg!(target_os = "linux") {
        until(|| desk.processes().is_empty());
    }
    desk.lab(&["recover"]).status(0);
    desk.assert_clean();
}

#[test]
fn a_closed_output_pipe_does_not_stop_the_run() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let mut run = desk.start(&quick(&["rotate-key"]));
    let first = run.lines().next().expect("its title");
    assert!(first.contains("rotate-key"), "{first}");
    run.wait().status(0);
    assert_eq!(keys(&desk), "apikey-v1 apikey-v1");
    desk.lab(&["runs", "list"]).status(0).says("passed");
}

#[test]
fn a_journal_that_cannot_be_written_leaves_no_lab() {
    let desk = Desk::new();
    desk.lab(&["status", "--all"]).status(0);
    let runs = desk.state().join("runs");
    std::fs::remove_dir(&runs).expect("it is empty");
    std::fs::write(&runs, "").expect("a file in its place");
    desk.lab(&quick(&["rotate-key"])).status(3).complains("state folder");
    std::fs::remove_file(&runs).expect("a writable path");
    desk.assert_clean();
}

#[test]
fn help_has_examples_and_wrong_commands_get_a_hint() {
    let desk = Desk::new();
    desk.lab(&["--help"]).status(0).says("lab scenario run rotate-key");
    desk.lab(&["traffic", "--help"]).status(0).says("Examples:");
    desk.lab(&["scenari"]).status(2).complains("scenario");
    for shell in ["bash", "zsh", "fish"] {
        desk.lab(&["completions", shell]).status(0).says("rotate");
    }
    // Internal commands refuse to be used directly.
    let mut host = desk.command(&["host"]);
    host.stdin(Stdio::null());
    Desk::run(&["host"], host).status(2).complains("lab up");
}
