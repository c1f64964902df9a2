//! A user's own stack with other service names than lab's. `x-lab` assigns the roles.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::{docker, write_small_stack};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_stack_calls_its_services_what_it_likes", renamed),
        trial("the_key_is_the_variable_that_the_stack_names", own_variable),
    ]
}

/// A scenario speaks of `app` and `gateway` all the same.
const STORY: &str = "
title: By their parts
kind: practice
steps:
  - set_env: { service: app, env: { LOG_NOTE: hello } }
  - traffic: { requests: 5, rate: 50 }
    expect: { status.200: '100%' }
  - set_env: { service: gateway, env: { GATEWAY_FORWARD_API_KEY: 'on' } }
";

fn user_of(name: &str, changes: &[(&str, &str)]) -> Cli {
    let user = Cli::new(name);
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let mut compose = std::fs::read_to_string(&file).expect("it was just written");
    for (from, to) in changes {
        assert!(compose.contains(from), "{from} is not in it");
        compose = compose.replace(from, to);
    }
    std::fs::write(file, compose).expect("the folder is ours");
    user.lab(&["up", "--stack", &folder.display().to_string(), "--port", "0"]).status(0).says("on apikey-v1");
    user
}

async fn renamed() {
    let user = user_of(
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
    std::fs::write(&story, STORY).expect("the folder is ours");
    user.lab(&["scenario", "run", &story.display().to_string()]).status(0).says("LOG_NOTE");
    user.lab(&["key", "rotate", "apikey-v2"]).status(0).says("apikey-v1 > apikey-v2");
    user.lab(&["key", "align"]).status(0);
    user.lab(&["traffic", "--requests", "5", "--expect", "status.200: 100%"]).status(0);
    user.lab(&["logs", "api"]).status(0);
    user.finish();
}

async fn own_variable() {
    let user = user_of(
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
