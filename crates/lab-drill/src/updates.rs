//! Updates to others: when one is due, and how each is judged by the facts of its time.
//!
//! The first update is due 5 minutes after the ticket. It does not depend on the acknowledgement, so noticing early never makes
//! an update late. After it, the next one is due when the promised time has passed, or after 15 minutes without a promise. An
//! update with the state *resolved* closes the incident: nothing is due after it. Every incident needs a closing update that is
//! true. A participant does not know the verdicts, so a careful claim is true: an incident that is resolved may still be called
//! *monitoring*.

use serde::Serialize;

use crate::drill_time;
use crate::event::{Affected, Audience, ClaimedState, Update};
use crate::fold::{Answer, Drill, SentUpdate, Share};

pub mod warning;

#[cfg(test)]
mod tests;

use warning::{Kind, warnings};

/// Drill time in milliseconds between the ticket and the first update.
pub const FIRST_AFTER: u64 = 300_000;
/// Longest drill time in milliseconds between two updates without a promise.
pub const INTERVAL: u64 = 900_000;
/// Longest promise that counts, in milliseconds.
pub const LONGEST_PROMISE: u64 = 1_800_000;
/// Points of an update.
pub const POINTS: u32 = 10;
/// Maximum length of the free line, in characters.
pub const LENGTH: usize = 500;
/// Drill time in milliseconds within which an update with the same claims only repeats the one before.
const REPEATS_WITHIN: u64 = 60_000;
/// Largest error of the stated begin, in milliseconds.
const SINCE_TOLERANCE: u64 = 120_000;

/// Why a text cannot be the free line of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLine {
    /// There is none.
    #[error("the text is empty")]
    Empty,
    /// It contains line breaks or other control characters.
    #[error("the text must be one line")]
    SeveralLines,
    /// It is too long.
    #[error("the text has {0} characters; at most {LENGTH} fit")]
    TooLong(usize),
}

/// Checks the free line of an update, and trims it.
///
/// # Errors
/// If it is empty, too long, or not one line.
pub fn free_line(text: &str) -> Result<String, InvalidLine> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(InvalidLine::Empty),
        _ if text.chars().any(char::is_control) => Err(InvalidLine::SeveralLines),
        length if length > LENGTH => Err(InvalidLine::TooLong(length)),
        _ => Ok(text.to_owned()),
    }
}

/// An update that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Due {
    /// Until when, in drill time in milliseconds.
    pub at: u64,
    /// Time of the update that promised it. `None` for the first one.
    pub after: Option<u64>,
    /// When it was written. `None` if it was not.
    pub sent: Option<u64>,
}

/// One thing that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// It was written before it was overdue.
    InTime,
    /// The claimed state is true.
    State,
    /// The claimed impact is true.
    Impact,
    /// The promise of the next update was kept.
    Promise,
    /// It has no estimate of the resolution and no internals.
    Content,
}

/// Judgement of one criterion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// What is judged.
    pub criterion: Criterion,
    /// Points.
    pub points: u32,
    /// Possible points.
    pub maximum: u32,
    /// The reason, as a sentence without its period.
    pub reason: String,
}

/// Judgement of one update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// When it was written, in drill time in milliseconds.
    pub at: u64,
    /// It only repeats the one before and does not count.
    pub repeats: bool,
    /// One per criterion, in fixed order.
    pub criteria: Vec<Point>,
}

/// An update that was asked and not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// When it was due, in drill time in milliseconds. The end of the drill for a closing update.
    pub at: u64,
    /// It is the closing update.
    pub closing: bool,
}

/// Judgement of all updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgements {
    /// Each update.
    pub updates: Vec<Judgement>,
    /// Updates that were asked and not written.
    pub missed: Vec<Missed>,
    /// Points of all updates.
    pub points: u32,
    /// Possible points: 10 for each update that was written or asked.
    pub asked: u32,
    /// Number of secrets that were disclosed.
    pub disclosed: u32,
}

impl Judgement {
    /// Points of the update.
    pub fn points(&self) -> u32 {
        self.criteria.iter().map(|point| point.points).sum()
    }
}

