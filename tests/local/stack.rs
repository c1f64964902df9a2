//! Files of the stack that other programs read: Grafana's dashboards and provisioning, checked against their documented formats
//! without Grafana, and the metrics that panels and rules use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lab_telemetry::metrics::names;
use serde_json::Value;

/// Series that Prometheus creates itself.
const BUILT_IN: [&str; 2] = ["up", "ALERTS"];
/// Words of `PromQL` that are not metrics.
const KEYWORDS: [&str; 16] = [
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "inf",
    "nan",
    "sum",
    "max",
    "min",
];

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The YAML files of a folder, as JSON.
fn yaml(folder: &str) -> Vec<Value> {
    let files = std::fs::read_dir(top(folder)).unwrap().map(|entry| entry.unwrap().path());
    let documents: Vec<Value> = files.map(|path| serde_yaml::from_str(&read(&path)).unwrap()).collect();
    assert!(!documents.is_empty(), "{folder} is empty");
    documents
}

fn rules() -> Vec<Value> {
    let groups = yaml("stack/prometheus/rules");
    let groups = groups.iter().flat_map(|file| file["groups"].as_array().unwrap());
    groups.flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read(&top("grafana/dashboards/auth-health.json"))).unwrap()
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().unwrap().clone()
}

/// Metrics in an expression of `PromQL`: words that are neither functions, keywords, labels nor durations.
fn metrics(expr: &str) -> BTreeSet<String> {
    let (mut found, mut word, mut braces, mut quote) = (BTreeSet::new(), String::new(), 0, None);
    let mut grouping = false;
    for c in expr.chars().chain([' ']) {
        if let Some(open) = quote {
            quote = (c != open).then_some(open);
            continue;
        }
        if c.is_ascii_alphanumeric() || c == '_' || c == ':' {
            word.push(c);
            continue;
        }
        let done = std::mem::take(&mut word);
        if ["by", "without", "on", "ignoring"].contains(&done.as_str()) {
            grouping = true;
        } else if !done.is_empty()
            && c != '('
            && braces == 0
            && !grouping
            && !done.starts_with(|c: char| c.is_ascii_digit())
            && !KEYWORDS.contains(&done.as_str())
        {
            found.insert(done);
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '{' | '[' => braces += 1,
            '}' | ']' => braces -= 1,
            ')' => grouping = false,
            _ => {}
        }
    }
    found
}

/// Series of the app, with the parts of its histogram, of the edge, of recording rules, and of Prometheus itself.
fn known() -> BTreeSet<String> {
    let app = names::COUNTERS.iter().chain(&names::REQUIRED).map(|name| (*name).to_owned());
    let histograms = names::COUNTERS.iter().filter_map(|name| name.strip_suffix("_count"));
    let parts = histograms.flat_map(|name| ["bucket", "sum"].map(|part| format!("{name}_{part}")));
    let recorded = rules().into_iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned()));
    let edge = [names::EDGE_REQUESTS, names::EDGE_BUCKETS, names::EDGE_GATEWAY_UP].map(str::to_owned);
    app.chain(parts).chain(edge).chain(recorded).chain(BUILT_IN.map(String::from)).collect()
}

#[test]
fn metrics_are_found_in_an_expression() {
    let expr =
        r#"sum by (code, le) (rate(a_total{job="x", b=~"5.."}[1m])) / on (job) (job:c:rate30s > 0.5) or 2 * ALERTS"#;
    assert_eq!(metrics(expr), BTreeSet::from(["a_total", "job:c:rate30s", "ALERTS"].map(String::from)));
}

#[test]
fn rules_and_panels_use_existing_metrics() {
    let known = known();
    let panels = panels();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules = rules();
    let mut count = 0;
    for expr in rules.iter().chain(targets).map(|it| it["expr"].as_str().unwrap()) {
        let metrics = metrics(expr);
        assert!(!metrics.is_empty(), "{expr} contains no metric");
        for metric in metrics {
            assert!(known.contains(&metric), "{metric} does not exist: {expr}");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn every_alert_has_a_summary_and_a_runbook() {
    let rules = rules();
    let alerts: Vec<&Value> = rules.iter().filter(|rule| rule["alert"].is_string()).collect();
    let names: Vec<&str> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    let edge = ["GatewayDown", "GatewayErrorRatioHigh", "GatewayRejectionRatioHigh", "GatewayLatencyHigh"];
    let app = ["AuthFailureRatioHigh", "ErrorRatioHigh", "LatencyHigh", "AppDown", "TrafficAbsent"];
    assert_eq!(names, [app.as_slice(), &edge].concat());
    for alert in alerts {
        let name = &alert["alert"];
        assert!(alert["for"].as_str().is_some_and(|time| time.ends_with('s')), "{name}: for");
        assert!(["page", "ticket"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}: severity");
        for annotation in ["summary", "runbook"] {
            let text = alert["annotations"][annotation].as_str().unwrap_or_default();
            assert!(text.len() > 20 && !text.contains('\n'), "{name}: {annotation}");
        }
    }
}

#[test]
fn the_dashboard_has_the_classic_format() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "auth-health");
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 36));
    assert!(dashboard.get("id").is_none() && dashboard.get("spec").is_none() && dashboard.get("__inputs").is_none());
    assert!(dashboard["title"].is_string() && dashboard["time"]["from"].is_string());
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        let title = panel["title"].as_str().filter(|title| !title.is_empty()).expect("a panel has a title").to_owned();
        assert!(panel["type"].is_string() && panel["description"].is_string(), "{title}");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: duplicate id");
        assert_eq!(panel["datasource"], serde_json::json!({ "type": "prometheus", "uid": "prometheus" }), "{title}");
        let grid = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{title}: gridPos.{key}"));
        assert!(grid("w") > 0 && grid("h") > 0 && grid("x") + grid("w") <= 24, "{title} is outside the grid");
        for x in grid("x")..grid("x") + grid("w") {
            for y in grid("y")..grid("y") + grid("h") {
                assert!(taken.insert((x, y)), "{title} overlaps another panel");
            }
        }
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(target["expr"].as_str().is_some_and(|expr| !expr.trim().is_empty()), "{title}");
            assert_eq!(target["datasource"]["uid"], "prometheus", "{title}");
            assert!(references.insert(target["refId"].as_str().unwrap().to_owned()), "{title}: duplicate refId");
        }
        assert!(!references.is_empty(), "{title} has no queries");
    }
}

