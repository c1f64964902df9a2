//! `wait_for` with queries to a real Prometheus.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;

/// Rotates the key during background traffic, and waits until Prometheus shows the failures and the recovery.
const SCENARIO: &str = r#"
title: Waits for Prometheus
steps:
  - { name: scraped, phase: baseline, wait_for: { query: "up{job=\"app\"}", is: "== 1", timeout: 60s } }
  - { name: users, phase: baseline, background: { rate: 20 } }
  - { name: calm, phase: baseline, wait_for: { query: "sum(rate(app_auth_success_total[10s])) > 5", timeout: 60s } }
  - { name: rotate-key, rotate_key: { server: apikey-v2 } }
  - name: seen
    phase: observe
    wait_for: { query: "sum(rate(app_auth_failures_total[10s]))", is: "> 5", timeout: 60s, every: 500ms }
  - { name: realign, align_key: { caller: server } }
  - name: over
    phase: verify
    wait_for: { query: "sum(rate(app_auth_failures_total[10s]))", is: "== 0", timeout: 60s }
  - name: in-vain
    phase: verify
    wait_for: { query: "nothing_like_it", timeout: 2s }
  - name: no-query
    phase: verify
    wait_for: { query: "rate(app_requests_total[10s]", timeout: 60s }
"#;

pub(crate) fn trials() -> Vec<Trial> {
    trials![wait_for_waits_for_a_query_to_prometheus]
}

async fn wait_for_waits_for_a_query_to_prometheus() {
    let user = Cli::new("waits");
    let file = user.path().join("seen.yaml");
    std::fs::write(&file, SCENARIO).expect("a writable path");
    user.lab(&["up", "--port", "0", "--images", "offline"]).status(0);
    let run = user.lab(&["scenario", "run", &file.display().to_string(), "--format", "json"]).status(3).json();
    let step = |name: &str| {
        let found = run["steps"].as_array().and_then(|steps| steps.iter().find(|step| step["name"] == name));
        found.unwrap_or_else(|| panic!("{name}: {run}")).clone()
    };
    for name in ["scraped", "calm", "seen", "over"] {
        assert_eq!(step(name)["status"], "passed", "{}", step(name));
    }
    let observed = |name: &str| step(name)["expectations"][0]["observed"].clone();
    assert_eq!((observed("scraped"), observed("over")), (Value::from(1), Value::from(0)));
    let rate = observed("seen").as_f64().expect("a number");
    // At most the 20 requests per second of the background traffic.
    assert!((5.0..=21.0).contains(&rate), "{rate}");
    let in_vain = step("in-vain");
    assert_eq!(
        (&in_vain["status"], &in_vain["expectations"][0]["observed_text"]),
        (&"failed".into(), &"no series".into())
    );
    // A query that Prometheus refuses stays refused, so the step does not wait.
    let refused = step("no-query");
    let error = refused["error"].as_str().expect("an error");
    assert!(error.contains("unclosed left parenthesis"), "{error}");
    assert!(refused["duration"].as_f64().is_some_and(|duration| duration < 10.0), "{refused}");
    user.finish();
}