/// All updates that were due until `now`, and the next one if it is known. In order; empty before the ticket has arrived.
pub fn dues(drill: &Drill, now: u64) -> Vec<Due> {
    let Some(ticket) = drill.ticket_at().filter(|ticket| *ticket <= now) else { return Vec::new() };
    let updates: Vec<&SentUpdate> = drill.updates.iter().filter(|update| update.at <= now).collect();
    let mut dues = vec![Due { at: ticket + FIRST_AFTER, after: None, sent: updates.first().map(|update| update.at) }];
    for (index, sent) in updates.iter().enumerate() {
        if sent.update.state == ClaimedState::Resolved {
            continue;
        }
        let at = sent.at + promise(&sent.update).unwrap_or(INTERVAL);
        dues.push(Due { at, after: Some(sent.at), sent: updates.get(index + 1).map(|next| next.at) });
    }
    dues
}

/// The update that is due next, or overdue. It tells the participant nothing that the ticket and the own updates do not.
pub fn next_due(drill: &Drill, now: u64) -> Option<Due> {
    let due = dues(drill, now).pop()?;
    (drill.ended.is_none() && due.sent.is_none()).then_some(due)
}

/// No update has closed the incident so far, as far as the participant knows: the last one does not claim that it is resolved.
pub fn needs_closing(drill: &Drill) -> bool {
    let closed = drill.updates.last().is_some_and(|sent| sent.update.state == ClaimedState::Resolved);
    !closed && (drill.ticket().is_some() || !drill.updates.is_empty())
}

/// Judges all updates by the facts of their times.
pub fn judge(drill: &Drill) -> Judgements {
    let end = drill.clock;
    let dues = dues(drill, end);
    let updates: Vec<Judgement> = (0..drill.updates.len()).map(|index| judge_one(drill, &dues, index)).collect();
    let mut missed = missed(&dues, end);
    if drill.impact.is_some() && !drill.updates.iter().any(|sent| closes(drill, sent)) {
        missed.push(Missed { at: end, closing: true });
    }
    let counted = updates.iter().filter(|judgement| !judgement.repeats);
    let points = counted.clone().map(Judgement::points).sum();
    let asked = u32::try_from(counted.count() + missed.len()).unwrap_or(u32::MAX).saturating_mul(POINTS);
    let disclosed = drill.updates.iter().map(|sent| sent.update.disclosed).fold(0, u32::saturating_add);
    Judgements { updates, missed, points, asked, disclosed }
}

/// Drill time that an update promises, in milliseconds. Promises that are too long to count are `None`.
fn promise(update: &Update) -> Option<u64> {
    update.next.and_then(|next| next.checked_mul(1000)).filter(|next| *next <= LONGEST_PROMISE)
}

/// Silence counts as one missed update, and as another one every 15 minutes.
fn missed(dues: &[Due], end: u64) -> Vec<Missed> {
    let mut missed = Vec::new();
    for due in dues {
        // An update that is late is judged as such. It makes up for the first one that it was late for.
        let mut at = if due.sent.is_some() { due.at + INTERVAL } else { due.at };
        while at < due.sent.unwrap_or(end).min(end) {
            missed.push(Missed { at, closing: false });
            at += INTERVAL;
        }
    }
    missed
}

fn closes(drill: &Drill, sent: &SentUpdate) -> bool {
    sent.update.state == ClaimedState::Resolved && drill.resolutions().iter().any(|span| span.contains(sent.at))
}

fn judge_one(drill: &Drill, dues: &[Due], index: usize) -> Judgement {
    let sent = &drill.updates[index];
    let before = index.checked_sub(1).and_then(|index| drill.updates.get(index));
    let repeats = before.is_some_and(|before| {
        let same = before.update.state == sent.update.state && before.update.affected == sent.update.affected;
        same && sent.at < before.at + REPEATS_WITHIN
    });
    let due = dues.iter().find(|due| due.sent == Some(sent.at));
    let criteria = vec![
        judge_time(sent, due),
        judge_state(drill, sent),
        judge_impact(drill, sent),
        judge_promise(drill, sent, drill.updates.get(index + 1)),
        judge_content(&sent.update),
    ];
    Judgement { at: sent.at, repeats, criteria }
}

fn point(criterion: Criterion, maximum: u32, passed: bool, reason: impl Into<String>) -> Point {
    Point { criterion, points: if passed { maximum } else { 0 }, maximum, reason: reason.into() }
}

