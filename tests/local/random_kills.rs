//! Commands that change a lab are killed at many points of their duration. Afterwards `lab recover` and `lab down` work, and the
//! record agrees with the server. A short form of `bench/kills.sh`; with `LAB_TEST_KILLS=all` it uses ten times as many points.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::Desk;

/// Number of kills per command.
fn kills() -> u64 {
    let all = std::env::var_os("LAB_TEST_KILLS").is_some_and(|value| value == "all");
    if all { 60 } else { 6 }
}

/// Delays from 0 to the approximate duration of the command.
fn moments(milliseconds: u64) -> impl Iterator<Item = Duration> {
    let count = kills();
    (0..count).map(move |step| Duration::from_micros(step * milliseconds * 1000 / count))
}

/// Starts a command and kills it after a delay.
fn kill_after(desk: &Desk, args: &[&str], moment: Duration) {
    let command = desk.start(args);
    std::thread::sleep(moment);
    command.signal(Signal::KILL);
    command.wait();
}

/// Output of `lab key show --json`.
fn keys(desk: &Desk) -> Value {
    desk.lab(&["key", "show", "--json"]).status(0).json()
}

/// Content of `lab.json`.
fn record(desk: &Desk) -> Value {
    let text = std::fs::read(desk.state().join("labs/default/lab.json")).expect("the lab exists");
    serde_json::from_slice(&text).expect("JSON")
}

/// Asserts that the shown key of the server is in the record and is accepted.
#[track_caller]
fn assert_consistent(desk: &Desk, context: &str) {
    let server = keys(desk)["server"].as_str().expect("a key").to_owned();
    let record = record(desk);
    assert_eq!(record["server_key"], server.as_str(), "{context}: {record}");
    assert!(record.get("next_server_key").is_none(), "{context}: {record}");
    desk.lab(&["traffic", "--requests", "2", "--key", &server, "--json"]).status(0).says("\"200\": 2");
}

#[test]
fn a_killed_up_or_down_does_not_block_the_next_command() {
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
                assert_consistent(&desk, &format!("{args:?} was killed after {moment:?}"));
            }
            desk.lab(&["down"]).status(0);
            desk.assert_clean();
        }
    }
}

#[test]
fn a_killed_rotation_leaves_a_consistent_record() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for (step, moment) in moments(120).enumerate() {
        let new = format!("apikey-k{step}");
        let old = keys(&desk)["server"].as_str().expect("a key").to_owned();
        kill_after(&desk, &["key", "rotate", &new], moment);
        let context = format!("killed after {moment:?}");
        assert_consistent(&desk, &context);
        let now = keys(&desk)["server"].clone();
        assert!([old.as_str(), &new].contains(&now.as_str().expect("a key")), "{context}: {now}");
        #[cfg(target_os = "linux")]
        if step % 3 == 0 {
            crate::desk::kill(crate::desk::host(&desk.status()), Signal::KILL);
            desk.lab(&["up"]).status(0);
            assert_eq!(keys(&desk)["server"], now, "{context}: restarted with another key");
        }
    }
}

#[test]
fn a_killed_run_or_recover_is_recovered() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let before = keys(&desk);
    let run = ["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=100"];
    for moment in moments(900) {
        kill_after(&desk, &run, moment);
        // Early in each recovery, when most changes are still to be undone.
        kill_after(&desk, &["recover"], moment / 10);
        desk.lab(&["recover"]).status(0);
        let context = format!("killed after {moment:?}");
        assert_eq!(keys(&desk), before, "{context}");
        assert_consistent(&desk, &context);
    }
}

/// With a file size limit of 0, like on a full disk.
#[test]
fn a_key_that_cannot_be_recorded_is_not_changed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {} key rotate apikey-v2", env!("CARGO_BIN_EXE_lab"));
    let mut rotate = std::process::Command::new("sh");
    rotate.args(["-c", &script]).env("LAB_STATE_DIR", desk.state()).env("LAB_ENGINE", "embedded");
    Desk::run(&["key", "rotate"], rotate).status(3).complains("app was not changed").complains("next:");
    assert_eq!(keys(&desk)["server"], "apikey-v1");
    assert_consistent(&desk, "nothing was changed");
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    assert_consistent(&desk, "with room again");
}
