//! `lab callers` and `lab traffic --as-callers` on a real lab.

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{Desk, kill};
use crate::support::until;

fn callers(desk: &Desk) -> Value {
    let result = desk.lab(&["callers", "status", "--json"]);
    serde_json::from_str(&result.stdout).unwrap_or_else(|error| panic!("{error}: {result:?}"))
}

/// Waits until a caller's counts are as expected.
fn until_caller(desk: &Desk, name: &str, is_expected: impl Fn(&Value) -> bool) {
    until(|| {
        let state = callers(desk);
        let found =
            state["callers"].as_array().and_then(|all| all.iter().find(|caller| caller["name"] == name).cloned());
        found.is_some_and(|caller| is_expected(&caller))
    });
}

#[test]
fn callers_continue_after_a_run_that_keeps_its_fault() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["scenario", "run", "stale-caller", "--until", "observe", "--set", "requests=12", "--set", "rate=40"])
        .status(0)
        .complains("callers go on: 40 requests per second (web 30, batch 10) for ")
        .complains("stop them with lab callers stop");
    until_caller(&desk, "batch", |batch| batch["codes"]["401"].as_u64() > Some(5) && batch["succeeded"] == 0);
    until_caller(&desk, "web", |web| web["codes"]["200"].as_u64() > Some(5) && web["failed"] == 0);
    desk.lab(&["callers", "status"]).status(0).says("scenario stale-caller, run ").says("401 x");
    desk.lab(&["callers", "start"]).status(3).complains("already").complains("lab callers stop");
    // All services are healthy, and a quarter of the requests fails.
    let failing = desk.lab(&["status"]).status(0);
    failing.says("healthy, but callers fail").says("callers 40/s · ").says(" of their requests failed in the last");
    let status = desk.lab(&["status", "--json"]).status(0).json();
    assert!(status["callers"]["recent_failed"].as_u64() > Some(0) && status["callers"]["rate"] == 40.0, "{status}");

    // One round of the same mix. The lab's own caller gets nothing but 401.
    let json = desk.lab(&["traffic", "--as-callers", "--requests", "20", "--json"]).status(0).json();
    assert_eq!((&json["codes"]["200"], &json["codes"]["401"]), (&15.into(), &5.into()), "{json}");
    desk.lab(&["traffic", "--requests", "5", "--rate", "50", "--json"]).complains("lab traffic --as-callers");

    // Callers use their new key as soon as it changes.
    desk.lab(&["key", "align", "--caller", "batch"]).status(0);
    until_caller(&desk, "batch", |batch| batch["recent_success"].as_f64() > Some(0.3));
    desk.lab(&["callers", "stop"]).status(0).says("callers stopped after ");
    desk.lab(&["callers", "stop"]).status(0).says("no callers are sending");
    let state = callers(&desk);
    assert_eq!((&state["running"], &state["ended"]), (&false.into(), &"stopped".into()), "{state}");
    desk.lab(&["callers", "status"]).status(0).says(": stopped");
    assert!(desk.lab(&["status", "--json"]).json()["callers"].is_null());
}

#[test]
fn callers_stop_after_their_duration_or_with_their_lab() {
    let desk = Desk::new();
    desk.lab(&["callers", "start"]).status(3).complains("does not exist");
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["callers", "status"]).status(0).says("no callers are sending").says("lab callers start");
    for wrong in [&["--rate", "0"][..], &["--duration", "0s"], &["--duration", "25h"], &["--scenario", "nowhere"]] {
        desk.lab(&[&["callers", "start"], wrong].concat()).status(2);
    }
    desk.lab(&["callers", "start", "--rate", "30", "--duration", "1500ms"]).status(0).says("30 requests per second");
    until(|| callers(&desk)["ended"] == "the time limit was reached");

    desk.lab(&["callers", "start", "--scenario", "stale-caller"]).status(0).says("(web 15, batch 5)");
    let pid = u32::try_from(callers(&desk)["pid"].as_u64().expect("it is running")).expect("a process id");
    kill(pid, Signal::KILL);
    until(|| callers(&desk)["running"] == false);
    desk.lab(&["callers", "status"]).status(1).says("ended unexpectedly");

    desk.lab(&["callers", "start"]).status(0);
    // A run is refused, because it would count the requests of these callers.
    desk.lab(&["scenario", "run", "rotate-key"])
        .status(3)
        .complains("callers are sending")
        .complains("lab callers stop");
    desk.lab(&["down"]).status(0);
    desk.assert_clean();

    // Callers stop if the folder of their lab is removed.
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["callers", "start"]).status(0);
    std::fs::remove_dir_all(desk.state().join("labs")).expect("it exists");
    desk.assert_clean();
}

#[test]
fn recover_stops_the_callers_of_the_run() {
    let desk = Desk::new();
    let run = ["scenario", "run", "rotate-key", "--until", "observe", "--set", "rate=100", "--set", "requests=10"];
    // In a temporary lab, which is kept.
    desk.lab(&run).status(0).complains("callers go on");
    desk.lab(&["recover"]).status(0).says("stopped its callers");
    desk.assert_clean();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&run).status(0);
    assert_eq!(callers(&desk)["running"], true);
    desk.lab(&["recover"]).status(0).says("stopped its callers");
    assert_eq!(callers(&desk)["running"], false);
    desk.lab(&[&run[..], &["--no-callers"]].concat()).status(0);
    assert_eq!(callers(&desk)["running"], false);
    desk.lab(&["recover"]).status(0);
}

#[test]
fn attempts_of_callers_that_retry_are_counted_apart() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let scenario = desk.write(
        "retries.yaml",
        "title: T\ncallers: { web: { rate: 20, retries: 2 }, batch: { rate: 10 } }\nsteps:\n  - wait: 1s\n",
    );
    desk.lab(&["stop", "app"]).status(0);
    desk.lab(&["callers", "start", "--scenario", &scenario]).status(0);
    until_caller(&desk, "web", |web| web["codes"]["502"].as_u64() > Some(5));
    let state = callers(&desk);
    let counts = |index: usize| {
        let caller = &state["callers"][index];
        (caller["sent"].as_u64().expect("a count"), caller["attempts"].as_u64().expect("a count"))
    };
    let ((web, attempts), (batch, once)) = (counts(0), counts(1));
    assert_eq!((attempts, once), (3 * web, batch), "{state}");
    desk.lab(&["callers", "status"]).status(0).says("attempts");
    let json = desk.lab(&["traffic", "--as-callers", "--requests", "30", "--json"]).json();
    assert_eq!((&json["sent"], &json["attempts"]), (&30.into(), &70.into()), "{json}");
    desk.lab(&["start", "app"]).status(0);
    until_caller(&desk, "web", |web| web["recent_success"].as_f64() > Some(0.3));
}
