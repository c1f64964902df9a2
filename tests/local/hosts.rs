//! The host of an embedded lab and its end: how it came, and who was looking.

use std::io::Write;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::desk::{Desk, host, kill, pid};
use crate::support::until;

/// A connection to the host's control port that asks for something and never says what.
fn dawdler(desk: &Desk) -> TcpStream {
    let text = std::fs::read_to_string(desk.state().join("labs/default/host.json")).expect("the lab is up");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut stream = TcpStream::connect(file["address"].as_str().expect("an address")).expect("it listens");
    stream.write_all(b"GET /desc").expect("it reads");
    stream
}

#[test]
fn somebody_who_holds_the_line_does_not_keep_the_lab_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let _line = dawdler(&desk);
    desk.lab(&["down"]).status(0).says("is down");
    desk.is_clean();
}

/// A service that is slow to end after its host was killed is still part of the lab: nothing counts as gone before it is.
#[cfg(target_os = "linux")]
#[test]
fn a_lab_is_gone_when_its_last_process_is() {
    let desk = Desk::new();
    for _ in 0..5 {
        desk.lab(&["up", "--port", "0"]).status(0);
        let host = host(&desk.status());
        kill(host, Signal::KILL);
        // At once: the services have not yet noticed.
        desk.lab(&["down"]).status(0).says("is down");
        assert_eq!(desk.processes(), Vec::<u32>::new(), "a process outlived the lab");
        desk.is_clean();
    }
}

/// Looking whether a host lives takes its lock for an instant: that keeps no host from starting.
#[cfg(target_os = "linux")]
#[test]
fn looking_at_a_lab_does_not_keep_it_from_coming_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    kill(host(&desk.status()), Signal::KILL);
    until(|| desk.processes().is_empty());
    let lock = std::fs::File::open(desk.state().join("labs/default/host.lock")).expect("it is left");
    lock.lock_shared().expect("nobody has it");
    let up = desk.start(&["up"]);
    // Long enough for the host to meet it; where the machine is slow, it does not, and nothing is lost.
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(lock);
    up.ran().status(0).says("is up again");
    assert_ne!(pid(&desk.status(), "app"), 0);
}

/// Stopped, it takes connections and answers none: what a host that hangs looks like from outside.
#[cfg(target_os = "linux")]
#[test]
fn a_host_that_does_not_answer_is_ended_all_the_same() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let status = desk.status();
    kill(host(&status), Signal::STOP);
    // Nobody waits for a frozen service either.
    kill(pid(&status, "app"), Signal::STOP);
    desk.lab(&["status"]).status(3).complains("its host does not answer").complains("lab down ends it");
    desk.lab(&["down"]).status(0).says("is down");
    desk.is_clean();
}

/// The number in host.json may be another process's by now: that one is left alone.
#[cfg(target_os = "linux")]
#[test]
fn only_the_host_is_killed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let host = host(&desk.status());
    let path = desk.state().join("labs/default/host.json");
    let written = std::fs::read_to_string(&path).expect("the lab is up");
    let mut bystander = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
    let other = written.replace(&format!("\"pid\": {host}"), &format!("\"pid\": {}", bystander.id()));
    assert_ne!(written, other);
    std::fs::write(&path, other).expect("the file is ours");
    kill(host, Signal::STOP);
    desk.lab(&["down"]).status(3).complains("the process of that number is another one").complains("fuser -v ");
    assert!(bystander.try_wait().expect("it is ours").is_none(), "it was killed");
    bystander.kill().and_then(|()| bystander.wait()).expect("it is ours");
    std::fs::write(&path, written).expect("the file is ours");
    desk.lab(&["down"]).status(0).says("is down");
    desk.is_clean();
}
