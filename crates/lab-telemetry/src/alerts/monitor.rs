//! [`Monitor`]: what Prometheus would make of the app's metrics: takes scrapes, evaluates the rules, and says what the alerts
//! are.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::answer::{Alert, Answer, Data, Group, Rule};
use super::eval::{Vector, evaluate, unique};
use super::labels::{Labels, NAME};
use super::number;
use super::rules::{self, Rules};
use super::seconds;
use super::state::{Held, Machine};
use super::store::Store;
use crate::metrics::{Exposition, Moment, Series};

/// The series in which Prometheus keeps its alerts.
const ALERTS: &str = "ALERTS";
/// The label of an alert's name.
const ALERT_NAME: &str = "alertname";
/// From this difference on the wall clock was set, and did not only drift, in milliseconds.
const SET: i64 = 1_000;

/// Evaluates the rules over scrapes of the app. Its times are milliseconds of the steady clock, so that setting the wall clock
/// neither stops it nor changes what it finds.
#[derive(Debug)]
pub struct Monitor {
    rules: Rules,
    pub(super) store: Store,
    /// Of each rule, in the order of the groups: names need not be unique.
    progress: Vec<Progress>,
    /// What the wall clock showed at a time of the steady one.
    wall: Option<Moment>,
    /// When the app was scraped last, and when the rules were evaluated last.
    scraped: Option<i64>,
    evaluated: Option<i64>,
}

/// What became of a rule.
#[derive(Debug)]
struct Progress {
    /// None: it records.
    machine: Option<Machine>,
    /// Why it could not be evaluated.
    error: Option<String>,
}

impl Monitor {
    /// Of these rules, without any sample yet.
    pub fn new(rules: Rules) -> Self {
        let store = Store::new(rules.longest());
        let machine = |rule: &rules::Rule| rule.alert.as_ref().map(|alert| Machine::new(alert.hold));
        let all = rules.groups.iter().flat_map(|group| &group.rules);
        let progress = all.map(|rule| Progress { machine: machine(rule), error: None }).collect();
        Self { rules, store, progress, wall: None, scraped: None, evaluated: None }
    }

    /// What an instance of the app says at a time, or that none answers: scraped and evaluated as often as the rules say,
    /// so that it may be called more often.
    pub fn take(&mut self, now: Moment, said: Option<&Exposition>) {
        let at = millis(now);
        if (now.wall - self.wall_at(at)).num_milliseconds().abs() >= SET {
            self.wall = Some(now);
        }
        // Ticks come a little early or late: three quarters of an interval are one.
        let due = |last: Option<i64>, interval: i64| last.is_none_or(|last| at - last >= interval - interval / 4);
        if due(self.scraped, self.rules.scrape_interval) {
            self.scraped = Some(at);
            let labels = |series: &Series| {
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
        let rules = self.rules.groups.iter().flat_map(|group| &group.rules);
        for (index, (rule, progress)) in rules.zip(&mut self.progress).enumerate() {
            let found = evaluate(&rule.expr, &self.store, at).and_then(|found| labelled(rule, found));
            let found = match found {
                Ok(found) => found,
                // As in Prometheus: what it was before stays, and the rule's health says why.
                Err(why) => {
                    progress.error = Some(why);
                    continue;
                }
            };
            progress.error = None;
            let recorded: Vector = match &mut progress.machine {
                None => found.into_iter().map(|held| (held.labels, held.value)).collect(),
                Some(machine) => {
                    machine.take(at, found);
                    let state =
                        |labels: &Labels, state: &str| labels.clone().with(NAME, ALERTS).with("alertstate", state);
                    machine.active().map(|(labels, active)| (state(labels, active.state.name()), 1.0)).collect()
                }
            };
            self.store.take(&format!("rule {index}"), at, recorded);
        }
    }

    /// What the wall clock showed, by what it shows now.
    fn wall_at(&self, at: i64) -> DateTime<Utc> {
        let known = self.wall.map_or((DateTime::UNIX_EPOCH, 0), |known| (known.wall, millis(known)));
        known.0.checked_add_signed(TimeDelta::milliseconds(at - known.1)).unwrap_or(known.0)
    }

    /// What the alerts are, in the form of Prometheus' `/api/v1/rules?type=alert`.
    pub fn answer(&self) -> Answer {
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
        Answer { status: "success".to_owned(), error: String::new(), data: Some(Data { groups }) }
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
            last_error: progress.error.clone().unwrap_or_default(),
            last_evaluation: self.evaluated.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), written),
            kind: "alerting".to_owned(),
        })
    }
}

/// What a rule found, with the labels that the rule gives it; an error if two would be one.
fn labelled(rule: &rules::Rule, found: Vector) -> Result<Vec<Held>, String> {
    let labels = |own: &Labels| {
        let own = own.clone();
        let all = if rule.alert.is_some() { own.nameless() } else { own.with(NAME, &rule.name) };
        let all = rule.labels.iter().fold(all, |all, (name, value)| all.with(name, value));
        if rule.alert.is_some() { all.with(ALERT_NAME, &rule.name) } else { all }
    };
    let held: Vec<Held> = found.into_iter().map(|(own, value)| Held { labels: labels(&own), own, value }).collect();
    unique(held.iter().map(|held| (held.labels.clone(), held.value)).collect())?;
    Ok(held)
}

fn millis(of: Moment) -> i64 {
    i64::try_from(of.steady.as_millis()).unwrap_or(i64::MAX)
}
