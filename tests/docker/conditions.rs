//! Conditions that services wait for, and messages about services without dependents.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lab_core::engine::{APP, DB, Description, Engine, RunState};
use lab_stack::{Condition, HealthCheck, HealthSetting, Service, Stack};
use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::conformance_suite::{no_progress, request};
use crate::support::{TIMEOUT, TestLab, docker, options, service, stack, status, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_service_between_app_and_database_is_awaited_without_a_deadlock,
        health_conditions_of_services_off_the_request_path_are_awaited,
        a_service_that_exits_off_the_request_path_is_reported_and_not_called_started,
        a_rotated_key_survives_the_loss_of_the_container,
    ]
}

/// Adds a service that runs a line of shell script.
fn add<'s>(stack: &'s mut Stack, name: &str, line: &str) -> &'s mut Service {
    let shell = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    let service = Service {
        name: name.to_owned(),
        image: "nginx:1.30".to_owned(),
        entrypoint: Some(shell),
        ..Service::default()
    };
    stack.services.push(service);
    stack.services.last_mut().expect("it was added")
}

fn check(test: &[&str]) -> HealthCheck {
    let test = test.iter().map(|&word| word.to_owned()).collect();
    let second = Duration::from_secs(1);
    HealthCheck { test, interval: second, timeout: second, retries: 30, start_period: Duration::ZERO }
}

async fn a_service_between_app_and_database_is_awaited_without_a_deadlock() {
    let mut stack = stack();
    let cache = add(&mut stack, "cache", "sleep 1000");
    cache.health = HealthSetting::Own(check(&["true"]));
    cache.depends_on.insert(DB.to_owned(), Condition::Healthy);
    service(&mut stack, APP).depends_on.insert("cache".to_owned(), Condition::Healthy);
    let lab = TestLab::with("awaited", stack, options());
    let request = request();
    let up = tokio::time::timeout(TIMEOUT, lab.engine.up(&request, no_progress())).await;
    let up = up.expect("no deadlock").unwrap();
    // The gateway started before the app had an address, so it was reloaded, and none of its old workers may answer.
    for _ in 0..40 {
        assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    }
    lab.finish().await;
}

async fn health_conditions_of_services_off_the_request_path_are_awaited() {
    let mut stack = stack();
    add(&mut stack, "cache", "sleep 2; touch /tmp/ready; sleep 1000").health =
        HealthSetting::Own(check(&["test", "-f", "/tmp/ready"]));
    let worker = add(&mut stack, "worker", "sleep 1000");
    worker.depends_on.insert("cache".to_owned(), Condition::Healthy);
    let lab = TestLab::with("off-path", stack, options());
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    let since = |name: &str| -> DateTime<Utc> { up.service(name).unwrap().since.unwrap() };
    let after = since("worker") - since("cache");
    assert!(after.num_milliseconds() >= 2_000, "the worker started {after} after the cache");
    assert_eq!(up.service("cache").unwrap().word(), "healthy");
    lab.finish().await;
}

async fn a_service_that_exits_off_the_request_path_is_reported_and_not_called_started() {
    let mut stack = stack();
    add(&mut stack, "broken", "echo this is why; exit 3");
    let lab = TestLab::with("dies-off", stack, options());
    let check = |now: &Description| {
        let broken = now.service("broken").unwrap();
        assert_eq!(broken.state, RunState::Stopped);
        assert!(
            broken.detail.as_ref().is_some_and(|detail| detail.contains("exit code 3\n  this is why")),
            "{broken:?}"
        );
    };
    lab.engine.up(&request(), no_progress()).await.unwrap();
    // `up` starts the service again, and it exits again.
    check(&lab.engine.up(&request(), no_progress()).await.unwrap());
    check(&lab.engine.describe().await.unwrap());
    lab.finish().await;
}

async fn a_rotated_key_survives_the_loss_of_the_container() {
    let user = Cli::new("rotated");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let broken =
        "\n  broken: { image: \"nginx:1.30\", entrypoint: [/bin/sh, -c, \"echo this is why; exit 3\"] }\n\nvolumes:\n";
    let text = std::fs::read_to_string(&file).expect("it was written").replacen("\nvolumes:\n", broken, 1);
    std::fs::write(&file, text).expect("a writable path");
    user.lab(&["up", "--stack", &folder.display().to_string(), "--port", "0"]).status(0);
    user.lab(&["key", "rotate", "apikey-v2"]).status(0);
    user.lab(&["key", "align"]).status(0);
    docker(&["rm", "-f", &format!("lab-{}-app-1", user.name)]);
    for args in [["key", "show"], ["key", "align"]] {
        user.lab(&args).status(0).says("apikey-v2");
    }
    let up = user.lab(&["up"]).status(0).says("recreated app").says("server and caller on apikey-v2");
    assert!(!up.stdout.contains("started broken"), "{}", up.stdout);
    assert!(up.stderr.contains("broken is stopped: exit code 3") && up.stderr.contains("this is why"), "{}", up.stderr);
    user.lab(&["traffic", "--requests", "3"]).status(0).says("none failed");
    user.finish();
}
