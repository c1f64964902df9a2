//! `lab env`, `lab history` and `lab rollback` on a real lab.

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{Desk, pid};
use crate::support::until;

fn up() -> Desk {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk
}

/// `lab history --json` of a service.
fn history(desk: &Desk, service: &str) -> Vec<Value> {
    let json = desk.lab(&["history", service, "--json"]).status(0).json();
    json.as_array().expect("a list").clone()
}

#[test]
fn a_variable_is_set_shown_recorded_and_rolled_back() {
    let desk = up();
    let before = pid(&desk.status(), "app");
    desk.lab(&["env", "app"]).status(0).says("APP_API_KEY").says("apikey-v1");
    let set = ["env", "set", "app", "APP_RATE_LIMIT=1/s", "APP_RATE_BURST=1"];
    let result = desk.lab(&set).status(0).says("app redeployed in ").says("APP_RATE_LIMIT unset > 1/s");
    result.says("lab rollback app restores the previous revision");
    assert_ne!(pid(&desk.status(), "app"), before, "a new process");
    desk.lab(&set).status(0).says("app already has APP_RATE_BURST=1 APP_RATE_LIMIT=1/s");
    desk.lab(&["env", "app"]).status(0).says("APP_RATE_LIMIT").says("revision 2");
    let json = desk.lab(&["env", "app", "--json"]).status(0).json();
    assert_eq!(json["env"]["APP_RATE_LIMIT"], "1/s", "{json}");
    assert!(json["settings"].as_array().is_some_and(|names| names.iter().any(|name| name == "APP_DB_POOL")));

    let traffic = || desk.lab(&["traffic", "--requests", "5", "--rate", "200", "--json"]).status(0).json();
    assert!(traffic()["codes"]["429"].as_u64().is_some_and(|count| count > 0));
    desk.lab(&["env", "unset", "app", "APP_RATE_BURST"]).status(0).says("APP_RATE_BURST 1 > unset");
    desk.lab(&["rollback", "app", "--to", "1"]).status(0).says("app rolled back to revision 1 in ");
    assert_eq!(traffic()["codes"]["200"], 5);
    desk.lab(&["rollback", "app", "--to", "1"]).status(0).says("app already is as in revision 1");
    // Without --to: the previous revision. Each rollback adds a revision.
    desk.lab(&["rollback", "app"]).status(0).says("app rolled back to revision 3");
    let revisions = history(&desk, "app");
    let numbers: Vec<_> = revisions.iter().map(|revision| revision["revision"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(revisions[0]["by"], "up");
    assert_eq!((&revisions[4]["by"], &revisions[4]["command"]), (&"hand".into(), &"lab rollback".into()));
    assert_eq!(revisions[4]["current"], true);
    desk.lab(&["history", "app"]).status(0).says("lab rollback").says("APP_RATE_LIMIT unset > 1/s");
    desk.lab(&["history"]).status(0).says("gateway").says("callers").says("first state");
}

#[test]
fn every_kind_of_change_is_recorded() {
    let desk = up();
    desk.lab(&["stop", "app"]).status(0);
    desk.lab(&["start", "app"]).status(0);
    desk.lab(&["restart", "app"]).status(0);
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    desk.lab(&["key", "align"]).status(0);
    desk.lab(&["scenario", "run", "app-down"]).status(0);
    let by: Vec<String> = history(&desk, "app").iter().map(|it| it["by"].as_str().unwrap().to_owned()).collect();
    assert_eq!(by[..6], ["up", "hand", "hand", "hand", "hand", "run"]);
    let callers = history(&desk, "callers");
    assert_eq!(callers[1]["changes"][0]["new"], "apikey-v2", "{callers:?}");
    // The restart and the run left the app as it was.
    desk.lab(&["rollback", "app"]).status(0).says("APP_API_KEY apikey-v2 > apikey-v1");
    desk.lab(&["rollback", "callers"]).status(0).says("caller apikey-v2 > apikey-v1");
    desk.lab(&["key", "show"]).status(0).says("they match");
    desk.lab(&["stop", "app"]).status(0);
    desk.lab(&["env", "set", "app", "APP_DB_POOL=3"]).status(0).says("app configured in ").says("still stopped");
    // A rollback without a number never stops a service.
    desk.lab(&["rollback", "app"]).status(0).says("stopped > running");
}

#[test]
fn invalid_changes_are_refused_with_a_reason() {
    let desk = up();
    let refused = |args: &[&str], reason: &str| drop(desk.lab(args).status(2).complains(reason));
    refused(&["env", "set", "app", "APP_LISTEN=127.0.0.1:1"], "the engine sets it: it is the address of the app");
    refused(
        &["env", "set", "app", "DATABASE_URL=sqlite:x"],
        "the engine sets it: it is the address of the app's database",
    );
    refused(&["env", "set", "app", "LD_PRELOAD=/tmp/x.so"], "it decides how programs are loaded");
    refused(&["env", "unset", "gateway", "GATEWAY_LISTEN"], "the engine sets it: it is the address of the gateway");
    refused(&["env", "set", "app", "FEATURE=1"], "cannot be set on this engine; these can be: APP_API_KEY");
    refused(&["env", "set", "gateway", "GATEWAY_UPSTREAM=127.0.0.1:22"], "app:PORT");
    refused(&["env", "set", "app", "APP_DB_POOL=1\nX=2"], "single line");
    refused(&["env", "set", "nginx", "A=1"], "unknown service \"nginx\" (this lab has gateway, app, db)");
    refused(&["env", "nginx"], "unknown service");
    refused(&["history", "nginx"], "unknown service");
    refused(&["env", "set", "db", "A=1"], "cannot change the environment of db");
    refused(&["env", "unset", "app", "APP_DB_POOL"], "app has no variable APP_DB_POOL");
    refused(&["env", "set", "app", "APP_DB_POOL"], "is not NAME=VALUE");
    refused(&["rollback", "app", "--to", "7"], "app has no revision 7");
    desk.lab(&["rollback", "app"]).status(3).complains("app has no earlier revision");
    assert_eq!(history(&desk, "app").len(), 1);
    // If the app does not accept a value, the old instance keeps serving.
    let pid_before = pid(&desk.status(), "app");
    desk.lab(&["env", "set", "app", "APP_RATE_LIMIT=fast"]).status(3).complains("APP_RATE_LIMIT is malformed");
    assert_eq!(pid(&desk.status(), "app"), pid_before);
    assert_eq!(history(&desk, "app")[1]["outcome"], "failed");
}

#[test]
fn secrets_are_masked_without_reveal() {
    let desk = up();
    let set = ["env", "set", "app", "APP_CLIENT_ID=gw", "APP_CLIENT_SECRET=sesame-1234"];
    let result = desk.lab(&set).status(0).says("APP_CLIENT_SECRET unset > ***");
    assert!(!result.stdout.contains("sesame"));
    for args in [&["env", "app"][..], &["env", "app", "--json"], &["history", "app"], &["status", "--json"]] {
        let result = desk.lab(args);
        assert!(!result.stdout.contains("sesame") && result.stdout.contains("***"), "{result:?}");
    }
    for args in [&["env", "app", "--reveal"][..], &["history", "app", "--json", "--reveal"]] {
        desk.lab(args).status(0).says("sesame-1234");
    }
}

#[test]
fn a_killed_command_leaves_a_correct_history() {
    let desk = up();
    let running = desk.start(&["env", "set", "app", "APP_DB_POOL=3"]);
    until(|| desk.lab(&["history", "app", "--json"]).stdout.contains("APP_DB_POOL"));
    running.signal(Signal::KILL);
    running.wait();
    // Whether or not the change was completed, history and environment agree.
    until(|| !desk.lab(&["history", "app", "--json"]).stdout.contains("pending"));
    let last = history(&desk, "app").pop().unwrap();
    let json = desk.lab(&["env", "app", "--json"]).status(0).json();
    assert_eq!(last["outcome"] == "done", json["env"]["APP_DB_POOL"] == "3", "{last} {json}");
    desk.lab(&["env", "set", "app", "APP_DB_POOL=4"]).status(0);
}

#[test]
fn concurrent_changes_are_serialised() {
    let desk = up();
    let one = desk.start(&["env", "set", "app", "APP_DB_POOL=3"]);
    let other = desk.start(&["env", "set", "app", "APP_RATE_LIMIT=50/s"]);
    one.wait().status(0);
    other.wait().status(0);
    let json = desk.lab(&["env", "app", "--json"]).status(0).json();
    assert_eq!((&json["env"]["APP_DB_POOL"], &json["env"]["APP_RATE_LIMIT"]), (&"3".into(), &"50/s".into()));
    assert_eq!(history(&desk, "app").len(), 3);
}

#[test]
fn the_first_signal_completes_a_redeployment() {
    let desk = up();
    let running = desk.start(&["env", "set", "app", "APP_DB_POOL=3"]);
    until(|| desk.lab(&["history", "app", "--json"]).stdout.contains("APP_DB_POOL"));
    running.signal(Signal::INT);
    let result = running.wait();
    assert!([Some(0), Some(130)].contains(&result.code()), "{result:?}");
    let json = desk.lab(&["env", "app", "--json"]).status(0).json();
    assert_eq!(json["env"]["APP_DB_POOL"], "3");
    assert_eq!(history(&desk, "app")[1]["outcome"], "done");
}
