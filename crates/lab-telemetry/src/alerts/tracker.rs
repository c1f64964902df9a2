//! Tracks the alerts and their changes over consecutive responses. The times of changes are those of the rule evaluations, so
//! they do not depend on the polling interval.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::response::{Rule, RulesResponse};
use super::state::State;

/// The alerts as of the last response.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    known: BTreeMap<String, AlertStatus>,
    /// Time of the last response.
    last: Option<DateTime<Utc>>,
}

/// Current state of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertStatus {
    /// Most severe state of the rules with this name.
    pub state: State,
    /// Start of the state, as far as known: an alert may have been in its state before the first response.
    pub since: DateTime<Utc>,
    /// Severity label, such as `page` or `ticket`. Empty if the rule has none.
    pub severity: String,
    /// Summary annotation of its first series. Empty for an inactive alert.
    pub summary: String,
}

/// A change of an alert's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the alert.
    pub alert: String,
    /// State before the change.
    pub from: State,
    /// State after the change.
    pub to: State,
    /// Time of the rule evaluation that caused the change.
    pub at: DateTime<Utc>,
    /// Severity label, such as `page` or `ticket`. Empty if the rule has none.
    pub severity: String,
    /// Summary annotation. For a resolved alert, the last one.
    pub summary: String,
}

impl Tracker {
    /// Alerts by name, as of the last response.
    pub fn alerts(&self) -> &BTreeMap<String, AlertStatus> {
        &self.known
    }

    /// Processes a response and returns the changes in order. The first response sets the initial state without changes. An
    /// alert that passed through `pending` between two responses still reports that change.
    pub fn update(&mut self, now: DateTime<Utc>, response: &RulesResponse) -> Vec<Change> {
        let mut changes = Vec::new();
        for (rule, evaluated) in by_name(response).into_values() {
            // Clocks of other machines may differ, so times are clamped to the interval between the two responses.
            let within = |at: DateTime<Utc>| self.last.map_or(at, |last| at.max(last)).min(now);
            let before = self.known.get(&rule.name);
            let status = AlertStatus {
                state: rule.state,
                since: match before {
                    // Never in the future, even if the clock was set back.
                    Some(before) if before.state == rule.state => before.since.min(now),
                    _ => within(evaluated),
                },
                severity: rule.labels.get("severity").cloned().unwrap_or_default(),
                summary: summary(rule),
            };
            if let Some(before) = before.filter(|before| before.state != rule.state) {
                changes.extend(changes_between(rule, before, &status, within));
            }
            self.known.insert(rule.name.clone(), status);
        }
        self.last = Some(now);
        changes.sort_by_key(|change| change.at);
        changes
    }
}

/// Alerts by name, each with its last evaluation. If several rules share a name, for example a warning and a page, the most
/// severe state wins.
fn by_name(response: &RulesResponse) -> BTreeMap<&str, (&Rule, DateTime<Utc>)> {
    let mut alerts: BTreeMap<&str, (&Rule, DateTime<Utc>)> = BTreeMap::new();
    for rule in response.data.iter().flat_map(|data| &data.groups).flat_map(|group| &group.rules) {
        let Some(evaluated) = time(&rule.last_evaluation) else { continue };
        let most_severe = alerts.entry(&rule.name).or_insert((rule, evaluated));
        if rule.state > most_severe.0.state {
            *most_severe = (rule, evaluated);
        }
    }
    alerts
}

fn changes_between(
    rule: &Rule,
    before: &AlertStatus,
    now: &AlertStatus,
    within: impl Fn(DateTime<Utc>) -> DateTime<Utc>,
) -> Vec<Change> {
    let summary = if now.summary.is_empty() { &before.summary } else { &now.summary };
    let change = |from: State, to: State, at: DateTime<Utc>| Change {
        alert: rule.name.clone(),
        from,
        to,
        at,
        severity: now.severity.clone(),
        summary: summary.clone(),
    };
    if (before.state, now.state) == (State::Inactive, State::Firing) {
        let active = rule.alerts.iter().filter_map(|alert| time(&alert.active_at)).min();
        let pending = within(active.unwrap_or(now.since)).min(now.since);
        return vec![
            change(State::Inactive, State::Pending, pending),
            change(State::Pending, State::Firing, now.since),
        ];
    }
    vec![change(before.state, now.state, now.since)]
}

/// Summary annotation of the series that has been active longest.
fn summary(rule: &Rule) -> String {
    let first = rule.alerts.iter().min_by_key(|alert| (std::cmp::Reverse(alert.state), &alert.active_at));
    first.and_then(|alert| alert.annotations.get("summary")).cloned().unwrap_or_default()
}

