//! Runs the cases of `stack/prometheus/tests/`, which are written for `promtool test rules`, with lab's own evaluation.
//! Further tests use scrapes of the app, as the embedded engine does.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::duration::duration;
use super::eval::evaluate;
use super::expr::{Expr, Match};
use super::labels::{Labels, NAME};
use super::parser::parse;
use super::{Monitor, Rules, State, Tracker, built_in_rules};
use crate::metrics::{Exposition, Moment};

#[derive(Deserialize)]
struct Cases {
    evaluation_interval: String,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    interval: String,
    input_series: Vec<Input>,
    #[serde(default)]
    promql_expr_test: Vec<ExprCase>,
    #[serde(default)]
    alert_rule_test: Vec<AlertCase>,
}

#[derive(Deserialize)]
struct Input {
    series: String,
    values: String,
}

#[derive(Deserialize)]
struct ExprCase {
    expr: String,
    eval_time: String,
    exp_samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    labels: String,
    value: f64,
}

#[derive(Deserialize)]
struct AlertCase {
    alertname: String,
    eval_time: String,
    exp_alerts: Vec<Expected>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expected {
    #[serde(rename = "exp_labels")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(rename = "exp_annotations")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// `name{label="value"}`, or labels alone.
pub(super) fn labels(text: &str) -> Labels {
    if text == "{}" {
        return Labels::default();
    }
    let Expr::Select(selector) = parse(text).expect(text) else { panic!("{text} is no series") };
    selector.matchers.iter().fold(Labels::new(&selector.name, &[]), |labels, matcher| match &matcher.how {
        Match::Equal(value) => labels.with(&matcher.label, value),
        _ => panic!("{text} is no series"),
    })
}

/// A sample of a series: none at that time, the end of the series, or a value.
type Sampled = Option<Option<f64>>;

/// Parses promtool's notation for samples, such as `0+40x60 _x3 stale`: each part has a value, a step and the number of steps.
pub(super) fn samples(text: &str) -> Vec<Sampled> {
    let mut samples = Vec::new();
    for part in text.split_whitespace() {
        let (first, times) = part.split_once('x').unwrap_or((part, "0"));
        let times = times.parse::<usize>().expect(part);
        if first == "_" || first == "stale" {
            samples.extend(std::iter::repeat_n((first == "stale").then_some(None), times.max(1)));
            continue;
        }
        let step = first[1..].find(['+', '-']).map_or(first.len(), |at| at + 1);
        let (mut value, step): (f64, f64) =
            (first[..step].parse().expect(part), first[step..].parse().unwrap_or_default());
        for _ in 0..=times {
            samples.push(Some(Some(value)));
            value += step;
        }
    }
    samples
}

pub(super) fn millis(text: &str) -> i64 {
    duration(text).expect(text)
}

/// Firing alerts with this name, as promtool compares them.
pub(super) fn firing(monitor: &Monitor, name: &str) -> BTreeSet<Expected> {
    let data = monitor.response().data.expect("it has some");
    let rules = data.groups.into_iter().flat_map(|group| group.rules).filter(|rule| rule.name == name);
    let alerts = rules.flat_map(|rule| rule.alerts).filter(|alert| alert.state == State::Firing);
    let expected = alerts.map(|mut alert| {
        alert.labels.remove("alertname");
        Expected { labels: alert.labels, annotations: alert.annotations }
    });
    expected.collect()
}

fn check(case: &Case, every: i64) {
    let name = &case.name;
    let interval = millis(&case.interval);
    let series: Vec<(Labels, Vec<Sampled>)> =
        case.input_series.iter().map(|input| (labels(&input.series), samples(&input.values))).collect();
    let mut monitor = Monitor::new(built_in_rules().expect("the rules"));
    let times = case.promql_expr_test.iter().map(|test| &test.eval_time);
    let last = times.chain(case.alert_rule_test.iter().map(|test| &test.eval_time)).map(|time| millis(time)).max();
    let mut loaded = 0;
    for at in (0..=last.expect("a test")).step_by(usize::try_from(every).expect("positive")) {
        while i64::try_from(loaded).expect("few") * interval <= at {
            for (labels, values) in &series {
                if let Some(Some(value)) = values.get(loaded) {
                    monitor.store.push(i64::try_from(loaded).expect("few") * interval, labels.clone(), *value);
                }
            }
            loaded += 1;
        }
        monitor.evaluate(at);
        for test in case.promql_expr_test.iter().filter(|test| millis(&test.eval_time) == at) {
            let found = evaluate(&parse(&test.expr).expect(&test.expr), &monitor.store, at).expect(&test.expr);
            let found: BTreeMap<Labels, f64> = found.into_iter().collect();
            let expected: BTreeMap<Labels, f64> =
                test.exp_samples.iter().map(|sample| (labels(&sample.labels), sample.value)).collect();
            assert!(found.keys().eq(expected.keys()), "{name}: {} at {at}: {found:?}", test.expr);
            let alike = found.values().zip(expected.values()).all(|(found, expected)| (found - expected).abs() < 1e-9);
            assert!(alike, "{name}: {} at {at}: {found:?}", test.expr);
        }
        for test in case.alert_rule_test.iter().filter(|test| millis(&test.eval_time) == at) {
            let expected: BTreeSet<Expected> = test.exp_alerts.iter().cloned().collect();
            let expected = expected
                .into_iter()
                .map(|mut alert| {
                    alert.annotations.values_mut().for_each(|text| *text = text.trim_end().to_owned());
                    alert
                })
                .collect::<BTreeSet<_>>();
            assert_eq!(firing(&monitor, &test.alertname), expected, "{name}: {} at {at}", test.alertname);
        }
    }
}

#[test]
fn lab_passes_the_cases_of_promtool() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../stack/prometheus/tests/alerts.yml"));
    let cases: Cases = serde_yaml::from_str(text).expect("a promtool file");
    assert!(cases.tests.len() >= 9, "some cases are missing");
    let every = millis(&cases.evaluation_interval);
    for case in &cases.tests {
        let tests = case.promql_expr_test.len() + case.alert_rule_test.len();
        assert!(tests > 0, "{} tests nothing", case.name);
        let times = case.promql_expr_test.iter().map(|test| &test.eval_time);
        for time in times.chain(case.alert_rule_test.iter().map(|test| &test.eval_time)) {
            assert_eq!(millis(time) % every, 0, "{}: nothing is evaluated at {time}", case.name);
        }
        check(case, every);
    }
}

/// Metrics page of an instance of the app.
fn page(accepted: u32, refused: u32) -> Exposition {
    let all = accepted + refused;
    let text = format!(
        "# TYPE app_requests_total counter\napp_requests_total {all}\n# TYPE app_auth_failures_total counter\n\
         app_auth_failures_total {refused}\n# TYPE app_http_responses_total counter\n\
         app_http_responses_total{{code=\"200\"}} {accepted}\napp_http_responses_total{{code=\"401\"}} {refused}\n"
    );
    Exposition::parse(&text, None).expect("it is in the format")
}

/// Alert changes over one scrape per second, as `name state second`.
fn alert_changes(seconds: u32, scrape: impl Fn(u32) -> Option<Exposition>) -> Vec<String> {
    alert_changes_with_edge(seconds, scrape, |_| None)
}

fn alert_changes_with_edge(
    seconds: u32,
    scrape: impl Fn(u32) -> Option<Exposition>,
    edge: impl Fn(u32) -> Option<Exposition>,
) -> Vec<String> {
    let mut monitor = Monitor::new(built_in_rules().expect("the rules"));
    let mut tracker = Tracker::default();
    let start = 1_795_515_330;
    let mut changes = Vec::new();
    for second in 0..seconds {
        let at = DateTime::from_timestamp(start + i64::from(second), 0).expect("a time");
        monitor.add_scrapes(at.into(), scrape(second).as_ref(), edge(second).as_ref());
        for change in tracker.update(at, &monitor.response()) {
            changes.push(format!("{} {} {}", change.alert, change.to.name(), change.at.timestamp() - start));
        }
    }
    changes
}

#[test]
fn a_rotated_key_fires_and_resolves() {
    // 20 requests per second, refused from 40 s to 100 s by a new instance whose counters begin at 0. The promtool cases
    // contain the same scenario with the same times.
    let changes = alert_changes(160, |second| {
        Some(match second {
            ..40 => page(20 * second, 0),
            40..100 => page(0, 20 * (second - 39)),
            _ => page(20 * (second - 99), 20 * 60),
        })
    });
    assert_eq!(
        changes,
        ["AuthFailureRatioHigh pending 54", "AuthFailureRatioHigh firing 64", "AuthFailureRatioHigh inactive 114"]
    );
}

#[test]
fn an_app_that_does_not_answer_is_down() {
    let changes = alert_changes(60, |second| (!(20..40).contains(&second)).then(|| page(20 * second, 0)));
    assert_eq!(changes, ["AppDown pending 20", "AppDown firing 26", "AppDown inactive 40"]);
}

#[test]
fn a_gateway_whose_metrics_do_not_answer_is_down() {
    let app = |second| Some(page(20 * second, 0));
    let edge = |text: &str| Exposition::parse(text, None).expect("metrics");
    let changes = alert_changes_with_edge(60, app, |second| {
        (!(20..40).contains(&second)).then(|| edge("gateway_requests_total{code=\"200\"} 0\n"))
    });
    assert_eq!(changes, ["GatewayDown pending 20", "GatewayDown firing 26", "GatewayDown inactive 40"]);
    // An exporter apart from the gateway answers all the time.
    let changes = alert_changes_with_edge(60, app, |second| {
        Some(edge(&format!("gateway_up {}\n", u8::from(!(20..40).contains(&second)))))
    });
    assert_eq!(changes, ["GatewayDown pending 20", "GatewayDown firing 26", "GatewayDown inactive 40"]);
    // A stack that does not count what callers get has no gateway to miss.
    assert_eq!(alert_changes(60, app), Vec::<String>::new());
}

#[test]
fn nothing_is_evaluated_between_two_intervals() {
    let mut monitor = Monitor::new(built_in_rules().expect("the rules"));
    let at = |millis: i64| DateTime::from_timestamp_millis(1_795_515_330_000 + millis).expect("a time");
    let mut evaluated = |millis: i64| {
        monitor.add_scrapes(at(millis).into(), None, None);
        monitor.response().data.expect("some").groups[0].rules[0].last_evaluation.clone()
    };
    let first = evaluated(0);
    assert_eq!(evaluated(1_020), first);
    let second = evaluated(1_990);
    assert_ne!(second, first);
    assert_eq!(evaluated(3_000), second);
    assert_ne!(evaluated(4_010), second);
}

/// Alert changes of the given rules, with these values of the metric `a`, one every two seconds.
fn changes(rules: &str, values: &[f64]) -> Vec<String> {
    let config = "global: { scrape_interval: 2s, evaluation_interval: 2s }\n\
                  scrape_configs: [{ job_name: app, static_configs: [{ targets: ['app:8000'] }] }]";
    let mut monitor = Monitor::new(Rules::read(("p.yml", config), &[("r.yml", rules)]).expect("rules"));
    let mut tracker = Tracker::default();
    let mut found = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let at = DateTime::from_timestamp(1_795_515_330 + 2 * i64::try_from(index).expect("few"), 0).expect("a time");
        monitor.add_scrapes(at.into(), Some(&Exposition::parse(&format!("a {value}\n"), None).expect("metrics")), None);
        let changed = tracker.update(at, &monitor.response());
        found.extend(changed.iter().map(|it| format!("{} {} {} {}", it.alert, it.to.name(), it.severity, 2 * index)));
    }
    found
}

