//! Ctrl-C while a lab is made, and each of its steps; afterwards nothing is left.

use std::time::Instant;

use lab::engine::Engine;
use lab::engine::docker::DockerOptions;
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::cli::Cli;
use crate::shared::request;
use crate::support::{Bench, PATIENCE, Stages, docker, leftovers, options, stack, write_small_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("ctrl_c_during_a_start_leaves_nothing", start),
        trial("ctrl_c_while_a_run_makes_its_lab_leaves_nothing", run),
        trial("a_build_that_nobody_waits_for_ends", build),
        trial("ctrl_c_while_a_key_is_rotated_leaves_no_half_of_it", rotation),
    ]
}

/// At each stage that a lab comes to whose app finds no database, so that it is never up before the signal.
async fn start() {
    let user = Cli::new("start");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let lost = text.replace("@db:5432", "@nobody:5432");
    assert_ne!(lost, text);
    std::fs::write(&file, lost).unwrap();
    for (service, running) in [("app", false), ("db", true), ("gateway", true), ("app", true)] {
        let up = user.start(&["up", "--stack", &folder.display().to_string()]);
        user.until_there(&user.name, service, running);
        up.signal(Signal::INT);
        up.ran().status(130);
        user.is_clean();
    }
}

async fn run() {
    for (service, running) in [("db", false), ("app", true)] {
        let user = Cli::new("run").nameless();
        let run = user.start(&["scenario", "run", "rotate-key", "--engine", "docker"]);
        let begun = Instant::now();
        while user.labs().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the run makes no lab");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let lab = user.labs().remove(0);
        user.until_there(&lab, service, running);
        run.signal(Signal::INT);
        run.ran().status(130);
        user.is_clean();
        assert_eq!(leftovers(None, &lab), "", "the daemon has nothing of {lab}");
    }
}

/// A build takes minutes. The daemon goes on with one only as long as somebody listens.
async fn build() {
    let folder = tempfile::tempdir().unwrap();
    let nap = format!("sleep 300.{}", std::process::id());
    let dockerfile = format!("FROM nginx:1.30\nRUN echo it takes its time && {nap}\n");
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let sources = DockerOptions { sources: Some(folder.path().to_owned()), ..options() };
    let bench = Bench::with("build", stack(), sources);
    let stages = Stages::default();
    let request = request();
    let asleep = || docker(&["ps", "--no-trunc", "--format", "{{.Command}}"]).contains(&nap);
    let building = async {
        let begun = Instant::now();
        while !stages.all().iter().any(|stage| stage.contains("it takes its time")) || !asleep() {
            assert!(begun.elapsed() < PATIENCE, "{:?}", stages.all());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        up = bench.engine.up(&request, stages.sink()) => panic!("{up:?}"),
        () = building => {}
    }
    bench.engine.down().await.unwrap();
    let begun = Instant::now();
    while asleep() {
        assert!(begun.elapsed() < PATIENCE, "the build goes on");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    bench.finish().await;
}

/// While the new instance starts beside the old one.
async fn rotation() {
    let user = Cli::new("rotation");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let apps = || docker(&["ps", "-a", "--filter", &format!("name=^lab-{}-app-", user.name), "--format", "{{.Names}}"]);
    let rotate = user.start(&["key", "rotate", "apikey-v2"]);
    let begun = Instant::now();
    while !apps().contains("-app-next-") {
        assert!(begun.elapsed() < PATIENCE, "no other instance comes");
    }
    rotate.signal(Signal::INT);
    rotate.ran().status(130).says("carried to its end").says("server apikey-v1 > apikey-v2");
    let begun = Instant::now();
    while apps().trim() != format!("lab-{}-app-1", user.name) {
        assert!(begun.elapsed() < PATIENCE, "{}", apps());
    }
    user.lab(&["key", "show"]).status(0).says("server  apikey-v2");
    user.finish();
}
