//! `lab stop`, `start`, `restart`, `kill`, `pause` and `unpause` on a real lab.

use crate::desk::{Desk, pid};

/// Asserts the status codes of five requests.
#[track_caller]
fn assert_traffic(desk: &Desk, code: &str) {
    let json = desk.lab(&["traffic", "--requests", "5", "--rate", "200", "--json"]).status(0).json();
    assert_eq!(json["codes"][code], 5, "{json}");
}

#[test]
fn services_are_stopped_killed_paused_and_started_again() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["stop", "app"]).status(0).says("app stopped in ");
    desk.lab(&["stop", "app"]).status(0).says("app already stopped");
    desk.lab(&["kill", "app"]).status(0).says("app already stopped");
    assert_traffic(&desk, "502");
    desk.lab(&["pause", "app"]).status(3).complains("cannot pause app: it is stopped").complains("lab start app");
    desk.lab(&["start", "app", "app"]).status(0).says("app started in ");
    desk.lab(&["start", "app"]).status(0).says("app already running");
    assert_traffic(&desk, "200");

    desk.lab(&["kill", "app"]).status(0).says("app killed in ");
    assert_traffic(&desk, "502");
    desk.lab(&["restart", "app"]).status(0).says("app restarted in ");
    let before = pid(&desk.status(), "app");
    desk.lab(&["restart", "gateway", "app"]).status(0).says("gateway restarted in ").says("app restarted in ");
    assert_ne!(pid(&desk.status(), "app"), before, "a new process");
    assert_traffic(&desk, "200");

    desk.lab(&["pause", "db"]).status(0).says("db paused in ");
    desk.lab(&["pause", "db"]).status(0).says("db already paused");
    desk.lab(&["start", "db"]).status(2).complains("cannot start db").complains("gateway, app");
    desk.lab(&["unpause", "db"]).status(0).says("db unpaused in ");
    desk.lab(&["unpause", "db"]).status(0).says("db not paused");
    desk.lab(&["pause", "app"]).status(0);
    desk.lab(&["start", "app"]).status(3).complains("cannot start app: it is paused").complains("lab unpause app");
    desk.lab(&["unpause", "app"]).status(0);
    assert_traffic(&desk, "200");
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}

#[test]
fn nothing_changes_if_one_service_is_unknown() {
    let desk = Desk::new();
    desk.lab(&["stop", "app"]).status(3).complains("does not exist").complains("lab up");
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["stop", "app", "nginx"])
        .status(2)
        .complains("unknown service \"nginx\" (this lab has gateway, app, db)");
    desk.lab(&["stop"]).status(2).complains("<SERVICE>");
    assert_traffic(&desk, "200");
}
