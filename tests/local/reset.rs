//! `lab reset`, `lab up` on a lab with a kept fault, and the preconditions of runs.

use serde_json::Value;

use crate::desk::{Desk, kill, pid};
use crate::support::until;
use rustix::process::Signal;

fn up() -> Desk {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk
}

fn quick<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["scenario", "run"], args, &["--set", "requests=4", "--set", "rate=200"]].concat()
}

fn state(status: &Value, service: &str) -> String {
    let services = status["services"].as_array().expect("a list");
    let found = services.iter().find(|entry| entry["name"] == service).expect("it exists");
    found["state"].as_str().expect("a text").to_owned()
}

/// Asserts the status code of five requests.
#[track_caller]
fn assert_traffic(desk: &Desk, code: &str) {
    let json = desk.lab(&["traffic", "--requests", "5", "--rate", "200", "--json"]).status(0).json();
    assert_eq!(json["codes"][code], 5, "{json}");
}

#[test]
fn a_reset_restores_everything_and_keeps_the_addresses() {
    let desk = up();
    let before = desk.status();
    desk.lab(&quick(&["rotate-key", "--until", "observe"])).status(0);
    desk.lab(&["env", "set", "app", "APP_DB_POOL=3"]).status(0);
    desk.lab(&["stop", "gateway"]).status(0);
    desk.lab(&["pause", "db"]).status(0);
    let database = desk.state().join("labs/default/users.db");
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&database).expect("a file"));
    let old = inode();
    desk.lab(&["reset"]).status(0).says("is as it was first brought up").says("server apikey-v1 · caller apikey-v1");
    let after = desk.status();
    assert_eq!((&after["state"], &after["undo"]), (&"healthy".into(), &Value::Null), "{after}");
    assert_eq!((&after["gateway"], &after["dashboard"]), (&before["gateway"], &before["dashboard"]));
    assert_ne!(inode(), old, "the data is new");
    let env = desk.lab(&["env", "app", "--json"]).status(0).json();
    assert_eq!(env["env"].as_object().map(serde_json::Map::len), Some(1), "{env}");
    assert_eq!(desk.lab(&["history", "--json"]).status(0).json().as_array().map(Vec::len), Some(4));
    assert_traffic(&desk, "200");
    desk.lab(&["recover"]).status(0).says("nothing to undo");
    desk.lab(&quick(&["rotate-key"])).status(0);
    desk.lab(&["reset", "--name", "nowhere"]).status(3).complains("does not exist");
}

#[test]
fn a_killed_reset_is_reported_and_can_be_completed() {
    for command in ["reset", "recover"] {
        let desk = up();
        desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
        desk.lab(&["stop", "gateway"]).status(0);
        let running = desk.start(&["reset"]);
        until(|| desk.state().join("labs/default/reset.json").exists());
        running.signal(Signal::KILL);
        running.wait();
        if desk.state().join("labs/default/reset.json").exists() {
            desk.lab(&["key", "show"]).complains("its reset was interrupted; finish it with lab reset");
            desk.lab(&quick(&["rotate-key"])).status(3).complains("lab reset finishes it");
        }
        desk.lab(&[command]).status(0);
        assert_eq!(desk.status()["state"], "healthy");
        desk.lab(&["key", "show"]).status(0).says("apikey-v1").says("they match");
    }
}

#[test]
fn up_does_not_repair_a_kept_fault() {
    let desk = up();
    desk.lab(&["scenario", "run", "app-down", "--until", "observe"]).status(0);
    assert_traffic(&desk, "502");
    let result = desk.lab(&["up"]).status(0).complains("kept fault of run").complains("(app-down)");
    let result =
        result.complains("lab recover undoes it").complains("lab reset").complains("docs/runbooks/app-down.md");
    result.says("is up with its kept fault");
    assert_eq!(state(&desk.status(), "app"), "stopped");
    desk.lab(&["status"]).status(1).says("lab history shows what changed");
    // A service that is not part of the fault is started again.
    kill(pid(&desk.status(), "gateway"), Signal::KILL);
    until(|| state(&desk.status(), "gateway") == "stopped");
    desk.lab(&["up"]).status(0).says("started gateway");
    assert_traffic(&desk, "502");
    // If the whole stack is lost, `up` restores the fault too.
    kill(crate::desk::host_of(&desk.status(), "gateway"), Signal::KILL);
    until(|| desk.status()["state"] == "down");
    desk.lab(&["up"]).status(0).complains("kept fault of run");
    assert_eq!(state(&desk.status(), "app"), "stopped");
    desk.lab(&["recover"]).status(0);
    assert_traffic(&desk, "200");
}

#[test]
fn a_fault_that_was_fixed_by_hand_is_known_and_no_longer_blocks_a_run() {
    let desk = up();
    desk.lab(&["scenario", "run", "app-down", "--until", "observe"]).status(0);
    assert_eq!(desk.status()["undo"]["fixed"], false);
    desk.lab(&["status"]).status(1).says("kept fault of run").says("undo it with lab recover");
    desk.lab(&["start", "app"]).status(0);
    let status = desk.status();
    assert_eq!((&status["undo"]["kept"], &status["undo"]["fixed"]), (&true.into(), &true.into()), "{status}");
    desk.lab(&["status"]).status(0).says("(app-down) is fixed; nothing is left to undo");
    desk.lab(&["status", "--all"]).status(0).says("fault fixed");
    let ran = desk.lab(&["up"]).status(0).says("is up already");
    assert!(!ran.stderr.contains("kept fault"), "{ran:?}");
    desk.lab(&quick(&["rotate-key"])).status(0).complains("(app-down) was fixed by hand");
    assert_eq!(desk.status()["undo"], Value::Null);
    desk.lab(&["recover"]).status(0).says("nothing to undo");
}

