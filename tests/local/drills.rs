//! `lab drill`, with a log that the tests write in place of the referee, and what other commands show during a drill.

use lab_core::diagnosis::{Cause, Finding, Location};
use lab_drill::choice::Secret;
use lab_drill::event::{Ending, Event};
use lab_drill::log::{Drills, Log};
use lab_runner::lab::{Lab, StateFolder};
use lab_testkit::sample_drills;
use serde_json::Value;

use crate::desk::Desk;

const ID: &str = "20261130T101500.000Z-7f3a";

/// The drill in progress in the lab `default`.
struct Referee {
    lab: Lab,
    log: Log,
}

impl Referee {
    /// Starts a drill whose fault makes the caller `web` fail.
    fn start(desk: &Desk) -> Self {
        let lab = StateFolder::at(&desk.state()).expect("a state folder").lab("default").expect("a lab");
        let log = Log::create(&Drills::new(&desk.state()).folder(ID), &Secret::from_seed(7)).expect("a new log");
        let mut referee = Self { lab, log };
        for entry in sample_drills::running(ID) {
            referee.write(entry.clock, entry.event);
        }
        referee.lab.begin_drill(ID).expect("the folder is ours");
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

/// A lab without services, which is enough for commands that use the log only.
fn down_lab() -> Desk {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk
}

#[test]
fn a_participant_acknowledges_and_diagnoses() {
    let desk = down_lab();
    desk.lab(&["drill", "ack"])
        .status(3)
        .complains("no drill is in progress in lab default")
        .complains("lab drill start");
    let mut referee = Referee::start(&desk);
    desk.lab(&["drill", "ack"]).status(0).says("acknowledged after 2m 0");
    desk.lab(&["drill", "diagnose"]).status(0).says(" 7  timeout too short").says("3  gateway");
    let lists = desk.lab(&["drill", "diagnose", "--json"]).status(0).json();
    assert_eq!(
        (lists["locations"].as_array().map(Vec::len), lists["causes"].as_array().map(Vec::len)),
        (Some(8), Some(21))
    );
    desk.lab(&["drill", "diagnose", "gateway", "slw"]).status(2).complains("did you mean \"slow\"?");
    desk.lab(&["drill", "diagnose", "app", "does not run"]).status(0).says("diagnosis 1 after 2m 0");
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
    let desk = down_lab();
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
