//! [`Marks`]: the steps of the lab's runs, and what became of its alerts, for the charts.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use lab_core::event::EventKind;
use lab_telemetry::live::{Alert, Told};

/// The most that are kept.
const MOST: usize = 500;

/// What happened in a lab, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// By run, its scenario.
    scenarios: BTreeMap<String, String>,
    list: VecDeque<Mark>,
    version: u64,
}

/// A step, the end of a run, or what an alert became.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Mark {
    /// Milliseconds since the epoch.
    t: i64,
    /// `step`, `end` or `alert`.
    kind: &'static str,
    /// The step's or the alert's name.
    name: String,
    /// The step's phase; of an alert what it became; empty for an end.
    phase: &'static str,
    /// The scenario; empty for an alert.
    scenario: String,
    /// The end of the run's id; empty for an alert.
    run: String,
}

/// Marks, where there are newer ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Newer {
    version: u64,
    list: Vec<Mark>,
}

impl Marks {
    /// All of them, where they are newer than a version.
    pub(super) fn newer(&self, version: u64) -> Option<Newer> {
        (self.version != version).then(|| Newer { version: self.version, list: self.list.iter().cloned().collect() })
    }

    /// Takes what runs have told.
    pub(super) fn take(&mut self, told: Vec<Told>) {
        for told in told {
            self.mark(told);
        }
    }

    /// Takes what has become of alerts.
    pub(super) fn take_alerts(&mut self, changed: Vec<Alert>) {
        for alert in changed {
            let (t, phase) = (alert.since.timestamp_millis(), alert.state.name());
            self.put(Mark { t, kind: "alert", name: alert.name, phase, scenario: String::new(), run: String::new() });
        }
    }

    fn mark(&mut self, told: Told) {
        let (kind, name, phase) = match told.event.kind {
            EventKind::RunStarted(run) => {
                self.scenarios.insert(told.run, run.scenario);
                return;
            }
            EventKind::StepStarted(step) => ("step", step.name, step.phase.name()),
            EventKind::RunFinished(_) => ("end", "end".to_owned(), ""),
            _ => return,
        };
        let scenario = self.scenarios.get(&told.run).cloned().unwrap_or_default();
        if kind == "end" {
            self.scenarios.remove(&told.run);
        }
        let run = told.run.rsplit('-').next().unwrap_or(&told.run).to_owned();
        self.put(Mark { t: told.event.at.timestamp_millis(), kind, name, phase, scenario, run });
    }

    /// By its time: what one hears of an alert it has become a moment ago.
    fn put(&mut self, mark: Mark) {
        let place = self.list.iter().rposition(|other| other.t <= mark.t).map_or(0, |before| before + 1);
        self.list.insert(place, mark);
        if self.list.len() > MOST {
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
    fn steps_are_marks() {
        let told = |text: &str| Told {
            run: "20261124T101530Z-7f3a".to_owned(),
            event: serde_json::from_str(text).expect("an event"),
        };
        let mut marks = Marks::default();
        marks.take(vec![told(STARTED)]);
        assert_eq!(marks.newer(0), None, "a run's beginning is no mark");
        marks.take(vec![told(STEP)]);
        let newer = marks.newer(0).expect("there is one");
        let seen: Vec<_> =
            newer.list.iter().map(|mark| (&*mark.run, &*mark.scenario, &*mark.name, mark.phase)).collect();
        assert_eq!(seen, [("7f3a", "rotate-key", "rotate-key", "inject")]);
        assert_eq!(marks.newer(newer.version), None);
    }

    #[test]
    fn alerts_stand_among_the_steps_by_their_time() {
        let mut marks = Marks::default();
        let event = serde_json::from_str(STEP).expect("an event");
        marks.take(vec![Told { run: "20261124T101530Z-7f3a".to_owned(), event }]);
        let alert = |at: &str, state| Alert {
            name: "AppDown".to_owned(),
            state,
            since: at.parse().expect("a time"),
            summary: String::new(),
        };
        marks.take_alerts(vec![
            alert("2026-11-24T10:15:31Z", AlertState::Firing),
            alert("2026-11-24T10:15:33Z", AlertState::Resolved),
        ]);
        let list = marks.newer(0).expect("there are some").list;
        let seen: Vec<_> = list.iter().map(|mark| (mark.kind, &*mark.name, mark.phase)).collect();
        assert_eq!(
            seen,
            [("alert", "AppDown", "firing"), ("step", "rotate-key", "inject"), ("alert", "AppDown", "resolved")]
        );
    }
}
