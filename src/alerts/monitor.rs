//! [`Monitor`]: what Prometheus would make of the app's metrics: takes scrapes, evaluates the rules, and says what the alerts
//! are.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

use super::answer::{Alert, Answer, Data, Group, Rule};
use super::eval::evaluate;
use super::labels::{Labels, NAME};
use super::rules::{self, Rules};
use super::seconds;
use super::state::Machine;
use super::store::Store;
use crate::metrics::Exposition;

/// The series in which Prometheus keeps its alerts.
const ALERTS: &str = "ALERTS";
/// The label of an alert's name.
const ALERT_NAME: &str = "alertname";

/// Evaluates the rules over scrapes of the app.
#[derive(Debug)]
pub struct Monitor {
    rules: Rules,
    pub(super) store: Store,
    /// Of each alert, by its name.
    machines: BTreeMap<String, Machine>,
    /// Why a rule could not be evaluated, by its name.
    errors: BTreeMap<String, String>,
    /// When the app was scraped last, and when the rules were evaluated last, in milliseconds since the epoch.
    scraped: Option<i64>,
    evaluated: Option<i64>,
}

impl Monitor {
    /// Of these rules, without any sample yet.
    pub fn new(rules: Rules) -> Self {
        let store = Store::new(rules.longest());
        let alerts = rules.groups.iter().flat_map(|group| &group.rules);
        let machine = |rule: &rules::Rule| Some((rule.name.clone(), Machine::new(rule.alert.as_ref()?.hold)));
        let machines = alerts.filter_map(machine).collect();
        Self { rules, store, machines, errors: BTreeMap::new(), scraped: None, evaluated: None }
    }

    /// What an instance of the app says at a time, or that none answers: scraped and evaluated as often as the rules say,
    /// so that it may be called more often.
    pub fn take(&mut self, at: DateTime<Utc>, said: Option<&Exposition>) {
        let at = at.timestamp_millis();
        // Ticks come a little early or late: three quarters of an interval are one.
        let due = |last: Option<i64>, interval: i64| last.is_none_or(|last| at - last >= interval - interval / 4);
        if due(self.scraped, self.rules.scrape_interval) {
            self.scraped = Some(at);
            let labels = |series: &crate::metrics::Series| {
                let own = series
                    .labels
                    .iter()
                    .fold(Labels::of(&series.name, &[]), |all, (name, value)| all.with(name, value));
                own.with("job", "app").with("instance", &self.rules.target)
            };
            let up = Labels::of("up", &[("job", "app"), ("instance", &self.rules.target)]);
            let series = said.into_iter().flat_map(|said| &said.values).map(|(series, value)| (labels(series), *value));
            let all: Vec<_> = series.chain([(up, if said.is_some() { 1.0 } else { 0.0 })]).collect();
            self.store.take("app", at, all);
        }
        if due(self.evaluated, self.rules.evaluation_interval) {
            self.evaluate(at);
        }
    }

    /// Evaluates every rule at a time.
    pub(super) fn evaluate(&mut self, at: i64) {
        self.evaluated = Some(at);
        let mut alerts = Vec::new();
        for rule in self.rules.groups.iter().flat_map(|group| &group.rules) {
            let found = match evaluate(&rule.expr, &self.store, at) {
                Ok(found) => found,
                // As in Prometheus: what it was before stays, and the rule's health says why.
                Err(why) => {
                    self.errors.insert(rule.name.clone(), why);
                    continue;
                }
            };
            self.errors.remove(&rule.name);
            let labelled = |labels: Labels| rule.labels.iter().fold(labels, |all, (name, value)| all.with(name, value));
            let Some(machine) = self.machines.get_mut(&rule.name).filter(|_| rule.alert.is_some()) else {
                let named = found.into_iter().map(|(labels, value)| (labelled(labels.with(NAME, &rule.name)), value));
                self.store.take(&format!("record {}", rule.name), at, named.collect::<Vec<_>>());
                continue;
            };
            let named = |labels: Labels| labelled(labels.nameless()).with(ALERT_NAME, &rule.name);
            machine.take(at, found.into_iter().map(|(labels, value)| (named(labels), value)).collect());
            let series = |labels: &Labels, state: &str| labels.clone().with(NAME, ALERTS).with("alertstate", state);
            alerts.extend(machine.active().map(|(labels, active)| (series(labels, active.state.name()), 1.0)));
        }
        self.store.take(ALERTS, at, alerts);
    }

    /// What the alerts are, in the form of Prometheus' `/api/v1/rules?type=alert`.
    pub fn answer(&self) -> Answer {
        let groups = self.rules.groups.iter().map(|group| Group {
            name: group.name.clone(),
            file: group.file.clone(),
            interval: seconds(self.rules.evaluation_interval),
            rules: group.rules.iter().filter_map(|rule| self.rule(rule)).collect(),
        });
        let groups = groups.filter(|group| !group.rules.is_empty()).collect();
        Answer { status: "success".to_owned(), error: String::new(), data: Some(Data { groups }) }
    }

    fn rule(&self, rule: &rules::Rule) -> Option<Rule> {
        let alert = rule.alert.as_ref()?;
        let machine = self.machines.get(&rule.name)?;
        let pairs = |labels: &Labels| labels.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let alerts = machine.active().map(|(labels, active)| Alert {
            labels: pairs(labels),
            annotations: alert
                .annotations
                .iter()
                .map(|(name, template)| (name.clone(), template.fill(active.value, labels)))
                .collect(),
            state: active.state,
            active_at: written(active.since),
            value: format!("{:e}", active.value),
        });
        let error = self.errors.get(&rule.name);
        Some(Rule {
            state: machine.state(),
            name: rule.name.clone(),
            query: rule.query.clone(),
            duration: seconds(alert.hold),
            labels: rule.labels.clone(),
            alerts: alerts.collect(),
            health: if error.is_some() { "err" } else { "ok" }.to_owned(),
            last_error: error.cloned().unwrap_or_default(),
            last_evaluation: self.evaluated.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), written),
            kind: "alerting".to_owned(),
        })
    }
}

fn written(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
