//! `lab doctor` with a broken Docker: labs run without Docker, so it suggests a fix and does not fail.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::desk::{CommandOutput, Desk};

fn doctor(desk: &Desk, host: &str) -> CommandOutput {
    let mut command = desk.command(&["doctor"]);
    command.env("DOCKER_HOST", host);
    let result = Desk::run(&["doctor"], command).status(0).says("this machine is ready");
    assert!(result.stdout.lines().all(|line| line.chars().count() <= 80), "{}", result.stdout);
    result
}

/// Description of an item, without its line breaks.
fn finding(result: &CommandOutput, what: &str) -> String {
    let mut lines = result.stdout.lines().skip_while(|line| !line.contains(&format!("  {what}  ")));
    let first = lines.next().unwrap_or_else(|| panic!("{what} is not listed: {}", result.stdout));
    let rest = lines.take_while(|line| line.starts_with("      "));
    let words = std::iter::once(first).chain(rest).flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn without_a_daemon_doctor_suggests_a_fix() {
    let desk = Desk::new();
    let result = doctor(&desk, &format!("unix://{}/none.sock", desk.path().display()));
    let docker = finding(&result, "docker");
    assert!(docker.starts_with("note") && docker.contains("start Docker"), "{docker}");
}

#[test]
fn a_hanging_daemon_is_reported() {
    let desk = Desk::new();
    let path = desk.path().join("docker.sock");
    let socket = UnixListener::bind(&path).expect("a new folder has no socket");
    std::thread::spawn(move || {
        // Accepts connections and never answers.
        let mut connections = Vec::new();
        while let Ok((stream, _)) = socket.accept() {
            connections.push(stream);
        }
    });
    let docker = finding(&doctor(&desk, &format!("unix://{}", path.display())), "docker");
    assert!(docker.contains("does not answer") && docker.contains("restart the daemon"), "{docker}");
}

#[test]
fn a_remote_daemon_is_distinguished_from_a_local_one() {
    let desk = Desk::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let body = match head.split(' ').nth(1).unwrap_or_default() {
                path if path.starts_with("/version") => r#"{"Version":"27.1","ApiVersion":"1.46"}"#,
                path if path.starts_with("/info") => r#"{"MemTotal":1}"#,
                path if path.starts_with("/volumes") => r#"{"Volumes":[]}"#,
                // No container, no network.
                _ => "[]",
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    // Not an address of this machine by its name, but it reaches the listener.
    let host = format!("tcp://0.0.0.0:{port}");
    let docker = finding(&doctor(&desk, &host), "docker");
    assert!(docker.contains("27.1") && docker.contains("on another machine: run lab there"), "{docker}");
    let mut up = desk.command(&["up", "--engine", "docker"]);
    up.env("DOCKER_HOST", &host);
    let result = Desk::run(&["up"], up).status(3);
    result.complains("is on another machine").complains("lab up --bind");
    desk.assert_clean();
}
