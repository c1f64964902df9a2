//! The two servers of the host refuse a request while its client is still sending the body.

use std::net::SocketAddr;

use serde_json::Value;

use crate::desk::Desk;
use crate::support::{Client, Response};

/// Sends a whole request before reading its response.
fn post(address: &str, path: &str) -> Response {
    const SIZE: usize = 8 << 20;
    let address: SocketAddr = address.parse().expect("an address");
    let mut client = Client::connect(address);
    client.send(format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {SIZE}\r\n\r\n"));
    client.send(vec![b'x'; SIZE]);
    client.response().expect("a response")
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let text = std::fs::read_to_string(desk.state().join("labs/default/host.json")).expect("the lab is up");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let control = file["address"].as_str().expect("an address");
    let status = desk.status();
    let dashboard = status["dashboard"].as_str().expect("a URL").trim_start_matches("http://").trim_end_matches('/');
    for _ in 0..5 {
        assert_eq!(post(control, "/up").status, 401);
        assert_eq!(post(dashboard, "/data").status, 405);
    }
}
