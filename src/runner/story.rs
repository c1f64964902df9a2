//! [`Story`]: what the steps so far add up to: the run's status, the outage's clock, and whether each fault had an effect.

use std::collections::BTreeSet;

use super::clock::{Clock, rounded, seconds};
use super::expect::Observed;
use crate::event::{AlertChanged, AlertState, Outage, Phase, Status};
use crate::scenario::plan::{Kind, Step};
use crate::traffic::Summary;

/// What a caller saw in one step. Times are in seconds since the run's start.
#[derive(Debug)]
struct Piece {
    /// None: the lab's one caller.
    caller: Option<String>,
    sent: u64,
    failed: u64,
    first_failure: Option<f64>,
    last_failure: Option<f64>,
    /// The first success after which none of these requests failed.
    lasting_success: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Story {
    kind: Kind,
    clock: Clock,
    status: Status,
    /// Every step so far.
    observed: Vec<Observed>,
    faults: Vec<Fault>,
    /// Requests since the first fault, whatever came between: sent, and failed.
    after: (u64, u64),
    /// When the first remedy that changed something began, in seconds since the run's start.
    remedied: Option<f64>,
    /// All traffic, that in the background as well.
    pieces: Vec<Piece>,
}

/// What was injected: a step, or several that follow each other before any traffic shows what they do.
#[derive(Debug)]
struct Fault {
    step: String,
    begun: f64,
    /// Whether it changed the lab at all.
    changed: bool,
    /// No remedy and no other fault came since.
    present: bool,
    /// Requests while it was present.
    sent: u64,
    failed: u64,
}

/// What a step was, for the story.
pub(super) struct Deed {
    /// When it began, in seconds since the run's start.
    pub(super) begun: f64,
    /// It was to change the lab.
    pub(super) change: bool,
    /// It did.
    pub(super) changed: bool,
    /// Its own request, of a check or of a wait, was not answered with 2xx.
    pub(super) saw_failure: bool,
}

impl Story {
    pub(super) fn new(kind: Kind, clock: Clock) -> Self {
        Self {
            kind,
            clock,
            status: Status::Held,
            observed: Vec::new(),
            faults: Vec::new(),
            after: (0, 0),
            remedied: None,
            pieces: Vec::new(),
        }
    }

    /// A step's part. What the step expects is judged after it, by [`Story::since`].
    pub(super) fn take(&mut self, step: &Step, deed: &Deed, observed: Observed) {
        match step.phase {
            Phase::Inject if deed.change => self.inject(step, deed),
            Phase::Remedy if deed.changed && !self.faults.is_empty() => {
                self.faults.iter_mut().for_each(|fault| fault.present = false);
                self.remedied.get_or_insert(deed.begun);
            }
            _ => {}
        }
        let (sent, failed) = observed.counts();
        let own = u64::from(deed.saw_failure);
        if let Some(fault) = self.faults.last_mut() {
            self.after.0 += sent + own;
            self.after.1 += failed + own;
            if fault.present {
                fault.sent += sent + own;
                fault.failed += failed + own;
            }
        }
        for (caller, summary) in observed.traffic() {
            self.pieces.push(piece(caller, summary, &self.clock));
        }
        self.observed.push(observed);
    }

    fn inject(&mut self, step: &Step, deed: &Deed) {
        match self.faults.last_mut() {
            Some(fault) if fault.present && fault.sent == 0 => fault.changed |= deed.changed,
            last => {
                if let Some(last) = last {
                    last.present = false;
                }
                let Deed { begun, changed, .. } = *deed;
                let step = step.name.clone();
                self.faults.push(Fault { step, begun, changed, present: true, sent: 0, failed: 0 });
            }
        }
    }

    /// What was seen from a step on until now.
    pub(super) fn since(&self, index: usize) -> Observed {
        Observed::merged(self.observed.get(index..).unwrap_or_default())
    }

    /// How many steps there were.
    pub(super) fn steps(&self) -> usize {
        self.observed.len()
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
        match self.kind {
            Kind::Incident => self.without_effect(),
            Kind::Practice => {
                let count = |all: (u64, u64), piece: &Piece| (all.0 + piece.sent, all.1 + piece.failed);
                let (sent, failed) = self.pieces.iter().fold((0, 0), count);
                (failed > 0).then(|| format!("{failed} of {sent} requests failed, and none may"))
            }
            Kind::Part => None,
        }
    }

