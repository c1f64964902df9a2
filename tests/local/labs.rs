//! Commands for labs: up, down, status, key, logs, traffic and metrics, and their failures.

use rustix::process::Signal;

use crate::desk::{Desk, host, kill, pid};
use crate::support::until;

#[test]
fn a_lab_is_started_shown_and_removed() {
    let desk = Desk::new();
    desk.lab(&["status"]).status(3).complains("lab default does not exist").complains("lab up");
    desk.lab(&["up", "--port", "0", "--engine", "embedded"])
        .status(0)
        .says("is up")
        .says("embedded · http://127.0.0.1:");
    desk.lab(&["up"]).status(0).says("is up already");
    let port = desk.status()["gateway"].as_str().and_then(|url| url.rsplit(':').next()).expect("a port").to_owned();
    let other = if port == "9999" { "9998" } else { "9999" };
    desk.lab(&["up", "--port", other]).status(2).complains("is up already").complains("lab down");
    desk.lab(&["up", "--port", &port]).status(0);
    let status = desk.lab(&["status"]).status(0).says("gateway").says("healthy").says("they match");
    assert!(status.stdout.lines().all(|line| line.chars().count() <= 80), "{}", status.stdout);
    status.says("\ndb: a SQLite file\n");
    desk.lab(&["status", "--all"]).status(0).says("default").says("embedded");
    desk.lab(&["logs", "app", "--tail", "1"]).status(0).says("instance=");
    desk.lab(&["logs", "nobody"]).status(2).complains("gateway, app, db");
    desk.lab(&["logs", "db"]).status(3).complains("db cannot do that");
    desk.lab(&["down"]).status(0).says("is down");
    desk.lab(&["down"]).status(0).says("does not exist");
    desk.assert_clean();
}

#[test]
fn keys_are_rotated_and_aligned() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let traffic = |codes: &str| {
        let json = desk.lab(&["traffic", "--requests", "5", "--rate", "200", "--json"]).status(0).json();
        assert_eq!(json["codes"][codes], 5, "{json}");
    };
    traffic("200");
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0).says("server apikey-v1 > apikey-v2").says("apikey-v1");
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0).says("already");
    traffic("401");
    desk.lab(&["traffic", "--key", "apikey-v2", "--requests", "2", "--rate", "200"]).status(0).says("200");
    desk.lab(&["key", "show", "--json"]).status(0).says("\"caller\": \"apikey-v1\"");
    desk.lab(&["metrics", "--filter", "app_auth_failures"]).status(0).says("app_auth_failures_total").says("5");
    desk.lab(&["metrics", "--raw"]).status(0).says("# TYPE app_requests_total counter");
    desk.lab(&["metrics", "--filter", "nothing_like_it"]).status(2).complains("nothing_like_it");
    desk.lab(&["key", "align"]).status(0).says("caller apikey-v1 > apikey-v2");
    desk.lab(&["key", "align"]).status(0).says("already");
    traffic("200");
    // `up` on a running lab keeps the keys; `down` discards them.
    desk.lab(&["up"]).status(0).says("server and caller on apikey-v2");
    desk.lab(&["down"]).status(0);
    desk.lab(&["up", "--port", "0"]).status(0).says("server and caller on apikey-v1");
}

#[test]
fn a_key_that_is_not_a_valid_header_value_is_refused() {
    let desk = Desk::new();
    for key in ["with space", "line\nend", "schlüssel", ""] {
        desk.lab(&["key", "rotate", key]).status(2).complains("invalid key");
        desk.lab(&["traffic", "--url", "http://127.0.0.1:1/", "--key", key]).status(2).complains("--key");
    }
}

#[test]
fn without_a_lab_commands_suggest_up() {
    let desk = Desk::new();
    for args in [["traffic", "--json"], ["metrics", "--raw"], ["logs", "-f"], ["key", "show"]] {
        desk.lab(&args).status(3).complains("lab default does not exist").complains("lab up");
    }
    desk.lab(&["scenario", "run", "rotate-key", "--name", "room-2"]).status(3).complains("lab room-2 does not exist");
    desk.lab(&["recover"]).status(0).says("nothing to undo");
    desk.lab(&["runs", "list"]).status(0).says("no runs yet");
    desk.lab(&["status", "--name", "../etc"]).status(2).complains("cannot be a lab's name");
    let refused = desk.lab(&["traffic", "--url", "http://127.0.0.1:1/", "--requests", "2", "--rate", "100"]);
    refused.status(3).says("refused");
}