#[test]
fn a_temporary_lab_stays_temporary_after_its_fault_was_fixed() {
    let desk = Desk::new();
    desk.lab(&["scenario", "run", "app-down", "--until", "observe"]).status(0);
    let lab = desk.lab(&["status", "--all", "--json"]).json()[0]["lab"].as_str().expect("a name").to_owned();
    desk.lab(&["start", "app", "--name", &lab]).status(0);
    desk.lab(&["status", "--name", &lab]).status(0).says("is fixed; remove its temporary lab with lab recover");
    desk.lab(&quick(&["rotate-key", "--name", &lab])).status(0);
    desk.lab(&["status", "--name", &lab]).status(0).says("is fixed; remove its temporary lab with lab recover");
    desk.lab(&["recover"]).status(0).says("was temporary and is removed");
    desk.assert_clean();
}

#[test]
fn a_run_names_what_is_not_as_it_expects_before_it_injects_anything() {
    let desk = up();
    let refused = |args: &[&str], what: &str, fix: &str| {
        let before = desk.lab(&["history", "--json"]).stdout;
        let result = desk.lab(args).status(1).complains(what).complains(fix);
        assert!(result.stdout.is_empty(), "{result:?}");
        assert_eq!(desk.lab(&["history", "--json"]).stdout, before);
    };
    let run = quick(&["rotate-key"]);
    desk.lab(&["stop", "app"]).status(0);
    refused(&run, "app is stopped", "lab start app");
    desk.lab(&["start", "app"]).status(0);
    desk.lab(&["pause", "db"]).status(0);
    refused(&run, "db is paused", "lab unpause db");
    desk.lab(&["unpause", "db"]).status(0);
    desk.lab(&["key", "rotate", "apikey-v5"]).status(0);
    refused(&run, "the server expects apikey-v5, but the caller sends apikey-v1", "lab key align");
    desk.lab(&["rollback", "app"]).status(0);
    desk.lab(&["env", "set", "app", "APP_RATE_LIMIT=1/s"]).status(0);
    refused(&run, "APP_RATE_LIMIT of app was set to \"1/s\" by hand", "lab reset");
    // A user's own scenario has no such precondition, but nothing is injected after a failed baseline.
    let text = "title: T\nsteps:\n  - traffic: { requests: 20, rate: 200 }\n    name: before\n    phase: baseline\n    \
        expect: { status.200: \"100%\" }\n  - { name: rotate, rotate_key: { server: apikey-v9 } }\n  \
        - { name: after, traffic: { requests: 2 } }\n";
    let file = desk.write("own.yaml", text);
    let result = desk.lab(&["scenario", "run", &file]).status(1).says("the baseline step before failed");
    assert!(!result.stdout.contains("apikey-v9"), "{result:?}");
    desk.lab(&["reset"]).status(0);
    desk.lab(&quick(&["rotate-key", "--until", "observe"])).status(0);
    refused(&run, "the kept fault of run", "lab recover");
    desk.lab(&["recover"]).status(0);
    desk.lab(&run).status(0);
}

#[test]
fn a_run_passes_after_the_tour_of_the_readme() {
    let desk = up();
    let readme = include_str!("../../README.md");
    let tour = readme.split("## A first tour").nth(1).and_then(|rest| rest.split("## ").next()).expect("a tour");
    let commands = tour.lines().filter_map(|line| line.strip_prefix("    lab "));
    for command in commands.map(|line| line.split('#').next().unwrap_or(line).trim()) {
        if !command.starts_with("up") && command != "down" {
            let args: Vec<&str> = command.split_whitespace().collect();
            desk.lab(&args).status(0);
        }
    }
    desk.lab(&quick(&["rotate-key"])).status(0);
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    desk.lab(&["key", "align"]).status(0);
    desk.lab(&quick(&["rotate-key"]))
        .status(1)
        .complains("the server already expects apikey-v2")
        .complains("lab reset");
}

#[test]
fn changes_by_hand_during_a_run_are_recorded_in_it() {
    let desk = up();
    let text = "title: T\nkind: part\nsteps:\n  - { name: think, wait: 3s }\n  - { name: after, wait: 10ms }\n";
    let file = desk.write("slow.yaml", text);
    let run = desk.start(&["scenario", "run", &file]);
    until(|| desk.status()["run"].is_string());
    desk.lab(&["env", "set", "app", "APP_DB_POOL=3"]).status(0);
    desk.lab(&["restart", "gateway"]).status(0);
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    desk.lab(&["key", "align"]).status(0);
    let result = run.wait().status(0).says("app APP_DB_POOL unset > 3: changed by").says("(lab env set)");
    let result = result.says("gateway restarted: changed by").says("caller apikey-v1 > apikey-v2: changed by");
    assert!(!result.stdout.contains("changed outside this run"), "{result:?}");
    let last = desk.lab(&["runs", "list", "--json"]).status(0).stdout;
    assert!(last.contains("(lab env set)"), "{last}");
}

#[test]
fn overlapping_keys_are_shown() {
    let desk = up();
    desk.lab(&["env", "set", "app", "APP_API_KEY=apikey-v2", "APP_API_KEY_PREVIOUS=apikey-v1"]).status(0);
    let text = "the caller sends the previous key, which the server still accepts";
    desk.lab(&["key", "show"]).status(0).says("previous key, still accepted  apikey-v1").says(text);
    desk.lab(&["status"]).status(0).says("server apikey-v2 (also accepts apikey-v1)").says(text);
    assert_eq!(desk.status()["keys"]["previous"], "apikey-v1");
    assert_traffic(&desk, "200");
    desk.lab(&["env", "unset", "app", "APP_API_KEY_PREVIOUS"]).status(0);
    desk.lab(&["key", "show"]).status(0).says("they differ");
}
