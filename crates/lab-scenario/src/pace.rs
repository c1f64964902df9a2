//! Pace of a run. [`Plan::stretch`] extends steps with traffic so that people, dashboards and alerts have time to
//! react. The request rate stays the same. Expectations keep their meaning: all requests, none, or a share of them.
//! Steps with other counts depend on their size and are not extended.

use std::time::Duration;

use super::limits::limit;
use super::plan::{Action, Comparator, Metric, Plan, Sender, Step, Traffic};
use lab_traffic::Amount;

/// Name of the slow pace.
const WORKSHOP: &str = "workshop";

impl Plan {
    /// Extends each step with traffic to about `wanted`. Longer steps and deferred values stay unchanged; the outputs
    /// that deferred values refer to may grow.
    pub fn stretch(&mut self, wanted: Duration) {
        let mut factors: Vec<u64> = self.steps.iter().map(|step| factor(step, wanted)).collect();
        let before: Vec<f64> = self.steps.iter().map(sent).collect();
        for (index, step) in self.steps.iter().enumerate() {
            for expected in &step.expect {
                let window = expected.since..=index;
                if depends_on_size(expected, before[window.clone()].iter().sum()) {
                    factors[window].fill(1);
                }
            }
        }
        for (step, factor) in self.steps.iter_mut().zip(&factors) {
            if let Action::Traffic(traffic) = &mut step.action {
                lengthen(traffic, *factor);
            }
        }
        let after: Vec<f64> = self.steps.iter().map(sent).collect();
        for (index, step) in self.steps.iter_mut().enumerate() {
            for expected in &mut step.expect {
                let (was, is) = (before[expected.since..=index].iter(), after[expected.since..=index].iter());
                let (was, is) = (was.sum::<f64>(), is.sum::<f64>());
                if is > was
                    && is_count(&expected.metric)
                    && approx_eq(expected.bound, was)
                    && is_upper(expected.comparator)
                {
                    let sign = expected.text.split(' ').next().unwrap_or("==").to_owned();
                    expected.bound = is;
                    expected.text = format!("{sign} {is}");
                }
            }
        }
        self.alerts = true;
        WORKSHOP.clone_into(&mut self.pace);
    }
}

fn duration(traffic: &Traffic) -> Duration {
    match traffic.amount {
        Amount::Duration(duration) => duration,
        #[expect(clippy::cast_precision_loss, reason = "at most 1e7")]
        Amount::Requests(count) => Duration::try_from_secs_f64(count as f64 / traffic.rate).unwrap_or_default(),
    }
}

/// Factor for a step's traffic. A whole number, so that counts stay whole.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1, and small")]
fn factor(step: &Step, wanted: Duration) -> u64 {
    let Action::Traffic(traffic) = &step.action else { return 1 };
    let seconds = duration(traffic).as_secs_f64().max(1e-3);
    let most = f64::from(limit!(requests)) / (seconds * traffic.rate).max(1.0);
    if step.deferred.is_some() { 1 } else { (wanted.as_secs_f64() / seconds).min(most).round().max(1.0) as u64 }
}

fn lengthen(traffic: &mut Traffic, factor: u64) {
    let times = |amount: &mut Amount| match amount {
        Amount::Requests(count) => *count *= factor,
        Amount::Duration(duration) => *duration *= u32::try_from(factor).unwrap_or(1),
    };
    times(&mut traffic.amount);
    traffic.callers.iter_mut().for_each(|caller| times(&mut caller.amount));
}

/// Number of requests of a step. Durations count by their rate.
#[expect(clippy::cast_precision_loss, reason = "at most 1e7")]
fn sent(step: &Step) -> f64 {
    step.action.traffic().map_or(0.0, |traffic| match traffic.amount {
        Amount::Requests(count) => count as f64,
        Amount::Duration(duration) => (duration.as_secs_f64() * traffic.rate).ceil(),
    })
}

fn is_count(metric: &Metric) -> bool {
    match metric {
        Metric::Delta { .. } | Metric::StatusCount(_) | Metric::Sent | Metric::Attempts | Metric::Failed => true,
        Metric::StatusShare(_) | Metric::FailedShare | Metric::Latency(_) | Metric::Alert { .. } => false,
    }
}

/// Returns true if additional requests could fail the comparison. `>=` and `>` only become easier to pass.
fn is_upper(comparator: Comparator) -> bool {
    !matches!(comparator, Comparator::Greater | Comparator::AtLeast)
}

fn approx_eq(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

/// Returns true if an expectation only makes sense for this number of requests, because it counts neither all nor none
/// of them.
fn depends_on_size(expected: &super::plan::Expectation, sent: f64) -> bool {
    let whole = expected.sender == Sender::All && approx_eq(expected.bound, sent);
    is_count(&expected.metric)
        && is_upper(expected.comparator)
        && expected.deferred.is_none()
        && !whole
        && !approx_eq(expected.bound, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::forecast;
    use crate::{LoadOptions, Source, load};

    const MINUTE: Duration = Duration::from_mins(1);

    fn plan(steps: &str) -> Plan {
        let text = format!("title: T\nsteps:\n{steps}");
        let source = Source::Text { name: "test.yaml".into(), text };
        let mut plan = load(&source, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
        plan.stretch(MINUTE);
        plan
    }

    fn sent_and_expected(plan: &Plan) -> Vec<(f64, Vec<&str>)> {
        let expected = |step: &Step| step.expect.iter().map(|expected| expected.text.clone()).collect::<Vec<_>>();
        let texts = |step| expected(step).into_iter().map(|text| -> &str { text.leak() }).collect();
        plan.steps.iter().map(|step| (sent(step), texts(step))).collect()
    }

    #[test]
    fn all_and_none_and_shares_keep_their_meaning() {
        let plan = plan(
            "  - traffic: { requests: 40, rate: 20 }\n    expect: { sent: 40, failed: '== 0', status.200: '100%', \
             requests.delta: '<= 40', latency.p99: '< 50ms', auth_success.delta: '>= 5' }\n  - wait: 3s\n",
        );
        let expected = vec!["== 1200", "== 0", "== 100%", "<= 1200", "< 50ms", ">= 5"];
        assert_eq!(sent_and_expected(&plan), [(1200.0, expected), (0.0, vec![])]);
        assert!(
            (62.9..63.0).contains(&forecast(&plan, None).seconds()),
            "the last request is sent before the minute is over"
        );
        assert!(plan.alerts);
    }

    #[test]
    fn steps_that_depend_on_their_size_are_not_extended() {
        let plan = plan(
            "  - traffic: { requests: 41, rate: 20 }\n  - traffic: { requests: 40, rate: 20 }\n    \
             expect: { status.200: '== 10' }\n  - traffic: { duration: 2m, rate: 1 }\n",
        );
        let sent: Vec<f64> = sent_and_expected(&plan).into_iter().map(|(sent, _)| sent).collect();
        assert_eq!(sent, [41.0 * 29.0, 40.0, 120.0]);
    }

    #[test]
    fn every_scenario_that_comes_with_lab_can_be_stretched() {
        for name in crate::library::names() {
            let mut plan =
                load(&Source::parse(name), &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
            plan.stretch(MINUTE);
            let seconds = forecast(&plan, None).seconds();
            assert!(seconds < 480.0, "{name} takes {seconds} s");
        }
    }
}
