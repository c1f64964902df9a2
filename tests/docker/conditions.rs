//! Conditions that services wait for, and messages about services without dependents.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lab_core::engine::{APP, DB, Description, Engine, RunState};
use lab_stack::{Condition, HealthCheck, HealthSetting, Service, Stack};
use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::shared::{request, silent};
use crate::support::{Bench, PATIENCE, docker, options, service, stack, status, write_small_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_the_app_waits_for_may_be_needed_by_what_it_needs", awaited_twice),
        trial("what_has_to_be_healthy_is_waited_for_off_the_path_too", off_the_path),
        trial("what_dies_off_the_path_is_told_and_not_called_mended", dies_off_the_path),
        trial("a_rotated_key_outlives_the_apps_container", rotated),
    ]
}

/// A service of nothing but a line of shell, added to a stack.
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

async fn awaited_twice() {
    let mut stack = stack();
    let cache = add(&mut stack, "cache", "sleep 1000");
    cache.health = HealthSetting::Own(check(&["true"]));
    cache.depends_on.insert(DB.to_owned(), Condition::Healthy);
    service(&mut stack, APP).depends_on.insert("cache".to_owned(), Condition::Healthy);
    let bench = Bench::with("awaited", stack, options());
    let request = request();
    let up = tokio::time::timeout(PATIENCE, bench.engine.up(&request, silent())).await;
    let up = up.expect("nothing waits for what waits for it").unwrap();
    assert_eq!(status(&up.endpoints.gateway, "/api/users", "apikey-v1").await, 200);
    bench.finish().await;
}

async fn off_the_path() {
    let mut stack = stack();
    add(&mut stack, "cache", "sleep 2; touch /tmp/well; sleep 1000").health =
        HealthSetting::Own(check(&["test", "-f", "/tmp/well"]));
    let worker = add(&mut stack, "worker", "sleep 1000");
    worker.depends_on.insert("cache".to_owned(), Condition::Healthy);
    let bench = Bench::with("off-path", stack, options());
    let up = bench.engine.up(&request(), silent()).await.unwrap();
    let since = |name: &str| -> DateTime<Utc> { up.service(name).unwrap().since.unwrap() };
    let after = since("worker") - since("cache");
    assert!(after.num_milliseconds() >= 2_000, "the worker started {after} after the cache");
    assert_eq!(up.service("cache").unwrap().word(), "healthy");
    bench.finish().await;
}

async fn dies_off_the_path() {
    let mut stack = stack();
    add(&mut stack, "broken", "echo this is why; exit 3");
    let bench = Bench::with("dies-off", stack, options());
    let check = |now: &Description| {
        let broken = now.service("broken").unwrap();
        assert_eq!(broken.state, RunState::Stopped);
        assert!(
            broken.detail.as_ref().is_some_and(|detail| detail.contains("exit code 3\n  this is why")),
            "{broken:?}"
        );
    };
    bench.engine.up(&request(), silent()).await.unwrap();
    // It is started again, and ends again.
    check(&bench.engine.up(&request(), silent()).await.unwrap());
    check(&bench.engine.describe().await.unwrap());
    bench.finish().await;
}

async fn rotated() {
    let user = Cli::new("rotated");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let broken =
        "\n  broken: { image: \"nginx:1.30\", entrypoint: [/bin/sh, -c, \"echo this is why; exit 3\"] }\n\nvolumes:\n";
    let text = std::fs::read_to_string(&file).expect("it was written").replacen("\nvolumes:\n", broken, 1);
    std::fs::write(&file, text).expect("the folder is ours");
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
