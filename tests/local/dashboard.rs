//! `lab dashboard`: serves the dashboard of a lab until it is stopped.

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{Desk, Running};
use crate::support::{Response, exchange, until};

/// Starts `lab dashboard` and reads its address.
pub(crate) fn start_dashboard(desk: &Desk, args: &[&str]) -> (Running, SocketAddr) {
    let mut running = desk.start(&[&["dashboard", "--port", "0"], args].concat());
    let line = running.lines().next().expect("a line with the address");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    (running, address.parse().unwrap_or_else(|error| panic!("{line}: {error}")))
}

fn send_get(address: SocketAddr, host: &str, path: &str) -> Response {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).expect("a response")
}

fn data(address: SocketAddr) -> Value {
    let answer = send_get(address, &address.to_string(), "/data");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn the_dashboard_follows_its_lab_over_down_and_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let (running, address) = start_dashboard(&desk, &[]);
    assert!(send_get(address, &address.to_string(), "/").text().contains("dashboard.js"));
    // Metrics come through the engine, and alerts after the first evaluation of the rules.
    until(|| data(address)["points"].as_array().is_some_and(|all| all.iter().any(|point| point["up"] == true)));
    until(|| data(address)["alerts"].is_array());
    assert_eq!(data(address)["services"]["app"], "running");
    assert_eq!(data(address)["gateway"], desk.status()["gateway"]);
    desk.lab(&["down"]).status(0);
    until(|| data(address)["services"].as_object().is_some_and(serde_json::Map::is_empty));
    desk.lab(&["up", "--port", "0"]).status(0);
    until(|| data(address)["services"]["app"] == "running");
    running.signal(Signal::TERM);
    running.wait().status(143);
}

#[test]
fn other_host_names_are_refused_even_with_bind() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let (running, address) = start_dashboard(&desk, &["--bind", "0.0.0.0"]);
    let port = address.port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("192.0.2.7:{port}")] {
        assert_eq!(send_get(address, &host, "/data").status, 200, "{host}");
    }
    for host in [format!("evil.example:{port}"), "127.0.0.1:1".to_owned()] {
        assert_eq!(send_get(address, &host, "/data").status, 421, "{host}");
    }
    running.signal(Signal::INT);
    running.wait().status(130).complains("everyone who can reach this machine");
}

#[test]
fn missing_data_is_explained() {
    let desk = Desk::new();
    desk.lab(&["dashboard"]).status(3).complains("lab default does not exist");
    desk.lab(&["up", "--port", "0"]).status(0);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it has one").port().to_string();
    desk.lab(&["dashboard", "--port", &port]).status(3).complains("a free one with --port 0");
    desk.lab(&["dashboard", "--bind", "here"]).status(2).complains("--bind");
}
