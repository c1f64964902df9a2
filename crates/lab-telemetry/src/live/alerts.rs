//! Current alerts, derived from consecutive responses of the rule evaluator (Prometheus or lab).

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::alerts::{RulesResponse, State, Tracker};
use crate::metrics::Moment;

/// Time for which a resolved alert is still listed.
const RESOLVED_RETENTION: Duration = Duration::from_mins(10);

/// Active alerts and recently resolved ones.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    tracker: Tracker,
    /// Resolved alerts by name, with the time of the observation.
    resolved: BTreeMap<String, (Moment, Alert)>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// The rule's name.
    pub name: String,
    /// State that began at `since`.
    pub state: AlertState,
    /// Start of the state, as far as known.
    #[serde(serialize_with = "millis", rename = "t")]
    pub since: DateTime<Utc>,
    /// Summary annotation.
    pub summary: String,
}

/// State of a listed alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The alert is firing.
    Firing,
    /// The condition is true, but not yet for long enough.
    Pending,
    /// The alert was firing, and its condition is false now.
    Resolved,
}

impl AlertState {
    /// Name for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::Resolved => "resolved",
        }
    }
}

impl Alerts {
    /// Updates the alerts and returns the changes since the last call, in order. The end of an alert that was only pending is
    /// not a change.
    pub fn update(&mut self, now: Moment, response: &RulesResponse) -> Vec<Alert> {
        let mut changed = Vec::new();
        for change in self.tracker.update(now.wall, response) {
            self.resolved.remove(&change.alert);
            let state = match (change.from, change.to) {
                (_, State::Pending) => AlertState::Pending,
                (_, State::Firing) => AlertState::Firing,
                (State::Firing, State::Inactive) => AlertState::Resolved,
                (_, State::Inactive) => continue,
            };
            let alert = Alert { name: change.alert, state, since: change.at, summary: change.summary };
            if state == AlertState::Resolved {
                self.resolved.insert(alert.name.clone(), (now, alert.clone()));
            }
            changed.push(alert);
        }
        self.resolved.retain(|_, (seen, _)| now.since(*seen) < RESOLVED_RETENTION);
        changed
    }

    /// Lists firing, then pending, then resolved alerts, each sorted by name.
    pub fn list(&self) -> Vec<Alert> {
        let active = |wanted: State, state: AlertState| {
            let status = self.tracker.alerts().iter().filter(move |(_, status)| status.state == wanted);
            status.map(move |(name, status)| Alert {
                name: name.clone(),
                state,
                since: status.since,
                summary: status.summary.clone(),
            })
        };
        let active = active(State::Firing, AlertState::Firing).chain(active(State::Pending, AlertState::Pending));
        active.chain(self.resolved.values().map(|(_, alert)| alert.clone())).collect()
    }
}

fn millis<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(at.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::RulesResponse;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_515_330 + second, 0).expect("a time")
    }

    fn response(second: i64, state: &str) -> RulesResponse {
        let text = format!(
            r#"{{"status":"success","data":{{"groups":[{{"name":"g","file":"f","rules":[{{"state":"{state}","name":"AppDown",
            "query":"x","lastEvaluation":"{}","type":"alerting"}}]}}]}}}}"#,
            at(second).to_rfc3339()
        );
        RulesResponse::parse(&text).expect("a response")
    }

    #[test]
    fn a_clock_change_does_not_affect_how_long_resolved_alerts_are_listed() {
        for hours in [-1, 1] {
            let mut alerts = Alerts::default();
            let mut listed = |second, set: i64, state| {
                let wall = at(second) + chrono::TimeDelta::hours(set);
                alerts.update(Moment { wall, ..at(second).into() }, &response(second + 3600 * set, state));
                alerts.list().len()
            };
            assert_eq!(listed(0, 0, "firing"), 1);
            assert_eq!(listed(10, 0, "inactive"), 1);
            assert_eq!(listed(20, hours, "inactive"), 1, "it was resolved 10 s ago");
            assert_eq!(listed(620, hours, "inactive"), 0, "it was resolved 10 minutes ago");
        }
    }

    #[test]
    fn an_alert_is_listed_from_its_start_to_a_while_after_its_end() {
        let mut alerts = Alerts::default();
        let mut changes = Vec::new();
        let mut updated = |second, state| {
            let new = alerts.update(at(second).into(), &response(second, state));
            changes.extend(new.iter().map(|it| (it.state.name(), (it.since - at(0)).num_seconds())));
            alerts.list().iter().map(|it| (it.state.name(), (it.since - at(0)).num_seconds())).collect::<Vec<_>>()
        };
        assert_eq!(updated(0, "inactive"), []);
        assert_eq!(updated(2, "pending"), [("pending", 2)]);
        assert_eq!(updated(7, "firing"), [("firing", 7)]);
        assert_eq!(updated(20, "inactive"), [("resolved", 20)]);
        assert_eq!(updated(30, "pending"), [("pending", 30)], "it is pending again");
        assert_eq!(updated(31, "inactive"), [], "an alert that was only pending is not listed as resolved");
        assert_eq!(updated(40, "firing").last(), Some(&("firing", 40)));
        assert_eq!(updated(50, "inactive"), [("resolved", 50)]);
        assert_eq!(updated(651, "inactive"), [], "it was resolved more than 10 minutes ago");
        let each = [
            ("pending", 2),
            ("firing", 7),
            ("resolved", 20),
            ("pending", 30),
            // It passed through `pending` between two responses.
            ("pending", 40),
            ("firing", 40),
            ("resolved", 50),
        ];
        assert_eq!(changes, each);
    }
}
