//! The verdicts *mitigated*, *masked* and *resolved*, and the phase that follows from them.

use serde::Serialize;

use super::{Drill, NamedWrongFix};

/// Drill time in milliseconds after which a mitigation that is not resolved counts as masked.
pub(crate) const MASKED_AFTER: u64 = 20_000;

/// Longest time in milliseconds between a change and its entry in the log.
const CHANGE_LAG: u64 = 2000;

/// Phase of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No request failed since the injection, if there was one.
    Quiet,
    /// Requests fail.
    Broken,
    /// Every caller succeeds again.
    Mitigated,
    /// Every caller succeeds, but the cause is still there 20 seconds later.
    Masked,
    /// Every caller succeeds, every service runs, and the cause is removed.
    Resolved,
    /// The drill is over.
    Ended,
}

/// Begin of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Drill time in milliseconds.
    pub at: u64,
    /// The phase.
    pub phase: Phase,
}

/// Time in which a verdict held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its begin.
    pub at: u64,
    /// When it was revoked. `None` if it still holds.
    pub until: Option<u64>,
    /// When the referee knew its begin. A mitigation is known 10 seconds later.
    pub known: u64,
}

impl Span {
    /// Whether the verdict held at a time.
    pub fn contains(&self, at: u64) -> bool {
        self.at <= at && self.until.is_none_or(|until| at < until)
    }

    /// The time `at`, or later if the referee knew the verdict only later. `None` if it knew by then that the verdict was
    /// revoked.
    pub(crate) fn known_since(&self, at: u64) -> Option<u64> {
        let at = at.max(self.known);
        // A relapse is known at the end of its first second.
        self.until.is_none_or(|until| at < until.saturating_add(1000)).then_some(at)
    }
}

/// Time in which every caller succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mitigation {
    /// Begin of the first window in which every caller succeeded, and end of the last one.
    #[serde(flatten)]
    pub span: Span,
    /// When it turned out to be masked: not resolved 20 seconds after its begin.
    pub masked: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts {
    mitigations: Vec<Mitigation>,
    resolutions: Vec<Span>,
    /// Times of the checks that passed since the last one that failed.
    passes: Vec<u64>,
    /// A service does not run.
    down: bool,
    /// Time of the last change of `down`.
    running_since: u64,
}

fn standing(span: &Span) -> Option<u64> {
    span.until.is_none().then_some(span.at)
}

impl Verdicts {
    fn mitigated(&self) -> Option<u64> {
        self.mitigations.last().and_then(|mitigation| standing(&mitigation.span))
    }

    fn resolved(&self) -> Option<u64> {
        self.resolutions.last().and_then(standing)
    }

    /// Applies what follows from time alone.
    pub(super) fn advance(&mut self, clock: u64) {
        let resolved = self.resolved();
        if let Some(mitigation) = self.mitigations.last_mut()
            && resolved.is_none()
            && mitigation.span.until.is_none()
            && clock >= mitigation.span.at + MASKED_AFTER
        {
            mitigation.masked = mitigation.masked.or(Some(mitigation.span.at + MASKED_AFTER));
        }
    }

    /// A window in which every caller succeeds begins at `start`.
    pub(super) fn mitigate(&mut self, start: u64, known: u64) {
        if self.mitigated().is_none() {
            // A window may begin before the second that ended the last mitigation.
            let start = self.mitigations.last().and_then(|last| last.span.until).map_or(start, |end| start.max(end));
            self.mitigations.push(Mitigation { span: Span { at: start, until: None, known }, masked: None });
        }
    }

    /// A window in which a caller fails ends with the second that begins at `at`.
    pub(super) fn relapse(&mut self, at: u64) {
        if let Some(mitigation) = self.mitigations.last_mut().filter(|last| last.span.until.is_none()) {
            mitigation.span.until = Some(at.max(mitigation.span.at));
            self.revoke(at);
        }
    }

    fn revoke(&mut self, at: u64) {
        let Some(resolution) = self.resolutions.last_mut().filter(|last| last.until.is_none()) else { return };
        resolution.until = Some(at);
        // A check may pass in the second in which the callers fail again.
        if at <= resolution.at {
            self.resolutions.pop();
        }
    }

    /// Notes the result of a check.
    pub(super) fn check(&mut self, at: u64, passed: bool) {
        if passed {
            self.passes.push(at);
        } else {
            self.passes.clear();
        }
        self.judge(at);
    }

    /// Notes whether every service runs.
    pub(super) fn services(&mut self, at: u64, running: bool) {
        self.down = !running;
        self.running_since = at;
        self.judge(at);
    }

