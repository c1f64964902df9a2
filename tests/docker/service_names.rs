//! A user's own stack with other service names than lab's. `x-lab` assigns the roles.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::{docker, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![services_of_a_stack_can_have_other_names, the_stack_selects_the_variable_of_the_key]
}

/// Scenarios use the names of the roles.
const SCENARIO: &str = "
title: Services by role
kind: practice
steps:
  - set_env: { service: app, env: { LOG_NOTE: hello } }
  - traffic: { requests: 5, rate: 50 }
    expect: { status.200: '100%' }
  - set_env: { service: gateway, env: { GATEWAY_FORWARD_API_KEY: 'on' } }
";

fn up_with(name: &str, changes: &[(&str, &str)]) -> Cli {
    let user = Cli::new(name);
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let mut compose = std::fs::read_to_string(&file).expect("it was just written");
    for (from, to) in changes {
        assert!(compose.contains(from), "{from} is not in it");
        compose = compose.replace(from, to);
    }
    std::fs::write(file, compose).expect("a writable path");
    user.lab(&["up", "--stack", &folder.display().to_string(), "--port", "0"]).status(0).says("on apikey-v1");
    user
}

async fn services_of_a_stack_can_have_other_names() {
    let user = up_with(
        "renamed",
        &[
            ("service: app\n", "service: api\n"),
            ("service: gateway\n", "service: web\n"),
            ("database: db\n", "database: store\n"),
            ("awaits: [db]", "awaits: [store]"),
            ("\n  gateway:\n    image", "\n  web:\n    image"),
            ("\n  app:\n    # ", "\n  api:\n    # "),
            ("\n  db:\n    image", "\n  store:\n    image"),
            ("GATEWAY_UPSTREAM: app:8000", "GATEWAY_UPSTREAM: api:8000"),
            ("{ app: { condition", "{ api: { condition"),
            ("{ db: { condition", "{ store: { condition"),
            ("@db:5432", "@store:5432"),
        ],
    );
    user.lab(&["scenario", "run", "rotate-key", "--set", "requests=10", "--set", "rate=100"]).status(0);
    let keys = user.lab(&["key", "show", "--json"]).status(0).json();
    assert_eq!((&keys["server"], &keys["caller"]), (&Value::from("apikey-v1"), &Value::from("apikey-v1")));
    let story = user.path().join("story.yaml");
    std::fs::write(&story, SCENARIO).expect("a writable path");
    user.lab(&["scenario", "run", &story.display().to_string()]).status(0).says("LOG_NOTE");
    user.lab(&["key", "rotate", "apikey-v2"]).status(0).says("apikey-v1 > apikey-v2");
    user.lab(&["key", "align"]).status(0);
    user.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    user.lab(&["logs", "api"]).status(0);
    user.finish();
}

async fn the_stack_selects_the_variable_of_the_key() {
    let user = up_with(
        "own-variable",
        &[
            ("key_variable: APP_API_KEY", "key_variable: MY_KEY"),
            ("      APP_API_KEY:", "      MY_KEY: apikey-v1\n      APP_API_KEY:"),
        ],
    );
    user.lab(&["key", "rotate", "apikey-v2"]).status(0).says("apikey-v1 > apikey-v2");
    let format = "{{range .Config.Env}}{{println .}}{{end}}";
    let env = docker(&["inspect", "--format", format, &format!("lab-{}-app-1", user.name)]);
    assert!(env.lines().any(|line| line == "MY_KEY=apikey-v2"), "{env}");
    let keys = user.lab(&["key", "show", "--json"]).status(0).json();
    assert_eq!(keys["server"], "apikey-v2");
    user.finish();
}