#[test]
fn two_alerts_with_the_same_name_fire_by_their_own_rules() {
    let rules = "groups: [{ name: g, rules: [
        { alert: A, expr: 'a > 0', for: 10s, labels: { severity: warning } },
        { alert: A, expr: 'a > 2', for: 50s, labels: { severity: critical } }] }]";
    let values: Vec<f64> = [vec![0.0; 2], vec![1.0; 10], vec![3.0; 40], vec![0.0; 2]].concat();
    let found = changes(rules, &values);
    assert_eq!(
        found,
        ["A pending warning 4", "A firing warning 14", "A inactive warning 104"],
        "the most severe state of the two counts"
    );
}

#[test]
fn two_recording_rules_with_the_same_name_keep_their_own_series() {
    let rules = "groups:
        - { name: r, rules: [
            { record: r, expr: 'a', labels: { of: one } },
            { record: r, expr: 'a * 2', labels: { of: two } }] }
        - { name: s, rules: [{ alert: Both, expr: 'count(r) == 2', labels: { severity: page } }] }";
    let found = changes(rules, &[1.0; 4]);
    assert_eq!(found, [] as [&str; 0], "it fires from the first evaluation on");
    let found = changes(&rules.replace("count(r) == 2", "count(r) < 2"), &[1.0; 4]);
    assert_eq!(found, [] as [&str; 0]);
}

