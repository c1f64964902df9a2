//! The command line on a lab of containers: its output, and `down` with a damaged record.

use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::support::{docker, write_small_stack};

/// Time for Prometheus to scrape, evaluate and report a pending alert.
const TIMEOUT: Duration = Duration::from_mins(2);

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        every_panel_has_series_and_lab_query_shows_them,
        a_lab_of_containers_is_shown_and_removed_without_its_record,
        an_up_of_an_existing_lab_reports_what_it_repaired,
        ctrl_c_interrupts_a_save,
        missing_images_are_listed,
    ]
}

/// All queries of the dashboards, with the variables replaced as Grafana would.
fn panels() -> Vec<String> {
    fn walk(panels: &Value, found: &mut Vec<String>) {
        for panel in panels.as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().unwrap_or_else(|| panic!("{target} has no query"));
                let query =
                    query.replace("$__rate_interval", "1m").replace("$__interval", "2s").replace("$__range", "5m");
                assert!(!query.contains('$'), "an unknown variable: {query}");
                found.push(query);
            }
            walk(&panel["panels"], found);
        }
    }
    let mut found = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        walk(&serde_json::from_str::<Value>(&text).unwrap()["panels"], &mut found);
    }
    assert!(found.len() > 5, "{found:?}");
    found
}

async fn every_panel_has_series_and_lab_query_shows_them() {
    let user = Cli::new("queries");
    user.lab(&["up"]).status(0);
    user.lab(&["traffic", "--requests", "20"]).status(0);
    user.lab(&["key", "rotate", "apikey-v2"]).status(0);
    let (mut open, begun) = (panels(), Instant::now());
    while !open.is_empty() {
        assert!(begun.elapsed() < TIMEOUT, "without a series: {open:#?}");
        // Most requests have a rejected key, so that an alert fires, and some have the accepted key.
        user.lab(&["traffic", "--requests", "20"]).status(0);
        user.lab(&["traffic", "--requests", "5", "--key", "apikey-v2"]).status(0);
        open.retain(|query| {
            let answer = user.lab(&["query", query, "--json"]).status(0).json();
            assert_eq!(answer["status"], "success", "{query}: {answer}");
            answer["data"]["result"].as_array().unwrap().is_empty()
        });
    }
    // Output for people.
    let table = user.lab(&["query", "sum by (code) (app_http_responses_total)"]).status(0).says("series").says("value");
    table.says("{code=\"401\"}").says("{code=\"200\"}");
    let rates = user.lab(&["query", "rate(app_auth_failures_total[10s])", "--range", "1m"]).status(0).says("max");
    assert!(rates.stdout.contains('█'), "{}", rates.stdout);
    user.lab(&["query", "1 + 1"]).status(0).says("2");
    user.lab(&["query", "nothing_like_it"]).status(0).says("no data");
    user.lab(&["query", "rate(app_requests_total"])
        .status(2)
        .complains("Prometheus: ")
        .complains("unclosed left parenthesis");
    user.lab(&["query", "rate(app_requests_total)"]).status(2).complains("expected type range vector");
    user.lab(&["query", "rate(app_requests_total)", "--json"]).status(2).complains("expected type range vector");
    user.lab(&["query", "up", "--range", "soon"]).status(2).complains("--range");
    user.finish();
}

async fn a_lab_of_containers_is_shown_and_removed_without_its_record() {
    let user = Cli::new("shown");
    let up = user.lab(&["up"]).status(0);
    assert_eq!(up.stdout.lines().count(), 1, "{}", up.stdout);
    for service in ["gateway", "app", "db"] {
        assert!(up.stderr.contains(&format!("{service}: healthy after ")), "{}", up.stderr);
    }
    up.says("docker · http://127.0.0.1:");
    let status = user.lab(&["status"]).status(0).says("image").says("nginx:").says("healthy").says("prometheus");
    let long = status.stdout.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None, "{}", status.stdout);
    let json = user.lab(&["status", "--json"]).status(0).json();
    let gateway = &json["services"][0];
    assert_eq!((&gateway["name"], &gateway["restarts"]), (&Value::from("gateway"), &Value::from(0)), "{json}");
    assert_eq!((&gateway["state"], &gateway["health"]), (&Value::from("running"), &Value::from("healthy")), "{json}");
    assert!(gateway["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{json}");
    assert!(gateway["image"].as_str().unwrap().starts_with("nginx:") && json["prometheus"].is_string(), "{json}");
    assert_eq!(json["services"][1]["env"]["DATABASE_URL"], "postgres://lab:***@db:5432/postgres", "{json}");
    assert_eq!(json["services"][2]["env"]["POSTGRES_PASSWORD"], "***", "{json}");
    assert!(json["notices"].is_array() && json["services"][1]["since"].is_string(), "{json}");
    user.lab(&["logs", "--since", "1h", "-n", "1"]).status(0).says("gateway    | ").says("prometheus | ");
    let images = user.lab(&["images", "list"]).status(0).says("gateway").says("made by lab up");
    assert!(images.stdout.lines().all(|line| line.chars().count() <= 80), "{}", images.stdout);
    user.lab(&["images", "pull", "nobody"]).status(2).complains("gateway, app, db");
    let doctor = user.lab(&["doctor"]).status(0);
    for line in ["docker memory", "docker disk", "image gateway", "port 9090"] {
        assert!(doctor.stdout.contains(line), "{line}: {}", doctor.stdout);
    }
    std::fs::write(user.state().join("labs").join(&user.name).join("lab.json"), "{").unwrap();
    user.lab(&["status"]).status(3).complains("is damaged");
    user.lab(&["down", "--volumes"]).status(0).says("is down");
    user.assert_clean();
}

