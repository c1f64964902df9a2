//! Logs and status of a lab with failures.

use std::path::PathBuf;

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::{docker, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        an_unreadable_log_does_not_hide_the_others,
        a_long_line_of_a_log_is_not_split,
        the_last_lines_of_a_long_log_are_read_without_the_rest,
        a_lab_with_stopped_containers_is_not_up,
        a_suspended_up_continues,
    ]
}

/// Starts gateway, app and database, and one more service that runs a shell script.
fn up_with(user: &Cli, name: &str, script: &str, more: &str) -> PathBuf {
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let script = serde_json::to_string(&format!("{script}; exec sleep 1000")).expect("a text");
    let service =
        format!("\n  {name}: {{ image: \"nginx:1.30\", entrypoint: [/bin/sh, -c, {script}]{more} }}\n\nvolumes:\n");
    let text = std::fs::read_to_string(&file).expect("it was written").replacen("\nvolumes:\n", &service, 1);
    std::fs::write(&file, text).expect("a writable path");
    user.lab(&["up", "--stack", &folder.display().to_string(), "--port", "0"]).status(0);
    folder
}

async fn an_unreadable_log_does_not_hide_the_others() {
    let user = Cli::new("no-log");
    up_with(&user, "nolog", "echo greetings", ", logging: { driver: none }");
    let all = user.lab(&["logs"]).status(3).says("gateway | ").says("app     | ").says("db      | ");
    assert!(all.stderr.contains("nolog") && !all.stdout.contains("greetings"), "{}", all.stderr);
    user.lab(&["logs", "-n", "2"]).status(3).says("app     | ").complains("nolog");
    user.lab(&["logs", "app", "gateway"]).status(0);
    let mut followed = user.start(&["logs", "-f", "-n", "0"]);
    followed.until("nolog");
    user.lab(&["traffic", "--requests", "1"]).status(0);
    followed.until("access");
    drop(followed);
    user.finish();
}

async fn a_long_line_of_a_log_is_not_split() {
    let user = Cli::new("long-line");
    let line = "printf '{\"a\":\"'; head -c 40000 /dev/zero | tr '\\0' x; echo '\"}'";
    up_with(&user, "longline", &format!("echo before; {line}; echo after; {line}"), "");
    let expected = format!("{{\"a\":\"{}\"}}", "x".repeat(40_000));
    let all = user.lab(&["logs", "longline"]).status(0).stdout;
    assert_eq!(all.lines().collect::<Vec<_>>(), ["before", &expected, "after", &expected]);
    // `-n` counts whole lines.
    for count in 1..4 {
        let last = user.lab(&["logs", "longline", "-n", &count.to_string()]).status(0).stdout;
        assert!(all.ends_with(&last) && last.lines().count() == count, "{count}: {} bytes", last.len());
        assert!(last.ends_with(&format!("\n{expected}\n")) || last == format!("{expected}\n"), "{count}");
    }
    user.finish();
}

async fn the_last_lines_of_a_long_log_are_read_without_the_rest() {
    let user = Cli::new("long-log");
    up_with(&user, "chatty", "seq 1 200000; echo done", "");
    let begun = std::time::Instant::now();
    while !user.lab(&["logs", "chatty", "-n", "1"]).status(0).stdout.contains("done") {
        assert!(begun.elapsed() < 3 * crate::support::TIMEOUT);
    }
    let last = user.lab(&["logs", "chatty", "-n", "3"]).status(0).stdout;
    assert_eq!(last.lines().collect::<Vec<_>>(), ["199999", "200000", "done"]);
    let all = user.lab(&["logs", "chatty"]).status(0).stdout;
    assert_eq!((all.lines().next(), all.lines().count()), (Some("1"), 200_001));
    // Closing the pipe after the first line ends the command.
    let mut first = user.start(&["logs", "chatty"]);
    assert_eq!(first.until("1"), "1");
    drop(first);
    user.finish();
}

async fn a_lab_with_stopped_containers_is_not_up() {
    let user = Cli::new("stopped");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string(), "--port", "0"]).status(0);
    let state = |exit: i32| {
        let one = user.lab(&["status", "--json"]).status(exit).json();
        let all = user.lab(&["status", "--all", "--json"]).status(exit).json();
        assert_eq!(all[0]["state"], one["state"]);
        one["state"].clone()
    };
    assert_eq!(state(0), Value::from("healthy"));
    let container = |service: &str| format!("lab-{}-{service}-1", user.name);
    docker(&["pause", &container("db")]);
    assert_eq!(state(1), Value::from("degraded"));
    user.lab(&["status"]).status(1).says("degraded").says("paused");
    docker(&["unpause", &container("db")]);
    docker(&["stop", "-t", "0", &container("gateway")]);
    assert_eq!(state(1), Value::from("degraded"));
    docker(&["stop", "-t", "0", &container("app"), &container("db")]);
    assert_eq!(state(3), Value::from("stopped"));
    user.lab(&["status"]).status(3).says("stopped").says("lab up --name");
    user.lab(&["status", "--all"]).status(3).says("stopped");
    user.lab(&["up"]).status(0);
    assert_eq!(state(0), Value::from("healthy"));
    user.finish();
}

async fn a_suspended_up_continues() {
    let user = Cli::new("suspended");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    for moment in [60, 400] {
        let up = user.start(&["up", "--stack", &folder.display().to_string(), "--port", "0"]);
        std::thread::sleep(std::time::Duration::from_millis(moment));
        up.signal(Signal::STOP);
        // Longer than the timeouts of the calls that may be in progress.
        std::thread::sleep(std::time::Duration::from_secs(12));
        up.signal(Signal::CONT);
        up.wait().status(0).says("is up");
        user.lab(&["down"]).status(0);
    }
    user.finish();
}
