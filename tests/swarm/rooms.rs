//! Rooms whose seats are labs on the Swarm.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cluster::{TIMEOUT, shared};
use crate::labs::load_images;
use crate::user::User;

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![the_seats_of_a_room_are_spread_and_restored]
}

fn the_seats_of_a_room_are_spread_and_restored() {
    let cluster = shared();
    load_images(&cluster);
    let user = User::new(&cluster);
    let up = user.lab(&["room", "up", "lesson", "--seats", "3", "--port", "0", "--json"]).status(0).json();
    assert_eq!((up["engine"].as_str(), up["ready"].as_u64()), (Some("swarm"), Some(3)), "{up}");
    let status = user.lab(&["swarm", "status", "--json"]).status(0).json();
    for node in status["nodes"].as_array().unwrap() {
        assert_eq!(node["labs"].as_array().map(Vec::len), Some(1), "{status}");
    }
    join(&user, up["address"].as_str().unwrap());
    user.lab(&["room", "drill", "start", "db-frozen", "--quiet", "1s", "--name", "lesson"]).status(0);
    let seat = || user.lab(&["room", "status", "lesson", "--json"]).status(0).json()["seats"][0].clone();
    until("the fault is injected", || seat()["phase"] == "broken");
    // The lab of the seat is lost. The room starts it again by itself, with the fault.
    let before = placement(&user);
    let node: usize = before["node"].as_str().unwrap().trim_start_matches('n').parse().unwrap();
    let container = cluster.docker(node, &["ps", "-q", "--filter", "name=lesson-01"]);
    cluster.docker(node, &["kill", container.trim()]);
    let db = || {
        let status = user.lab(&["status", "--name", "lesson-01", "--json"]);
        let services = serde_json::from_str::<Value>(&status.stdout).map(|status| status["services"].clone());
        services.ok().and_then(|services| {
            services.as_array()?.iter().find(|service| service["name"] == "db").map(|db| db["state"].clone())
        })
    };
    until("the lab is restored with its fault", || {
        placement(&user)["task"] != before["task"] && db().is_some_and(|state| state == "paused")
    });
    assert_eq!(seat()["phase"], "broken");
    user.lab(&["room", "down", "lesson"]).status(0);
    cluster.assert_empty();
}

/// Waits until something is true.
#[track_caller]
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < TIMEOUT, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The task of the first seat's lab.
fn placement(user: &User) -> Value {
    let record = std::fs::read_to_string(user.state().join("labs/lesson-01/swarm.json")).unwrap_or_default();
    serde_json::from_str::<Value>(&record).map(|record| record["placement"].clone()).unwrap_or_default()
}

/// Joins the first seat, as a participant's browser does.
fn join(user: &User, address: &str) {
    let status = user.lab(&["room", "status", "lesson", "--codes", "--json"]).status(0).json();
    let code = status["seats"][0]["code"].as_str().unwrap().to_owned();
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("the room is open");
    let fields = format!("code={code}");
    write!(
        stream,
        "POST /join HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\nConnection: close\r\n\r\n{fields}",
        fields.len()
    )
    .expect("the room is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
