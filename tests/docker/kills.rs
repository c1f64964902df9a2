//! A run on containers that is killed: `lab recover` makes the lab what it was. A sample of what `tests/local/kills.rs` does at
//! every event.

use std::time::{Duration, Instant};

use lab_core::engine::{APP, Engine, GATEWAY, KEY_VARIABLE, RunState, ServiceChange};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::Cli;
use crate::shared::{request, silent};
use crate::support::{Bench, PATIENCE, docker, status, write_small_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_run_that_is_killed_is_put_back_by_recover", killed),
        trial("an_app_whose_redeploy_was_cut_short_is_taken_back", redeploy_cut_short),
        trial("an_app_whose_stop_was_cut_short_is_stopped", stop_cut_short),
        trial("a_service_whose_replacement_was_cut_short_runs_again", replacement_cut_short),
    ]
}

/// Kills during the key rotation, during the outage, and during the undo.
async fn killed() {
    let user = Cli::new("killed");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let before = sight(&user);
    for (moment, changed) in [
        // It may die before it has written what it is about to change: then nothing is changed, and no undo is pending.
        (r#""event":"step_started","index":1"#, false),
        (r#""event":"step_started","index":2"#, true),
        (r#""event":"undo_started""#, true),
    ] {
        let args = ["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=100", "--format", "ndjson"];
        let mut run = user.start(&args);
        run.until(moment);
        run.signal(Signal::KILL);
        run.ran();
        let recovered = user.lab(&["recover"]).status(0);
        if changed {
            recovered.says("is restored");
        }
        assert_eq!(sight(&user), before, "killed at {moment}");
    }
    user.finish();
}

/// All of the lab that the run may change.
fn sight(user: &Cli) -> Value {
    let mut status = user.lab(&["status", "--json"]).status(0).json();
    for service in status["services"].as_array_mut().expect("a list") {
        let service = service.as_object_mut().expect("a mapping");
        service.retain(|key, _| ["name", "state", "env"].contains(&key.as_str()));
    }
    let status = status.as_object_mut().expect("a mapping");
    status.retain(|key, _| ["keys", "gateway", "services", "undo", "run", "state"].contains(&key.as_str()));
    Value::Object(std::mem::take(status))
}

/// As a kill leaves it between the two names of a redeploy: the old instance serves, and has the service's name no more.
async fn redeploy_cut_short() {
    let bench = Bench::new("redeploy-cut");
    bench.engine.up(&request(), silent()).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    let before = bench.engine.describe().await.unwrap();
    for by_up in [false, true] {
        put_aside(&bench, APP, "old").await;
        beside(&bench, APP);
        let seen = bench.engine.describe().await.unwrap();
        assert_eq!(seen.service(APP), before.service(APP), "it is not removed");
        if by_up {
            bench.engine.up(&request(), silent()).await.unwrap();
        } else {
            bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
        }
        let after = bench.engine.describe().await.unwrap();
        assert_eq!(after.service(APP), before.service(APP));
        assert_eq!(status(&after.endpoints.gateway, "/api/users", "apikey-v2").await, 200);
        alone(&bench, APP).await;
    }
    put_aside(&bench, APP, "old").await;
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v3")).await.unwrap();
    assert_eq!(status(&before.endpoints.gateway, "/api/users", "apikey-v3").await, 200);
    alone(&bench, APP).await;
    bench.finish().await;
}

/// It was asked to end, so the fact that it still runs proves nothing.
async fn stop_cut_short() {
    let bench = Bench::new("stop-cut");
    let gateway = bench.engine.up(&request(), silent()).await.unwrap().endpoints.gateway;
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    for wanted in [RunState::Running, RunState::Stopped] {
        let old = put_aside(&bench, APP, "stopping").await;
        bench.engine.reconcile(APP, &ServiceChange::run(wanted)).await.unwrap();
        let now = bench.engine.describe().await.unwrap();
        let app = now.service(APP).unwrap();
        assert_eq!((app.state, now.server_key()), (wanted, Some("apikey-v2")));
        assert_eq!(app.instance.as_deref() == Some(&old), wanted == RunState::Stopped, "another one runs");
        alone(&bench, APP).await;
        let code = status(&gateway, "/api/users", "apikey-v2").await;
        assert_eq!(code == 200, wanted == RunState::Running, "{code}");
    }
    bench.finish().await;
}

/// The old container has ended, and the new one has not the service's name yet.
async fn replacement_cut_short() {
    let bench = Bench::new("replacement-cut");
    let before = bench.engine.up(&request(), silent()).await.unwrap();
    let was = before.service(GATEWAY).unwrap().instance.clone();
    // Its own step back, and the step of another service.
    for (service, change) in [(GATEWAY, ServiceChange::default()), (APP, ServiceChange::env(KEY_VARIABLE, "apikey-v1"))]
    {
        put_aside(&bench, GATEWAY, "old").await;
        let old = containers(&bench, GATEWAY).remove(0);
        docker(&["stop", &old]);
        beside(&bench, GATEWAY);
        let seen = bench.engine.describe().await.unwrap();
        assert_eq!(seen.service(GATEWAY).unwrap().state, RunState::Stopped);
        bench.engine.reconcile(service, &change).await.unwrap();
        let now = bench.engine.describe().await.unwrap();
        assert_eq!(now.service(GATEWAY).unwrap().instance, was);
        assert_eq!(status(&before.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
        alone(&bench, GATEWAY).await;
    }
    // One that was stopped before is stopped after.
    bench.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Stopped)).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
    beside(&bench, GATEWAY);
    bench.engine.reconcile(GATEWAY, &ServiceChange::default()).await.unwrap();
    let now = bench.engine.describe().await.unwrap();
    assert_eq!(now.service(GATEWAY).unwrap().state, RunState::Stopped);
    alone(&bench, GATEWAY).await;
    bench.finish().await;
}

/// Gives a service's container the name that it has while a change is on its way; its instance.
async fn put_aside(bench: &Bench, service: &str, stage: &str) -> String {
    let now = bench.engine.describe().await.unwrap();
    let instance = now.service(service).unwrap().instance.clone().unwrap();
    let tag = instance.rsplit('-').next().unwrap();
    let name = format!("lab-{}-{service}", bench.name);
    docker(&["rename", &format!("{name}-1"), &format!("{name}-{stage}-{tag}")]);
    instance
}

/// Makes the container that was to take a service's place.
fn beside(bench: &Bench, service: &str) {
    let name = format!("lab-{}-{service}-next-0", bench.name);
    let labels = [format!("lab.name={}", bench.name), format!("lab.service={service}")];
    docker(&["create", "--name", &name, "--label", &labels[0], "--label", &labels[1], "nginx:1.30"]);
}

/// The names of a service's containers.
fn containers(bench: &Bench, service: &str) -> Vec<String> {
    let filter = format!("name=^lab-{}-{service}-", bench.name);
    docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
}

/// Waits until no other container of a service is left: the daemon removes the old one in its own time.
async fn alone(bench: &Bench, service: &str) {
    let begun = Instant::now();
    while containers(bench, service) != [format!("lab-{}-{service}-1", bench.name)] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", containers(bench, service));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
