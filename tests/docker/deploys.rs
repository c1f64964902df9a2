//! Rollback of a deployment whose version runs but never becomes healthy.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::write_small_stack;

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_version_that_never_becomes_healthy_is_rolled_back_and_its_password_is_masked]
}

/// The database of this version rejects the app's password.
const DEPLOY: &str = r#"
title: A version that never becomes healthy
kind: practice
steps:
  - name: deploy
    set_env: { service: app, env: { DATABASE_URL: "postgres://lab:sesame@db:5432/postgres" }, rolled_back: true }
  - { name: after, traffic: { requests: 5, rate: 50 }, expect: { status.200: "100%" } }
"#;

async fn a_version_that_never_becomes_healthy_is_rolled_back_and_its_password_is_masked() {
    let user = Cli::new("rolled-back");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let file = user.path().join("deploy.yaml");
    std::fs::write(&file, DEPLOY).expect("a writable path");
    let begun = Instant::now();
    let result = user.lab(&["scenario", "run", "./deploy.yaml"]).status(0).says("rolled back");
    assert!(begun.elapsed() < Duration::from_secs(50), "the rollback comes after the retries of the health check");
    let result = result.says("restored: app DATABASE_URL postgres://lab:***@db:5432/postgres");
    let record = std::fs::read(user.state().join("labs").join(&user.name).join("lab.json")).expect("it is up");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    let password = record["containers"]["secrets"]["POSTGRES_PASSWORD"].as_str().expect("it has one");
    for secret in [password, "sesame"] {
        assert!(!result.stdout.contains(secret) && !result.stderr.contains(secret), "{result:?}");
    }
    user.lab(&["traffic", "--requests", "3", "--json"]).status(0).says("\"200\": 3");
    user.finish();
}
