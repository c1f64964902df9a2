//! Replacement for Prometheus: takes scrapes of the app and the edge, evaluates the rules and reports the alerts.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::error::EvalError;
use super::eval::{Vector, evaluate, unique};
use super::labels::{Labels, NAME};
use super::number;
use super::response::{Alert, Data, Group, Rule, RulesResponse};
use super::rules::{self, APP, EDGE, Rules};
use super::seconds;
use super::state::{Machine, Match};
use super::store::Store;
use crate::metrics::{Exposition, Moment, Series};

/// Series in which Prometheus stores its alerts.
const ALERTS: &str = "ALERTS";
/// The label of an alert's name.
const ALERT_NAME: &str = "alertname";
/// Minimum jump of the wall clock that counts as a change by the user rather than drift, in milliseconds.
const SET: i64 = 1_000;

/// Evaluates the rules over scrapes of the app. Its times are milliseconds of the steady clock, so changes of the wall clock
/// do not affect the results.
#[derive(Debug)]
pub struct Monitor {
    rules: Rules,
    pub(super) store: Store,
    /// State by rule, in the order of the groups, since names need not be unique.
    progress: Vec<Progress>,
    /// Reference point to convert steady times to wall times.
    wall: Option<Moment>,
    /// The edge has answered. A stack that does not count what callers get must not look like one whose gateway is down.
    has_edge: bool,
    /// Time of the last scrape.
    scraped: Option<i64>,
    evaluated: Option<i64>,
}

/// State of a rule.
#[derive(Debug)]
struct Progress {
    /// `None` for a recording rule.
    machine: Option<Machine>,
    /// Error of the last evaluation.
    error: Option<EvalError>,
}

impl Monitor {
    /// Starts without samples.
    pub fn new(rules: Rules) -> Self {
        let store = Store::new(rules.longest());
        let machine = |rule: &rules::Rule| rule.alert.as_ref().map(|alert| Machine::new(alert.hold));
        let all = rules.groups.iter().flat_map(|group| &group.rules);
        let progress = all.map(|rule| Progress { machine: machine(rule), error: None }).collect();
        Self { rules, store, progress, wall: None, has_edge: false, scraped: None, evaluated: None }
    }

    /// Adds the metrics of the app and of the edge, or `None` if they did not answer, and evaluates the rules. Calls between the
    /// intervals of the configuration have no effect.
    pub fn add_scrapes(&mut self, now: Moment, app: Option<&Exposition>, edge: Option<&Exposition>) {
        let at = millis(now);
        if (now.wall - self.wall_at(at)).num_milliseconds().abs() >= SET {
            self.wall = Some(now);
        }
        // Ticks are not exact, so three quarters of an interval count as a whole one.
        let due = |last: Option<i64>, interval: i64| last.is_none_or(|last| at - last >= interval - interval / 4);
        if due(self.scraped, self.rules.scrape_interval) {
            self.scraped = Some(at);
            self.store.record(APP, at, samples(APP, &self.rules.target, app));
            self.has_edge |= edge.is_some();
            if let Some(target) = self.rules.edge_target.as_ref().filter(|_| self.has_edge) {
                self.store.record(EDGE, at, samples(EDGE, target, edge));
            }
        }
        if due(self.evaluated, self.rules.evaluation_interval) {
            self.evaluate(at);
        }
    }

    /// Evaluates every rule at a time.
    pub(super) fn evaluate(&mut self, at: i64) {
        self.evaluated = Some(at);
        let rules = self.rules.groups.iter().flat_map(|group| &group.rules);
        for (index, (rule, progress)) in rules.zip(&mut self.progress).enumerate() {
            let found = evaluate(&rule.expr, &self.store, at).and_then(|found| labelled(rule, found));
            let found = match found {
                Ok(found) => found,
                // As in Prometheus, the previous state stays and the rule's health reports the error.
                Err(error) => {
                    progress.error = Some(error);
                    continue;
                }
            };
            progress.error = None;
            let recorded: Vector = match &mut progress.machine {
                None => found.into_iter().map(|it| (it.labels, it.value)).collect(),
                Some(machine) => {
                    machine.update(at, found);
                    let state =
                        |labels: &Labels, state: &str| labels.clone().with(NAME, ALERTS).with("alertstate", state);
                    machine.active().map(|(labels, active)| (state(labels, active.state.name()), 1.0)).collect()
                }
            };
            self.store.record(&format!("rule {index}"), at, recorded);
        }
    }