/// Parses a time. `None` before the first evaluation.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let time: DateTime<Utc> = text.parse().ok()?;
    (time.timestamp() > 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::super::response::RulesResponse;
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_515_330 + seconds, 0).expect("a time")
    }

    /// A response in the form of Prometheus 2.42.
    fn response(evaluated: i64, state: State, since: i64) -> RulesResponse {
        let alert = format!(
            r#"{{"labels":{{"alertname":"A","severity":"page"}},"annotations":{{"summary":"90% fail","runbook":"x"}},
               "state":"{}","activeAt":"{}","value":"9e-01"}}"#,
            state.name(),
            at(since).to_rfc3339(),
        );
        let alerts = if state == State::Inactive { String::new() } else { alert };
        let text = format!(
            r#"{{"status":"success","data":{{"groups":[{{"name":"app-alerts","file":"/etc/prometheus/rules/alerts.yml",
               "rules":[{{"state":"{}","name":"A","query":"r > 0.5","duration":10,"keepFiringFor":0,
               "labels":{{"severity":"page"}},"annotations":{{"summary":"{{{{ $value }}}}"}},"alerts":[{alerts}],"health":"ok",
               "evaluationTime":0.0002,"lastEvaluation":"{}","type":"alerting"}}],
               "interval":2,"limit":0,"evaluationTime":0.001,"lastEvaluation":"{}"}}]}}}}"#,
            state.name(),
            at(evaluated).to_rfc3339(),
            at(evaluated).to_rfc3339(),
        );
        RulesResponse::parse(&text).expect("a response")
    }

    fn summarized(changes: &[Change]) -> Vec<(State, State, i64)> {
        changes.iter().map(|change| (change.from, change.to, (change.at - at(0)).num_seconds())).collect()
    }

    use State::{Firing, Inactive, Pending};

    #[test]
    fn changes_are_reported_once_with_the_time_of_the_evaluation() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.update(at(1), &response(0, Inactive, 0)), []);
        assert_eq!(summarized(&tracker.update(at(3), &response(2, Pending, 2))), [(Inactive, Pending, 2)]);
        assert_eq!(tracker.update(at(4), &response(2, Pending, 2)), []);
        let fired = tracker.update(at(13), &response(12, Firing, 2));
        assert_eq!(summarized(&fired), [(Pending, Firing, 12)]);
        assert_eq!((fired[0].severity.as_str(), fired[0].summary.as_str()), ("page", "90% fail"));
        assert_eq!(tracker.alerts()["A"].since, at(12));
        let over = tracker.update(at(21), &response(20, Inactive, 0));
        assert_eq!((summarized(&over), over[0].summary.as_str()), (vec![(Firing, Inactive, 20)], "90% fail"));
    }

    #[test]
    fn the_most_severe_of_two_rules_with_the_same_name_counts() {
        let rules = |second: i64, states: [State; 2]| {
            let mut whole = response(second, states[0], second);
            let other = response(second, states[1], second);
            whole.data.as_mut().expect("some").groups.extend(other.data.expect("some").groups);
            whole
        };
        let mut tracker = Tracker::default();
        tracker.update(at(1), &rules(0, [Inactive, Inactive]));
        assert_eq!(summarized(&tracker.update(at(3), &rules(2, [Firing, Inactive])))[1], (Pending, Firing, 2));
        assert_eq!(tracker.update(at(5), &rules(4, [Firing, Pending])), []);
        assert_eq!(tracker.update(at(7), &rules(6, [Inactive, Firing])), []);
        assert_eq!(summarized(&tracker.update(at(9), &rules(8, [Inactive, Inactive]))), [(Firing, Inactive, 8)]);
    }

    #[test]
    fn the_start_of_an_alert_is_never_in_the_future() {
        let mut tracker = Tracker::default();
        tracker.update(at(4_000), &response(4_000, Firing, 4_000));
        tracker.update(at(400), &response(400, Firing, 400));
        assert_eq!(tracker.alerts()["A"].since, at(400));
    }

    #[test]
    fn the_first_response_sets_the_initial_state() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.update(at(5), &response(4, Firing, 0)), []);
        assert_eq!(tracker.alerts()["A"].state, Firing);
        assert_eq!(summarized(&tracker.update(at(7), &response(6, Inactive, 0))), [(Firing, Inactive, 6)]);
    }

    #[test]
    fn a_change_missed_between_two_responses_is_reported() {
        let mut tracker = Tracker::default();
        tracker.update(at(1), &response(0, Inactive, 0));
        let changes = tracker.update(at(20), &response(18, Firing, 6));
        assert_eq!(summarized(&changes), [(Inactive, Pending, 6), (Pending, Firing, 18)]);
    }

    #[test]
    fn times_of_another_clock_are_clamped_to_the_interval_between_responses() {
        let mut tracker = Tracker::default();
        tracker.update(at(1), &response(900, Inactive, 0));
        assert_eq!(summarized(&tracker.update(at(3), &response(902, Pending, 902))), [(Inactive, Pending, 3)]);
        assert_eq!(summarized(&tracker.update(at(5), &response(-900, Inactive, 0))), [(Pending, Inactive, 3)]);
    }

    #[test]
    fn a_malformed_response_is_an_error() {
        assert!(
            RulesResponse::parse("<html>").expect_err("no").to_string().contains("not a response of the rules API")
        );
        let error = RulesResponse::parse(r#"{"status":"error","error":"starting"}"#).expect_err("no");
        assert_eq!(error.to_string(), "error: starting");
    }

    #[test]
    fn no_alert_is_known_before_the_first_evaluation() {
        let mut tracker = Tracker::default();
        let text = r#"{"status":"success","data":{"groups":[{"name":"g","file":"f","rules":[{"state":"inactive","name":"A",
            "query":"x","lastEvaluation":"0001-01-01T00:00:00Z","type":"alerting"}]}]}}"#;
        assert_eq!(tracker.update(at(0), &RulesResponse::parse(text).expect("a response")), []);
        assert!(tracker.alerts().is_empty());
    }
}
