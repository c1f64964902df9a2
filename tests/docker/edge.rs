//! What callers get at nginx is counted by the exporter, whatever becomes of the app, of nginx's configuration and of the exporter.

use std::time::Duration;

use lab_core::engine::{APP, Engine, GATEWAY, RunState, ServiceChange};
use lab_http::{Http, Request};
use libtest_mimic::Trial;
use tokio::time::{sleep, timeout};

use crate::shared::{request, silent};
use crate::support::{Bench, docker, options, status, whole_stack};
use crate::trial;

/// For what takes a moment on any machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_edge_counts_what_callers_get_whatever_happens", counts),
        trial("the_edge_is_scraped_by_prometheus", scraped),
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
    timeout(PATIENCE, more).await.unwrap_or_else(|_| panic!("no {code} is counted"));
}

async fn counts() {
    let mut stack = whole_stack();
    stack.services.retain(|service| !["prometheus", "grafana"].contains(&service.name.as_str()));
    stack.lab.optional.clear();
    (stack.lab.prometheus, stack.lab.grafana) = (None, None);
    let bench = Bench::with("edge", stack, options());
    let up = bench.engine.up(&request(), silent()).await.unwrap();
    let base = up.endpoints.gateway.clone();
    assert_eq!(counted(&bench.engine, 200).await, Some(0), "it counts from the first request on");
    // The first request counts: nginx knew the exporter from its start.
    assert_eq!(status(&base, "/api/users", "apikey-v1").await, 200);
    assert_eq!(status(&base, "/health", "").await, 200);
    assert_eq!(status(&base, "/api/users", "wrong").await, 401);
    until_counted(&bench.engine, &base, 200).await;
    assert_eq!(counted(&bench.engine, 401).await, Some(1));
    // A paused app, a stopped one, and a redeployment, which reloads nginx.
    bench.engine.reconcile(APP, &ServiceChange::run(RunState::Paused)).await.unwrap();
    until_counted(&bench.engine, &base, 504).await;
    bench.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::run(RunState::Stopped)).await.unwrap();
    until_counted(&bench.engine, &base, 502).await;
    bench.engine.reconcile(APP, &ServiceChange::run(RunState::Running)).await.unwrap();
    bench.engine.reconcile(APP, &ServiceChange::env("APP_DB_POOL", "3")).await.unwrap();
    until_counted(&bench.engine, &base, 200).await;
    // The gateway restarts, and the exporter does, at another address.
    bench.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Stopped)).await.unwrap();
    bench.engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Running)).await.unwrap();
    until_counted(&bench.engine, &base, 200).await;
    let [edge, network] = [format!("lab-{}-edge-1", bench.name), format!("lab-{}_default", bench.name)];
    docker(&["network", "disconnect", &network, &edge]);
    assert_eq!(status(&base, "/api/users", "apikey-v1").await, 200, "requests do not wait for the exporter");
    docker(&["network", "connect", "--alias", "edge", &network, &edge]);
    docker(&["restart", "--time", "1", &edge]);
    until_counted(&bench.engine, &base, 200).await;
    bench.finish().await;
}

async fn scraped() {
    let bench = Bench::with("edge-scraped", whole_stack(), options());
    let up = bench.engine.up(&request(), silent()).await.unwrap();
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
    timeout(PATIENCE, found).await.expect("Prometheus has the counter");
    bench.finish().await;
}
