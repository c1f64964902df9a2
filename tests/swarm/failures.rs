//! Labs that Swarm starts again: the client notices, and `lab up` restores what the lab had.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::cluster::{Cluster, SharedCluster, TIMEOUT, shared};
use crate::labs::load_images;
use crate::user::User;

pub(crate) fn trials() -> Vec<Trial> {
    let always = crate::trials![
        a_killed_task_is_noticed_and_up_restores_the_lab,
        a_node_that_was_cut_off_ends_its_lab_when_it_returns,
        a_run_in_a_lost_lab_fails_with_the_reason_and_undoes,
    ];
    let long = crate::trials![
        a_drained_node_moves_the_lab,
        a_dead_node_moves_the_lab,
        a_short_interruption_of_the_network_changes_nothing,
        a_lab_survives_a_restart_of_the_manager,
    ];
    let all = std::env::var_os("LAB_TEST_SWARM").is_some_and(|value| value == "all");
    always.into_iter().chain(long.into_iter().map(|trial| trial.with_ignored_flag(!all))).collect()
}

/// Number of the node on which the lab runs. It is not the manager, because that is paused for the time of a test.
fn node(user: &User) -> usize {
    let record = std::fs::read_to_string(user.state().join("labs/default/swarm.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["placement"]["node"].as_str().unwrap().trim_start_matches('n').parse().unwrap()
}

/// A lab with a rotated key on one of the workers.
fn lab(cluster: &Cluster) -> (User, usize) {
    load_images(cluster);
    cluster.docker(1, &["node", "update", "--availability", "drain", "n1"]);
    let user = User::new(cluster);
    user.lab(&["up", "--port", "0"]).status(0);
    user.lab(&["key", "rotate", "apikey-v2"]).status(0);
    user.lab(&["key", "align"]).status(0);
    let node = node(&user);
    assert!(node > 1, "the lab is on the manager");
    (user, node)
}

/// Waits until the lab is reported as gone, then brings it up with its key.
fn restore(user: &User) {
    let start = Instant::now();
    while user.lab(&["status"]).code() == Some(0) {
        assert!(start.elapsed() < TIMEOUT, "the lab is not reported as lost");
        std::thread::sleep(Duration::from_millis(200));
    }
    let up = user.lab(&["up"]).status(0).says("with the same keys");
    up.says("apikey-v2");
    user.lab(&["traffic", "--requests", "5", "--rate", "50", "--json"]).status(0).says("\"200\": 5");
}

fn finish(cluster: &SharedCluster, user: &User) {
    cluster.docker(1, &["node", "update", "--availability", "active", "n1"]);
    user.lab(&["down"]).status(0);
    cluster.assert_empty();
}

fn a_killed_task_is_noticed_and_up_restores_the_lab() {
    let cluster = shared();
    let (user, node) = lab(&cluster);
    let container = cluster.docker(node, &["ps", "-q"]);
    cluster.docker(node, &["kill", container.trim()]);
    let start = Instant::now();
    loop {
        let status = user.lab(&["status"]);
        if status.stderr.contains("its task") || status.stdout.contains("its task") {
            break;
        }
        assert!(start.elapsed() < TIMEOUT, "{status:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    restore(&user);
    finish(&cluster, &user);
}

fn a_drained_node_moves_the_lab() {
    let cluster = shared();
    let (user, before) = lab(&cluster);
    let name = format!("n{before}");
    cluster.docker(1, &["node", "update", "--availability", "drain", &name]);
    restore(&user);
    assert_ne!(node(&user), before);
    cluster.docker(1, &["node", "update", "--availability", "active", &name]);
    finish(&cluster, &user);
}

fn a_dead_node_moves_the_lab() {
    let mut cluster = shared();
    let (user, before) = lab(&cluster);
    cluster.run(&format!("signal {before} STOP"));
    restore(&user);
    assert_ne!(node(&user), before);
    cluster.run(&format!("signal {before} CONT"));
    finish(&cluster, &user);
}

fn a_short_interruption_of_the_network_changes_nothing() {
    let mut cluster = shared();
    let (user, node) = lab(&cluster);
    cluster.run(&format!("link {node} down"));
    std::thread::sleep(Duration::from_secs(1));
    cluster.run(&format!("link {node} up"));
    user.lab(&["up"]).status(0).says("is up already");
    finish(&cluster, &user);
}

fn a_lab_survives_a_restart_of_the_manager() {
    let mut cluster = shared();
    let (user, _) = lab(&cluster);
    cluster.run("signal 1 KILL");
    // The lab answers without the manager.
    user.lab(&["request", "/health"]).status(0).says("200");
    cluster.run("start 1");
    let start = Instant::now();
    while user.lab(&["up"]).code() != Some(0) {
        assert!(start.elapsed() < TIMEOUT, "the lab does not come back");
        std::thread::sleep(Duration::from_millis(200));
    }
    user.lab(&["traffic", "--requests", "5", "--rate", "50", "--json"]).status(0).says("\"200\": 5");
    finish(&cluster, &user);
}

fn a_node_that_was_cut_off_ends_its_lab_when_it_returns() {
    let mut cluster = shared();
    let (user, before) = lab(&cluster);
    cluster.run(&format!("link {before} down"));
    restore(&user);
    assert_ne!(node(&user), before);
    // Its daemon does not know yet that the lab is elsewhere.
    assert_ne!(cluster.docker(before, &["ps", "-q"]), "");
    cluster.run(&format!("link {before} up"));
    let start = Instant::now();
    while !cluster.docker(before, &["ps", "-q"]).is_empty() {
        assert!(start.elapsed() < TIMEOUT, "the old lab goes on");
        std::thread::sleep(Duration::from_millis(200));
    }
    user.lab(&["traffic", "--requests", "5", "--rate", "50", "--json"]).status(0).says("\"200\": 5");
    finish(&cluster, &user);
}

fn a_run_in_a_lost_lab_fails_with_the_reason_and_undoes() {
    let cluster = shared();
    let (user, node) = lab(&cluster);
    let container = cluster.docker(node, &["ps", "-q"]);
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| user.lab(&["scenario", "run", "db-frozen"]));
        let start = Instant::now();
        // The fault is injected: the database is paused.
        while !user.lab(&["status"]).stdout.contains("paused") {
            assert!(start.elapsed() < TIMEOUT, "no fault is injected");
        }
        cluster.docker(node, &["kill", container.trim()]);
        run.join().expect("the run ends")
    });
    assert!(matches!(run.code(), Some(3 | 4)), "{run:?}");
    let all = run.stdout.clone() + &run.stderr;
    assert!(all.contains("its task") || all.contains("its host"), "{run:?}");
    let start = Instant::now();
    while user.lab(&["recover"]).code() != Some(0) || user.lab(&["up"]).code() != Some(0) {
        assert!(start.elapsed() < TIMEOUT, "the lab is not restored");
        std::thread::sleep(Duration::from_millis(200));
    }
    let status = user.lab(&["status"]).status(0).says("healthy");
    assert!(!status.stdout.contains("paused"), "{status:?}");
    user.lab(&["traffic", "--requests", "5", "--rate", "50", "--json"]).status(0).says("\"200\": 5");
    finish(&cluster, &user);
}
