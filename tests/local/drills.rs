//! `lab drill`, with a log that the tests write in place of the referee, and what other commands show during a drill.

use std::fs::File;

use lab_core::diagnosis::{Cause, Finding, Location};
use lab_drill::choice::Secret;
use lab_drill::event::{Ending, Event};
use lab_drill::log::{Drills, Log};
use lab_runner::drill::DrillProcess;
use lab_runner::lab::{Lab, StateFolder};
use lab_testkit::sample_drills;
use serde_json::Value;

use crate::desk::Desk;

const ID: &str = "20261130T101500.000Z-7f3a";

/// The drill in progress in the lab `default`.
struct Referee {
    lab: Lab,
    log: Log,
    /// Lock that a referee holds while it watches.
    _lock: File,
}

impl Referee {
    /// Starts a drill whose fault makes the caller `web` fail.
    fn start(desk: &Desk) -> Self {
        let lab = StateFolder::at(&desk.state()).expect("a state folder").lab("default").expect("a lab");
        let log = Log::create(&Drills::new(&desk.state()).folder(ID), &Secret::from_seed(7)).expect("a new log");
        let lock = File::create(DrillProcess::new(&lab).lock()).expect("a writable path");
        lock.lock().expect("no other process watches");
        let mut referee = Self { lab, log, _lock: lock };
        for entry in sample_drills::running(ID) {
            referee.write(entry.clock, entry.event);
        }
        referee.lab.begin_drill(ID).expect("a writable path");
        referee
    }

    fn write(&mut self, clock: u64, event: Event) {
        self.log.append(Some(clock), event).expect("the log can be written");
    }

    /// What the participant did since the last call.
    fn events(&mut self) -> Vec<Event> {
        self.log.read().expect("the log can be read").into_iter().map(|entry| entry.event).collect()
    }
}

fn looked(what: &str) -> Event {
    Event::Looked { what: what.to_owned() }
}

/// A lab that is up.
fn up() -> Desk {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk
}

#[test]
fn a_participant_acknowledges_and_diagnoses() {
    let desk = up();
    desk.lab(&["drill", "ack"])
        .status(3)
        .complains("no drill is in progress in lab default")
        .complains("lab drill start");
    let mut referee = Referee::start(&desk);
    desk.lab(&["drill", "ack"]).status(0).says("acknowledged at 2:0");
    desk.lab(&["drill", "diagnose"]).status(0).says(" 7  timeout too short").says("3  gateway");
    let lists = desk.lab(&["drill", "diagnose", "--json"]).status(0).json();
    assert_eq!(
        (lists["locations"].as_array().map(Vec::len), lists["causes"].as_array().map(Vec::len)),
        (Some(8), Some(21))
    );
    desk.lab(&["drill", "diagnose", "gateway", "slw"]).status(2).complains("did you mean \"slow\"?");
    desk.lab(&["drill", "diagnose", "app", "does not run"])
        .status(0)
        .says("diagnosis 1 at 2:0")
        .says("app: does not run · wrong");
    let answer = desk.lab(&["drill", "diagnose", "3", "14", "account", "has", "expired", "--json"]).status(0).json();
    assert_eq!((&answer["attempt"], &answer["findings"][1]["where"]), (&2.into(), &"account".into()), "{answer}");
    let finding = |location, cause| Finding { location, cause };
    assert_eq!(
        referee.events(),
        [
            Event::Acknowledged,
            Event::Diagnosis { findings: vec![finding(Location::App, Cause::NotRunning)] },
            Event::Diagnosis {
                findings: vec![
                    finding(Location::Gateway, Cause::AddressWrong),
                    finding(Location::Account, Cause::Expired)
                ]
            },
        ]
    );
    referee.write(130_000, Event::Ended { by: Ending::Finished });
    desk.lab(&["drill", "ack"]).status(3).complains("the drill is over").complains("lab drill finish");
}

