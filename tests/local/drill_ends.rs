//! How drills end: with a verdict that is pending, without a fault, after a reboot, and in a lab with data of its own.

use lab_drill::event::{Ending, Event};
use lab_drill::fold::Phase;
use lab_drill::log::{Drills, Log};
use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{Desk, kill};
use crate::referee::{Play, state};
use crate::support::until;

/// Ends the drill right after its fix, and returns the debrief.
fn finish_at_once(play: &Play, more: &[&str]) -> Value {
    play.until_phase(Phase::Broken);
    play.desk.lab(&["unpause", "db"]).status(0);
    play.desk.lab(&[&["drill", "finish", "--json"], more].concat()).status(0).json()
}

#[test]
fn finish_waits_for_the_verdict_of_a_fix() {
    let play = Play::start("db-frozen", "1s");
    let debrief = finish_at_once(&play, &[]);
    let times = &debrief["times"];
    assert!(times["mitigated"].is_u64() && times["resolved"].is_u64(), "{times}");
    assert_eq!(play.drill().ended.map(|end| end.by), Some(Ending::Finished));
}

#[test]
fn finish_now_ends_the_drill_as_it_is() {
    let play = Play::start("db-frozen", "1s");
    let debrief = finish_at_once(&play, &["--now"]);
    assert_eq!(debrief["times"]["resolved"], Value::Null, "{}", debrief["times"]);
}

#[test]
fn finish_does_not_wait_if_nothing_can_change_the_verdict() {
    let play = Play::start("db-frozen", "1s");
    play.until_phase(Phase::Broken);
    let finished = play.desk.lab(&["drill", "finish"]).status(0);
    assert!(!finished.stderr.contains("waiting for the referee's verdict"), "{finished:?}");
}

#[test]
fn a_signal_during_the_wait_continues_the_drill() {
    let play = Play::start("db-frozen", "1s");
    play.until_phase(Phase::Broken);
    play.desk.lab(&["unpause", "db"]).status(0);
    let finish = play.desk.start(&["drill", "finish"]);
    until(|| finish.catches(Signal::INT));
    finish.signal(Signal::INT);
    finish.wait().status(130).complains("waiting for the referee's verdict").complains("the drill goes on");
    assert_eq!(play.drill().ended, None);
    play.until_phase(Phase::Resolved);
    play.finish();
}

#[test]
fn without_its_referee_a_verdict_cannot_be_waited_for() {
    let play = Play::start("db-frozen", "1s");
    play.until_phase(Phase::Broken);
    play.kill_referee();
    play.desk.lab(&["unpause", "db"]).status(0);
    play.desk
        .lab(&["drill", "finish"])
        .status(3)
        .complains("the referee does not run")
        .complains("lab drill resume")
        .complains("lab drill finish --now");
    play.desk.lab(&["drill", "resume"]).status(0);
    play.until_phase(Phase::Resolved);
    play.finish();
}

/// A scenario whose fault is refused by the app.
const IMPOSSIBLE: &str = "
title: A fault that cannot be injected
kind: incident
difficulty: beginner
ticket: Nothing works.
symptom: Nothing works.
diagnosis: { where: app, what: does not run }
solution: Undo it.
steps:
  - phase: inject
    set_env: { service: app, env: { APP_DB_POOL: many } }
  - phase: observe
    wait: 1s
  - phase: remedy
    set_env: { service: app, env: { APP_DB_POOL: null } }
resolved_check:
  - check: { path: /health, status: 200 }
";

#[test]
fn a_drill_whose_fault_cannot_be_injected_is_void() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let before = state(&desk);
    let scenario = desk.write("impossible.yaml", IMPOSSIBLE);
    desk.lab(&["drill", "start", &scenario, "--quiet", "1s"]).status(0);
    // The referee ends it and restores the lab.
    until(|| !desk.state().join("labs/default/drill.json").exists());
    let list = desk.lab(&["drill", "list"]).status(0).says("(void)");
    assert!(!list.stdout.contains("in progress"), "{list:?}");
    let shown = desk.lab(&["drill", "show"]).status(0);
    shown.says("No score: the drill is void, because the fault could not be injected.");
    desk.lab(&["drill", "ack"]).status(3).complains("no drill is in progress");
    assert_eq!(state(&desk), before);
}

