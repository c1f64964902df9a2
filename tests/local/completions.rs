//! Completions in fish itself. If it is not installed, the test is skipped, unless `LAB_TEST_SHELLS=1`.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::desk::Desk;

/// A shell with the completions of `desk`, if it is installed.
fn shell(name: &str, desk: &Desk) -> Option<Command> {
    let is_installed = Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let is_required = std::env::var_os("LAB_TEST_SHELLS").is_some_and(|value| value == "1");
    assert!(is_installed || !is_required, "{name} is not installed");
    let mut command = Command::new(name);
    command.env("HOME", desk.path()).env("LAB_STATE_DIR", desk.state()).env("PATH", path()).current_dir(desk.path());
    is_installed.then_some(command)
}

/// A `PATH` on which `lab` is the program under test.
fn path() -> OsString {
    let program = Path::new(env!("CARGO_BIN_EXE_lab")).parent().expect("a folder").to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([program].into_iter().chain(std::env::split_paths(&others))).expect("a path")
}

#[test]
fn fish_completes_commands_and_names() {
    let desk = Desk::new();
    let Some(mut fish) = shell("fish", &desk) else { return };
    let script = desk.write("lab.fish", &desk.lab(&["completions", "fish"]).status(0).stdout);
    let complete = |line: &str| format!("complete -C '{line}'; echo END");
    let lines = ["lab stop ", "lab scenario run rotate-key-", "lab sto", "lab logs --ta"].map(complete).join("; ");
    let output = fish.args(["--no-config", "-c", &format!("source {script}; {lines}")]).output().expect("fish runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<Vec<&str>> = text
        .split("END\n")
        .map(|answer| answer.lines().map(|line| line.split('\t').next().unwrap_or(line)).collect())
        .collect();
    let expected = [&["app", "db", "gateway"][..], &["rotate-key-overlap"], &["stop"], &["--tail"], &[]];
    assert_eq!(answers, expected, "{output:?}");
}
