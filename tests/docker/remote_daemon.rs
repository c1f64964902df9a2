//! A daemon on another machine, reached by TCP or ssh. The ports of a lab are published to that machine's network only with
//! `--bind`.

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::daemon;
use crate::sshd::{self, Sshd};
use crate::support::{TIMEOUT, docker, write_small_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_lab_on_another_machines_daemon_works_with_bind", a_lab_on_another_machines_daemon_works_with_bind)
            .with_ignored_flag(!daemon::is_possible()),
        trial("a_daemon_is_reached_by_ssh", a_daemon_is_reached_by_ssh).with_ignored_flag(!sshd::is_possible()),
    ]
}

async fn a_lab_on_another_machines_daemon_works_with_bind() {
    let mut daemon = daemon::shared();
    let host = daemon.on_a_network();
    let address = host.trim_start_matches("tcp://").trim_end_matches(":2375");
    // Outside of the daemon's network, so that all traffic goes over TCP.
    let user = Cli::at("elsewhere", &host);
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let folder = folder.display().to_string();
    let up = |bind: &[&str]| user.lab(&[&["up", "--stack", &folder][..], bind].concat());
    for loopback in [&[][..], &["--bind", "127.0.0.1"]] {
        up(loopback).status(3).complains("is on another machine").complains("lab up --bind 0.0.0.0");
        user.assert_clean();
    }
    up(&["--bind", "everywhere"]).status(2).complains("--bind");
    up(&["--bind", "0.0.0.0"])
        .status(0)
        .says(&format!("http://{address}:"))
        .complains("its ports are open on every address of the daemon's machine");
    up(&["--bind", address]).status(2).complains("exists already");
    user.lab(&["traffic", "--requests", "3", "--json"]).status(0).says("\"200\": 3");
    // Redeploying the app, and recreating and restarting the gateway, keep the published port.
    for scenario in ["rotate-key", "wrong-upstream", "app-down"] {
        user.lab(&["scenario", "run", scenario, "--set", "requests=10", "--set", "rate=50"]).status(0).says("passed");
    }
    user.lab(&["status"]).status(0).says(address).says("healthy");
    user.finish();
}

async fn a_daemon_is_reached_by_ssh() {
    let sshd = Sshd::new();
    let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
    let there = sshd.host(socket.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"));
    let user = Cli::new("ssh").reaching(&there, sshd.programs());
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let folder = folder.display().to_string();
    user.lab(&["up", "--stack", &folder]).status(3).complains("is on another machine");
    user.assert_clean();
    let address = &bridge();
    user.lab(&["up", "--stack", &folder, "--bind", address]).status(0).says(&format!("http://{address}:"));
    user.lab(&["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=50"]).status(0).says("passed");
    user.lab(&["status"]).status(0).says(address).says("healthy");
    user.lab(&["doctor"]).status(0).says("ssh://127.0.0.1:");
    // Ctrl-C reaches all processes of the terminal, but not the ssh connection that the undo needs.
    let mut run = user.start(&["scenario", "run", "rotate-key", "--set", "requests=100", "--set", "rate=50"]);
    run.until("server apikey-v1 >");
    run.interrupt_all();
    run.wait().status(130);
    user.lab(&["key", "show"]).status(0).says("they match");
    user.lab(&["traffic", "--requests", "3", "--json"]).status(0).says("\"200\": 3");
    user.lab(&["down"]).status(0);
    user.assert_clean();

    let wrong = |host: &str| {
        let user = Cli::new("ssh").reaching(host, sshd.programs());
        user.lab(&["up", "--bind", address]).status(3)
    };
    wrong(&sshd.host("/run/no-daemon.sock"))
        .complains("no Docker daemon answers at ssh://")
        .complains("needs access to the daemon's socket");
    wrong("ssh://nobody-at-all.invalid").complains("ssh to nobody-at-all.invalid: ").complains("docker version");
    wrong(&format!("ssh://lab-has-no-account@{}", sshd.address())).complains("Permission denied");

    sshd.until_disconnected();
    // The last ssh process may still be ending.
    let is_socket = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("lab-ssh-");
    let begun = std::time::Instant::now();
    while std::fs::read_dir(user.path()).expect("it exists").flatten().any(is_socket) {
        assert!(begun.elapsed() < TIMEOUT, "a socket is left");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Address of this machine on Docker's bridge network.
fn bridge() -> String {
    let subnet = docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]);
    let network = subnet.split('/').next().expect("a prefix length");
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Sends nothing; it only selects the local address.
    socket.connect((network, 9)).expect("a route");
    socket.local_addr().expect("it has one").ip().to_string()
}
