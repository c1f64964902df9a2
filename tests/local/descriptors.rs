//! Open descriptors of a lab's processes: they inherit none from the process that starts lab.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Resource, Rlimit};
use serde_json::Value;

use crate::desk::{Desk, host, pid};
use crate::support::TIMEOUT;

/// Shell script with the path of lab in `$LAB`.
fn shell(desk: &Desk, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(desk.path()).stdin(Stdio::null()).env("LAB", env!("CARGO_BIN_EXE_lab"));
    command.env("LAB_STATE_DIR", desk.state()).env("LAB_ENGINE", "embedded");
    command
}

/// The command substitution ends when the last process with descriptor 3 ends.
#[test]
fn no_descriptor_of_the_parent_is_inherited() {
    let desk = Desk::new();
    let begun = Instant::now();
    let up =
        shell(&desk, r#"x=$("$LAB" up --port 0 3>&1 9>&1) && "$LAB" status >/dev/null"#).output().expect("sh starts");
    assert!(up.status.success(), "{up:?}");
    assert!(begun.elapsed() < TIMEOUT, "a background process has the descriptor");
    desk.lab(&["down"]).status(0);
}

/// Like `flock FILE lab up`, and scripts with `exec 9>FILE`.
#[test]
fn a_lock_of_the_parent_ends_with_the_parent() {
    let desk = Desk::new();
    let script =
        r#"exec 9>"caller.lock"; python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' && "$LAB" up --port 0"#;
    let up = shell(&desk, script).output().expect("sh starts");
    assert!(up.status.success(), "{up:?}");
    let lock = std::fs::File::open(desk.path().join("caller.lock")).expect("it was created");
    lock.try_lock().expect("the lock is released");
}

#[cfg(target_os = "linux")]
#[test]
fn host_and_services_inherit_no_descriptor() {
    let desk = Desk::new();
    std::fs::write(desk.path().join("callers"), "").expect("a writable path");
    let up = shell(&desk, r#"exec 3<callers 7<callers; "$LAB" up --port 0"#).output().expect("sh starts");
    assert!(up.status.success(), "{up:?}");
    let status = desk.status();
    for process in [host(&status), pid(&status, "app"), pid(&status, "gateway")] {
        for file in std::fs::read_dir(format!("/proc/{process}/fd")).expect("it is running").flatten() {
            let open = std::fs::read_link(file.path()).unwrap_or_default();
            assert!(!open.ends_with("callers"), "process {process} has {} open", open.display());
        }
    }
}

/// The command of a step has only its three standard descriptors.
#[cfg(target_os = "linux")]
#[test]
fn a_command_of_a_step_inherits_no_descriptor() {
    let desk = Desk::new();
    std::fs::write(desk.path().join("callers"), "").expect("a writable path");
    let text =
        "title: Open files\nsteps:\n  - name: list\n    run: { command: [sh, -c, 'ls -l /proc/$$/fd > open'] }\n";
    let scenario = desk.write("open.yaml", text);
    let run = shell(&desk, &format!(r#"exec 5<callers; "$LAB" scenario run --allow-commands {scenario}"#));
    Desk::run(&["scenario", "run"], run).status(0);
    let open = std::fs::read_to_string(desk.path().join("open")).expect("the step wrote it");
    assert!(open.contains(" 0 -> ") && !open.contains("callers"), "{open}");
}

/// Opens connections that each send an incomplete request.
fn flood(address: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(address).expect("a listener");
        // The server may have closed it already to make room.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        stream
    };
    (0..FLOOD).map(connect).collect()
}

/// Number of connections: more than the limit of descriptors in [`up_with_few_descriptors`].
const FLOOD: usize = 150;

/// Starts a lab with a limit of 128 descriptors per process.
fn up_with_few_descriptors(desk: &Desk) {
    let own = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: own.maximum, maximum: own.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).expect("to the hard limit");
    let up = shell(desk, r#"ulimit -n 128; exec "$LAB" up --port 0"#);
    Desk::run(&["up"], up).status(0);
}

/// `host:port` of a URL.
fn authority(url: &Value) -> String {
    url.as_str().expect("a URL").trim_start_matches("http://").trim_end_matches('/').to_owned()
}

/// Current address of a part of the lab.
fn address(desk: &Desk, part: &str) -> String {
    let status = desk.status();
    match part {
        "app" => {
            let services = status["services"].as_array().expect("a list");
            authority(&services.iter().find(|service| service["name"] == "app").expect("it exists")["address"])
        }
        "control" => {
            let control = std::fs::read(desk.state().join("labs/default/host.json")).expect("the lab is up");
            authority(&serde_json::from_slice::<Value>(&control).expect("JSON")["address"])
        }
        part => authority(&status[part]),
    }
}

/// Half-open requests to a public port block neither the lab's control port nor other clients of that port.
#[test]
fn half_open_requests_do_not_block_others() {
    let desk = Desk::new();
    up_with_few_descriptors(&desk);
    let mut open = Vec::new();
    for (round, place) in ["dashboard", "gateway", "app", "control"].iter().enumerate() {
        // The address of the app changes with its key.
        open.push(flood(&address(&desk, place)));
        let key = format!("apikey-r{round}");
        desk.lab(&["status"]).status(0);
        desk.lab(&["key", "rotate", &key]).status(0);
        desk.lab(&["traffic", "--requests", "5", "--key", &key, "--json"]).status(0).says("\"200\": 5");
        desk.lab(&["metrics"]).status(0);
        desk.lab(&["up"]).status(0);
    }
    let dashboard = address(&desk, "dashboard");
    let mut page = crate::support::Client::connect(dashboard.parse().expect("an address"));
    page.send(format!("GET / HTTP/1.1\r\nHost: {dashboard}\r\n\r\n"));
    assert_eq!(page.response().expect("a response").status, 200);
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}
