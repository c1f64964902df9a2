//! The exporter counts the responses of nginx to callers, over faults of the app, reloads of nginx and restarts of the exporter.

use std::process::Command;
use std::time::Duration;

use lab_core::PROBE_HEADER;
use lab_core::engine::{APP, Engine, GATEWAY, RunState, ServiceChange};
use lab_http::{Http, Request};
use lab_stack::Stack;
use libtest_mimic::Trial;
use tokio::time::{sleep, timeout};

use crate::conformance_suite::{no_progress, request};
use crate::support::{TestLab, docker, options, status, whole_stack};

/// Time limit of a wait.
const TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_edge_counts_responses_over_faults_and_restarts,
        probes_are_neither_counted_nor_logged_by_nginx,
        prometheus_scrapes_the_edge,
    ]
}

/// Count of responses with this code on the exporter's page. `None` if it does not answer.
async fn counted(engine: &dyn Engine, code: u16) -> Option<u64> {
    let edge = engine.describe().await.ok()?.endpoints.edge?;
    let page = Http::new().request(&Request::get(&edge.url).timeout(Duration::from_secs(2))).await.ok()?.text();
    let name = format!("gateway_requests_total{{code=\"{code}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name))?.parse().ok()
}

/// Sends requests until one more of this code is counted.
async fn until_counted(engine: &dyn Engine, base: &str, code: u16) {
    let before = counted(engine, code).await.unwrap_or_default();
    let more = async {
        while counted(engine, code).await.is_none_or(|now| now <= before) {
            status(base, "/api/users", "apikey-v1").await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TIMEOUT, more).await.unwrap_or_else(|_| panic!("no {code} is counted"));
}

/// The built-in stack without Prometheus and Grafana.
fn stack_with_edge() -> Stack {
    let mut stack = whole_stack();
    stack.services.retain(|service| !["prometheus", "grafana"].contains(&service.name.as_str()));
    stack.lab.optional.clear();
    (stack.lab.prometheus, stack.lab.grafana) = (None, None);
    stack
}

/// Output of a container so far.
fn logs(container: &str) -> String {
    let output = crate::command::output(Command::new("docker").args(["logs", container]));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn probes_are_neither_counted_nor_logged_by_nginx() {
    let lab = TestLab::with("edge-probes", stack_with_edge(), options());
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    let base = up.endpoints.gateway.clone();
    for _ in 0..20 {
        let request = Request::get(format!("{base}/hidden")).header(PROBE_HEADER, "1").timeout(Duration::from_secs(5));
        assert_eq!(Http::new().request(&request).await.map_or(0, |answer| answer.status), 404);
    }
    // nginx reports its requests in order, so the probes would be counted before these.
    until_counted(&lab.engine, &base, 200).await;
    assert_eq!(status(&base, "/shown", "").await, 404);
    let counted_once = async {
        while counted(&lab.engine, 404).await.is_none_or(|count| count == 0) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TIMEOUT, counted_once).await.expect("the other request is counted");
    assert_eq!(counted(&lab.engine, 404).await, Some(1), "no probe is counted");
    for service in [GATEWAY, APP] {
        let container = format!("lab-{}-{service}-1", lab.name);
        let logged = async {
            while !logs(&container).contains("/shown") {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(TIMEOUT, logged).await.unwrap_or_else(|_| panic!("{service} does not log the other request"));
        assert!(!logs(&container).contains("/hidden"), "{service}: {}", logs(&container));
    }
    lab.finish().await;
}

async fn the_edge_counts_responses_over_faults_and_restarts() {
    let lab = TestLab::with("edge", stack_with_edge(), options());
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    let base = up.endpoints.gateway.clone();
    assert_eq!(counted(&lab.engine, 200).await, Some(0), "the counter starts at 0");
    // The first request is counted, because nginx knows the exporter from its start.
    assert_eq!(status(&base, "/api/users", "apikey-v1").await, 200);
    assert_eq!(status(&base, "/health", "").await, 200);
    assert_eq!(status(&base, "/api/users", "wrong").await, 401);
    until_counted(&lab.engine, &base, 200).await;
    assert_eq!(counted(&lab.engine, 401).await, Some(1));
    // Pause and stop the app, and redeploy it, which reloads nginx.
    lab.engine.reconcile(APP, &ServiceChange::run(RunState::Paused)).await.unwrap();
    until_counted(&lab.engine, &base, 504).await;
    lab.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::run(RunState::Stopped)).await.unwrap();
    until_counted(&lab.engine, &base, 502).await;
    lab.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
    lab.engine.reconcile(APP, &ServiceChange::env("APP_DB_POOL", "3")).await.unwrap();
    until_counted(&lab.engine, &base, 200).await;
    // Restart the gateway, and the exporter at another address.
    lab.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Stopped)).await.unwrap();
    lab.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Running)).await.unwrap();
    until_counted(&lab.engine, &base, 200).await;
    let [edge, network] = [format!("lab-{}-edge-1", lab.name), format!("lab-{}_default", lab.name)];
    docker(&["network", "disconnect", &network, &edge]);
    assert_eq!(status(&base, "/api/users", "apikey-v1").await, 200, "requests do not wait for the exporter");
    docker(&["network", "connect", "--alias", "edge", &network, &edge]);
    docker(&["restart", "--time", "1", &edge]);
    until_counted(&lab.engine, &base, 200).await;
    lab.finish().await;
}

async fn prometheus_scrapes_the_edge() {
    let lab = TestLab::with("edge-scraped", whole_stack(), options());
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    let (base, prometheus) = (up.endpoints.gateway.clone(), up.endpoints.prometheus.clone().expect("Prometheus"));
    status(&base, "/api/users", "apikey-v1").await;
    let url = format!("{prometheus}/api/v1/query?query=gateway_requests_total%7Bcode%3D%22200%22%7D%20%3E%200");
    let found = async {
        loop {
            let answer = Http::new().request(&Request::get(&url).timeout(Duration::from_secs(2))).await;
            if answer.is_ok_and(|answer| answer.text().contains("\"job\":\"edge\"")) {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(TIMEOUT, found).await.expect("Prometheus has the counter");
    lab.finish().await;
}