    /// The first fault of which the traffic saw nothing while it was there. Where no traffic followed at all, there is
    /// nothing to judge by.
    fn without_effect(&self) -> Option<String> {
        if let Some(fault) = self.faults.iter().find(|fault| !fault.changed) {
            return Some(format!("no effect: {} changed nothing", fault.step));
        }
        let unseen = self.faults.iter().find(|fault| fault.sent > 0 && fault.failed == 0);
        let unseen = unseen.map(|fault| (&fault.step, fault.sent));
        let (step, sent) = match (unseen, self.after) {
            (Some(unseen), _) => unseen,
            (None, (sent, 0)) if sent > 0 => (&self.faults.first()?.step, sent),
            _ => return None,
        };
        Some(format!("no effect: not one of the {sent} requests after {step} failed"))
    }

    /// From the first failed request to the first success that lasts, of all who sent; none where no request failed. It is
    /// over when every caller that had failures gets through again.
    pub(super) fn outage(&self, alerts: &[AlertChanged]) -> Option<Outage> {
        let effect = self.pieces.iter().filter_map(|piece| piece.first_failure).min_by(f64::total_cmp)?;
        let last = self.pieces.iter().filter_map(|piece| piece.last_failure).max_by(f64::total_cmp)?;
        let hit: BTreeSet<_> =
            self.pieces.iter().filter(|piece| piece.failed > 0).map(|piece| piece.caller.as_deref()).collect();
        let recovered = hit.into_iter().map(|caller| self.recovered(caller)).collect::<Option<Vec<_>>>();
        let recovered = recovered.and_then(|all| all.into_iter().max_by(f64::total_cmp));
        let fault = self.faults.iter().filter(|fault| fault.changed && fault.begun <= effect).map(|fault| fault.begun);
        let since = |begun: f64, end: f64| (end >= begun).then(|| rounded(end - begun));
        let (detected, resolved) = called(alerts, effect);
        Some(Outage {
            effect_at: rounded(effect),
            recovered_at: recovered.map(rounded),
            duration: rounded((recovered.unwrap_or(last) - effect).max(0.0)),
            failed_requests: self.pieces.iter().map(|piece| piece.failed).sum(),
            time_to_effect: fault.max_by(f64::total_cmp).and_then(|begun| since(begun, effect)),
            time_to_recovery: self.remedied.zip(recovered).and_then(|(begun, end)| since(begun, end)),
            time_to_detect: detected.and_then(|at| since(effect, at)),
            time_to_mitigate: recovered.and_then(|at| since(effect, at)),
            time_to_resolve: resolved.and_then(|at| since(effect, at)),
        })
    }

    /// The first success of a caller after its last failure. Where it sent in the foreground and in the background at
    /// once, it is exact to the step.
    fn recovered(&self, caller: Option<&str>) -> Option<f64> {
        let own = || self.pieces.iter().filter(|piece| piece.caller.as_deref() == caller);
        let last = own().filter_map(|piece| piece.last_failure).max_by(f64::total_cmp)?;
        own().filter_map(|piece| piece.lasting_success).filter(|success| *success > last).min_by(f64::total_cmp)
    }
}

fn piece(caller: Option<&str>, summary: &Summary, clock: &Clock) -> Piece {
    let start = clock.since_start(summary.start);
    let at = |offset: std::time::Duration| start + seconds(offset);
    let last_failure = summary.last_failure.map(at);
    Piece {
        caller: caller.map(str::to_owned),
        sent: summary.sent,
        failed: summary.failed(),
        first_failure: summary.first_failure.map(at),
        last_failure,
        lasting_success: summary.lasting_success.map(at),
    }
}

/// When the first alert fired after the effect, and when the last of those that did was resolved.
fn called(alerts: &[AlertChanged], effect: f64) -> (Option<f64>, Option<f64>) {
    let fired = || alerts.iter().filter(|alert| alert.state == AlertState::Firing && alert.since >= effect);
    let detected = fired().map(|alert| alert.since).min_by(f64::total_cmp);
    let over = |fired: &AlertChanged| {
        let after = alerts.iter().filter(|alert| alert.name == fired.name && alert.state == AlertState::Resolved);
        after.map(|alert| alert.since).find(|at| *at >= fired.since)
    };
    let resolved = fired().map(over).collect::<Option<Vec<f64>>>();
    (detected, resolved.and_then(|all| all.into_iter().max_by(f64::total_cmp)))
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