fn judge_time(sent: &SentUpdate, due: Option<&Due>) -> Point {
    let late = due.map_or(0, |due| sent.at.saturating_sub(due.at));
    let reason = match due {
        None => "nothing was due".to_owned(),
        Some(_) if late == 0 => "written before it was overdue".to_owned(),
        Some(due) => format!("due at {}, {} late", drill_time(due.at), drill_time(late)),
    };
    point(Criterion::InTime, 3, late == 0, reason)
}

fn judge_state(drill: &Drill, sent: &SentUpdate) -> Point {
    let found = drill.tries.iter().find(|one| one.at <= sent.at && one.answer != Answer::Wrong);
    let healthy = drill.impact.is_none() && sent.share.is_some_and(Share::is_healthy);
    let mitigated = healthy || drill.mitigations().iter().any(|last| last.span.contains(sent.at));
    let (passed, reason) = match sent.update.state {
        ClaimedState::Investigating => match found {
            Some(found) => (false, format!("the cause was found at {}", drill_time(found.at))),
            None => (true, "the cause was not found yet".to_owned()),
        },
        ClaimedState::Identified => match found {
            Some(found) => (true, format!("the cause was found at {}", drill_time(found.at))),
            None => (false, "no right diagnosis had been given".to_owned()),
        },
        ClaimedState::Resolved if healthy || closes(drill, sent) => (true, "the incident was over".to_owned()),
        ClaimedState::Resolved if mitigated => {
            (false, "the callers succeeded, but the cause was still there".to_owned())
        }
        ClaimedState::Monitoring if mitigated => (true, "the callers succeeded".to_owned()),
        ClaimedState::Monitoring | ClaimedState::Resolved => (false, "the callers still failed".to_owned()),
    };
    point(Criterion::State, 2, passed, reason)
}

fn judge_impact(drill: &Drill, sent: &SentUpdate) -> Point {
    let Some(share) = sent.share else {
        return point(Criterion::Impact, 2, true, "the referee had not seen any request");
    };
    let failing = share.failing();
    // The ranges overlap, so that a claim at a border is true.
    let (passed, claim) = match sent.update.affected {
        Affected::Nobody => (failing <= 0.05, "nobody"),
        Affected::Some => (failing > 0.01 && failing < 0.99, "some"),
        Affected::Everybody => (failing >= 0.8, "everybody"),
    };
    let percent = failing * 100.0;
    let mut reason = format!("\"{claim}\", and {percent:.0} % of the requests failed");
    let error = sent.update.since.zip(drill.impact).map(|(since, impact)| since.abs_diff(impact));
    let wrong = error.filter(|error| *error > SINCE_TOLERANCE);
    if let Some(error) = wrong {
        reason = format!("{reason}; the stated begin is wrong by {}", drill_time(error));
    }
    point(Criterion::Impact, 2, passed && wrong.is_none(), reason)
}

fn judge_promise(drill: &Drill, sent: &SentUpdate, next: Option<&SentUpdate>) -> Point {
    let (passed, reason) = match (promise(&sent.update), next) {
        _ if sent.update.state == ClaimedState::Resolved => (true, "it closes the incident".to_owned()),
        (None, _) if sent.update.next.is_some() => (false, "it promises nothing within 30 minutes".to_owned()),
        (None, _) => (false, "it does not promise the next update".to_owned()),
        (Some(promise), Some(next)) if next.at <= sent.at + promise => (true, "the next one came in time".to_owned()),
        (Some(promise), None) if drill.clock <= sent.at + promise => (true, "the drill ended before".to_owned()),
        (Some(promise), _) => (false, format!("the next one did not come by {}", drill_time(sent.at + promise))),
    };
    point(Criterion::Promise, 2, passed, reason)
}

fn judge_content(update: &Update) -> Point {
    let found = warnings(update.to, &update.text, &lab_core::event::Secrets::default());
    let reason = match found.first() {
        _ if update.disclosed > 0 => "it discloses a secret".to_owned(),
        Some(warning) if warning.kind == Kind::Estimate => format!("it estimates the end: \"{}\"", warning.text),
        Some(warning) => format!("it names an internal: \"{}\"", warning.text),
        None if update.to == Audience::Internal => "no estimate".to_owned(),
        None => "no estimate and no internals".to_owned(),
    };
    point(Criterion::Content, 1, found.is_empty() && update.disclosed == 0, reason)
}
