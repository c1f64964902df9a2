//! Requests that lab marks as its own probes are answered like others, and leave no trace: no count, no line in a log, no alert.

use std::net::SocketAddr;

use lab_core::PROBE_HEADER;

use crate::desk::Desk;
use crate::support::{Service, exchange, get, until};

const PROBE: (&str, &str) = (PROBE_HEADER, "1");

fn page(address: SocketAddr) -> String {
    get(address, "/metrics", &[]).text()
}

#[test]
fn probes_are_neither_counted_nor_logged_by_the_app_and_the_gateway() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut app = Service::app_with(folder.path(), "probed", &[("APP_RATE_LIMIT", "40/h"), ("APP_RATE_BURST", "40")]);
    let mut gateway = Service::gateway(app.address, &[("GATEWAY_METRICS_LISTEN", "127.0.0.1:0")]);
    let edge = gateway.metrics.expect("it has a metrics page");
    let ask = |path: &str, key: &str, more: &[(&str, &str)]| {
        get(gateway.address, path, &[&[("X-API-Key", key)], more].concat()).status
    };
    assert_eq!(ask("/api/users", "apikey-v1", &[("X-Request-Id", "before")]), 200);
    app.log_until(|log| log.contains("request_id=before"));
    until(|| page(edge).contains("gateway_requests_total{code=\"200\"} 1"));
    let before = (page(app.address), page(edge));
    let expected = [("/api/users", "apikey-v1", 200), ("/api/users", "wrong", 401), ("/api/report", "apikey-v1", 200)];
    for number in 0..20 {
        let (path, key, status) = expected[number % expected.len()];
        assert_eq!(ask(path, key, &[PROBE, ("X-Request-Id", "probe")]), status, "{path}");
    }
    assert_eq!(ask("/nowhere", "", &[PROBE, ("X-Request-Id", "probe")]), 404);
    assert_eq!(ask("/health", "", &[PROBE, ("X-Request-Id", "probe")]), 200);
    assert_eq!((page(app.address), page(edge)), before);
    // Probes are limited like all requests: 13 of them and the first request used tokens of this key.
    let callers: Vec<u16> = (0..40).map(|_| ask("/api/users", "apikey-v1", &[("X-Request-Id", "after")])).collect();
    assert_eq!(callers.iter().filter(|status| **status == 200).count(), 26, "{callers:?}");
    app.log_until(|log| log.contains("request_id=after"));
    gateway.log_until(|log| log.contains("\"after\""));
    gateway.close_stdin();
    app.close_stdin();
    for log in [gateway.whole_log(), app.whole_log()] {
        assert!(log.contains("before") && !log.contains("probe\"") && !log.contains("request_id=probe"), "{log}");
    }
}

#[test]
fn probes_change_no_metric_no_log_and_no_alert_of_a_lab() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let gateway = desk.status()["gateway"].as_str().expect("an address").trim_start_matches("http://").to_owned();
    let gateway: SocketAddr = gateway.parse().expect("an address");
    let look = || {
        let metrics = desk.lab(&["metrics", "--raw"]).status(0).stdout;
        let logs = desk.lab(&["logs"]).status(0).stdout;
        (metrics, logs)
    };
    get(gateway, "/api/users", &[("X-API-Key", "apikey-v1")]);
    until(|| desk.lab(&["logs"]).stdout.contains("/api/users"));
    let before = look();
    for _ in 0..20 {
        assert_eq!(get(gateway, "/api/users", &[("X-API-Key", "wrong"), PROBE]).status, 401);
    }
    // Rules are evaluated every two seconds.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(look(), before);
    let dashboard = desk.status()["dashboard"].as_str().expect("an address").trim_start_matches("http://").to_owned();
    let dashboard: SocketAddr = dashboard.trim_end_matches('/').parse().expect("an address");
    let request = format!("GET /api/v1/rules HTTP/1.1\r\nHost: {dashboard}\r\nConnection: close\r\n\r\n");
    let rules = exchange(dashboard, request).expect("an answer").text();
    let rules: serde_json::Value = serde_json::from_str(&rules).expect("JSON");
    let groups = rules["data"]["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let active: Vec<&str> =
        rules.filter(|rule| rule["state"] != "inactive").filter_map(|rule| rule["name"].as_str()).collect();
    // Without callers, their absence is noticed; the refused probes are not.
    assert!(active.iter().all(|name| *name == "TrafficAbsent"), "{active:?}");
}
