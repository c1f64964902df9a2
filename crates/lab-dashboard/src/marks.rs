//! Marks on the charts: steps and ends of the lab's runs, and alert transitions.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use lab_core::event::EventKind;
use lab_telemetry::live::{Alert, RunEvent};

/// Maximum number of marks kept.
const CAPACITY: usize = 500;

/// Marks in chronological order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Scenario by run id, for runs in progress.
    scenarios: BTreeMap<String, String>,
    list: VecDeque<Mark>,
    version: u64,
}

/// One mark: a step, the end of a run, or an alert transition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Mark {
    /// Milliseconds since the epoch.
    t: i64,
    /// `step`, `end` or `alert`.
    kind: &'static str,
    /// Name of the step or alert.
    name: String,
    /// Phase of the step, or new state of the alert. Empty for an end.
    phase: &'static str,
    /// Empty for an alert.
    scenario: String,
    /// Last part of the run's id. Empty for an alert.
    run: String,
}

/// All marks with their version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct VersionedMarks {
    version: u64,
    list: Vec<Mark>,
}

impl Marks {
    /// Returns all marks if they have changed since `version`.
    pub(super) fn newer_than(&self, version: u64) -> Option<VersionedMarks> {
        (self.version != version)
            .then(|| VersionedMarks { version: self.version, list: self.list.iter().cloned().collect() })
    }

    /// Adds the marks of run events.
    pub(super) fn add_events(&mut self, events: Vec<RunEvent>) {
        for event in events {
            self.add_event(event);
        }
    }

    /// Adds the marks of alert transitions.
    pub(super) fn add_alerts(&mut self, changed: Vec<Alert>) {
        for alert in changed {
            let (t, phase) = (alert.since.timestamp_millis(), alert.state.name());
            self.insert(Mark {
                t,
                kind: "alert",
                name: alert.name,
                phase,
                scenario: String::new(),
                run: String::new(),
            });
        }
    }

    fn add_event(&mut self, event: RunEvent) {
        let (kind, name, phase) = match event.event.kind {
            EventKind::RunStarted(run) => {
                self.scenarios.insert(event.run, run.scenario);
                return;
            }
            EventKind::StepStarted(step) => ("step", step.name, step.phase.name()),
            EventKind::RunFinished(_) => ("end", "end".to_owned(), ""),
            _ => return,
        };
        let scenario = self.scenarios.get(&event.run).cloned().unwrap_or_default();
        if kind == "end" {
            self.scenarios.remove(&event.run);
        }
        let run = event.run.rsplit('-').next().unwrap_or(&event.run).to_owned();
        self.insert(Mark { t: event.event.at.timestamp_millis(), kind, name, phase, scenario, run });
    }

    /// Inserts a mark by its time, because alert transitions are observed late.
    fn insert(&mut self, mark: Mark) {
        let place = self.list.iter().rposition(|other| other.t <= mark.t).map_or(0, |before| before + 1);
        self.list.insert(place, mark);
        if self.list.len() > CAPACITY {
            self.list.pop_front();
        }
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_telemetry::live::AlertState;

    const STARTED: &str = r#"{"at":"2026-11-24T10:15:30Z","elapsed":0,"event":"run_started","version":1,"id":"ID","scenario":"rotate-key","title":"","lab":"default","engine":"embedded","parameters":{},"steps":[],"keys":{"server":"a","caller":"a"}}"#;
    const STEP: &str = r#"{"at":"2026-11-24T10:15:32Z","elapsed":2,"event":"step_started","index":1,"name":"rotate-key","phase":"inject","action":"rotate_key"}"#;

    #[test]
    fn steps_become_marks() {
        let run_event = |text: &str| RunEvent {
            run: "20261124T101530Z-7f3a".to_owned(),
            event: serde_json::from_str(text).expect("an event"),
        };
        let mut marks = Marks::default();
        marks.add_events(vec![run_event(STARTED)]);
        assert_eq!(marks.newer_than(0), None, "the start of a run is not marked");
        marks.add_events(vec![run_event(STEP)]);
        let newer = marks.newer_than(0).expect("there is one");
        let seen: Vec<_> =
            newer.list.iter().map(|mark| (&*mark.run, &*mark.scenario, &*mark.name, mark.phase)).collect();
        assert_eq!(seen, [("7f3a", "rotate-key", "rotate-key", "inject")]);
        assert_eq!(marks.newer_than(newer.version), None);
    }

    #[test]
    fn alerts_and_steps_are_ordered_by_time() {
        let mut marks = Marks::default();
        let event = serde_json::from_str(STEP).expect("an event");
        marks.add_events(vec![RunEvent { run: "20261124T101530Z-7f3a".to_owned(), event }]);
        let alert = |at: &str, state| Alert {
            name: "AppDown".to_owned(),
            state,
            since: at.parse().expect("a time"),
            summary: String::new(),
        };
        marks.add_alerts(vec![
            alert("2026-11-24T10:15:31Z", AlertState::Firing),
            alert("2026-11-24T10:15:33Z", AlertState::Resolved),
        ]);
        let list = marks.newer_than(0).expect("there are some").list;
        let seen: Vec<_> = list.iter().map(|mark| (mark.kind, &*mark.name, mark.phase)).collect();
        assert_eq!(
            seen,
            [("alert", "AppDown", "firing"), ("step", "rotate-key", "inject"), ("alert", "AppDown", "resolved")]
        );
    }
}
