//! [`PublicView`]: what a participant may see of a running drill. Nothing in it reveals the phase: no impact before the ticket,
//! and no verdict. The callers' success can be seen from outside, as on a status page.

use lab_core::diagnosis::Finding;
use serde::Serialize;

use super::window::SECONDS;
use super::{Answer, Change, Drill, End, NamedWrongFix, Phase};
use crate::event::Known;
use crate::messages::{Ticket, ticket_after};

/// Number of seconds in [`PublicView::seconds`].
const CHART: usize = 120;

/// What a participant may see of a drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublicView {
    /// Id of the drill.
    pub id: String,
    /// Name of the lab.
    pub lab: String,
    /// SHA-256 of the secret, as 64 hexadecimal digits.
    pub commitment: String,
    /// What the participant knew beforehand.
    pub known: Known,
    /// Verdicts and wrong fixes are shown at once.
    pub coach: bool,
    /// Drill time in milliseconds.
    pub clock: u64,
    /// The referee cannot look, so drill time stands still.
    pub unknown: bool,
    /// Last acknowledgement. Those before the incident are left out once the ticket has arrived.
    pub acknowledged: Option<u64>,
    /// The callers, in the order of the start.
    pub callers: Vec<PublicCaller>,
    /// The last two minutes, second by second.
    pub seconds: Vec<PublicSecond>,
    /// Services that do not run.
    pub down: Vec<String>,
    /// Opened hints, in the order in which they were opened.
    pub hints: Vec<PublicHint>,
    /// First hint that is not open yet.
    pub next_hint: Option<PublicHint>,
    /// Number of hints.
    pub hint_count: usize,
    /// The participant's diagnoses.
    pub tries: Vec<PublicTry>,
    /// The participant's changes.
    pub changes: Vec<Change>,
    /// The phase. `None` while it is hidden: until the end, unless the drill is coached.
    pub phase: Option<Phase>,
    /// Named wrong fixes. Empty while they are hidden, like [`PublicView::phase`].
    pub wrong_fixes: Vec<NamedWrongFix>,
    /// End of the drill.
    pub ended: Option<End>,
}

/// One caller's requests over the last 10 seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublicCaller {
    /// Its name.
    pub name: String,
    /// Its rate in requests per second.
    pub rate: f64,
    /// Requests sent.
    pub sent: u32,
    /// Requests that succeeded.
    pub succeeded: u32,
}

/// All callers' requests of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicSecond {
    /// Its end, in drill time in milliseconds.
    pub at: u64,
    /// Requests sent.
    pub sent: u32,
    /// Requests that succeeded.
    pub succeeded: u32,
}

/// A hint, with its text only if it is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicHint {
    /// Index into the hints.
    pub index: usize,
    /// What it is about.
    pub about: String,
    /// Its price in percent of the points for diagnosis and resolution.
    pub cost: u8,
    /// When it was opened, and its text.
    pub open: Option<(u64, String)>,
}

/// A diagnosis of the participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicTry {
    /// When.
    pub at: u64,
    /// The findings.
    pub findings: Vec<Finding>,
    /// How it compares with the right one. `None` before the ticket, because the answer would tell whether there is an
    /// incident.
    pub answer: Option<Answer>,
}

impl Drill {
    /// What the participant may see.
    pub fn public(&self) -> PublicView {
        let started = &self.started;
        let open = self.is_open();
        let hint = |index: usize| self.public_hint(index);
        PublicView {
            id: started.id.clone(),
            lab: started.lab.clone(),
            commitment: started.commitment.clone(),
            known: started.known,
            coach: started.coach,
            clock: self.clock,
            unknown: self.is_unknown(),
            acknowledged: self.public_acknowledgement(),
            callers: self.public_callers(),
            seconds: self.public_seconds(CHART),
            down: self.down.clone(),
            hints: self.hints.iter().filter_map(|opened| hint(opened.index)).collect(),
            next_hint: self.next_hint().and_then(hint),
            hint_count: started.brief.hints.len(),
            tries: self.public_tries(),
            changes: self.changes.clone(),
            phase: open.then(|| self.phase()),
            wrong_fixes: if open { self.mistakes().cloned().collect() } else { Vec::new() },
            ended: self.ended,
        }
    }

    /// Index of the first hint that is not open yet.
    pub fn next_hint(&self) -> Option<usize> {
        (0..self.started.brief.hints.len()).find(|index| !self.hints.iter().any(|hint| hint.index == *index))
    }

    /// Verdicts may be shown: the drill is coached, or over.
    pub fn is_open(&self) -> bool {
        self.started.coach || self.ended.is_some()
    }

    /// When the ticket arrives, if there is an impact.
    pub fn ticket_at(&self) -> Option<u64> {
        self.impact.map(|impact| impact.saturating_add(ticket_after(self)))
    }

    /// The ticket, once it has arrived.
    pub fn ticket(&self) -> Option<Ticket<'_>> {
        let at = self.ticket_at().filter(|at| *at <= self.clock)?;
        Some(Ticket { at, text: &self.started.brief.ticket })
    }

    fn public_acknowledgement(&self) -> Option<u64> {
        match self.ticket() {
            Some(_) => self.acknowledged(),
            None => self.acknowledgements.last().copied(),
        }
    }

    pub(crate) fn public_hint(&self, index: usize) -> Option<PublicHint> {
        let hint = self.started.brief.hints.get(index)?;
        let opened = self.hints.iter().find(|opened| opened.index == index);
        let open = opened.map(|opened| (opened.at, hint.text.clone()));
        Some(PublicHint { index, about: hint.about.clone(), cost: hint.cost, open })
    }

    fn public_callers(&self) -> Vec<PublicCaller> {
        let last = &self.seconds[self.seconds.len().saturating_sub(SECONDS)..];
        let callers = self.started.callers.iter().enumerate();
        callers
            .map(|(index, (name, rate))| {
                let requests = last.iter().filter_map(|second| second.callers.get(index));
                let (sent, succeeded) = requests.fold((0, 0), |sum, second| (sum.0 + second.0, sum.1 + second.1));
                PublicCaller { name: name.clone(), rate: *rate, sent, succeeded }
            })
            .collect()
    }

    /// The last `count` seconds.
    pub(crate) fn public_seconds(&self, count: usize) -> Vec<PublicSecond> {
        let last = &self.seconds[self.seconds.len().saturating_sub(count)..];
        last.iter()
            .map(|second| {
                let sent = second.callers.iter().map(|(sent, _)| sent).sum();
                let succeeded = second.callers.iter().map(|(_, succeeded)| succeeded).sum();
                PublicSecond { at: second.at, sent, succeeded }
            })
            .collect()
    }

    fn public_tries(&self) -> Vec<PublicTry> {
        let told = self.is_open() || self.ticket().is_some();
        let tries = self.tries.iter();
        tries
            .map(|one| PublicTry { at: one.at, findings: one.findings.clone(), answer: told.then_some(one.answer) })
            .collect()
    }
}
