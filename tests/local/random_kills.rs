//! Every command that changes a lab is killed at instants over its whole duration. Afterwards `lab recover` and `lab down` do
//! what they promise, and the record agrees with the server. The short form of `bench/kills.sh`; with `LAB_TEST_KILLS=all` ten
//! times as many instants.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::Desk;

/// At how many instants each command is killed.
fn instants() -> u64 {
    let all = std::env::var_os("LAB_TEST_KILLS").is_some_and(|value| value == "all");
    if all { 60 } else { 6 }
}

/// Instants from 0 to about the end of a command that takes so many milliseconds.
fn moments(milliseconds: u64) -> impl Iterator<Item = Duration> {
    let count = instants();
    (0..count).map(move |step| Duration::from_micros(step * milliseconds * 1000 / count))
}

/// Starts a command, and kills it after so long.
fn kill_after(desk: &Desk, args: &[&str], moment: Duration) {
    let command = desk.start(args);
    std::thread::sleep(moment);
    command.signal(Signal::KILL);
    command.ran();
}

/// The keys of `lab key show --json`.
fn keys(desk: &Desk) -> Value {
    desk.lab(&["key", "show", "--json"]).status(0).json()
}

/// Content of `lab.json`.
fn record(desk: &Desk) -> Value {
    let text = std::fs::read(desk.state().join("labs/default/lab.json")).expect("the lab exists");
    serde_json::from_slice(&text).expect("JSON")
}

/// The server takes the key that is shown, and the record names it.
#[track_caller]
fn agrees(desk: &Desk, context: &str) {
    let server = keys(desk)["server"].as_str().expect("a key").to_owned();
    let record = record(desk);
    assert_eq!(record["server_key"], server.as_str(), "{context}: {record}");
    assert!(record.get("next_server_key").is_none(), "{context}: {record}");
    desk.lab(&["traffic", "--requests", "2", "--key", &server, "--json"]).status(0).says("\"200\": 2");
}

#[test]
fn an_up_or_a_down_that_is_killed_leaves_nothing_that_the_next_command_cannot_use() {
    let desk = Desk::new();
    for args in [&["up", "--port", "0"][..], &["down"]] {
        for (step, moment) in moments(80).enumerate() {
            if args[0] == "down" {
                desk.lab(&["up", "--port", "0"]).status(0);
            }
            kill_after(&desk, args, moment);
            desk.lab(&["recover"]).status(0);
            if step % 2 == 0 {
                desk.lab(&["up", "--port", "0"]).status(0);
                agrees(&desk, &format!("{args:?} was killed after {moment:?}"));
            }
            desk.lab(&["down"]).status(0);
            desk.is_clean();
        }
    }
}

#[test]
fn a_rotation_that_is_killed_leaves_a_record_that_agrees_with_the_server() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for (step, moment) in moments(120).enumerate() {
        let new = format!("apikey-k{step}");
        let old = keys(&desk)["server"].as_str().expect("a key").to_owned();
        kill_after(&desk, &["key", "rotate", &new], moment);
        let context = format!("killed after {moment:?}");
        agrees(&desk, &context);
        let now = keys(&desk)["server"].clone();
        assert!([old.as_str(), &new].contains(&now.as_str().expect("a key")), "{context}: {now}");
        #[cfg(target_os = "linux")]
        if step % 3 == 0 {
            crate::desk::kill(crate::desk::host(&desk.status()), Signal::KILL);
            desk.lab(&["up"]).status(0);
            assert_eq!(keys(&desk)["server"], now, "{context}: it comes back with another key");
        }
    }
}

#[test]
fn a_run_or_a_recover_that_is_killed_is_recovered() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let before = keys(&desk);
    let run = ["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=100"];
    for moment in moments(900) {
        kill_after(&desk, &run, moment);
        // At the start of each recovery, when it has most to do.
        kill_after(&desk, &["recover"], moment / 10);
        desk.lab(&["recover"]).status(0);
        let context = format!("killed after {moment:?}");
        assert_eq!(keys(&desk), before, "{context}");
        agrees(&desk, &context);
    }
}

/// As on a full disk: no file may grow. Then the command changes nothing and reports it.
#[test]
fn a_key_that_cannot_be_recorded_is_not_changed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {} key rotate apikey-v2", env!("CARGO_BIN_EXE_lab"));
    let mut rotate = std::process::Command::new("sh");
    rotate.args(["-c", &script]).env("LAB_STATE_DIR", desk.state()).env("LAB_ENGINE", "embedded");
    Desk::ran(&["key", "rotate"], rotate).status(3).complains("app was not changed").complains("next:");
    assert_eq!(keys(&desk)["server"], "apikey-v1");
    agrees(&desk, "nothing was changed");
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    agrees(&desk, "with room again");
}
