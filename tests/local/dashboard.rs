//! `lab dashboard`: the page of a running lab, until it is stopped.

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{Desk, Running};
use crate::support::{Response, exchange, until};

/// Starts it and reads its address.
fn served(desk: &Desk, args: &[&str]) -> (Running, SocketAddr) {
    let mut running = desk.start(&[&["dashboard", "--port", "0"], args].concat());
    let line = running.lines().next().expect("it says where it is");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    (running, address.parse().unwrap_or_else(|error| panic!("{line}: {error}")))
}

fn ask(address: SocketAddr, host: &str, path: &str) -> Response {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).expect("an answer")
}

fn data(address: SocketAddr) -> Value {
    let answer = ask(address, &address.to_string(), "/data");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn a_lab_is_shown_while_it_is_there_and_when_it_comes_back() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let (running, address) = served(&desk, &[]);
    assert!(ask(address, &address.to_string(), "/").text().contains("dashboard.js"));
    // Metrics of the app, through the engine, and alerts after an evaluation of the rules.
    until(|| data(address)["points"].as_array().is_some_and(|all| all.iter().any(|point| point["up"] == true)));
    until(|| data(address)["alerts"].is_array());
    assert_eq!(data(address)["services"]["app"], "running");
    assert_eq!(data(address)["gateway"], desk.status()["gateway"]);
    desk.lab(&["down"]).status(0);
    until(|| data(address)["services"].as_object().is_some_and(serde_json::Map::is_empty));
    desk.lab(&["up", "--port", "0"]).status(0);
    until(|| data(address)["services"]["app"] == "running");
    running.signal(Signal::TERM);
    running.ran().status(143);
}

#[test]
fn names_that_lead_here_get_nothing_also_where_others_may_look() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let (running, address) = served(&desk, &["--bind", "0.0.0.0"]);
    let port = address.port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("192.0.2.7:{port}")] {
        assert_eq!(ask(address, &host, "/data").status, 200, "{host}");
    }
    for host in [format!("evil.example:{port}"), "127.0.0.1:1".to_owned()] {
        assert_eq!(ask(address, &host, "/data").status, 421, "{host}");
    }
    running.signal(Signal::INT);
    running.ran().status(130).complains("everyone who can reach this machine");
}

#[test]
fn it_says_what_it_lacks() {
    let desk = Desk::new();
    desk.lab(&["dashboard"]).status(3).complains("lab default does not exist");
    desk.lab(&["up", "--port", "0"]).status(0);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it has one").port().to_string();
    desk.lab(&["dashboard", "--port", &port]).status(3).complains("a free one with --port 0");
    desk.lab(&["dashboard", "--bind", "here"]).status(2).complains("--bind");
}
