//! [`Story`]: what the steps so far add up to: the run's status, the outage's clock, and whether the fault had an effect.

use super::clock::{Clock, rounded, seconds};
use super::expect::Observed;
use crate::event::{Outage, Phase, Status};
use crate::scenario::plan::{Kind, Step};
use crate::traffic::Summary;

#[derive(Debug)]
pub(super) struct Story {
    kind: Kind,
    status: Status,
    /// Every step so far.
    observed: Vec<Observed>,
    /// The first step that injected something.
    injected: Option<String>,
    /// All traffic.
    total: Option<Summary>,
    /// Requests since something was injected: sent, and failed.
    since: (u64, u64),
}

impl Story {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, status: Status::Held, observed: Vec::new(), injected: None, total: None, since: (0, 0) }
    }

    /// A step's part. What the step expects is judged after it, by [`Story::since`].
    pub(super) fn take(&mut self, step: &Step, changed: bool, observed: Observed) {
        if let Some(summary) = &observed.summary {
            if self.injected.is_some() {
                self.since.0 += summary.sent;
                self.since.1 += summary.failed();
            }
            match &mut self.total {
                Some(total) => total.merge(summary),
                none => *none = Some(summary.clone()),
            }
        }
        if changed && step.phase == Phase::Inject {
            self.injected.get_or_insert_with(|| step.name.clone());
        }
        self.observed.push(observed);
    }

    /// What was seen from a step on until now.
    pub(super) fn since(&self, index: usize) -> Observed {
        Observed::merged(self.observed.get(index..).unwrap_or_default())
    }

    /// A step, or something beyond the steps, ended so.
    pub(super) fn ended(&mut self, status: Status) {
        if rank(status) > rank(self.status) {
            self.status = status;
        }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// What is wrong with the run as a whole although its steps may hold: only of a run that came to its end.
    pub(super) fn objection(&self) -> Option<String> {
        if matches!(self.status, Status::Error | Status::Interrupted) {
            return None;
        }
        match (self.kind, &self.injected, self.since) {
            (Kind::Incident, Some(step), (sent, 0)) if sent > 0 => {
                Some(format!("no effect: not one of the {sent} requests after {step} failed"))
            }
            (Kind::Practice, ..) => {
                let total = self.total.as_ref()?;
                let failed = total.failed();
                (failed > 0).then(|| format!("{failed} of {} requests failed, and none may", total.sent))
            }
            _ => None,
        }
    }

    /// From the first failed request to the first success that lasts, across all steps; none where no request failed.
    pub(super) fn outage(&self, clock: &Clock) -> Option<Outage> {
        let total = self.total.as_ref()?;
        let (first, last) = (total.first_failure?, total.last_failure?);
        let start = clock.since_start(total.start);
        let recovered = total.lasting_success.filter(|success| *success > last);
        Some(Outage {
            effect_at: rounded(start + seconds(first)),
            recovered_at: recovered.map(|recovered| rounded(start + seconds(recovered))),
            duration: seconds(recovered.unwrap_or(last).saturating_sub(first)),
            failed_requests: total.failed(),
        })
    }
}

/// The graver counts.
fn rank(status: Status) -> u8 {
    match status {
        Status::Held => 0,
        Status::Failed => 1,
        Status::Error => 2,
        Status::Interrupted => 3,
    }
}
