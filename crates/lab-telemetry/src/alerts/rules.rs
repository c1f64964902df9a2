//! Reads Prometheus' configuration and rule files. A rule that lab cannot evaluate exactly as Prometheus does is an error.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::duration::duration;
use super::error::{RuleReason, RulesError, RulesReason};
use super::expr::Expr;
use super::labels::{NAME, is_name};
use super::parser::parse;
use super::template::Template;
use lab_stack::assets;

/// Folder of the files in the repository.
const FOLDER: &str = "stack/prometheus/";
/// The job whose target is the app.
pub(super) const APP: &str = "app";
/// The job whose target has the counters of the edge. Optional.
pub(super) const EDGE: &str = "edge";

/// The rules and their intervals. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) scrape_interval: i64,
    pub(super) evaluation_interval: i64,
    /// Scrape target of the app, such as `app:8000`.
    pub(super) target: String,
    /// Scrape target of the edge, if there is one.
    pub(super) edge_target: Option<String>,
    /// Groups of recording rules come before groups with alerts.
    pub(super) groups: Vec<Group>,
}

/// Rules that are evaluated one after the other.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    /// The file that it is from.
    pub(super) file: String,
    pub(super) rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    /// As written.
    pub(super) query: String,
    pub(super) expr: Expr,
    pub(super) labels: BTreeMap<String, String>,
    /// `None` for a recording rule.
    pub(super) alert: Option<AlertRule>,
}