#[test]
fn a_rule_with_duplicate_alert_labels_reports_an_error() {
    let config = "global: { scrape_interval: 2s, evaluation_interval: 2s }\n\
                  scrape_configs: [{ job_name: app, static_configs: [{ targets: ['app:8000'] }] }]";
    let rules = "groups: [{ name: g, rules: [{ alert: A, expr: 'b > 0', labels: { x: same }, annotations: { s: '{{ $labels.x }} {{ $labels.alertname }}|{{ $value }}' } }] }]";
    let mut monitor = Monitor::new(Rules::read(("p.yml", config), &[("r.yml", rules)]).expect("rules"));
    let mut take = |second: i64, page: &str| {
        let at = DateTime::from_timestamp(second, 0).expect("a time");
        monitor.add_scrapes(at.into(), Some(&Exposition::parse(page, None).expect("metrics")), None);
        monitor.response().data.expect("some").groups[0].rules[0].clone()
    };
    let good = take(0, "b{x=\"1\"} 1e6\n");
    assert_eq!(good.alerts[0].annotations["s"], "1 |1e+06", "templates see the labels of the series");
    assert_eq!(good.alerts[0].value, "1e+06");
    let bad = take(2, "b{x=\"1\"} 1\nb{x=\"2\"} 1\n");
    assert_eq!((bad.health.as_str(), bad.alerts.len()), ("err", 1), "the previous alert stays");
    assert!(bad.last_error.contains("the same labels"), "{}", bad.last_error);
}

