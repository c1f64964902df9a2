//! The alerts of a run agree on all engines: from Prometheus on Docker, and from lab's evaluation of the same rules on the embedded
//! engine.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::cli::Cli;
use crate::stack_copy::copy_stack;

/// Long enough for the rule to be pending, to fire and to be resolved; its window is full before the fault.
const SCENARIO: &str = "\
title: A rotated key fires an alert
steps:
  - { name: baseline, traffic: { duration: 32s, rate: 20 } }
  - { name: rotate-key, rotate_key: { server: apikey-v2 } }
  - { name: alarm, traffic: { duration: 35s, rate: 20 }, expect: { alert.AuthFailureRatioHigh: fired, alert.AppDown: quiet } }
  - { name: realign, align_key: { caller: server } }
  - { name: verify, traffic: { duration: 28s, rate: 20 }, expect: { alert.AuthFailureRatioHigh: resolved } }
";
/// Allowed difference in seconds. Scrapes and evaluations come every 2 s, and the engines are not synchronised.
const TOLERANCE: f64 = 5.0;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        prometheus_and_lab_report_the_same_alerts,
        a_scenario_can_expect_alerts_of_a_users_own_stack,
        a_gateway_that_is_down_fires_an_alert,
    ]
}

/// A user's own rule, which fires from the first evaluation.
const OWN_RULE: &str = "groups: [{ name: own, rules: [{ alert: HomeMade, expr: vector(1) }] }]\n";
const OWN_SCENARIO: &str = "\
title: Our own alert
steps:
  - wait_for: { alert: HomeMade, state: firing, within: 30s }
  - { name: drive, traffic: { requests: 2 }, expect: { alert.HomeMade: firing, alert.AppDown: quiet } }
";

/// A frozen nginx accepts connections, and a killed one has no address.
const GATEWAY_DOWN: &str = "\
title: The gateway is gone
steps:
  - { name: freeze, pause: gateway }
  - { name: frozen, wait_for: { alert: GatewayDown, state: firing, within: 30s } }
  - { name: resume, unpause: gateway }
  - { name: back, wait_for: { alert: GatewayDown, state: resolved, within: 30s } }
  - { name: break, kill: gateway }
  - { name: gone, wait_for: { alert: GatewayDown, state: firing, within: 30s } }
  - { name: fix, start: gateway }
  - { name: up, wait_for: { alert: GatewayDown, state: resolved, within: 30s } }
";

async fn a_gateway_that_is_down_fires_an_alert() {
    let user = Cli::new("gateway-down");
    let path = user.path().join("gateway.yaml");
    std::fs::write(&path, format!("kind: part\n{GATEWAY_DOWN}")).expect("a writable path");
    user.lab(&["up", "--port", "0", "--images", "offline"]).status(0);
    user.lab(&["scenario", "run", &path.display().to_string()]).status(0);
    user.finish();
}

async fn a_scenario_can_expect_alerts_of_a_users_own_stack() {
    let user = Cli::new("own-rules");
    let stack = copy_stack(user.path());
    std::fs::write(stack.join("prometheus/rules/own.yml"), OWN_RULE).expect("a writable path");
    let [scenario, typo] =
        [("scenario.yaml", OWN_SCENARIO.to_owned()), ("typo.yaml", OWN_SCENARIO.replace("HomeMade", "HomeMad"))].map(
            |(name, text)| {
                let path = user.path().join(name);
                std::fs::write(&path, text).expect("a writable path");
                path.display().to_string()
            },
        );
    user.lab(&["scenario", "validate", &scenario]).status(0).says("HomeMade");
    user.lab(&["up", "--stack", &stack.display().to_string()]).status(0);
    user.lab(&["scenario", "run", &scenario]).status(0);
    user.lab(&["scenario", "run", &typo]).status(2).complains("did you mean `HomeMade`?");
    user.finish();
}

async fn prometheus_and_lab_report_the_same_alerts() {
    let (docker, embedded) = (Cli::new("alerts"), Cli::new("alerts-embedded").embedded());
    let file = docker.path().join("scenario.yaml");
    std::fs::write(&file, SCENARIO).expect("a writable path");
    docker.lab(&["up", "--port", "0", "--images", "offline"]).status(0);
    embedded.lab(&["up", "--port", "0"]).status(0);
    let file = file.display().to_string();
    let args = ["scenario", "run", file.as_str(), "--format", "json"];
    let (on_docker, on_embedded) = std::thread::scope(|scope| {
        let other = scope.spawn(|| embedded.lab(&args));
        (docker.lab(&args), other.join().expect("it does not panic"))
    });
    let (on_docker, on_embedded) = (on_docker.status(0).json(), on_embedded.status(0).json());
    let (one, other) = (alert_states(&on_docker), alert_states(&on_embedded));
    let states = |story: &[(String, f64)]| story.iter().map(|(state, _)| state.clone()).collect::<Vec<_>>();
    assert_eq!(states(&one), ["pending", "firing", "resolved"], "{on_docker}");
    assert_eq!(states(&one), states(&other), "{on_embedded}");
    for ((state, on_docker), (_, on_embedded)) in one.iter().zip(&other) {
        assert!(
            (on_docker - on_embedded).abs() < TOLERANCE,
            "{state}: {on_docker} s and {on_embedded} s after the first failed request"
        );
    }
    for time in ["time_to_detect", "time_to_mitigate", "time_to_resolve"] {
        let [one, other] = [&on_docker, &on_embedded].map(|run| run["outage"][time].as_f64().expect(time));
        assert!((one - other).abs() < TOLERANCE, "{time}: {one} s and {other} s");
    }
    // The summary is the rule's own text, with the same values.
    let [one, other] = [&on_docker, &on_embedded].map(summary);
    assert!(one.ends_with("of the requests are rejected because of their API key"), "{one}");
    assert!(other.ends_with("of the requests are rejected because of their API key"), "{other}");
    embedded.lab(&["down"]).status(0);
    docker.finish();
}

/// States of the alert, each with its seconds since the first failed request.
fn alert_states(run: &Value) -> Vec<(String, f64)> {
    let impact = run["outage"]["impact_at"].as_f64().expect("there was an outage");
    let state = |alert: &Value| {
        (alert["state"].as_str().expect("a state").to_owned(), alert["since"].as_f64().expect("a time") - impact)
    };
    changes(run).map(state).collect()
}

/// Summary of the alert when it fired.
fn summary(run: &Value) -> String {
    let mut fired = changes(run).filter(|alert| alert["state"] == "firing");
    fired.next().and_then(|alert| alert["summary"].as_str()).unwrap_or_default().to_owned()
}

/// Changes of the scenario's alert. Others may fire as well: if a lab starts slowly, its Prometheus missed the app for a while.
fn changes(run: &Value) -> impl Iterator<Item = &Value> {
    run["alerts"].as_array().into_iter().flatten().filter(|alert| alert["name"] == "AuthFailureRatioHigh")
}