async fn an_up_of_an_existing_lab_reports_what_it_repaired() {
    let user = Cli::new("repaired");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0).says("is up in");
    user.lab(&["up"]).status(0).says("is up already");
    let container = |service: &str| format!("lab-{}-{service}-1", user.name);
    docker(&["stop", &container("db")]);
    docker(&["rm", "-f", &container("app")]);
    user.lab(&["up"]).status(0).says("is up again in").says(" · recreated app; started db · docker · http");
    let network = format!("lab-{}_default", user.name);
    for service in ["gateway", "app", "db"] {
        docker(&["network", "disconnect", "-f", &network, &container(service)]);
    }
    docker(&["network", "rm", &network]);
    let up = user.lab(&["up"]).status(0).says("is up again in").says(" · recreated gateway, app, db · docker · http");
    up.complains("its network was removed outside of lab");
    user.lab(&["up"]).status(0).says("is up already");
    user.finish();
}

async fn ctrl_c_interrupts_a_save() {
    let user = Cli::new("save");
    let folder = user.path().join("archive");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("images.tar").display().to_string();
    let save = user.start(&["images", "save", &file]);
    let begun = Instant::now();
    // The file is written under a temporary name.
    while std::fs::read_dir(&folder).unwrap().count() == 0 {
        assert!(begun.elapsed() < TIMEOUT, "no file was created");
        std::thread::sleep(Duration::from_millis(2));
    }
    save.signal(rustix::process::Signal::INT);
    save.wait().status(130);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "a partial file is left");
}

/// A user's own stack, whose gateway comes from a registry that does not exist.
const OWN: &str = r#"
services:
  web: { image: "127.0.0.1:1/lab-test/nowhere:1", ports: ["127.0.0.1::80"] }
  api: { image: lab-app:local, environment: { KEY: k }, ports: ["127.0.0.1::9000"] }
x-lab:
  app: { service: api, key_variable: KEY, port: 9000 }
  gateway: { service: web, port: 80, reload: "true" }
"#;

async fn missing_images_are_listed() {
    let user = Cli::new("images-missing");
    std::fs::write(user.path().join("compose.yaml"), OWN).unwrap();
    let images = |args: &[&str]| user.lab(&[&["images"][..], args, &["--stack", "."]].concat());
    let listed = images(&["list", "--json"]).status(0).json();
    assert_eq!(listed[0]["stored"], Value::Null, "{listed}");
    assert_eq!((&listed[1]["made_here"], listed.as_array().unwrap().len()), (&Value::from(true), 2), "{listed}");
    images(&["list"]).status(0).says("missing").says("next: lab images pull");
    images(&["pull"])
        .status(3)
        .complains("127.0.0.1:1/lab-test/nowhere:1 cannot be pulled")
        .complains("lab images load");
    let built = OWN.replace("nowhere:1\",", "nowhere:1\", build: .,");
    assert_ne!(built, OWN);
    std::fs::write(user.path().join("compose.yaml"), built).unwrap();
    images(&["pull"]).status(3).complains("docker compose build web");
    images(&["pull", "api"]).status(0).says("all images are available");
    images(&["save", "x.tar"]).status(3).complains("127.0.0.1:1/lab-test/nowhere:1").complains("lab images pull");
    assert!(!user.path().join("x.tar").exists());
    user.lab(&["images", "load", "x.tar"]).status(3).complains("x.tar: No such file");
}