#[test]
fn a_port_in_use_is_reported_with_its_process() {
    let desk = Desk::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let result = desk.lab(&["up", "--port", &port]).status(3).complains(&format!("127.0.0.1:{port} is in use"));
    let result = result.complains("--port 0");
    if cfg!(target_os = "linux") {
        result.complains(&format!("(pid {})", std::process::id()));
    }
    desk.assert_clean();
}

#[test]
fn two_labs_have_different_ports() {
    let desk = Desk::new();
    desk.lab(&["up", "--name", "room-1"]).status(0).says("lab room-1 is up in").says("127.0.0.1");
    let port = desk.lab(&["status", "--name", "room-1", "--json"]).json()["gateway"].to_string();
    let port = port.trim_matches('"').rsplit(':').next().expect("a port").to_owned();
    desk.lab(&["up", "--name", "room-2", "--port", &port]).status(3).complains("is in use");
    desk.lab(&["up", "--name", "room-2"]).status(0);
    desk.lab(&["status", "--all"]).status(0).says("room-1").says("room-2");
    desk.lab(&["key", "rotate", "apikey-v7", "--name", "room-2"]).status(0);
    desk.lab(&["key", "show", "--name", "room-1"]).status(0).says("they match");
    desk.lab(&["down", "--all"]).status(0);
    desk.assert_clean();
}

#[test]
fn an_unusable_state_folder_is_an_error() {
    let desk = Desk::new();
    let file = desk.write("file", "");
    for args in [["up", "--port=0"], ["scenario", "list"], ["status", "--all"], ["runs", "list"]] {
        let mut command = desk.command(&args);
        command.env("LAB_STATE_DIR", format!("{file}/state"));
        let result = Desk::run(&args, command);
        if args[0] == "scenario" {
            result.status(0);
        } else {
            result.status(3).complains("cannot use the state folder").complains("LAB_STATE_DIR");
        }
    }
    let mut command = desk.command(&["doctor"]);
    command.env("LAB_STATE_DIR", format!("{file}/state"));
    Desk::run(&["doctor"], command).status(3).says("bad").says("state folder");
    desk.lab(&["doctor"]).status(0).says("lab scenario run rotate-key");
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_host_is_reported_restarted_and_removed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["key", "rotate", "apikey-v5"]).status(0);
    let status = desk.status();
    // Suspended children are the hardest case: they do not notice that their host has ended.
    kill(pid(&status, "app"), Signal::STOP);
    kill(host(&status), Signal::KILL);
    until(|| desk.processes().is_empty());
    desk.lab(&["status"]).status(3).says("its host terminated unexpectedly").says("lab up");
    desk.lab(&["traffic"]).status(3).complains("is gone").complains("lab up");
    desk.lab(&["up"]).status(0).says("is up again").says("server apikey-v5, caller apikey-v1");
    kill(host(&desk.status()), Signal::KILL);
    until(|| desk.processes().is_empty());
    desk.lab(&["down"]).status(0).says("is down");
    desk.assert_clean();
}

#[cfg(target_os = "linux")]
#[test]
fn a_dead_app_is_reported_and_restarted_by_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    kill(pid(&desk.status(), "app"), Signal::KILL);
    until(|| desk.status()["services"][1]["state"] == "stopped");
    desk.lab(&["status"]).status(1).says("degraded").says("it exited unexpectedly");
    assert_eq!(desk.status()["state"], "degraded");
    kill(pid(&desk.status(), "gateway"), Signal::KILL);
    until(|| desk.status()["state"] == "stopped");
    desk.lab(&["status"]).status(3).says("stopped").says("lab up");
    desk.lab(&["down"]).status(0);
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["status"]).status(0).says("healthy");
    kill(pid(&desk.status(), "app"), Signal::KILL);
    until(|| desk.status()["services"][1]["state"] == "stopped");
    let codes = desk.lab(&["traffic", "--requests", "3", "--rate", "100", "--json"]).status(0).json();
    assert_eq!(codes["codes"]["502"], 3, "{codes}");
    desk.lab(&["metrics"]).status(3).complains("the app is not running").complains("lab up");
    desk.lab(&["up"]).status(0);
    desk.lab(&["traffic", "--requests", "3", "--rate", "100"]).status(0).says("none failed");
}

