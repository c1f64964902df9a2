//! A deploy that is to be rolled back: its version runs, and is never well.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::write_small_stack;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_version_that_never_becomes_well_is_rolled_back_and_its_password_told_to_no_one", rolled_back)]
}

/// The app of this version finds its database, which does not know it.
const DEPLOY: &str = r#"
title: A version that is never well
kind: practice
steps:
  - name: deploy
    set_env: { service: app, env: { DATABASE_URL: "postgres://lab:sesame@db:5432/postgres" }, rolled_back: true }
  - { name: after, traffic: { requests: 5, rate: 50 }, expect: { status.200: "100%" } }
"#;

async fn rolled_back() {
    let user = Cli::new("rolled-back");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let file = user.path().join("deploy.yaml");
    std::fs::write(&file, DEPLOY).expect("the folder is ours");
    let begun = Instant::now();
    let ran = user.lab(&["scenario", "run", "./deploy.yaml"]).status(0).says("rolled back");
    assert!(begun.elapsed() < Duration::from_secs(50), "as long as its health check has retries, and no longer");
    let ran = ran.says("restored: app DATABASE_URL postgres://lab:***@db:5432/postgres");
    let record = std::fs::read(user.state().join("labs").join(&user.name).join("lab.json")).expect("it is up");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    let password = record["containers"]["secrets"]["POSTGRES_PASSWORD"].as_str().expect("it has one");
    for secret in [password, "sesame"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    }
    user.lab(&["traffic", "--requests", "3", "--json"]).status(0).says("\"200\": 3");
    user.finish();
}
