//! Tracks the run as a whole: its status, the outage, and whether each fault had an effect.

use std::collections::BTreeSet;

use super::clock::{Clock, rounded, seconds};
use super::expectation::Measurements;
use lab_core::event::{AlertChanged, AlertState, Outage, Phase, Status};
use lab_scenario::plan::{Kind, Step};
use lab_traffic::Summary;

/// Reported if a practice scenario sent no requests.
pub(crate) const NO_REQUESTS: &str = "no request was sent, so nothing shows that callers are unaffected";

/// Results of one caller in one step. Times are in seconds since the start of the run.
#[derive(Debug)]
struct CallerPeriod {
    /// `None` for the lab's default caller.
    caller: Option<String>,
    sent: u64,
    failed: u64,
    first_failure: Option<f64>,
    last_failure: Option<f64>,
    /// First success after which none of these requests failed.
    lasting_success: Option<f64>,
}

#[derive(Debug)]
pub(super) struct OutageTracker {
    kind: Kind,
    clock: Clock,
    status: Status,
    observed: Vec<Measurements>,
    faults: Vec<Fault>,
    before: RequestCounts,
    /// Requests since the first fault, including those after its fix.
    after: RequestCounts,
    /// Start of the first effective fix, in seconds since the start of the run.
    fix_started: Option<f64>,
    /// All traffic, including background traffic.
    periods: Vec<CallerPeriod>,
}

/// A fault: one step, or several consecutive steps without traffic in between.
#[derive(Debug)]
struct Fault {
    step: String,
    begun: f64,
    /// The lab was changed by it.
    changed: bool,
    /// Start of the next fix or fault.
    ended: Option<f64>,
    /// Requests while the fault was present.
    counts: RequestCounts,
    /// A request that started while the fault was present failed afterwards.
    failed_later: bool,
}

/// Request counts and kinds of failures.
#[derive(Debug, Default)]
struct RequestCounts {
    sent: u64,
    failed: u64,
    /// Status codes and transport error causes.
    kinds: BTreeSet<String>,
}

impl RequestCounts {
    fn add(&mut self, summary: &Summary) {
        self.sent += summary.sent;
        self.failed += summary.failed();
        let codes = summary.codes.keys().filter(|code| !(200..300).contains(*code)).map(u16::to_string);
        self.kinds.extend(codes.chain(summary.errors.keys().map(|cause| cause.name().to_owned())));
    }

    /// Returns whether a larger share failed than before, or some failed in a new way.
    fn is_worse(&self, before: &Self) -> bool {
        let share = |part: u64, whole: u64| u128::from(part) * u128::from(whole);
        !self.kinds.is_subset(&before.kinds) || share(self.failed, before.sent) > share(before.failed, self.sent)
    }
}

/// A step's attempted change.
pub(super) struct AttemptedChange {
    /// Start of the step, in seconds since the start of the run.
    pub(super) begun: f64,
    /// The step was supposed to change the lab.
    pub(super) attempted: bool,
    /// The step changed the lab.
    pub(super) changed: bool,
}

impl OutageTracker {
    pub(super) fn new(kind: Kind, clock: Clock) -> Self {
        Self {
            kind,
            clock,
            status: Status::Passed,
            observed: Vec::new(),
            faults: Vec::new(),
            before: RequestCounts::default(),
            after: RequestCounts::default(),
            fix_started: None,
            periods: Vec::new(),
        }
    }

    /// Adds a step. Its expectations are evaluated afterwards, against [`OutageTracker::since`].
    pub(super) fn add(&mut self, step: &Step, change: &AttemptedChange, observed: Measurements) {
        match step.phase {
            Phase::Inject if change.attempted => self.inject(step, change),
            Phase::Remedy if change.changed && !self.faults.is_empty() => {
                self.faults.iter_mut().for_each(|fault| fault.end(change.begun));
                self.fix_started.get_or_insert(change.begun);
            }
            _ => {}
        }
        for (caller, summary) in observed.traffic() {
            let period = period(caller, summary, &self.clock);
            let counts = if self.faults.is_empty() { &mut self.before } else { &mut self.after };
            counts.add(summary);
            self.faults.iter_mut().for_each(|fault| fault.add(&period, summary));
            self.periods.push(period);
        }
        self.observed.push(observed);
    }

