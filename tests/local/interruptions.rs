//! Interrupted and concurrent commands: afterwards the lab is usable, or nothing of it is left.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::command::Bounded;
use crate::desk::Desk;
use crate::support::until;

/// Delays from before the first file is written until after the lab is up.
fn moments() -> impl Iterator<Item = Duration> {
    (0..25).map(|step| Duration::from_millis(step * 2))
}

#[test]
fn an_interrupted_up_leaves_a_complete_lab_or_nothing() {
    let desk = Desk::new();
    for moment in moments() {
        let up = desk.start(&["up", "--port", "0"]);
        std::thread::sleep(moment);
        up.signal(Signal::INT);
        let result = up.wait();
        if result.code() == Some(0) {
            desk.lab(&["traffic", "--requests", "1", "--json"]).status(0).says("\"200\": 1");
            desk.lab(&["down"]).status(0);
        } else {
            // None if the signal arrived before its handler was installed.
            assert!(matches!(result.code(), Some(130) | None), "{result:?}");
        }
        desk.assert_clean();
    }
}

#[test]
fn up_and_down_work_after_a_killed_up() {
    let desk = Desk::new();
    for moment in moments() {
        for next in ["up", "down"] {
            let up = desk.start(&["up", "--port", "0"]);
            std::thread::sleep(moment);
            up.signal(Signal::KILL);
            up.wait();
            desk.lab(if next == "up" { &["up", "--port", "0"] } else { &["down"] }).status(0);
            desk.lab(&["down"]).status(0);
            desk.assert_clean();
        }
    }
}

#[test]
fn the_port_of_a_killed_host_can_be_reused() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let gateway = desk.status()["gateway"].clone();
    let port = gateway.as_str().and_then(|url| url.rsplit(':').next()).expect("a port").to_owned();
    for _ in 0..5 {
        crate::desk::kill(host(&desk), Signal::KILL);
        desk.lab(&["up", "--port", &port]).status(0).says("is up again");
        assert_eq!(desk.status()["gateway"], gateway);
    }
}

#[test]
fn a_killed_run_in_a_temporary_lab_is_recovered() {
    let desk = Desk::new();
    for moment in moments() {
        let run = desk.start(&["scenario", "run", "rotate-key", "--set", "requests=5", "--set", "rate=100"]);
        std::thread::sleep(moment * 4);
        run.signal(Signal::KILL);
        run.wait();
        desk.lab(&["recover", "--all"]).status(0);
        desk.assert_clean();
    }
}

#[test]
fn concurrent_ups_start_one_lab() {
    let desk = Desk::new();
    for _ in 0..5 {
        let both =
            [desk.start(&["up", "--port", "0"]), desk.start(&["up", "--port", "0"])].map(|up| up.wait().status(0));
        let already = both.iter().filter(|result| result.stdout.contains("is up already")).count();
        assert_eq!(already, 1, "{both:?}");
        desk.lab(&["down"]).status(0);
    }
}

#[test]
fn an_up_during_a_down_starts_a_new_lab() {
    let desk = Desk::new();
    for moment in 0..10 {
        desk.lab(&["up", "--port", "0"]).status(0);
        let down = desk.start(&["down"]);
        std::thread::sleep(Duration::from_millis(moment));
        desk.lab(&["up", "--port", "0"]).status(0);
        down.wait().status(0);
    }
}

#[test]
fn an_ignored_hangup_does_not_end_a_run() {
    let desk = Desk::new();
    let mut command = std::process::Command::new("sh");
    let script = format!(
        "trap '' HUP; exec {} scenario run rotate-key --set requests=10 --set rate=50",
        env!("CARGO_BIN_EXE_lab")
    );
    command.args(["-c", &script]).env("LAB_STATE_DIR", desk.state()).env("LAB_ENGINE", "embedded");
    let mut run = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("sh starts");
    let mut title = String::new();
    let stdout = Bounded::new(run.stdout.take().expect("it is piped"));
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut title).expect("its title");
    crate::desk::kill(run.id(), Signal::HUP);
    assert_eq!(crate::support::end_of(&mut run).code(), Some(0));
    until(|| desk.processes().is_empty());
}

/// `lab … &` in a script ignores Ctrl-C like other background jobs. SIGTERM ends it.
#[test]
fn an_ignored_ctrl_c_stays_ignored() {
    let desk = Desk::new();
    let mut command = std::process::Command::new("sh");
    let script =
        format!("trap '' INT QUIT; exec {} scenario run rotate-key --set requests=100", env!("CARGO_BIN_EXE_lab"));
    command.args(["-c", &script]).env("LAB_STATE_DIR", desk.state()).env("LAB_ENGINE", "embedded");
    let mut run = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("sh starts");
    let mut lines = std::io::BufReader::new(Bounded::new(run.stdout.take().expect("it is piped")));
    std::io::BufRead::read_line(&mut lines, &mut String::new()).expect("its title");
    crate::desk::kill(run.id(), Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(run.try_wait().expect("it is a child process").is_none(), "the run ended at an ignored signal");
    crate::desk::kill(run.id(), Signal::TERM);
    assert_eq!(crate::support::end_of(&mut run).code(), Some(143));
    desk.assert_clean();
}

/// Children of a background job ignore Ctrl-C by default; the tests must pass there too.
#[cfg(target_os = "linux")]
#[test]
fn child_processes_of_tests_have_default_signals() {
    const INNER: &str = "LAB_TEST_IN_THE_BACKGROUND";
    if std::env::var_os(INNER).is_none() {
        let mut inner = std::process::Command::new("sh");
        let script =
            "trap '' INT QUIT HUP; exec \"$0\" --exact interruptions::child_processes_of_tests_have_default_signals";
        inner.args(["-c", script]).arg(std::env::current_exe().expect("a path")).env(INNER, "1");
        let result = crate::command::output(&mut inner);
        let said = String::from_utf8_lossy(&result.stdout);
        assert!(result.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    drop(crate::support::lab());
    let child = crate::command::output(std::process::Command::new("cat").arg("/proc/self/status"));
    let status = String::from_utf8_lossy(&child.stdout);
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("it has one").trim();
    assert_eq!(u64::from_str_radix(mask, 16).expect("a mask") & 0b111, 0, "{status}");
}

/// Process id of the host.
fn host(desk: &Desk) -> u32 {
    let file = std::fs::read(desk.state().join("labs/default/host.json")).expect("it is up");
    let file: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    file["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id")
}

#[test]
fn a_second_hangup_does_not_interrupt_the_undo() {
    let desk = Desk::new();
    for _ in 0..10 {
        let mut run = desk.start(&["scenario", "run", "rotate-key", "--set", "requests=100"]);
        run.lines().next().expect("its title");
        run.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(2));
        run.signal(Signal::HUP);
        run.wait().status(143);
        desk.assert_clean();
    }
}