    /// Converts a steady time to the current wall clock.
    fn wall_at(&self, at: i64) -> DateTime<Utc> {
        let known = self.wall.map_or((DateTime::UNIX_EPOCH, 0), |known| (known.wall, millis(known)));
        known.0.checked_add_signed(TimeDelta::milliseconds(at - known.1)).unwrap_or(known.0)
    }

    /// Current alerts in the form of Prometheus' `/api/v1/rules?type=alert`.
    pub fn response(&self) -> RulesResponse {
        let mut progress = self.progress.iter();
        let groups = self.rules.groups.iter().map(|group| Group {
            name: group.name.clone(),
            file: group.file.clone(),
            interval: seconds(self.rules.evaluation_interval),
            rules: group
                .rules
                .iter()
                .zip(progress.by_ref())
                .filter_map(|(rule, progress)| self.rule(rule, progress))
                .collect(),
        });
        let groups = groups.filter(|group| !group.rules.is_empty()).collect();
        RulesResponse { status: "success".to_owned(), error: String::new(), data: Some(Data { groups }) }
    }

    fn rule(&self, rule: &rules::Rule, progress: &Progress) -> Option<Rule> {
        let alert = rule.alert.as_ref()?;
        let machine = progress.machine.as_ref()?;
        let written = |at: i64| self.wall_at(at).to_rfc3339_opts(SecondsFormat::Millis, true);
        let pairs = |labels: &Labels| labels.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let alerts = machine.active().map(|(labels, active)| Alert {
            labels: pairs(labels),
            annotations: alert
                .annotations
                .iter()
                .map(|(name, template)| (name.clone(), template.fill(active.value, &active.own)))
                .collect(),
            state: active.state,
            active_at: written(active.since),
            value: number::exponent(active.value),
        });
        Some(Rule {
            state: machine.state(),
            name: rule.name.clone(),
            query: rule.query.clone(),
            duration: seconds(alert.hold),
            labels: rule.labels.clone(),
            alerts: alerts.collect(),
            health: if progress.error.is_some() { "err" } else { "ok" }.to_owned(),
            last_error: progress.error.as_ref().map(EvalError::to_string).unwrap_or_default(),
            last_evaluation: self.evaluated.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), written),
            kind: "alerting".to_owned(),
        })
    }
}

/// Samples of a scrape with the labels of its target, and its `up`.
fn samples(job: &str, target: &str, exposition: Option<&Exposition>) -> Vec<(Labels, f64)> {
    let labels = |series: &Series| {
        let own = Labels::new(&series.name, &[]);
        let own = series.labels.iter().fold(own, |all, (name, value)| all.with(name, value));
        own.with("job", job).with("instance", target)
    };
    let up = Labels::new("up", &[("job", job), ("instance", target)]);
    let series = exposition
        .into_iter()
        .flat_map(|exposition| &exposition.values)
        .map(|(series, value)| (labels(series), *value));
    series.chain([(up, if exposition.is_some() { 1.0 } else { 0.0 })]).collect()
}

/// Adds the rule's labels to its results. Fails if two results end up with the same labels.
fn labelled(rule: &rules::Rule, found: Vector) -> Result<Vec<Match>, EvalError> {
    let labels = |own: &Labels| {
        let own = own.clone();
        let all = if rule.alert.is_some() { own.nameless() } else { own.with(NAME, &rule.name) };
        let all = rule.labels.iter().fold(all, |all, (name, value)| all.with(name, value));
        if rule.alert.is_some() { all.with(ALERT_NAME, &rule.name) } else { all }
    };
    let matches: Vec<Match> =
        found.into_iter().map(|(own, value)| Match { labels: labels(&own), own, value }).collect();
    unique(matches.iter().map(|it| (it.labels.clone(), it.value)).collect())?;
    Ok(matches)
}

fn millis(of: Moment) -> i64 {
    i64::try_from(of.steady.as_millis()).unwrap_or(i64::MAX)
}
