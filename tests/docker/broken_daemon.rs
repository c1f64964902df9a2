//! A daemon that stops, restarts, hangs, has a full disk, or refuses connections: the error names the cause and a fix in bounded
//! time, and afterwards `lab recover` and `lab down` leave nothing.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab_containers::docker::{Docker, DockerOptions};
use lab_core::engine::{Engine, ProgressFn};
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::cli::Cli;
use crate::conformance_suite::request;
use crate::daemon::{self, SharedDaemon};
use crate::support::{options, stack, write_small_stack};

/// Tests with a separate daemon, and tests without one.
pub(crate) fn trials() -> Vec<Trial> {
    let own = trials![
        a_daemon_that_restarts_during_a_run,
        a_daemon_that_is_gone_when_a_run_ends_leaves_a_pending_undo,
        a_daemon_that_is_killed_during_an_up,
        a_daemon_whose_disk_is_full_is_reported,
        a_daemon_that_hangs_is_reported_in_time,
        an_up_that_is_abandoned_during_the_build_of_the_image_leaves_nothing,
    ];
    let own = own.into_iter().map(|trial| trial.with_ignored_flag(!daemon::is_possible()));
    own.chain(trials![a_missing_daemon_is_reported, a_socket_without_permission_is_reported]).collect()
}

/// A user on the shared daemon, and the arguments that start a small stack.
fn user(test: &str, daemon: &SharedDaemon) -> (Cli, [String; 3]) {
    let user = Cli::on(test, daemon);
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let up = ["up".to_owned(), "--stack".to_owned(), folder.display().to_string()];
    (user, up)
}

fn words(up: &[String; 3]) -> [&str; 3] {
    up.each_ref().map(String::as_str)
}

const RUN: [&str; 7] = ["scenario", "run", "rotate-key", "--set", "requests=40", "--set", "rate=40"];

/// The containers end with the daemon. The changes of the run are reverted nevertheless, and `up` restarts the lab.
async fn a_daemon_that_restarts_during_a_run() {
    let mut daemon = daemon::shared();
    let (user, up) = user("restarts", &daemon);
    user.lab(&words(&up)).status(0);
    let mut run = user.start(&RUN);
    run.until("server apikey-v1 > apikey-v2");
    daemon.end_by(Signal::TERM);
    daemon.start();
    let result = run.wait();
    assert!(!result.stdout.contains("drive-traffic    40      +0"), "the daemon ended too late: {result:?}");
    // If the daemon is back before the run ends, the run reverts the key itself.
    match result.code() {
        Some(4) => drop(result.says("the undo is incomplete").says(&format!("lab recover --name {}", user.name))),
        _ => drop(result.status(3)),
    }
    assert_recovers(&user);
    user.finish();
}

/// The change of the run cannot be reverted: its undo is pending until the daemon is back.
async fn a_daemon_that_is_gone_when_a_run_ends_leaves_a_pending_undo() {
    let mut daemon = daemon::shared();
    let (user, up) = user("gone", &daemon);
    user.lab(&words(&up)).status(0);
    let mut run = user.start(&RUN);
    run.until("server apikey-v1 > apikey-v2");
    daemon.end_by(Signal::KILL);
    let recover = format!("lab recover --name {}", user.name);
    run.wait()
        .status(4)
        .says("lost the connection to the Docker daemon")
        .says("app APP_API_KEY is not restored to apikey-v1")
        .says(&recover);
    for command in ["recover", "status"] {
        user.lab(&[command]).status(3).complains("no Docker daemon answers at").complains("start Docker");
    }
    daemon.start();
    user.lab(&["status"]).status(3).says("undo pending from run").says(&recover);
    user.lab(&["recover"]).status(0).says("undone app APP_API_KEY apikey-v1").says("is restored");
    assert_recovers(&user);
    user.finish();
}

/// Asserts that `recover` and `up` restore the lab.
fn assert_recovers(user: &Cli) {
    user.lab(&["recover"]).status(0);
    user.lab(&["up"]).status(0).says("is up again").says("server and caller on apikey-v1");
    user.lab(&["traffic", "--requests", "3", "--json"]).status(0).says("\"200\": 3");
}