    /// Compares the verdict *resolved* with the facts.
    pub(super) fn judge(&mut self, clock: u64) {
        let first = self.mitigated().and_then(|mitigated| self.passes.iter().copied().find(|at| *at >= mitigated));
        match first {
            _ if self.down || self.passes.is_empty() => self.revoke(clock),
            Some(at) if self.resolved().is_none() => {
                let end = self.resolutions.last().and_then(|last| last.until).unwrap_or_default();
                self.resolutions.push(Span { at: at.max(end).max(self.running_since), until: None, known: clock });
            }
            _ => {}
        }
        self.advance(clock);
    }
}

impl Drill {
    /// Begin of the mitigation that still holds.
    pub fn mitigated(&self) -> Option<u64> {
        self.verdicts.mitigated()
    }

    /// When the mitigation that still holds turned out to be masked. `None` once it is resolved.
    pub fn masked(&self) -> Option<u64> {
        let mitigation = self.mitigations().last().filter(|last| last.span.until.is_none())?;
        mitigation.masked.filter(|_| self.resolved().is_none())
    }

    /// Time of the resolution that still holds.
    pub fn resolved(&self) -> Option<u64> {
        self.verdicts.resolved()
    }

    /// All times in which every caller succeeded after the impact.
    pub fn mitigations(&self) -> &[Mitigation] {
        &self.verdicts.mitigations
    }

    /// All times in which the incident was resolved.
    pub fn resolutions(&self) -> &[Span] {
        &self.verdicts.resolutions
    }

    /// The last mitigation, if it was revoked.
    pub fn lost_mitigation(&self) -> Option<Span> {
        self.mitigations().last().map(|mitigation| mitigation.span).filter(|span| span.until.is_some())
    }

    /// The last resolution, if it was revoked.
    pub fn lost_resolution(&self) -> Option<Span> {
        self.resolutions().last().copied().filter(|span| span.until.is_some())
    }

    /// The named wrong fix that made the callers succeed while the cause stayed, for the mitigation that still holds: it was
    /// the last change before them.
    pub fn masking_fix(&self) -> Option<&NamedWrongFix> {
        let mitigation = self.mitigations().last().filter(|last| last.span.until.is_none() && last.masked.is_some())?;
        let mut before = self.changes.iter().filter(|change| change.at <= mitigation.span.at + CHANGE_LAG);
        let change = before.next_back()?.at;
        self.mistakes().find(|fix| fix.changed == Some(change))
    }

    /// The named wrong fixes that count: those that were no step on the way to the resolution. Wrong fixes are recognized with
    /// other values than the scenario's, so the last change before the resolution may look like one; it is none.
    pub fn mistakes(&self) -> impl Iterator<Item = &NamedWrongFix> {
        let resolved = self.resolved();
        let last = resolved.and_then(|resolved| self.changes.iter().rev().find(|change| change.at <= resolved));
        let last = last.map(|change| change.at);
        let is_partial = |name: &str| self.started.brief.wrong_fixes.iter().any(|fix| fix.name == name && fix.partial);
        let is_step = move |fix: &NamedWrongFix| is_partial(&fix.name) || (last.is_some() && fix.changed == last);
        self.wrong_fixes.iter().filter(move |fix| resolved.is_none() || !is_step(fix))
    }

    /// Phase after the last entry.
    pub fn phase(&self) -> Phase {
        if self.ended.is_some() { Phase::Ended } else { self.phase_at(self.clock) }
    }

    /// Phase at a time before the end, as it is known now. A mitigation is known 10 seconds after its begin.
    pub fn phase_at(&self, at: u64) -> Phase {
        if self.impact.is_none_or(|impact| at < impact) {
            return Phase::Quiet;
        }
        if self.resolutions().iter().any(|span| span.contains(at)) {
            return Phase::Resolved;
        }
        match self.mitigations().iter().find(|mitigation| mitigation.span.contains(at)) {
            Some(mitigation) if mitigation.masked.is_some_and(|masked| masked <= at) => Phase::Masked,
            Some(_) => Phase::Mitigated,
            None => Phase::Broken,
        }
    }

    /// All phases in order.
    pub fn turns(&self) -> Vec<Turn> {
        let end = self.ended.map(|end| end.at);
        let spans = self.mitigations().iter().flat_map(|last| [Some(last.span.at), last.span.until, last.masked]);
        let resolutions = self.resolutions().iter().flat_map(|span| [Some(span.at), span.until]);
        let mut times: Vec<u64> = spans.chain(resolutions).chain([Some(0), self.impact]).flatten().collect();
        times.retain(|at| end.is_none_or(|end| *at < end));
        times.sort_unstable();
        let mut turns: Vec<Turn> = times.into_iter().map(|at| Turn { at, phase: self.phase_at(at) }).collect();
        turns.extend(end.map(|at| Turn { at, phase: Phase::Ended }));
        turns.dedup_by_key(|turn| turn.phase);
        turns
    }
}
