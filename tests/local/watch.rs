//! `lab watch` on a terminal with a running lab: its views, and how it restores the terminal.

use std::process::Command;

use rustix::process::Signal;

use crate::desk::Desk;
use crate::pty::Pty;

/// Starts a lab and `lab watch`.
fn start_watch(columns: u16, rows: u16) -> (Desk, Pty) {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let pty = Pty::start(&desk.command(&["watch", "--refresh", "200ms"]), columns, rows);
    pty.shows("app healthy");
    (desk, pty)
}

/// Returns true if the last row shows the key bindings.
fn has_keys(screen: &str, rows: usize) -> bool {
    screen.lines().count() == rows && screen.lines().last().is_some_and(|row| row.contains("q quit"))
}

#[test]
fn an_outage_is_shown_and_the_terminal_is_restored() {
    let (desk, mut pty) = start_watch(80, 24);
    let screen = pty.shows("they match");
    assert!(has_keys(&screen, 24), "{screen}");
    for chart in ["2xx/s", "4xx/s", "5xx/s", "p99"] {
        assert!(screen.contains(chart), "{chart}: {screen}");
    }
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    pty.shows("server apikey-v2 · caller apikey-v1 · they differ");
    desk.lab(&["traffic", "--requests", "20", "--rate", "20"]).status(0);
    pty.until("responses to callers", |screen| {
        screen.contains("Keys are rejected: every request gets a 401.")
            && screen.contains("callers ─100% fail: 401─▶ gateway ─refused: 401─▶ app")
    });
    let screen =
        pty.until("a bar for failures", |screen| screen.contains('█') && screen.contains("GET /api/users 401"));
    assert!(screen.contains("no run within the last hour"), "{screen}");
    pty.types("q");
    assert_eq!(pty.wait().code(), Some(0));
    pty.assert_terminal_restored();
}

#[test]
fn the_steps_of_a_run_are_shown() {
    let (desk, mut pty) = start_watch(80, 24);
    let run = desk.start(&["scenario", "run", "rotate-key", "--set", "requests=20"]);
    pty.shows("▶ baseline");
    pty.shows("▶ drive-traffic");
    pty.shows("✓ verify");
    pty.shows("passed in ");
    run.wait().status(0);
    // The charts mark its fault and its fix.
    pty.until("two marks on each chart", |screen| screen.matches('▲').count() >= 3);
    pty.types("\x1b[Z");
    pty.shows("tab log");
    pty.types("?");
    pty.shows("quit; the lab keeps running");
    pty.types("\x03");
    assert_eq!(pty.wait().code(), Some(130));
    pty.assert_terminal_restored();
}

#[test]
fn any_terminal_size_is_supported() {
    let (_desk, mut pty) = start_watch(80, 24);
    pty.resize(120, 40);
    pty.until("the keys in the last row", |screen| has_keys(screen, 40) && screen.contains("log of all services"));
    pty.resize(40, 10);
    pty.until("a text without charts", |screen| has_keys(screen, 10) && screen.contains("charts and log need 60 x 18"));
    pty.resize(12, 3);
    pty.shows("lab watch");
    pty.resize(80, 24);
    pty.until("the charts", |screen| has_keys(screen, 24) && screen.contains("5xx/s"));
    pty.types("q");
    assert_eq!(pty.wait().code(), Some(0));
    pty.assert_terminal_restored();
}

#[test]
fn a_signal_or_a_closed_terminal_ends_watch() {
    let (desk, mut pty) = start_watch(80, 24);
    pty.signal(Signal::TERM);
    assert_eq!(pty.wait().code(), Some(143));
    pty.assert_terminal_restored();
    let mut pty = Pty::start(&desk.command(&["watch"]), 80, 24);
    pty.shows("app healthy");
    pty.signal(Signal::INT);
    assert_eq!(pty.wait().code(), Some(130));
    pty.assert_terminal_restored();
    let mut pty = Pty::start(&desk.command(&["watch"]), 80, 24);
    pty.shows("app healthy");
    pty.hang_up();
    assert_eq!(pty.wait().code(), Some(143));
}

#[test]
fn watch_waits_while_the_lab_is_down() {
    let (desk, mut pty) = start_watch(80, 24);
    desk.lab(&["down"]).status(0);
    pty.shows("the lab was removed; waiting for the lab (start it with lab up)");
    desk.lab(&["up", "--port", "0"]).status(0);
    pty.shows("app healthy");
    desk.lab(&["traffic", "--requests", "5"]).status(0);
    pty.shows("GET /api/users 200");
    pty.types("q");
    assert_eq!(pty.wait().code(), Some(0));
}

#[test]
fn without_a_terminal_or_a_lab_watch_suggests_a_command() {
    let desk = Desk::new();
    desk.lab(&["watch"]).status(2).complains("lab metrics --watch");
    desk.lab(&["watch", "--refresh", "1"]).status(2).complains("did you mean `1s`");
    desk.lab(&["watch", "--refresh", "2h"]).status(2).complains("--refresh");
    let mut pty = Pty::start(&desk.command(&["watch"]), 80, 24);
    pty.shows("lab default does not exist");
    assert_eq!(pty.wait().code(), Some(3));
    pty.assert_terminal_restored();
}

#[test]
fn a_panic_restores_the_terminal() {
    let exe = std::env::current_exe().expect("this test");
    let mut command = Command::new(exe);
    command.args(["--exact", "watch::a_view_that_panics", "--ignored", "--nocapture"]);
    let mut pty = Pty::start(&command, 80, 24);
    pty.shows("a defect in the view");
    assert_eq!(pty.wait().code(), Some(101));
    pty.assert_terminal_restored();
}

/// Run on a terminal by the test above.
#[tokio::test]
#[ignore = "run by a_panic_restores_the_terminal"]
async fn a_view_that_panics() {
    let mut screen = lab_report::term::Term::new().full_screen().expect("a terminal");
    screen.draw(|_| panic!("a defect in the view")).expect("the screen is drawn");
}