async fn a_daemon_that_is_killed_during_an_up() {
    let mut daemon = daemon::shared();
    let (user, up) = user("killed", &daemon);
    for (service, running) in [("app", false), ("db", true)] {
        let up_command = user.start(&words(&up));
        user.until_container(&user.name, service, running);
        daemon.end_by(Signal::KILL);
        up_command
            .wait()
            .status(3)
            .says("lost the connection to the Docker daemon")
            .says("run lab up if the daemon was restarted");
        user.lab(&["down"])
            .status(3)
            .complains("no Docker daemon answers at")
            .complains(&format!("then try again with lab down --name {}", user.name));
        daemon.start();
        user.lab(&["down"]).status(0);
        user.assert_clean();
    }
}

async fn a_daemon_whose_disk_is_full_is_reported() {
    let daemon = daemon::shared();
    let (user, up) = user("full", &daemon);
    let user = user.with_another_executable();
    let images = daemon.docker(&["images", "-aq"]);
    daemon.fill(20);
    user.lab(&words(&up))
        .status(3)
        .complains("error: app failed: image lab-app:")
        .complains("the daemon's disk is full")
        .complains("no space left on device")
        .complains("see what uses the space with docker system df");
    user.assert_clean();
    assert_eq!(daemon.docker(&["images", "-aq"]), images, "a partial image is left");
}

async fn a_daemon_that_hangs_is_reported_in_time() {
    let mut daemon = daemon::shared();
    let (user, up) = user("hangs", &daemon);
    user.lab(&words(&up)).status(0);
    daemon.signal(Signal::STOP);
    let commands =
        [&["status"][..], &["up"], &["key", "rotate", "apikey-v2"], &["scenario", "run", "rotate-key"], &["down"]];
    for command in commands {
        let begun = Instant::now();
        let result = user.lab(command).status(3).complains("does not answer within 0.5 s");
        assert!(begun.elapsed() < Duration::from_secs(5), "{result:?}");
        let next = if command == ["down"] { "then try again with lab down" } else { "restart the daemon" };
        result.complains(next);
    }
    daemon.signal(Signal::CONT);
    user.lab(&["traffic", "--requests", "1", "--json"]).status(0).says("\"200\": 1");
    user.lab(&["down"]).status(0);
    user.assert_clean();
    // The daemon hangs during `up`, and the user presses Ctrl-C.
    let up_command = user.start(&words(&up));
    user.until_container(&user.name, "db", true);
    daemon.signal(Signal::STOP);
    up_command.signal(Signal::INT);
    let begun = Instant::now();
    let result = up_command.wait().status(3).says("does not answer within 0.5 s").says("then try again with lab down");
    assert!(begun.elapsed() < Duration::from_secs(5), "{result:?}");
    daemon.signal(Signal::CONT);
    user.finish();
}

async fn an_up_that_is_abandoned_during_the_build_of_the_image_leaves_nothing() {
    let daemon = daemon::shared();
    let user = Cli::on("image", &daemon).with_another_executable();
    let options = DockerOptions { host: Some(daemon.host()), executable: Some(user.executable()), ..options() };
    let engine = Docker::new(&user.name, stack(), options);
    let building = Arc::new(tokio::sync::Notify::new());
    let notify = building.clone();
    let progress: ProgressFn = Arc::new(move |progress| {
        if progress.stage == "building its image" {
            notify.notify_one();
        }
    });
    let request = request();
    tokio::select! {
        up = engine.up(&request, progress) => panic!("{up:?}"),
                () = building.notified() => {}
    }
    engine.down().await.unwrap();
    user.assert_clean();
}

async fn a_missing_daemon_is_reported() {
    let user = Cli::at("absent", "unix:///nonexistent/docker.sock").nameless();
    for command in [&["up"][..], &["scenario", "run", "rotate-key", "--engine", "docker"]] {
        user.lab(command)
            .status(3)
            .complains("no Docker daemon answers at /nonexistent/docker.sock")
            .complains("start Docker")
            .complains("lab up --engine embedded");
    }
    assert_eq!(user.labs(), [""; 0]);
    user.lab(&["down"]).status(0).says("does not exist");
}

async fn a_socket_without_permission_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let user = Cli::at("denied", &format!("unix://{}", socket.display())).without_rights();
    let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    user.lab(&["up"])
        .status(3)
        .complains("this user has no permission to use the Docker daemon at")
        .complains("usermod -aG docker");
    user.lab(&["down"]).status(0).says("does not exist");
}