#[test]
fn views_show_a_drill_and_not_its_cause() {
    let desk = up();
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    desk.lab(&["status"]).status(0).says("they differ");
    let mut referee = Referee::start(&desk);
    let status = desk.lab(&["status"]).status(0).says("a drill is in progress: lab drill status");
    assert!(!status.stdout.contains("apikey") && !status.stdout.contains("differ"), "{status:?}");
    let json = desk.status();
    assert_eq!((&json["keys"], &json["undo"], &json["drill"]), (&Value::Null, &Value::Null, &ID.into()), "{json}");
    assert!(!json.to_string().contains("apikey"), "{json}");
    let all = desk.lab(&["status", "--all"]).status(0).says("drill");
    assert!(!all.stdout.contains("apikey"), "{all:?}");
    let keys = desk.lab(&["key", "show"]).status(0).says("server  apikey-v2").says("caller  apikey-v1");
    assert!(!keys.stdout.contains("differ"), "{keys:?}");
    for command in [&["scenario", "show", "rotate-key"][..], &["scenario", "check", "rotate-key"]] {
        desk.lab(command).status(3).complains("is not available during a drill").complains("lab drill give-up");
    }
    desk.lab(&["logs", "app", "gateway", "--tail", "1"]).status(0);
    desk.lab(&["request", "/api/users", "--key", "apikey-v7"]).status(0);
    desk.lab(&["db", "query", "SELECT 1"]).status(0);
    desk.lab(&["restart", "app"]).status(0);
    let events = referee.events();
    let expected = ["status", "status", "key", "logs app gateway", "request", "db query"].map(looked);
    assert_eq!(events, expected, "an observation is recorded without values, and a change is not an observation");
}

#[test]
fn the_status_shows_the_clock_the_callers_the_services_the_messages_and_what_is_due() {
    let desk = up();
    let _referee = Referee::start(&desk);
    let status = desk.lab(&["drill", "status"]).status(0);
    for part in [
        "drill 7f3a · lab default · 2:0",
        "nothing is acknowledged",
        "web     15/s                 0%",
        "batch    5/s               100%",
        "gateway healthy · app healthy · db healthy",
        "1:45     the customer: Since this morning",
        "due: an update in 4:4",
        "next: lab drill ack when something is wrong",
    ] {
        assert!(status.stdout.contains(part), "{part}: {status:?}");
    }
    let hidden = ["wrong-upstream", "upstream", "broken", "impact"];
    assert!(!hidden.iter().any(|word| status.stdout.contains(word)), "{status:?}");
    let json = desk.lab(&["drill", "status", "--json"]).status(0).json();
    assert_eq!(
        (&json["watched"], &json["phase"], &json["callers"][0]["succeeded"]),
        (&true.into(), &Value::Null, &0.into()),
        "{json}"
    );
    assert!(!hidden[..2].iter().any(|word| json.to_string().contains(word)), "{json}");
    desk.lab(&["drill", "ack"]).status(0);
    desk.lab(&["drill", "status"]).status(0).says("acknowledged at 2:0").says("next: lab drill diagnose");
}

#[test]
fn a_hint_shows_its_price_before_it_is_opened() {
    let desk = up();
    let mut referee = Referee::start(&desk);
    let closed = desk.lab(&["drill", "hint"]).status(0).says("hint 1: Whose answer it is · price 10%");
    assert!(!closed.stdout.contains("Compare the logs"), "{closed:?}");
    assert_eq!(referee.events(), []);
    desk.lab(&["drill", "hint", "--open"]).status(0).says("Compare the logs").says("hint 2: What changed · price 20%");
    let json = desk.lab(&["drill", "hint", "--json"]).status(0).json();
    assert_eq!(
        (&json["next"], &json["hints"][0]["opened"], &json["hints"][1]["text"]),
        (&2.into(), &true.into(), &Value::Null)
    );
    desk.lab(&["drill", "hint", "--open"]).status(0);
    desk.lab(&["drill", "hint", "--open"]).status(0).says("all hints are open");
    desk.lab(&["drill", "hint", "--open"]).status(0);
    assert_eq!(referee.events(), [0, 1, 2].map(|index| Event::Hint { index }));
}

