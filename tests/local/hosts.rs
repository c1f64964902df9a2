//! The host of an embedded lab and its end: how it came, and who was looking.

use std::io::Write;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::desk::{Desk, host, kill, pid};
use crate::support::until;

/// A connection to the host's control port that begins a request and never completes it.
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
    desk.lab(&["status"]).status(3).complains("its host does not answer").complains("run `lab down` to stop it");
    desk.lab(&["down"]).status(0).says("is down");
    desk.is_clean();
}

/// The number in host.json may be another process's by now: that one is left alone, and the host is found by its lock.
#[cfg(target_os = "linux")]
#[test]
fn only_the_host_is_killed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let host = host(&desk.status());
    let path = desk.state().join("labs/default/host.json");
    let mut bystander = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
    // It has the lock's file open, and does not hold the lock.
    let _reader = std::fs::File::open(desk.state().join("labs/default/host.lock")).expect("it is there");
    kill(host, Signal::STOP);
    let written = std::fs::read_to_string(&path).expect("the lab is up");
    let other = written.replace(&format!("\"pid\": {host}"), &format!("\"pid\": {}", bystander.id()));
    assert_ne!(written, other);
    std::fs::write(&path, other).expect("the file is ours");
    desk.lab(&["down"]).status(0).says("is down");
    assert!(bystander.try_wait().expect("it is ours").is_none(), "it was killed");
    bystander.kill().and_then(|()| bystander.wait()).expect("it is ours");
    desk.is_clean();
}

/// Damages `host.json`, or what stands beside it.
type Damage = fn(&std::path::Path);

const DAMAGES: [(&str, Damage); 6] = [
    ("lost", |path| std::fs::remove_file(path).expect("it is there")),
    ("empty", |path| std::fs::write(path, "").expect("it is ours")),
    ("torn", |path| std::fs::write(path, "{\"version\": \"0.").expect("it is ours")),
    ("elsewhere", |path| {
        let file = r#"{"version": "0.1.0", "pid": 1, "address": "127.0.0.1:1", "token": "x"}"#;
        std::fs::write(path, file).expect("it is ours");
    }),
    ("with another token", |path| {
        let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON");
        file["token"] = "x".into();
        std::fs::write(path, file.to_string()).expect("it is ours");
    }),
    ("a folder", |path| {
        std::fs::remove_file(path).and_then(|()| std::fs::create_dir(path)).expect("it is ours");
    }),
];

/// A host that runs and whose `host.json` is no more what it wrote is ended by `down` all the same, also if it hangs.
#[cfg(target_os = "linux")]
#[test]
fn a_host_whose_file_is_damaged_is_ended_by_down() {
    for hangs in [false, true] {
        for (how, damage) in DAMAGES {
            let desk = Desk::new();
            desk.lab(&["up", "--port", "0"]).status(0);
            let host = host(&desk.status());
            if hangs {
                kill(host, Signal::STOP);
            }
            damage(&desk.state().join("labs/default/host.json"));
            desk.lab(&["down"]).status(0).says("is down");
            assert_eq!(desk.processes(), Vec::<u32>::new(), "{how}, hangs: {hangs}");
            desk.is_clean();
        }
    }
}

/// The host writes its file again, so every command finds it.
#[test]
fn a_host_whose_file_is_damaged_is_found_again() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let instance = desk.status()["services"][1]["instance"].clone();
    for (_, damage) in DAMAGES.iter().filter(|(how, _)| *how != "a folder") {
        damage(&desk.state().join("labs/default/host.json"));
        until(|| desk.lab(&["status"]).code() == Some(0));
        desk.lab(&["up"]).status(0).says("is up already");
        assert_eq!(desk.status()["services"][1]["instance"], instance, "the same app");
    }
}

/// Without its folder a lab has no name, so `down` could not find it.
#[cfg(target_os = "linux")]
#[test]
fn a_host_whose_folder_is_gone_ends() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    // The host may write a file in it meanwhile.
    until(|| std::fs::remove_dir_all(desk.state()).is_ok() || !desk.state().exists());
    until(|| desk.processes().is_empty());
}
