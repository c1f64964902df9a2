//! `lab env`, `history`, `rollback` and `reset` on a lab of containers.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::{docker, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![an_environment_is_changed_rolled_back_and_reset]
}

async fn an_environment_is_changed_rolled_back_and_reset() {
    let user = Cli::new("revised");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let gateway = user.lab(&["status", "--json"]).status(0).json()["gateway"].clone();
    user.lab(&["env", "db"]).status(0).says("POSTGRES_PASSWORD").says("***");
    user.lab(&["env", "set", "app", "LD_PRELOAD=x"]).status(2).complains("it decides how programs are loaded");
    user.lab(&["env", "set", "app", "APP_LISTEN=x"]).status(2).complains("the engine sets it");
    user.lab(&["env", "set", "app", "APP_RATE_LIMIT=50/s"]).status(0).says("APP_RATE_LIMIT unset > 50/s");
    user.lab(&["env", "set", "gateway", "GATEWAY_READ_TIMEOUT=1s"]).status(0).says("2s > 1s");
    user.lab(&["rollback", "gateway"]).status(0).says("GATEWAY_READ_TIMEOUT 1s > 2s");
    let changes = |service: &str| {
        let json = user.lab(&["history", service, "--json"]).status(0).json();
        json.as_array().expect("a list").iter().map(|it| it["changes"][0]["name"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(changes("app"), [Value::Null, "APP_RATE_LIMIT".into()]);
    assert_eq!(changes("gateway"), [Value::Null, "GATEWAY_READ_TIMEOUT".into(), "GATEWAY_READ_TIMEOUT".into()]);

    // A kept fault stays, and a reset restores everything, including the data.
    let run = ["scenario", "run", "db-down", "--until", "inject"];
    user.lab(&run).status(1).complains("APP_RATE_LIMIT of app was set").complains("lab reset");
    user.lab(&["rollback", "app"]).status(0);
    let database = format!("lab-{}-db-1", user.name);
    let psql = |sql: &str| docker(&["exec", &database, "psql", "-U", "lab", "-d", "postgres", "-Atc", sql]);
    psql("create table left_over (id int)");
    user.lab(&run).status(0);
    user.lab(&["up"]).status(0).complains("kept fault of run").says("is up with its kept fault");
    let state = || user.lab(&["status", "--json"]).json();
    assert_eq!(state()["services"][2]["state"], "stopped");
    user.lab(&["reset"]).status(0).says("is as it was first brought up");
    let now = state();
    assert_eq!((&now["state"], &now["gateway"]), (&"healthy".into(), &gateway), "{now}");
    assert_eq!(psql("select count(*) from pg_tables where tablename = 'left_over'").trim(), "0");
    user.lab(&["traffic", "--requests", "5", "--rate", "50", "--expect", "status.200: \"100%\""]).status(0);
    assert_eq!(changes("app"), [Value::Null]);
    user.finish();
}