#[test]
fn an_update_is_checked_before_it_is_sent() {
    let desk = up();
    let mut referee = Referee::start(&desk);
    let form = ["drill", "update", "--to", "customers", "--state", "investigating", "--affected", "some"];
    let send = |more: &[&str]| desk.lab(&[&form[..], more].concat());
    desk.lab(&["drill", "update", "--to", "customers"])
        .status(2)
        .complains("the update needs --state, --affected, a text");
    send(&["--since", "soon", "x"]).status(2).complains("--since: expected a time of day (10:05) or how long ago (5m)");
    send(&["We will be done in 10 minutes."])
        .status(3)
        .complains("\"in 10 minutes\" is an estimate")
        .complains("--yes");
    send(&["The key is apikey-v1."]).status(3).complains("it has a secret");
    assert_eq!(referee.events(), [], "nothing was sent");
    send(&["--since", "1m", "--next", "10m", "Some requests fail. We are looking for the cause."])
        .status(0)
        .says("sent to the customers at 2:0")
        .says("the next update within 10:00");
    send(&["--yes", "The key is apikey-v1."]).status(0);
    let events = referee.events();
    let [Event::Update(first), Event::Update(second)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((first.next, first.disclosed), (Some(600), 0));
    assert!(first.since.is_some_and(|since| (60_000..70_000).contains(&since)), "{first:?}");
    assert_eq!((second.text.as_str(), second.disclosed), ("The key is ***.", 1), "the log has no secrets");
    desk.lab(&["drill", "status"]).status(0).says("due: an update in 1");
}

/// Writes the log of a drill that is over.
fn past(desk: &Desk, id: &str, entries: &[lab_drill::event::Entry]) {
    let folder = Drills::new(&desk.state()).folder(id);
    Log::create(&folder, &Secret::from_seed(7)).expect("a new log");
    let line = |entry| serde_json::to_string(entry).expect("JSON") + "\n";
    std::fs::write(folder.path("log.ndjson"), entries.iter().map(line).collect::<String>()).expect("a writable path");
}

#[test]
fn past_drills_are_listed_and_shown_again() {
    let desk = Desk::new();
    desk.lab(&["drill", "list"]).status(0).says("there are no drills yet").says("lab drill start");
    desk.lab(&["drill", "show"]).status(2).complains("there are no drills yet");
    past(&desk, "20261130T101500.000Z-0001", &sample_drills::given_up("20261130T101500.000Z-0001"));
    past(&desk, "20261130T111500.000Z-0002", &sample_drills::resolved("20261130T111500.000Z-0002"));
    let list = desk.lab(&["drill", "list"]).status(0).says("given up").says("points ").says("next: lab drill start");
    assert!(
        list.stdout.lines().nth(1).is_some_and(|line| line.starts_with("0002") && line.contains("wrong-upstream")),
        "{list:?}"
    );
    assert_eq!(desk.lab(&["drill", "list", "--json"]).status(0).json().as_array().map(Vec::len), Some(2));
    let shown = desk.lab(&["drill", "show", "0002"]).status(0).says("You fixed the incident.").says("Never looked at:");
    assert_eq!(desk.lab(&["drill", "show"]).status(0).stdout, shown.stdout, "last, and the same each time");
    desk.lab(&["drill", "show", "0002", "--report", "a.html", "--report", "a.md", "--report", "a.json"]).status(0);
    let read = |name: &str| std::fs::read_to_string(desk.path().join(name)).expect("written");
    assert!(read("a.html").starts_with("<!DOCTYPE html>") && read("a.md").starts_with("# 502 after"));
    let json: Value = serde_json::from_str(&read("a.json")).expect("JSON");
    assert_eq!(json, desk.lab(&["drill", "show", "0002", "--json"]).status(0).json());
    desk.lab(&["drill", "show", "0002", "--report", "a.pdf"]).status(2).complains("unknown format");
    desk.lab(&["drill", "show", "0009"]).status(2).complains("no drill id ends in");
    desk.lab(&["up", "--port", "0"]).status(0);
    let _referee = Referee::start(&desk);
    desk.lab(&["drill", "show", "7f3a"]).status(3).complains("its debrief is closed");
    let list = desk.lab(&["drill", "list"]).status(0).says("in progress");
    assert_eq!(list.stdout.matches("wrong-upstream").count(), 2, "{list:?}");
}
