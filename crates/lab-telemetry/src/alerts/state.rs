//! State machine of an alert: inactive, pending while its condition is true, firing once that has lasted for the rule's `for`,
//! and resolved when the condition is false. As in Prometheus, an alert that was only pending leaves no trace.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::labels::Labels;

/// State of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The condition is false.
    #[default]
    Inactive,
    /// The condition is true, but not yet for long enough.
    Pending,
    /// The condition has been true for long enough.
    Firing,
}

impl State {
    /// Name in Prometheus' API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// A series that meets a rule's condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Match {
    /// Labels of the alert.
    pub(super) labels: Labels,
    /// Labels of the series, which templates use.
    pub(super) own: Labels,
    pub(super) value: f64,
}

/// An alert. Times are in milliseconds of the steady clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Active {
    /// Labels of the series.
    pub(super) own: Labels,
    /// Value at the last evaluation.
    pub(super) value: f64,
    /// Time from which the condition has been true.
    pub(super) since: i64,
    pub(super) state: State,
}

/// A rule's alerts.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// Time for which the condition must be true before the alert fires, in milliseconds.
    hold: i64,
    active: BTreeMap<Labels, Active>,
}

impl Machine {
    pub(super) fn new(hold: i64) -> Self {
        Self { hold, active: BTreeMap::new() }
    }

    /// Updates the alerts with the series that meet the condition at a time.
    pub(super) fn update(&mut self, at: i64, matches: Vec<Match>) {
        let before = std::mem::take(&mut self.active);
        for Match { labels, own, value } in matches {
            let since = before.get(&labels).map_or(at, |active| active.since);
            let fired = before.get(&labels).is_some_and(|active| active.state == State::Firing);
            let state = if fired || at - since >= self.hold { State::Firing } else { State::Pending };
            self.active.insert(labels, Active { own, value, since, state });
        }
    }

    /// The pending and firing alerts.
    pub(super) fn active(&self) -> impl Iterator<Item = (&Labels, &Active)> {
        self.active.iter()
    }

    /// State of the whole rule: the most severe state of its alerts.
    pub(super) fn state(&self) -> State {
        self.active.values().map(|active| active.state).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::State::{Firing, Inactive, Pending};
    use super::*;

    fn matching(labels: Labels, value: f64) -> Match {
        Match { own: labels.clone(), labels, value }
    }

    fn step(machine: &mut Machine, at: i64, holds: bool) -> State {
        machine.update(at, if holds { vec![matching(Labels::default(), 1.0)] } else { Vec::new() });
        machine.state()
    }

    #[test]
    fn an_alert_is_pending_then_firing_then_inactive() {
        let mut machine = Machine::new(10_000);
        let steps = [(0, false), (2, true), (4, true), (11, true), (12, true), (14, true), (16, false), (18, true)];
        let states: Vec<State> = steps.into_iter().map(|(at, holds)| step(&mut machine, at * 1_000, holds)).collect();
        assert_eq!(states, [Inactive, Pending, Pending, Pending, Firing, Firing, Inactive, Pending]);
    }

    #[test]
    fn a_gap_restarts_the_wait() {
        let mut machine = Machine::new(10_000);
        for (at, holds) in [(0, true), (8, true), (9, false), (10, true), (19, true)] {
            assert_ne!(step(&mut machine, at * 1_000, holds), State::Firing, "{at}");
        }
        assert_eq!(step(&mut machine, 20_000, true), State::Firing);
    }

    #[test]
    fn an_alert_without_for_fires_at_once() {
        assert_eq!(step(&mut Machine::new(0), 5, true), State::Firing);
    }

    #[test]
    fn each_series_is_a_separate_alert() {
        let mut machine = Machine::new(10_000);
        let labels = |name| Labels::new("", &[("instance", name)]);
        machine.update(0, vec![matching(labels("a"), 1.0)]);
        machine.update(10_000, vec![matching(labels("a"), 2.0), matching(labels("b"), 1.0)]);
        let states: Vec<_> = machine.active().map(|(labels, active)| (labels.get("instance"), active.state)).collect();
        assert_eq!(states, [("a", State::Firing), ("b", State::Pending)]);
        assert_eq!(machine.state(), State::Firing, "the most severe state");
    }

    proptest! {
        /// An alert fires exactly when its condition was true at every evaluation for the rule's `for` duration.
        #[test]
        fn it_fires_after_matching_for_long_enough(holds in prop::collection::vec(any::<bool>(), 1..60), hold in 0_i64..20) {
            let mut machine = Machine::new(hold * 1_000);
            for at in 0..holds.len() {
                let state = step(&mut machine, i64::try_from(at).expect("few") * 1_000, holds[at]);
                let run = holds[..=at].iter().rev().take_while(|holds| **holds).count();
                let expected = match run {
                    0 => State::Inactive,
                    run if i64::try_from(run).expect("few") > hold => State::Firing,
                    _ => State::Pending,
                };
                prop_assert_eq!(state, expected);
            }
        }
    }
}