#[test]
fn the_three_panels_of_the_original_come_first() {
    let panels = panels();
    let first: Vec<(&str, &str)> = panels[..3]
        .iter()
        .map(|panel| (panel["title"].as_str().unwrap(), panel["targets"][0]["expr"].as_str().unwrap()))
        .collect();
    assert_eq!(
        first,
        [
            ("Requests/s", "sum(rate(app_requests_total[1m]))"),
            ("Auth failures/s", "sum(rate(app_auth_failures_total[1m]))"),
            ("Auth successes/s", "sum(rate(app_auth_success_total[1m]))"),
        ]
    );
    let rest: Vec<&str> = panels[3..].iter().map(|panel| panel["title"].as_str().unwrap()).collect();
    let edge = ["Responses to callers/s", "Latency for callers"];
    let app = ["Status codes", "Auth failure ratio", "Latency", "Redeploys", "Alerts"];
    assert_eq!(rest, [app.as_slice(), &edge].concat());
    // The panels about callers are at the top of the page, regardless of their position in the file.
    let top: Vec<&Value> = panels.iter().filter(|panel| panel["gridPos"]["y"] == 0).collect();
    assert_eq!(top.iter().map(|panel| panel["title"].as_str().unwrap()).collect::<Vec<_>>(), edge);
}

#[test]
fn provisioning_refers_to_existing_files_and_services() {
    let stack = lab_stack::Stack::embedded(&std::collections::BTreeMap::new()).unwrap();
    let source = &yaml("grafana/provisioning/datasources")[0];
    assert_eq!(source["apiVersion"], 1);
    let source = &source["datasources"][0];
    assert_eq!((source["uid"].as_str(), source["type"].as_str()), (Some("prometheus"), Some("prometheus")));
    let (service, port) = stack.lab.prometheus.clone().unwrap();
    assert_eq!(source["url"], format!("http://{service}:{port}"));
    let provider = &yaml("grafana/provisioning/dashboards")[0];
    assert_eq!((&provider["apiVersion"], provider["providers"][0]["type"].as_str()), (&Value::from(1), Some("file")));
    let grafana = stack.service("grafana").unwrap();
    let targets: Vec<&str> = grafana.mounts.iter().map(lab_stack::Mount::target).collect();
    let path = provider["providers"][0]["options"]["path"].as_str().unwrap();
    assert!(targets.contains(&path) && targets.contains(&"/etc/grafana/provisioning"), "{targets:?}");
    let home = &grafana.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    assert_eq!(home, &format!("{path}/auth-health.json"));
}

#[test]
fn prometheus_scrapes_the_app_where_it_listens() {
    let stack = lab_stack::Stack::embedded(&std::collections::BTreeMap::new()).unwrap();
    let config: Value = serde_yaml::from_str(&read(&top("stack/prometheus/prometheus.yml"))).unwrap();
    let jobs = config["scrape_configs"].as_array().unwrap();
    let app = jobs.iter().find(|job| job["job_name"] == "app").unwrap();
    let expected = format!("{}:{}", stack.lab.app.service, stack.lab.app.port);
    assert_eq!(app["static_configs"][0]["targets"], serde_json::json!([expected]));
    assert_eq!(stack.lab.app.metrics_path, "/metrics", "Prometheus' default");
    let edge = jobs.iter().find(|job| job["job_name"] == "edge").unwrap();
    let (service, port) = stack.lab.edge.clone().unwrap();
    assert_eq!(edge["static_configs"][0]["targets"], serde_json::json!([format!("{service}:{port}")]));
    assert_eq!(config["global"]["scrape_interval"], "2s");
}
