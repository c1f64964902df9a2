//! Differential test against Prometheus: lab's results for `tests/promql/` are the expectations of `promtool test rules` (see
//! the README there).

use std::fmt::Write;
use std::path::PathBuf;

use serde::Deserialize;

use super::eval::evaluate;
use super::labels::{Labels, NAME};
use super::parser::parse;
use super::tests::{firing, labels, millis, samples};
use super::{Monitor, Rules};

const CONFIG: &str = "global: { scrape_interval: 2s, evaluation_interval: 2s }\n\
                      scrape_configs: [{ job_name: app, static_configs: [{ targets: ['app:8000'] }] }]";
const EVERY: usize = 2_000;
/// Results are compared to this precision: the last digits depend on the order of the arithmetic.
const PARTS: f64 = 1_048_576.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    interval: String,
    series: Vec<Input>,
    times: Vec<String>,
    expressions: Vec<String>,
    alerts: Vec<String>,
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct Input {
    series: String,
    values: String,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/promql"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).expect(file)
}

/// Quotes a string for both YAML and JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

/// Formats a series for promtool.
fn written(labels: &Labels) -> String {
    let pairs =
        labels.pairs().filter(|(name, _)| *name != NAME).map(|(name, value)| format!("{name}={}", quoted(value)));
    format!("{}{{{}}}", labels.get(NAME), pairs.collect::<Vec<_>>().join(","))
}

/// Replays the corpus: a monitor with all samples and evaluations up to a time.
struct Replay<'c> {
    corpus: &'c Corpus,
    monitor: Monitor,
    pushed: usize,
}

impl<'c> Replay<'c> {
    fn new(corpus: &'c Corpus) -> Self {
        let rules = Rules::read(("prometheus.yml", CONFIG), &[("rules.yml", &read("rules.yml"))]).expect("rules");
        Self { corpus, monitor: Monitor::new(rules), pushed: 0 }
    }

    fn evaluate(&mut self, at: i64) {
        let interval = millis(&self.corpus.interval);
        while i64::try_from(self.pushed).expect("few") * interval <= at {
            for input in &self.corpus.series {
                if let Some(Some(sample)) = samples(&input.values).get(self.pushed) {
                    let time = i64::try_from(self.pushed).expect("few") * interval;
                    self.monitor.store.push(time, labels(&input.series), *sample);
                }
            }
            self.pushed += 1;
        }
        self.monitor.evaluate(at);
    }

    /// Writes a promtool test that expects lab's result of an expression.
    fn expression(&self, text: &str, time: &str, out: &mut String) {
        let parsed = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found =
            evaluate(&parsed, &self.monitor.store, millis(time)).unwrap_or_else(|error| panic!("{text}: {error}"));
        let (nan, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, value)| value.is_nan());
        let mut expression = format!("({text}\n)");
        if !nan.is_empty() {
            // promtool cannot compare NaN.
            test(
                &format!("count({expression} != {expression})"),
                time,
                &[(Labels::default(), nan.len().to_string())],
                out,
            );
            expression = format!("({expression} == {expression})");
        }
        let mut value: fn(f64) -> f64 = |value| value;
        let is_plain = |(labels, value): &(Labels, f64)| labels.get(NAME).is_empty() && value.is_finite();
        if !parsed.is_number() && found.iter().all(is_plain) {
            expression = format!("round({expression}, {})", 1.0 / PARTS);
            value = |value: f64| (value * PARTS + 0.5).floor() / PARTS;
        }
        let found: Vec<_> = found
            .into_iter()
            .map(|(labels, found)| {
                (labels, super::number::exponent(value(found)).replace("Inf", ".inf").replace("+.", "."))
            })
            .collect();
        test(&expression, time, &found, out);
    }
}

fn test(expression: &str, time: &str, found: &[(Labels, String)], out: &mut String) {
    let samples: Vec<String> = found
        .iter()
        .map(|(labels, value)| format!("{{ labels: {}, value: {value} }}", quoted(&written(labels))))
        .collect();
    let expression = quoted(expression);
    writeln!(out, "      - {{ expr: {expression}, eval_time: {time}, exp_samples: [{}] }}", samples.join(", "))
        .expect("a text");
}

fn alert(monitor: &Monitor, name: &str, time: &str, out: &mut String) {
    let one = |alert: &super::tests::Expected| {
        let pairs = |pairs: &std::collections::BTreeMap<String, String>| {
            pairs.iter().map(|(name, value)| format!("{name}: {}", quoted(value))).collect::<Vec<_>>().join(", ")
        };
        format!(
            "{{ exp_labels: {{ {} }}, exp_annotations: {{ {} }} }}",
            pairs(&alert.labels),
            pairs(&alert.annotations)
        )
    };
    let alerts: Vec<String> = firing(monitor, name).iter().map(one).collect();
    writeln!(out, "      - {{ alertname: {name}, eval_time: {time}, exp_alerts: [{}] }}", alerts.join(", "))
        .expect("a text");
}

/// The start of a promtool file, without its tests.
fn head(corpus: &Corpus) -> String {
    let mut out = "# Generated by a test of src/alerts/ (README.md) from lab's results.\nrule_files: [rules.yml]\n\
                   group_eval_order: [records, alerts]\nevaluation_interval: 2s\n\ntests:\n"
        .to_owned();
    writeln!(out, "  - interval: {}\n    input_series:", corpus.interval).expect("a text");
    for Input { series, values } in &corpus.series {
        writeln!(out, "      - {{ series: {}, values: {} }}", quoted(series), quoted(values)).expect("a text");
    }
    out
}

fn check(file: &str, found: &str) {
    if std::env::var_os("LAB_UPDATE_EXPECTED").is_some() {
        std::fs::write(folder().join(file), found).expect("it is written");
    }
    let expected = read(file);
    let differing = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "{file} differs from lab's results: {differing:?}");
}

#[test]
fn results_of_lab_are_expected_of_promtool() {
    let corpus: Corpus = serde_yaml::from_str(&read("corpus.yml")).expect("the corpus");
    let mut replay = Replay::new(&corpus);
    let (mut expressions, mut alerts) = ("    promql_expr_test:\n".to_owned(), "    alert_rule_test:\n".to_owned());
    let last = corpus.times.iter().map(|time| millis(time)).max().expect("times");
    for at in (0..=last).step_by(EVERY) {
        replay.evaluate(at);
        for time in corpus.times.iter().filter(|time| millis(time) == at) {
            corpus.expressions.iter().for_each(|text| replay.expression(text, time, &mut expressions));
            corpus.alerts.iter().for_each(|name| alert(&replay.monitor, name, time, &mut alerts));
        }
    }
    assert!(alerts.contains("critical") && alerts.matches("exp_labels").count() > 10, "too few alerts fire: {alerts}");
    check("expected.yml", &(head(&corpus) + &expressions + &alerts));
}

#[test]
fn expressions_that_lab_refuses_are_errors_for_promtool() {
    let corpus: Corpus = serde_yaml::from_str(&read("corpus.yml")).expect("the corpus");
    let mut replay = Replay::new(&corpus);
    let mut expressions = "    promql_expr_test:\n".to_owned();
    replay.evaluate(60_000);
    for text in &corpus.errors {
        let found = evaluate(&parse(text).expect(text), &replay.monitor.store, 60_000);
        assert!(found.is_err(), "{text}: {found:?}");
        test(text, "60s", &[], &mut expressions);
    }
    check("errors.yml", &(head(&corpus) + &expressions));
}
