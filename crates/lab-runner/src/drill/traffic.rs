//! The callers of a drill, and what their requests of one second show.

use crate::callers::{CallerMix, SecondCounts};
use lab_core::event::Phase;
use lab_scenario::plan::{Action, Plan, Step};
use lab_traffic::Amount;

/// Number of requests of a check that callers may notice.
const MANY: u64 = 100;

/// Callers of the incident, as they send before and after the fault.
pub(super) fn mix(plan: &Plan) -> CallerMix {
    let executed = plan.steps.iter().position(|step| step.phase > Phase::Observe).unwrap_or(plan.steps.len());
    CallerMix { scenario: None, run: None, ..CallerMix::from_plan(plan, executed, None) }
}

/// Names and rates of the callers of a drill.
pub fn callers(plan: &Plan) -> Vec<(String, f64)> {
    mix(plan).senders.into_iter().map(|sender| (sender.name, sender.rate)).collect()
}

/// Whether a caller succeeds in one second. Its requests do not arrive evenly.
#[expect(clippy::cast_precision_loss, reason = "counts of a second are small")]
pub(super) fn succeeds(counts: &SecondCounts, rate: f64) -> bool {
    counts.sent as f64 >= (rate * 0.5).floor() && counts.succeeded * 100 >= counts.sent * 99
}

/// More than a tenth of the requests could not be sent, although all that were sent succeeded.
pub(super) fn is_overloaded(second: &[SecondCounts]) -> bool {
    let sum = |of: fn(&SecondCounts) -> u64| second.iter().map(of).sum::<u64>();
    let (sent, unsent) = (sum(|it| it.sent), sum(|it| it.unsent));
    unsent * 10 > sent + unsent && sent == sum(|it| it.succeeded)
}

/// Whether the resolved check sends so many requests that the callers may notice them.
pub(super) fn is_disruptive(plan: &Plan) -> bool {
    let requests = |step: &Step| match &step.action {
        Action::Traffic(traffic) => match traffic.amount {
            Amount::Requests(count) => count,
            Amount::Duration(_) => MANY,
        },
        _ => 0,
    };
    plan.claims.resolved_check.iter().map(requests).sum::<u64>() >= MANY
}