#[test]
fn a_drill_is_resumed_after_every_process_is_gone() {
    let play = Play::start("db-frozen", "1s");
    play.until_phase(Phase::Broken);
    play.desk.lab(&["drill", "ack"]).status(0);
    // As by a reboot.
    let processes = play.desk.processes();
    assert!(processes.len() >= 3, "host, services and referee: {processes:?}");
    for process in processes {
        kill(process, Signal::KILL);
    }
    until(|| play.desk.processes().is_empty());
    play.desk.lab(&["drill", "status"]).status(0).says("lab drill resume");
    let stopped = play.drill().clock;
    std::thread::sleep(std::time::Duration::from_secs(2));
    play.desk.lab(&["drill", "resume"]).status(0).says("goes on");
    // The lab is back, with its fault.
    let seconds = play.drill().seconds.len();
    until(|| play.drill().seconds.len() > seconds + 2);
    let drill = play.drill();
    assert_eq!(drill.phase(), Phase::Broken);
    let gap = drill.gaps().iter().find(|gap| gap.at >= stopped.saturating_sub(1000)).expect("the gap is known");
    assert!(gap.length >= 2000, "{gap:?}");
    play.desk.lab(&["unpause", "db"]).status(0);
    play.until_phase(Phase::Resolved);
    let drill = play.finish();
    assert!(drill.acknowledged().is_some());
}

#[test]
fn the_labs_own_data_survives_a_drill_in_which_it_is_deleted() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let write = |sql: &str| desk.lab(&["db", "query", "--write", sql]).status(0);
    let read = |sql: &str| desk.lab(&["db", "query", "--json", sql]).status(0).json()["rows"].clone();
    write("INSERT INTO users VALUES (60, 'Annie O''Hara')");
    write("CREATE TABLE notes (text TEXT)");
    write("INSERT INTO notes VALUES ('mine')");
    let (users, notes) = ("SELECT * FROM users ORDER BY id", "SELECT * FROM notes");
    let before = (read(users), read(notes));
    let drill = |damage: &str| {
        desk.lab(&["drill", "start", "app-slow", "--quiet", "1h"]).status(0);
        write(damage);
        desk.lab(&["drill", "give-up"]).status(0);
    };
    drill("DELETE FROM users WHERE id > 2");
    assert_eq!((read(users), read(notes)), before);
    // Then the data of the first start is needed for the table.
    drill("DROP TABLE users");
    assert_eq!(read(users), before.0);
    let history = desk.lab(&["history", "app"]).status(0);
    assert!(history.stdout.contains("end of drill ") && !history.stdout.contains("undo of run"), "{history:?}");
}

#[test]
fn what_cannot_be_drilled_is_refused_before_anything_starts() {
    let desk = Desk::new();
    for (scenario, why) in [("bad-deploy", "a practice"), ("rotate-key-overlap", "a practice"), ("baseline", "a part")]
    {
        desk.lab(&["drill", "start", scenario]).status(3).complains(scenario).complains(why);
    }
    desk.lab(&["drill", "start", "--from", "app-slow,bad-deploy"]).status(3).complains("lab scenario run bad-deploy");
    assert!(!desk.state().join("labs/default").exists(), "no lab was started");
}

#[test]
fn a_drill_starts_its_lab_on_the_port_that_was_asked_for() {
    let desk = Desk::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    desk.lab(&["drill", "start", "app-slow", "--quiet", "1h", "--port", &port.to_string()]).status(0);
    assert_eq!(desk.status()["gateway"], format!("http://127.0.0.1:{port}"));
    desk.lab(&["drill", "give-up"]).status(0);
    let other = desk.lab(&["drill", "start", "app-slow", "--port", "0"]).status(2);
    other.complains("--port is for a new lab, and lab default is up").complains("lab down");
}

#[test]
fn no_drill_is_suggested_while_one_is_in_progress() {
    let play = Play::start("app-slow", "1h");
    let list = play.desk.lab(&["drill", "list"]).status(0).says("in progress").says("next: lab drill status");
    assert!(!list.stdout.contains("drill start"), "{list:?}");
    let mut log = Log::open(&Drills::new(&play.desk.state()).folder(&play.id)).expect("a log");
    assert!(!log.read().expect("it can be read").iter().any(|entry| matches!(entry.event, Event::Ended { .. })));
    play.finish();
}
