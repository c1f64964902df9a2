//! The cases of `stack/prometheus/tests/`, which `promtool test rules` runs, through lab's own evaluation: both tell one
//! story. And scrapes of the app as the embedded engine takes them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde::Deserialize;

use super::eval::evaluate;
use super::expr::{Expr, Match};
use super::labels::{Labels, NAME};
use super::lexer::duration;
use super::parser::parse;
use super::{Monitor, State, Tracker, own};
use crate::metrics::Exposition;

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
struct Expected {
    #[serde(rename = "exp_labels")]
    labels: BTreeMap<String, String>,
    #[serde(rename = "exp_annotations")]
    annotations: BTreeMap<String, String>,
}

/// `name{label="value"}`, or labels alone.
fn labels(text: &str) -> Labels {
    if text == "{}" {
        return Labels::default();
    }
    let Expr::Select(selector) = parse(text).expect(text) else { panic!("{text} is no series") };
    selector.matchers.iter().fold(Labels::of(&selector.name, &[]), |labels, matcher| match &matcher.how {
        Match::Equal(value) => labels.with(&matcher.label, value),
        _ => panic!("{text} is no series"),
    })
}

/// `0+40x60 1x3`: each part a value, what is added each time, and how often it is repeated.
fn values(text: &str) -> Vec<f64> {
    let mut values = Vec::new();
    for part in text.split_whitespace() {
        let (first, times) = part.split_once('x').unwrap_or((part, "0"));
        let (start, step) = first.split_once('+').unwrap_or((first, "0"));
        let (mut value, step): (f64, f64) = (start.parse().expect(part), step.parse().expect(part));
        for _ in 0..=times.parse::<u32>().expect(part) {
            values.push(value);
            value += step;
        }
    }
    values
}

fn millis(text: &str) -> i64 {
    duration(text).expect(text)
}

/// The alerts of a name that fire, as promtool compares them.
fn firing(monitor: &Monitor, name: &str) -> BTreeSet<Expected> {
    let data = monitor.answer().data.expect("it has some");
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
    let series: Vec<(Labels, Vec<f64>)> =
        case.input_series.iter().map(|input| (labels(&input.series), values(&input.values))).collect();
    let mut monitor = Monitor::new(own().expect("the rules"));
    let times = case.promql_expr_test.iter().map(|test| &test.eval_time);
    let last = times.chain(case.alert_rule_test.iter().map(|test| &test.eval_time)).map(|time| millis(time)).max();
    let mut loaded = 0;
    for at in (0..=last.expect("a test")).step_by(usize::try_from(every).expect("positive")) {
        while i64::try_from(loaded).expect("few") * interval <= at {
            for (labels, values) in &series {
                if let Some(value) = values.get(loaded) {
                    monitor.store.push(i64::try_from(loaded).expect("few") * interval, labels.clone(), Some(*value));
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
fn promtools_own_cases_hold() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/stack/prometheus/tests/alerts.yml"));
    let cases: Cases = serde_yaml::from_str(text).expect("promtool reads it");
    assert!(cases.tests.len() >= 9, "all of them");
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

/// What an instance of the app says.
fn page(accepted: u32, refused: u32) -> Exposition {
    let all = accepted + refused;
    let text = format!(
        "# TYPE app_requests_total counter\napp_requests_total {all}\n# TYPE app_auth_failures_total counter\n\
         app_auth_failures_total {refused}\n# TYPE app_http_responses_total counter\n\
         app_http_responses_total{{code=\"200\"}} {accepted}\napp_http_responses_total{{code=\"401\"}} {refused}\n"
    );
    Exposition::parse(&text, None).expect("it is in the format")
}

/// Alert changes of a story told second by second, as `name state second`.
fn story(seconds: u32, said: impl Fn(u32) -> Option<Exposition>) -> Vec<String> {
    let mut monitor = Monitor::new(own().expect("the rules"));
    let mut tracker = Tracker::default();
    let start = 1_795_515_330;
    let mut told = Vec::new();
    for second in 0..seconds {
        let at = DateTime::from_timestamp(start + i64::from(second), 0).expect("a time");
        monitor.take(at, said(second).as_ref());
        for change in tracker.take(at, &monitor.answer()) {
            told.push(format!("{} {} {}", change.alert, change.to.name(), change.at.timestamp() - start));
        }
    }
    told
}

#[test]
fn a_rotated_key_fires_and_resolves() {
    // 20 requests a second; refused from 40 s to 100 s, by a new instance whose counters begin at 0. promtool has the same
    // story, with the same times.
    let told = story(160, |second| {
        Some(match second {
            ..40 => page(20 * second, 0),
            40..100 => page(0, 20 * (second - 39)),
            _ => page(20 * (second - 99), 20 * 60),
        })
    });
    assert_eq!(
        told,
        ["AuthFailureRatioHigh pending 54", "AuthFailureRatioHigh firing 64", "AuthFailureRatioHigh inactive 114"]
    );
}

#[test]
fn an_app_that_does_not_answer_is_down() {
    let told = story(60, |second| (!(20..40).contains(&second)).then(|| page(20 * second, 0)));
    assert_eq!(told, ["AppDown pending 20", "AppDown firing 26", "AppDown inactive 40"]);
}

#[test]
fn between_two_scrapes_nothing_is_looked_at() {
    let mut monitor = Monitor::new(own().expect("the rules"));
    let at = |millis: i64| DateTime::from_timestamp_millis(1_795_515_330_000 + millis).expect("a time");
    let mut evaluated = |millis: i64| {
        monitor.take(at(millis), None);
        monitor.answer().data.expect("some").groups[0].rules[0].last_evaluation.clone()
    };
    let first = evaluated(0);
    assert_eq!(evaluated(1_020), first);
    let second = evaluated(1_990);
    assert_ne!(second, first);
    assert_eq!(evaluated(3_000), second);
    assert_ne!(evaluated(4_010), second);
}

#[test]
fn labels_of_a_series_are_read_as_written() {
    assert_eq!(labels("a{x=\"1\"}").get(NAME), "a");
    assert_eq!(values("0+40x2 5 1x1"), [0.0, 40.0, 80.0, 5.0, 1.0, 1.0]);
}
