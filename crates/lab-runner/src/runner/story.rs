//! [`Story`]: what the steps so far add up to: the run's status, the outage's clock, and whether each fault had an effect.

use std::collections::BTreeSet;

use super::clock::{Clock, rounded, seconds};
use super::expect::Observed;
use lab_core::event::{AlertChanged, AlertState, Outage, Phase, Status};
use lab_scenario::plan::{Kind, Step};
use lab_traffic::Summary;

/// What is wrong with a practice in which nobody was there to be harmed.
pub(crate) const SILENT: &str = "no request was sent: nothing shows that nobody is harmed";

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
    /// Requests before the first fault.
    before: Toll,
    /// Requests since it, whatever came between.
    after: Toll,
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
    /// When a remedy or another fault came.
    ended: Option<f64>,
    /// Requests while it was present.
    toll: Toll,
    /// A request that started meanwhile failed later.
    late: bool,
}

/// Requests, and how they failed.
#[derive(Debug, Default)]
struct Toll {
    sent: u64,
    failed: u64,
    /// Status codes and causes.
    ways: BTreeSet<String>,
}

impl Toll {
    fn add(&mut self, summary: &Summary) {
        self.sent += summary.sent;
        self.failed += summary.failed();
        let codes = summary.codes.keys().filter(|code| !(200..300).contains(*code)).map(u16::to_string);
        self.ways.extend(codes.chain(summary.errors.keys().map(|cause| cause.name().to_owned())));
    }

    /// Whether a larger share failed than before, or some in a way that none did before.
    fn is_worse(&self, before: &Self) -> bool {
        let share = |part: u64, whole: u64| u128::from(part) * u128::from(whole);
        !self.ways.is_subset(&before.ways) || share(self.failed, before.sent) > share(before.failed, self.sent)
    }
}

/// What a step was, for the story.
pub(super) struct Deed {
    /// When it began, in seconds since the run's start.
    pub(super) begun: f64,
    /// It was to change the lab.
    pub(super) change: bool,
    /// It did.
    pub(super) changed: bool,
}

impl Story {
    pub(super) fn new(kind: Kind, clock: Clock) -> Self {
        Self {
            kind,
            clock,
            status: Status::Held,
            observed: Vec::new(),
            faults: Vec::new(),
            before: Toll::default(),
            after: Toll::default(),
            remedied: None,
            pieces: Vec::new(),
        }
    }

    /// A step's part. What the step expects is judged after it, by [`Story::since`].
    pub(super) fn take(&mut self, step: &Step, deed: &Deed, observed: Observed) {
        match step.phase {
            Phase::Inject if deed.change => self.inject(step, deed),
            Phase::Remedy if deed.changed && !self.faults.is_empty() => {
                self.faults.iter_mut().for_each(|fault| fault.end(deed.begun));
                self.remedied.get_or_insert(deed.begun);
            }
            _ => {}
        }
        for (caller, summary) in observed.traffic() {
            let piece = piece(caller, summary, &self.clock);
            let toll = if self.faults.is_empty() { &mut self.before } else { &mut self.after };
            toll.add(summary);
            self.faults.iter_mut().for_each(|fault| fault.take(&piece, summary));
            self.pieces.push(piece);
        }
        self.observed.push(observed);
    }

    fn inject(&mut self, step: &Step, deed: &Deed) {
        match self.faults.last_mut() {
            Some(fault) if fault.ended.is_none() && fault.toll.sent == 0 => fault.changed |= deed.changed,
            last => {
                if let Some(last) = last {
                    last.end(deed.begun);
                }
                let Deed { begun, changed, .. } = *deed;
                let (step, toll) = (step.name.clone(), Toll::default());
                self.faults.push(Fault { step, begun, changed, ended: None, toll, late: false });
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

    /// What is wrong with the run as a whole although its steps may hold: only of a run that came to its end. `whole`: no step
    /// was left out.
    pub(super) fn objection(&self, whole: bool) -> Option<String> {
        if matches!(self.status, Status::Error | Status::Interrupted) {
            return None;
        }
        match self.kind {
            Kind::Incident => self.without_effect(),
            Kind::Practice => {
                let count = |all: (u64, u64), piece: &Piece| (all.0 + piece.sent, all.1 + piece.failed);
                let (sent, failed) = self.pieces.iter().fold((0, 0), count);
                let silent = (whole && sent == 0).then(|| SILENT.to_owned());
                silent.or_else(|| (failed > 0).then(|| format!("{failed} of {sent} requests failed, and none may")))
            }
            Kind::Part => None,
        }
    }

    /// The first fault of which the traffic saw nothing while it was there: no failure, or none but those that it had seen
    /// before the first fault. Where no traffic followed at all, there is nothing to judge by.
    fn without_effect(&self) -> Option<String> {
        if let Some(fault) = self.faults.iter().find(|fault| !fault.changed) {
            return Some(format!("no effect: {} changed nothing", fault.step));
        }
        let unseen = |fault: &&Fault| fault.toll.sent > 0 && !fault.late && !fault.toll.is_worse(&self.before);
        let (step, toll) = match self.faults.iter().find(unseen) {
            Some(fault) => (&fault.step, &fault.toll),
            // Nobody sent while one was there.
            None if self.faults.iter().all(|fault| fault.toll.sent == 0 && !fault.late) => {
                (&self.faults.first()?.step, &self.after)
            }
            None => return None,
        };
        match toll {
            Toll { sent: 0, .. } => None,
            Toll { sent, failed: 0, .. } => {
                Some(format!("no effect: not one of the {sent} requests after {step} failed"))
            }
            toll if toll.is_worse(&self.before) => None,
            Toll { sent, .. } => {
                Some(format!("no effect: the {sent} requests after {step} failed as those before it did"))
            }
        }
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

impl Fault {
    /// A remedy or another fault came, if none had before.
    fn end(&mut self, at: f64) {
        self.ended.get_or_insert(at);
    }

    /// What a caller saw since it began.
    fn take(&mut self, piece: &Piece, summary: &Summary) {
        match self.ended {
            None => self.toll.add(summary),
            Some(ended) => {
                let meanwhile = |at: f64| (self.begun..ended).contains(&at);
                self.late |= piece.failed > 0 && piece.first_failure.is_some_and(meanwhile);
            }
        }
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