/// The part of a rule that only alerts have.
#[derive(Clone, Debug)]
pub(super) struct AlertRule {
    pub(super) hold: i64,
    pub(super) annotations: BTreeMap<String, Template>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    global: Global,
    #[serde(default, rename = "rule_files")]
    _rule_files: Vec<String>,
    /// Only those of the app and the edge are read.
    #[serde(default)]
    scrape_configs: Vec<serde_yaml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Global {
    scrape_interval: String,
    evaluation_interval: String,
    #[serde(default, rename = "scrape_timeout")]
    _scrape_timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    #[serde(rename = "job_name")]
    _job_name: String,
    #[serde(default)]
    static_configs: Vec<Targets>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Targets {
    targets: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    groups: Vec<GroupFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupFile {
    name: String,
    rules: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Rules {
    /// Parses `prometheus.yml` and the rule files, each given as name and content.
    pub fn read(config: (&str, &str), files: &[(&str, &str)]) -> Result<Self, RulesError> {
        let wrong = |reason| RulesError { file: config.0.to_owned(), reason };
        let read: Config =
            serde_yaml::from_str(config.1).map_err(|error| wrong(RulesReason::Yaml(error.to_string())))?;
        let interval = |name: &'static str, text: &str| {
            let millis = duration(text).filter(|millis| *millis > 0);
            millis.ok_or_else(|| wrong(RulesReason::Interval { name, text: text.to_owned() }))
        };
        let app_target = target(&read.scrape_configs, APP).map_err(wrong)?;
        let edge_target = target(&read.scrape_configs, EDGE).map_err(wrong)?;
        let mut groups = Vec::new();
        for (file, text) in files {
            let wrong = |reason| RulesError { file: (*file).to_owned(), reason };
            let read: File = serde_yaml::from_str(text).map_err(|error| wrong(RulesReason::Yaml(error.to_string())))?;
            for GroupFile { name, rules } in read.groups {
                if groups.iter().any(|known: &Group| known.file == **file && known.name == name) {
                    return Err(wrong(RulesReason::DuplicateGroup(name)));
                }
                let rules = rules.into_iter().map(rule).collect::<Result<_, _>>().map_err(wrong)?;
                groups.push(Group { name, file: (*file).to_owned(), rules });
            }
        }
        groups.sort_by_key(|group| group.rules.iter().any(|rule| rule.alert.is_some()));
        Ok(Self {
            scrape_interval: interval("scrape_interval", &read.global.scrape_interval)?,
            evaluation_interval: interval("evaluation_interval", &read.global.evaluation_interval)?,
            target: app_target.ok_or_else(|| wrong(RulesReason::NoTarget(APP)))?,
            edge_target,
            groups,
        })
    }

    /// Names of the alerts, in the order of evaluation.
    pub fn alerts(&self) -> impl Iterator<Item = &str> {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules.filter(|rule| rule.alert.is_some()).map(|rule| rule.name.as_str())
    }

    /// Longest range of any rule, in milliseconds.
    pub(super) fn longest(&self) -> i64 {
        self.groups.iter().flat_map(|group| &group.rules).map(|rule| rule.expr.longest()).max().unwrap_or_default()
    }
}

/// First target of a job. `None` without such a job, or without a target.
fn target(jobs: &[serde_yaml::Value], name: &'static str) -> Result<Option<String>, RulesReason> {
    let Some(job) = jobs.iter().find(|job| job.get("job_name").is_some_and(|it| it == name)) else { return Ok(None) };
    let job: Job = serde_yaml::from_value(job.clone())
        .map_err(|error| RulesReason::Job { job: name, detail: error.to_string() })?;
    Ok(job.static_configs.into_iter().flat_map(|all| all.targets).next())
}

fn rule(file: RuleFile) -> Result<Rule, RulesReason> {
    let (name, kind) = match (&file.record, &file.alert) {
        (Some(name), None) => (name.clone(), "record"),
        (None, Some(name)) => (name.clone(), "alert"),
        _ => return Err(RulesReason::Kind(file.expr)),
    };
    alert(kind == "alert", &name, &file)
        .map_err(|reason| RulesReason::Rule { kind, name: name.clone(), reason: Box::new(reason) })
        .map(|(expr, alert)| Rule { name, query: file.expr.trim().to_owned(), expr, labels: file.labels, alert })
}

/// Reads the expression of a rule, and what only alerts have.
fn alert(is_alert: bool, name: &str, file: &RuleFile) -> Result<(Expr, Option<AlertRule>), RuleReason> {
    if !is_alert && !is_name(name, true) {
        return Err(RuleReason::Metric);
    }
    if let Some(label) = file.labels.keys().find(|label| !is_name(label, false) || *label == NAME) {
        return Err(RuleReason::Label(label.clone()));
    }
    if let Some(name) = file.annotations.keys().find(|name| !is_name(name, false)) {
        return Err(RuleReason::Annotation(name.clone()));
    }
    let expr = parse(&file.expr)?;
    if expr.is_number() {
        return Err(RuleReason::Number);
    }
    if let Some((label, _)) = file.labels.iter().find(|(_, value)| value.contains("{{")) {
        return Err(RuleReason::TemplateLabel(label.clone()));
    }
    let alert = match (is_alert, &file.hold) {
        (true, hold) => {
            let hold = hold.as_deref().map_or(Some(0), duration);
            let hold = hold.ok_or(RuleReason::Hold)?;
            let read = |(name, text): (&String, &String)| Ok((name.clone(), Template::read(text)?));
            let annotations = file.annotations.iter().map(read).collect::<Result<_, RuleReason>>()?;
            Some(AlertRule { hold, annotations })
        }
        (false, None) if file.annotations.is_empty() => None,
        (false, _) => return Err(RuleReason::NotAlert),
    };
    Ok((expr, alert))
}

/// The built-in rules, which lab's Prometheus uses too.
pub fn built_in_rules() -> Result<Rules, RulesError> {
    let files: Vec<(&str, &str)> =
        assets::FILES.iter().filter(|(path, _)| path.starts_with(&format!("{FOLDER}rules/"))).copied().collect();
    let path = format!("{FOLDER}prometheus.yml");
    let config = assets::FILES.iter().find(|(known, _)| *known == path).map_or("", |(_, text)| *text);
    Rules::read((&path, config), &files)
}

/// Returns true if a built-in alert has this name.
pub fn is_built_in(alert: &str) -> bool {
    names().iter().any(|name| name == alert)
}

fn names() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| built_in_rules().map(|rules| rules.alerts().map(str::to_owned).collect()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "global: { scrape_interval: 2s, evaluation_interval: 1500ms }\n\
                          scrape_configs: [{ job_name: app, static_configs: [{ targets: ['app:8000'] }] }]";

    fn read(rules: &str) -> Result<Rules, RulesError> {
        let text = format!("groups: [{{ name: g, rules: [{rules}] }}]");
        Rules::read(("prometheus.yml", CONFIG), &[("rules.yml", &text)])
    }

    #[test]
    fn the_built_in_rules_are_supported() {
        let rules = built_in_rules().expect("the built-in rules");
        assert_eq!(
            rules.alerts().collect::<Vec<_>>(),
            [
                "AuthFailureRatioHigh",
                "ErrorRatioHigh",
                "LatencyHigh",
                "AppDown",
                "TrafficAbsent",
                "GatewayDown",
                "GatewayErrorRatioHigh",
                "GatewayRejectionRatioHigh",
                "GatewayLatencyHigh",
            ]
        );
        assert_eq!((rules.scrape_interval, rules.evaluation_interval, rules.longest()), (2_000, 2_000, 30_000));
        assert_eq!((rules.target.as_str(), rules.edge_target.as_deref()), ("app:8000", Some("edge:9145")));
        assert!(rules.groups[0].rules.iter().all(|rule| rule.alert.is_none()), "those that record come first");
        assert_eq!(names().len(), 9);
    }

    #[test]
    fn unsupported_rules_are_refused_with_a_reason() {
        let wrong = [
            (
                "{ alert: A, expr: 'predict_linear(a[1m], 5) > 1' }",
                "rules.yml: alert A: `predict_linear` at 1 is not a supported function",
            ),
            ("{ alert: A, expr: 'a > 1', for: soon }", "alert A: its `for` is not a duration"),
            ("{ alert: A, expr: 'a > 1', keep_firing_for: 1m }", "unknown field `keep_firing_for`"),
            ("{ alert: A, expr: 'a > 1', annotations: { s: '{{ query \"up\" }}' } }", "is not supported"),
            ("{ alert: A, expr: 'a > 1', labels: { s: '{{ $value }}' } }", "the label s is a template"),
            ("{ alert: A, expr: '1' }", "its expression is a number"),
            ("{ record: r, expr: 'a', for: 1m }", "record r: only an alert has `for`"),
            ("{ record: 'a b', expr: a }", "record a b: that is not the name of a metric"),
            ("{ alert: A, expr: a, labels: { __name__: x } }", "no label the name \"__name__\""),
            ("{ alert: A, expr: a, annotations: { 'a-b': x } }", "\"a-b\" is not the name of an annotation"),
            ("{ record: r, alert: A, expr: a }", "expected one of `record` and `alert`"),
        ];
        for (rule, expected) in wrong {
            let error = read(rule).expect_err(rule).to_string();
            assert!(error.contains(expected), "{rule}: {error}");
        }
        assert!(read("{ alert: A, expr: 'a > 1' }").is_ok());
        let twice = "groups: [{ name: g, rules: [] }, { name: g, rules: [] }]";
        let error = Rules::read(("prometheus.yml", CONFIG), &[("rules.yml", twice)]).expect_err("twice");
        assert_eq!(error.to_string(), "rules.yml: the group g is defined twice");
        for (from, to) in
            [("job_name: app", "job_name: app, scrape_interval: 5s"), ("targets:", "labels: { a: b }, targets:")]
        {
            let error = Rules::read(("prometheus.yml", &CONFIG.replace(from, to)), &[]).expect_err(to);
            assert!(error.to_string().contains("the job app: unknown field"), "{error}");
        }
        let error = Rules::read(("p.yml", "global: { scrape_interval: 2, evaluation_interval: 2s }"), &[])
            .expect_err("no unit");
        assert!(error.to_string().starts_with("p.yml: "), "{error}");
    }
}
