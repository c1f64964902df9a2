//! Crashed services of an embedded lab, and interrupted commands: state of the dead process does not block the next one.

use std::time::Duration;

use rustix::process::Signal;

use crate::desk::{Desk, host, kill, pid};
use crate::support::until;

const SERVICES: [&[&str]; 3] = [&["app"], &["gateway"], &["gateway", "app"]];

/// A service's state in `lab status --json`.
fn state(desk: &Desk, service: &str) -> String {
    let status = desk.status();
    let services = status["services"].as_array().expect("a list");
    let found = services.iter().find(|entry| entry["name"] == service).expect("it is there");
    found["state"].as_str().expect("a state").to_owned()
}

/// The lab answers through its gateway with its own key.
#[track_caller]
fn serves(desk: &Desk) {
    desk.lab(&["traffic", "--requests", "3", "--json"]).status(0).says("\"200\": 3");
}

#[cfg(target_os = "linux")]
#[test]
fn services_that_were_killed_come_back_with_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for round in 0..4 {
        for services in SERVICES {
            let status = desk.status();
            for service in services {
                kill(pid(&status, service), Signal::KILL);
            }
            // Also at once, when the host may not have noticed.
            if round % 2 == 0 {
                until(|| services.iter().all(|service| state(&desk, service) == "stopped"));
            }
            desk.lab(&["up"]).status(0);
            serves(&desk);
        }
    }
    desk.lab(&["down"]).status(0);
    desk.is_clean();
}

/// A frozen service is killed, and so is the other one: neither the freeze nor the route is left.
#[cfg(target_os = "linux")]
#[test]
fn services_that_were_killed_while_frozen_come_back_with_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for service in ["app", "gateway"] {
        desk.lab(&["pause", service]).status(0);
        assert_eq!(state(&desk, service), "paused");
        let status = desk.status();
        for service in ["app", "gateway"] {
            kill(pid(&status, service), Signal::KILL);
        }
        until(|| state(&desk, "app") == "stopped" && state(&desk, "gateway") == "stopped");
        desk.lab(&["up"]).status(0);
        serves(&desk);
    }
}

/// The gateway starts while the app is frozen, or does not answer for another reason: that is the app's state, not the
/// gateway's.
#[cfg(target_os = "linux")]
#[test]
fn a_gateway_comes_back_before_an_app_that_does_not_answer() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let status = desk.status();
    // Frozen from outside: the host does not know of it.
    kill(pid(&status, "app"), Signal::STOP);
    kill(pid(&status, "gateway"), Signal::KILL);
    until(|| state(&desk, "gateway") == "stopped");
    desk.lab(&["up"]).status(0);
    kill(pid(&status, "app"), Signal::CONT);
    serves(&desk);
}

/// A request meets the dead app's address no more once it has ended: another process may have got its port.
#[cfg(target_os = "linux")]
#[test]
fn nothing_is_sent_to_the_address_of_a_dead_app() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let status = desk.status();
    let services = status["services"].as_array().expect("a list");
    let app = services.iter().find(|entry| entry["name"] == "app").expect("it is there");
    let address = app["address"].as_str().expect("an address").to_owned();
    kill(pid(&status, "app"), Signal::KILL);
    until(|| state(&desk, "app") == "stopped");
    let stranger = std::net::TcpListener::bind(&address).expect("the port is free again");
    stranger.set_nonblocking(true).expect("an option can be set");
    let lines = desk.lab(&["traffic", "--requests", "3", "--json"]).stdout;
    assert!(lines.contains("\"502\": 3"), "{lines}");
    assert!(stranger.accept().is_err(), "a request was sent to a process that is none of the lab's");
}

/// The host carries an end to its end that its caller did not see; what comes then waits for it.
#[test]
fn a_down_that_is_killed_is_taken_up_or_down_by_the_next_command() {
    let desk = Desk::new();
    for step in 0..20 {
        for next in ["up", "down"] {
            desk.lab(&["up", "--port", "0"]).status(0);
            let down = desk.start(&["down"]);
            std::thread::sleep(Duration::from_millis(step * 2));
            down.signal(Signal::KILL);
            down.ran();
            if next == "up" {
                desk.lab(&["up", "--port", "0"]).status(0);
                serves(&desk);
            }
            desk.lab(&["down"]).status(0);
            desk.is_clean();
        }
    }
}

/// A host whose services are being ended starts no new ones.
#[cfg(target_os = "linux")]
#[test]
fn a_host_that_is_told_to_end_is_replaced_by_the_next_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for _ in 0..5 {
        let old = host(&desk.status());
        kill(old, Signal::TERM);
        desk.lab(&["up"]).status(0).says("is up again");
        assert_ne!(host(&desk.status()), old);
        serves(&desk);
    }
}
