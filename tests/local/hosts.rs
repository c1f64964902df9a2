//! The host process of an embedded lab: how it ends, and how commands find it.

use std::io::Write;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::desk::{Desk, host, kill, pid};
use crate::support::until;

/// Opens a connection to the control port of the host with an incomplete request.
fn open_incomplete_request(desk: &Desk) -> TcpStream {
    let text = std::fs::read_to_string(desk.state().join("labs/default/host.json")).expect("the lab is up");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut stream = TcpStream::connect(file["address"].as_str().expect("an address")).expect("a listener");
    stream.write_all(b"GET /desc").expect("the peer reads");
    stream
}

#[test]
fn an_open_connection_does_not_keep_the_lab_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let _connection = open_incomplete_request(&desk);
    desk.lab(&["down"]).status(0).says("is down");
    desk.assert_clean();
}

/// A service that outlives its killed host is still part of the lab.
#[cfg(target_os = "linux")]
#[test]
fn down_waits_for_the_last_process() {
    let desk = Desk::new();
    for _ in 0..5 {
        desk.lab(&["up", "--port", "0"]).status(0);
        let host = host(&desk.status());
        kill(host, Signal::KILL);
        // Immediately, before the services have noticed.
        desk.lab(&["down"]).status(0).says("is down");
        assert_eq!(desk.processes(), Vec::<u32>::new(), "a process outlived the lab");
        desk.assert_clean();
    }
}

/// Commands check whether a host runs by taking its lock for an instant. That must not prevent the start of a host.
#[cfg(target_os = "linux")]
#[test]
fn a_check_for_the_host_does_not_block_up() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    kill(host(&desk.status()), Signal::KILL);
    until(|| desk.processes().is_empty());
    let lock = std::fs::File::open(desk.state().join("labs/default/host.lock")).expect("the lock file exists");
    lock.lock_shared().expect("the lock is free");
    let up = desk.start(&["up"]);
    // Usually long enough for the host to find the lock taken.
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(lock);
    up.wait().status(0).says("is up again");
    assert_ne!(pid(&desk.status(), "app"), 0);
}

/// A suspended host accepts connections and does not answer, like one that hangs.
#[cfg(target_os = "linux")]
#[test]
fn down_stops_a_host_that_does_not_answer() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let status = desk.status();
    kill(host(&status), Signal::STOP);
    // A suspended service does not block `down` either.
    kill(pid(&status, "app"), Signal::STOP);
    desk.lab(&["status"]).status(3).complains("its host does not answer").complains("run `lab down` to stop it");
    desk.lab(&["down"]).status(0).says("is down");
    desk.assert_clean();
}

/// The process id in host.json may belong to another process by now. The host is found by its lock.
#[cfg(target_os = "linux")]
#[test]
fn only_the_host_is_killed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let host = host(&desk.status());
    let path = desk.state().join("labs/default/host.json");
    let mut bystander = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
    // Opens the lock file without locking it.
    let _reader = std::fs::File::open(desk.state().join("labs/default/host.lock")).expect("it exists");
    kill(host, Signal::STOP);
    let written = std::fs::read_to_string(&path).expect("the lab is up");
    let other = written.replace(&format!("\"pid\": {host}"), &format!("\"pid\": {}", bystander.id()));
    assert_ne!(written, other);
    std::fs::write(&path, other).expect("a writable path");
    desk.lab(&["down"]).status(0).says("is down");
    assert!(bystander.try_wait().expect("it is a child process").is_none(), "the other process was killed");
    bystander.kill().and_then(|()| bystander.wait()).expect("it is a child process");
    desk.assert_clean();
}

/// Damages `host.json`.
type Damage = fn(&std::path::Path);

const DAMAGES: [(&str, Damage); 6] = [
    ("missing", |path| std::fs::remove_file(path).expect("it exists")),
    ("empty", |path| std::fs::write(path, "").expect("a writable path")),
    ("truncated", |path| std::fs::write(path, "{\"version\": \"0.").expect("a writable path")),
    ("with another address", |path| {
        let file = r#"{"version": "0.1.0", "pid": 1, "address": "127.0.0.1:1", "token": "x"}"#;
        std::fs::write(path, file).expect("a writable path");
    }),
    ("with another token", |path| {
        let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON");
        file["token"] = "x".into();
        std::fs::write(path, file.to_string()).expect("a writable path");
    }),
    ("a folder", |path| {
        std::fs::remove_file(path).and_then(|()| std::fs::create_dir(path)).expect("a writable path");
    }),
];

/// Even if the host hangs.
#[cfg(target_os = "linux")]
#[test]
fn down_stops_a_host_with_a_damaged_file() {
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
            desk.assert_clean();
        }
    }
}

/// The host rewrites its file.
#[test]
fn a_host_repairs_its_damaged_file() {
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

/// Without its folder, `down` could not find the lab.
#[cfg(target_os = "linux")]
#[test]
fn a_host_without_its_folder_ends() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    // The host may write a file at the same time.
    until(|| std::fs::remove_dir_all(desk.state()).is_ok() || !desk.state().exists());
    until(|| desk.processes().is_empty());
}
