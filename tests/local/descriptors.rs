//! What the processes of a lab have open: what they need, and nothing of their caller's.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::desk::{Desk, host, pid};
use crate::support::PATIENCE;

/// A shell command in which `$LAB` is lab.
fn shell(desk: &Desk, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(desk.path()).stdin(Stdio::null()).env("LAB", env!("CARGO_BIN_EXE_lab"));
    command.env("LAB_STATE_DIR", desk.state()).env("LAB_ENGINE", "embedded");
    command
}

/// The command substitution ends when the last process that has its descriptor 3 does.
#[test]
fn a_descriptor_of_the_caller_is_not_kept() {
    let desk = Desk::new();
    let begun = Instant::now();
    let up =
        shell(&desk, r#"x=$("$LAB" up --port 0 3>&1 9>&1) && "$LAB" status >/dev/null"#).output().expect("sh starts");
    assert!(up.status.success(), "{up:?}");
    assert!(begun.elapsed() < PATIENCE, "it hung on a background process");
    desk.lab(&["down"]).status(0);
}

/// As `flock FILE lab up` does it, and scripts with `exec 9>FILE`.
#[test]
fn a_lock_of_the_caller_ends_with_the_caller() {
    let desk = Desk::new();
    let script =
        r#"exec 9>"caller.lock"; python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' && "$LAB" up --port 0"#;
    let up = shell(&desk, script).output().expect("sh starts");
    assert!(up.status.success(), "{up:?}");
    let lock = std::fs::File::open(desk.path().join("caller.lock")).expect("it was made");
    lock.try_lock().expect("nobody holds it any more");
}

#[cfg(target_os = "linux")]
#[test]
fn host_and_services_have_only_what_is_theirs() {
    let desk = Desk::new();
    std::fs::write(desk.path().join("callers"), "").expect("the folder is ours");
    let up = shell(&desk, r#"exec 3<callers 7<callers; "$LAB" up --port 0"#).output().expect("sh starts");
    assert!(up.status.success(), "{up:?}");
    let status = desk.status();
    for process in [host(&status), pid(&status, "app"), pid(&status, "gateway")] {
        for file in std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").flatten() {
            let open = std::fs::read_link(file.path()).unwrap_or_default();
            assert!(!open.ends_with("callers"), "process {process} has {} open", open.display());
        }
    }
}

/// A step's command has its own three descriptors, whatever lab was started with.
#[cfg(target_os = "linux")]
#[test]
fn a_command_of_a_step_inherits_nothing() {
    let desk = Desk::new();
    std::fs::write(desk.path().join("callers"), "").expect("the folder is ours");
    let text =
        "title: Open files\nsteps:\n  - name: list\n    run: { command: [sh, -c, 'ls -l /proc/$$/fd > open'] }\n";
    let scenario = desk.write("open.yaml", text);
    let run = shell(&desk, &format!(r#"exec 5<callers; "$LAB" scenario run --allow-commands {scenario}"#));
    Desk::ran(&["scenario", "run"], run).status(0);
    let open = std::fs::read_to_string(desk.path().join("open")).expect("the step wrote it");
    assert!(open.contains(" 0 -> ") && !open.contains("callers"), "{open}");
}