#[test]
fn a_clock_change_stops_no_alert() {
    for hours in [-1, 1] {
        let mut monitor = Monitor::new(built_in_rules().expect("the rules"));
        let start = DateTime::from_timestamp(1_795_515_330, 0).expect("a time");
        let mut fired = None;
        for second in 0..30 {
            let wall = start + TimeDelta::seconds(second);
            let set = if second < 3 { TimeDelta::zero() } else { TimeDelta::hours(hours) };
            monitor.add_scrapes(Moment { wall: wall + set, ..wall.into() }, None, None);
            let response = monitor.response();
            let down = response.data.iter().flat_map(|data| &data.groups).flat_map(|group| &group.rules);
            let down = down.into_iter().find(|rule| rule.name == "AppDown").expect("it is there");
            if fired.is_none() && down.state == State::Firing {
                let since: DateTime<Utc> = down.alerts[0].active_at.parse().expect("a time");
                fired = Some((second, (since - start - set).num_seconds()));
            }
        }
        assert_eq!(fired, Some((6, 0)), "its time follows the current wall clock");
    }
}

#[test]
fn labels_of_a_series_are_read_as_written() {
    assert_eq!(labels("a{x=\"1\"}").get(NAME), "a");
    let values: Vec<f64> = samples("0+40x2 5 1x1 3-2x1 -2").into_iter().flatten().flatten().collect();
    assert_eq!(values, [0.0, 40.0, 80.0, 5.0, 1.0, 1.0, 3.0, 1.0, -2.0]);
    assert_eq!(samples("_x2 stale 1"), [None, None, Some(None), Some(Some(1.0))]);
}
