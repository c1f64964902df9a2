//! Crashed services of an embedded lab, and interrupted commands: leftovers of a dead process do not block the next command.

use std::time::Duration;

use rustix::process::Signal;

use crate::desk::{Desk, host, kill, pid};
use crate::support::until;

const SERVICES: [&[&str]; 3] = [&["app"], &["gateway"], &["gateway", "app"]];

/// A service's state in `lab status --json`.
fn state(desk: &Desk, service: &str) -> String {
    let status = desk.status();
    let services = status["services"].as_array().expect("a list");
    let found = services.iter().find(|entry| entry["name"] == service).expect("it exists");
    found["state"].as_str().expect("a state").to_owned()
}

/// Asserts that requests with the caller's key succeed.
#[track_caller]
fn assert_serves(desk: &Desk) {
    desk.lab(&["traffic", "--requests", "3", "--json"]).status(0).says("\"200\": 3");
}

#[cfg(target_os = "linux")]
#[test]
fn up_restarts_killed_services() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for round in 0..4 {
        for services in SERVICES {
            let status = desk.status();
            for service in services {
                kill(pid(&status, service), Signal::KILL);
            }
            // In every other round without waiting until the host has noticed.
            if round % 2 == 0 {
                until(|| services.iter().all(|service| state(&desk, service) == "stopped"));
            }
            desk.lab(&["up"]).status(0);
            assert_serves(&desk);
        }
    }
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}

/// Neither the paused state nor the route is left over.
#[cfg(target_os = "linux")]
#[test]
fn up_restarts_services_that_were_killed_while_paused() {
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
        assert_serves(&desk);
    }
}

/// The health of the gateway does not depend on the app.
#[cfg(target_os = "linux")]
#[test]
fn a_gateway_restarts_while_the_app_does_not_answer() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let status = desk.status();
    // Suspended outside of lab, so that the host does not know.
    kill(pid(&status, "app"), Signal::STOP);
    kill(pid(&status, "gateway"), Signal::KILL);
    until(|| state(&desk, "gateway") == "stopped");
    desk.lab(&["up"]).status(0);
    kill(pid(&status, "app"), Signal::CONT);
    assert_serves(&desk);
}

/// Another process may get the port of a dead app.
#[cfg(target_os = "linux")]
#[test]
fn no_request_is_sent_to_the_address_of_a_dead_app() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let status = desk.status();
    let services = status["services"].as_array().expect("a list");
    let app = services.iter().find(|entry| entry["name"] == "app").expect("it exists");
    let address = app["address"].as_str().expect("an address").to_owned();
    kill(pid(&status, "app"), Signal::KILL);
    until(|| state(&desk, "app") == "stopped");
    let other_process = std::net::TcpListener::bind(&address).expect("the port is free again");
    other_process.set_nonblocking(true).expect("an option can be set");
    let lines = desk.lab(&["traffic", "--requests", "3", "--json"]).stdout;
    assert!(lines.contains("\"502\": 3"), "{lines}");
    assert!(other_process.accept().is_err(), "a request was sent to a process outside the lab");
}

/// The host completes a `down` whose command was killed, and the next command waits for that.
#[test]
fn up_and_down_work_after_a_killed_down() {
    let desk = Desk::new();
    for step in 0..20 {
        for next in ["up", "down"] {
            desk.lab(&["up", "--port", "0"]).status(0);
            let down = desk.start(&["down"]);
            std::thread::sleep(Duration::from_millis(step * 2));
            down.signal(Signal::KILL);
            down.wait();
            if next == "up" {
                desk.lab(&["up", "--port", "0"]).status(0);
                assert_serves(&desk);
            }
            desk.lab(&["down"]).status(0);
            desk.assert_clean();
        }
    }
}

/// A host that is shutting down starts no services.
#[cfg(target_os = "linux")]
#[test]
fn a_host_ended_by_sigterm_is_replaced_by_the_next_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for _ in 0..5 {
        let old = host(&desk.status());
        kill(old, Signal::TERM);
        desk.lab(&["up"]).status(0).says("is up again");
        assert_ne!(host(&desk.status()), old);
        assert_serves(&desk);
    }
}