#[cfg(target_os = "linux")]
#[test]
fn the_files_of_a_lab_are_private_and_its_processes_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let mut open = vec![desk.state()];
    while let Some(path) = open.pop() {
        let mode = std::fs::metadata(&path).expect("it exists").permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{} can be read by others", path.display());
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        }
    }
    let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("it is running");
    let status = desk.status();
    assert_eq!(name(host(&status)), "lab-host\n");
    assert_eq!(name(pid(&status, "app")), "lab-app\n");
    assert_eq!(name(pid(&status, "gateway")), "lab-gateway\n");
}

#[test]
fn a_failed_up_does_not_affect_a_concurrent_up() {
    let desk = Desk::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("bound").port().to_string();
    for _ in 0..5 {
        let [good, bad] = [desk.start(&["up", "--port", "0"]), desk.start(&["up", "--port", &taken])];
        good.wait().status(0).says("is up in");
        // The port is in use if this one is first; if it is second, the lab has another port.
        let bad = bad.wait();
        assert!(matches!(bad.code(), Some(2 | 3)), "{bad:?}");
        desk.lab(&["traffic", "--requests", "2", "--rate", "100"]).status(0).says("none failed");
        desk.lab(&["down"]).status(0);
    }
    desk.assert_clean();
}

#[test]
fn lab_name_does_not_conflict_with_all() {
    let desk = Desk::new();
    let named = |args: &[&str]| {
        let mut command = desk.command(args);
        command.env("LAB_NAME", "room-2");
        Desk::run(args, command)
    };
    named(&["up", "--port", "0"]).status(0).says("lab room-2 is up");
    named(&["status", "--all"]).status(0).says("room-2");
    named(&["recover", "--all"]).status(0).says("nothing to undo");
    named(&["down", "--all", "--name", "room-2"]).status(2).complains("cannot be used with");
    named(&["down", "--all"]).status(0).says("lab room-2 is down");
}

#[test]
fn a_damaged_lab_does_not_hide_the_others() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for (name, record) in [("broken", "{"), ("tomorrow", r#"{"version": 99}"#)] {
        let folder = desk.state().join("labs").join(name);
        std::fs::create_dir(&folder).expect("it is new");
        std::fs::write(folder.join("lab.json"), record).expect("a writable path");
        std::fs::write(folder.join("undo.ndjson"), "nonsense\n").expect("a writable path");
    }
    let all = desk.lab(&["status", "--all"]).status(3).says("default").says("apikey-v1");
    all.says("broken").says("unknown").complains("is damaged").complains("newer version of lab");
    let json = desk.lab(&["status", "--all", "--json"]).status(3).json();
    let states: Vec<_> = json.as_array().expect("a list").iter().map(|lab| (&lab["lab"], &lab["state"])).collect();
    let expected = [("broken", "unknown"), ("default", "healthy"), ("tomorrow", "unknown")];
    assert!(states.iter().zip(expected).all(|(found, (lab, state))| found.0 == lab && found.1 == state), "{json}");
    assert!(json[0]["error"].as_str().is_some_and(|error| error.contains("is damaged")), "{json}");
    desk.lab(&["doctor"]).says("unknown for lab broken");
    desk.lab(&["recover", "--all"]).status(3).complains("broken/undo.ndjson").complains("tomorrow/undo.ndjson");
    // The processes of a lab of a newer version are unknown.
    let down = desk.lab(&["down", "--all"]).status(3).says("lab broken is down").says("lab default is down");
    down.complains("lab tomorrow was made by a newer version");
    std::fs::remove_dir_all(desk.state().join("labs/tomorrow")).expect("it is left");
    desk.assert_clean();
}