    fn inject(&mut self, step: &Step, change: &AttemptedChange) {
        match self.faults.last_mut() {
            Some(fault) if fault.ended.is_none() && fault.counts.sent == 0 => fault.changed |= change.changed,
            last => {
                if let Some(last) = last {
                    last.end(change.begun);
                }
                let AttemptedChange { begun, changed, .. } = *change;
                let (step, counts) = (step.name.clone(), RequestCounts::default());
                self.faults.push(Fault { step, begun, changed, ended: None, counts, failed_later: false });
            }
        }
    }

    /// Observations from a step on until now.
    pub(super) fn since(&self, index: usize) -> Measurements {
        Measurements::merged(self.observed.get(index..).unwrap_or_default())
    }

    pub(super) fn steps(&self) -> usize {
        self.observed.len()
    }

    /// Records a status; the most severe one is kept.
    pub(super) fn record_status(&mut self, status: Status) {
        if rank(status) > rank(self.status) {
            self.status = status;
        }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Finds a problem of a completed run as a whole, even if all its steps passed. `whole`: no step was skipped.
    pub(super) fn problem(&self, whole: bool) -> Option<String> {
        if matches!(self.status, Status::Error | Status::Interrupted) {
            return None;
        }
        match self.kind {
            Kind::Incident => self.fault_without_effect(),
            Kind::Practice => {
                let count = |all: (u64, u64), period: &CallerPeriod| (all.0 + period.sent, all.1 + period.failed);
                let (sent, failed) = self.periods.iter().fold((0, 0), count);
                let silent = (whole && sent == 0).then(|| NO_REQUESTS.to_owned());
                silent.or_else(|| (failed > 0).then(|| format!("{failed} of {sent} requests failed; none may fail")))
            }
            Kind::Part => None,
        }
    }

    /// Returns a message for the first fault that did not affect traffic: no failures while it was present, or only
    /// failures like those before. Without any later traffic there is nothing to evaluate.
    fn fault_without_effect(&self) -> Option<String> {
        if let Some(fault) = self.faults.iter().find(|fault| !fault.changed) {
            return Some(format!("no effect: {} changed nothing", fault.step));
        }
        let unseen =
            |fault: &&Fault| fault.counts.sent > 0 && !fault.failed_later && !fault.counts.is_worse(&self.before);
        let (step, counts) = match self.faults.iter().find(unseen) {
            Some(fault) => (&fault.step, &fault.counts),
            // No traffic was sent while a fault was present.
            None if self.faults.iter().all(|fault| fault.counts.sent == 0 && !fault.failed_later) => {
                (&self.faults.first()?.step, &self.after)
            }
            None => return None,
        };
        match counts {
            RequestCounts { sent: 0, .. } => None,
            RequestCounts { sent, failed: 0, .. } => {
                Some(format!("no effect: none of the {sent} requests after {step} failed"))
            }
            counts if counts.is_worse(&self.before) => None,
            RequestCounts { sent, .. } => {
                Some(format!("no effect: the {sent} requests after {step} failed as those before it did"))
            }
        }
    }

    /// Outage from the first failed request to lasting recovery of every affected caller. `None` if no request failed.
    pub(super) fn outage(&self, alerts: &[AlertChanged]) -> Option<Outage> {
        let effect = self.periods.iter().filter_map(|period| period.first_failure).min_by(f64::total_cmp)?;
        let last = self.periods.iter().filter_map(|period| period.last_failure).max_by(f64::total_cmp)?;
        let hit: BTreeSet<_> =
            self.periods.iter().filter(|period| period.failed > 0).map(|period| period.caller.as_deref()).collect();
        let recovered = hit.into_iter().map(|caller| self.recovered(caller)).collect::<Option<Vec<_>>>();
        let recovered = recovered.and_then(|all| all.into_iter().max_by(f64::total_cmp));
        let fault = self.faults.iter().filter(|fault| fault.changed && fault.begun <= effect).map(|fault| fault.begun);
        let since = |begun: f64, end: f64| (end >= begun).then(|| rounded(end - begun));
        let (detected, resolved) = detection(alerts, effect);
        Some(Outage {
            impact_at: rounded(effect),
            recovered_at: recovered.map(rounded),
            duration: rounded((recovered.unwrap_or(last) - effect).max(0.0)),
            failed_requests: self.periods.iter().map(|period| period.failed).sum(),
            time_to_impact: fault.max_by(f64::total_cmp).and_then(|begun| since(begun, effect)),
            time_to_recovery: self.fix_started.zip(recovered).and_then(|(begun, end)| since(begun, end)),
            time_to_detect: detected.and_then(|at| since(effect, at)),
            time_to_mitigate: recovered.and_then(|at| since(effect, at)),
            time_to_resolve: resolved.and_then(|at| since(effect, at)),
        })
    }

    /// First success of a caller after its last failure. If the caller sent foreground and background traffic at the
    /// same time, the precision is one step.
    fn recovered(&self, caller: Option<&str>) -> Option<f64> {
        let own = || self.periods.iter().filter(|period| period.caller.as_deref() == caller);
        let last = own().filter_map(|period| period.last_failure).max_by(f64::total_cmp)?;
        own().filter_map(|period| period.lasting_success).filter(|success| *success > last).min_by(f64::total_cmp)
    }
}

impl Fault {
    /// Marks the start of a fix or of another fault, unless one came before.
    fn end(&mut self, at: f64) {
        self.ended.get_or_insert(at);
    }

