//! Undo after a kill on Docker: `lab recover` restores the lab. A sample of what `tests/local/kills.rs` does at every event.

use std::time::{Duration, Instant};

use lab_core::engine::{APP, Engine, GATEWAY, KEY_VARIABLE, RunState, ServiceChange};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::Cli;
use crate::conformance_suite::{no_progress, request};
use crate::support::{TIMEOUT, TestLab, docker, status, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        recover_restores_the_lab_after_a_killed_run,
        an_interrupted_redeployment_of_the_app_is_rolled_back,
        an_interrupted_stop_of_the_app_is_completed,
        an_interrupted_replacement_of_a_service_is_rolled_back,
    ]
}

/// Kills during the key rotation, during the outage, and during the undo.
async fn recover_restores_the_lab_after_a_killed_run() {
    let user = Cli::new("killed");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let before = snapshot(&user);
    for (moment, changed) in [
        // The run may be killed before it has recorded the change: then nothing is changed, and no undo is pending.
        (r#""event":"step_started","index":1"#, false),
        (r#""event":"step_started","index":2"#, true),
        (r#""event":"undo_started""#, true),
    ] {
        let args = ["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=100", "--format", "ndjson"];
        let mut run = user.start(&args);
        run.until(moment);
        run.signal(Signal::KILL);
        run.wait();
        let recovered = user.lab(&["recover"]).status(0);
        if changed {
            recovered.says("is restored");
        }
        assert_eq!(snapshot(&user), before, "killed at {moment}");
    }
    user.finish();
}

/// State of the lab that the run may change.
fn snapshot(user: &Cli) -> Value {
    let mut status = user.lab(&["status", "--json"]).status(0).json();
    for service in status["services"].as_array_mut().expect("a list") {
        let service = service.as_object_mut().expect("a mapping");
        service.retain(|key, _| ["name", "state", "env"].contains(&key.as_str()));
    }
    let status = status.as_object_mut().expect("a mapping");
    status.retain(|key, _| ["keys", "gateway", "services", "undo", "run", "state"].contains(&key.as_str()));
    Value::Object(std::mem::take(status))
}

/// Killed between the two renames of a redeployment: the old instance serves under a temporary name.
async fn an_interrupted_redeployment_of_the_app_is_rolled_back() {
    let lab = TestLab::new("redeploy-cut");
    lab.engine.up(&request(), no_progress()).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let before = lab.engine.describe().await.unwrap();
    for by_up in [false, true] {
        rename_container(&lab, APP, "old").await;
        create_next(&lab, APP);
        let observed = lab.engine.describe().await.unwrap();
        assert_eq!(observed.service(APP), before.service(APP), "the old instance is the service");
        if by_up {
            lab.engine.up(&request(), no_progress()).await.unwrap();
        } else {
            lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
        }
        let after = lab.engine.describe().await.unwrap();
        assert_eq!(after.service(APP), before.service(APP));
        assert_eq!(status(&after.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
        until_alone(&lab, APP).await;
    }
    rename_container(&lab, APP, "old").await;
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v3")).await.unwrap();
    assert_eq!(status(&before.endpoints.gateway, "/api/users", "apikey-v3").await, 200);
    until_alone(&lab, APP).await;
    lab.finish().await;
}

/// The old container still runs, although it was asked to stop.
async fn an_interrupted_stop_of_the_app_is_completed() {
    let lab = TestLab::new("stop-cut");
    let gateway = lab.engine.up(&request(), no_progress()).await.unwrap().endpoints.gateway;
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    for expected in [RunState::Running, RunState::Stopped] {
        let old = rename_container(&lab, APP, "stopping").await;
        lab.engine.reconcile(APP, &ServiceChange::run(expected)).await.unwrap();
        let now = lab.engine.describe().await.unwrap();
        let app = now.service(APP).unwrap();
        assert_eq!((app.state, now.server_key()), (expected, Some("apikey-v2")));
        assert_eq!(app.instance.as_deref() == Some(&old), expected == RunState::Stopped, "a new instance runs");
        until_alone(&lab, APP).await;
        let code = status(&gateway, "/api/users", "apikey-v2").await;
        assert_eq!(code == 200, expected == RunState::Running, "{code}");
    }
    lab.finish().await;
}

/// Killed when the old container has ended, and the new one does not have the name of the service yet.
async fn an_interrupted_replacement_of_a_service_is_rolled_back() {
    let lab = TestLab::new("replacement-cut");
    let before = lab.engine.up(&request(), no_progress()).await.unwrap();
    let was = before.service(GATEWAY).unwrap().instance.clone();
    // Repaired by a change of the service itself, and by a change of another service.
    for (service, change) in [(GATEWAY, ServiceChange::default()), (APP, ServiceChange::env(KEY_VARIABLE, "apikey-v1"))]
    {
        rename_container(&lab, GATEWAY, "old").await;
        let old = containers(&lab, GATEWAY).remove(0);
        docker(&["stop", &old]);
        create_next(&lab, GATEWAY);
        let observed = lab.engine.describe().await.unwrap();
        assert_eq!(observed.service(GATEWAY).unwrap().state, RunState::Stopped);
        lab.engine.reconcile(service, &change).await.unwrap();
        let now = lab.engine.describe().await.unwrap();
        assert_eq!(now.service(GATEWAY).unwrap().instance, was);
        assert_eq!(status(&before.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
        until_alone(&lab, GATEWAY).await;
    }
    // A service that was stopped before stays stopped.
    lab.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Stopped)).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    create_next(&lab, GATEWAY);
    lab.engine.reconcile(GATEWAY, &ServiceChange::default()).await.unwrap();
    let now = lab.engine.describe().await.unwrap();
    assert_eq!(now.service(GATEWAY).unwrap().state, RunState::Stopped);
    until_alone(&lab, GATEWAY).await;
    lab.finish().await;
}

/// Gives the container of a service the name that it has during a change. Returns its instance.
async fn rename_container(lab: &TestLab, service: &str, stage: &str) -> String {
    let now = lab.engine.describe().await.unwrap();
    let instance = now.service(service).unwrap().instance.clone().unwrap();
    let tag = instance.rsplit('-').next().unwrap();
    let name = format!("lab-{}-{service}", lab.name);
    docker(&["rename", &format!("{name}-1"), &format!("{name}-{stage}-{tag}")]);
    instance
}

/// Creates the container that was to replace that of a service.
fn create_next(lab: &TestLab, service: &str) {
    let name = format!("lab-{}-{service}-next-0", lab.name);
    let labels = [format!("lab.name={}", lab.name), format!("lab.service={service}")];
    docker(&["create", "--name", &name, "--label", &labels[0], "--label", &labels[1], "nginx:1.30"]);
}

/// Names of the containers of a service.
fn containers(lab: &TestLab, service: &str) -> Vec<String> {
    let filter = format!("name=^lab-{}-{service}-", lab.name);
    docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
}

/// Waits until the service has one container. The daemon removes the old one asynchronously.
async fn until_alone(lab: &TestLab, service: &str) {
    let begun = Instant::now();
    while containers(lab, service) != [format!("lab-{}-{service}-1", lab.name)] {
        assert!(begun.elapsed() < TIMEOUT, "{:?}", containers(lab, service));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