    /// Adds a caller's results since the fault started.
    fn add(&mut self, period: &CallerPeriod, summary: &Summary) {
        match self.ended {
            None => self.counts.add(summary),
            Some(ended) => {
                let meanwhile = |at: f64| (self.begun..ended).contains(&at);
                self.failed_later |= period.failed > 0 && period.first_failure.is_some_and(meanwhile);
            }
        }
    }
}

fn period(caller: Option<&str>, summary: &Summary, clock: &Clock) -> CallerPeriod {
    let start = clock.since_start(summary.start);
    let at = |offset: std::time::Duration| start + seconds(offset);
    let last_failure = summary.last_failure.map(at);
    CallerPeriod {
        caller: caller.map(str::to_owned),
        sent: summary.sent,
        failed: summary.failed(),
        first_failure: summary.first_failure.map(at),
        last_failure,
        lasting_success: summary.lasting_success.map(at),
    }
}

/// Times at which the first alert fired after the impact, and at which the last of these alerts was resolved.
fn detection(alerts: &[AlertChanged], effect: f64) -> (Option<f64>, Option<f64>) {
    let fired = || alerts.iter().filter(|alert| alert.state == AlertState::Firing && alert.since >= effect);
    let detected = fired().map(|alert| alert.since).min_by(f64::total_cmp);
    let over = |fired: &AlertChanged| {
        let after = alerts.iter().filter(|alert| alert.name == fired.name && alert.state == AlertState::Resolved);
        after.map(|alert| alert.since).find(|at| *at >= fired.since)
    };
    let resolved = fired().map(over).collect::<Option<Vec<f64>>>();
    (detected, resolved.and_then(|all| all.into_iter().max_by(f64::total_cmp)))
}

/// Severity; higher wins.
fn rank(status: Status) -> u8 {
    match status {
        Status::Passed => 0,
        Status::Failed => 1,
        Status::Error => 2,
        Status::Interrupted => 3,
    }
}
