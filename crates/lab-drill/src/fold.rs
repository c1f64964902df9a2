//! [`Drill`]: the fold of a drill's log, entry by entry. Verdicts follow from the callers' traffic, from the
//! state of the services and from the referee's checks. All times are drill times in milliseconds since the start, so they
//! stand still while the referee is away or cannot look.

use chrono::{DateTime, Utc};
use lab_core::diagnosis::{Diagnosis, Finding};
use serde::Serialize;

use crate::event::{Check, Ending, Entry, Event, Started, Update};

mod gap;
mod pending;
mod public;
mod verdict;
mod window;

#[cfg(test)]
mod tests;

pub use gap::Gap;
pub use pending::Pending;
pub use public::{PublicCaller, PublicHint, PublicSecond, PublicTry, PublicView};
pub use verdict::{Mitigation, Phase, Span, Turn};
pub use window::{Second, Share};

use gap::Gaps;
use verdict::Verdicts;
use window::{Heard, Window};

/// A log that does not begin with [`Event::Started`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log does not begin with the start of a drill")]
pub struct NotStarted;

/// Fold of a drill's log so far. It contains what is hidden from the participant; [`Drill::public`] does not.
#[derive(Clone, Debug)]
pub struct Drill {
    /// What was decided at the start.
    pub started: Box<Started>,
    /// Time of the start.
    pub at: DateTime<Utc>,
    /// Time of the last entry.
    pub last_at: DateTime<Utc>,
    /// Drill time of the last entry.
    pub clock: u64,
    /// The referee began to inject the fault.
    pub injecting: Option<u64>,
    /// The fault was injected completely.
    pub broken: Option<u64>,
    /// Reason why the fault could not be injected.
    pub failure: Option<String>,
    /// Start of the first second after [`Drill::injecting`] in which a caller's request failed.
    pub impact: Option<u64>,
    /// Start of the first second in which a request failed after a change of the participant, in a drill without impact.
    pub self_inflicted: Option<u64>,
    /// Times at which the participant acknowledged an incident, false ones included.
    pub acknowledgements: Vec<u64>,
    /// Hints in the order in which they were opened, each once.
    pub hints: Vec<OpenedHint>,
    /// Diagnoses in order.
    pub tries: Vec<Try>,
    /// Changes of the participant in order.
    pub changes: Vec<Change>,
    /// What the participant looked at, in order.
    pub looks: Vec<Look>,
    /// Named wrong fixes, each once.
    pub wrong_fixes: Vec<NamedWrongFix>,
    /// Updates in order.
    pub updates: Vec<SentUpdate>,
    /// Messages from outside of the scenario.
    pub notes: Vec<Note>,
    /// Services that do not run.
    pub down: Vec<String>,
    /// The last check and its time.
    pub check: Option<(u64, Check)>,
    /// The callers' requests, second by second.
    pub seconds: Vec<Second>,
    /// End of the drill.
    pub ended: Option<End>,
    /// What could not be restored after the drill. `None` before the lab was restored.
    pub restored: Option<Vec<String>>,
    gaps: Gaps,
    heard: Heard,
    window: Window,
    verdicts: Verdicts,
}

/// A hint that the participant opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OpenedHint {
    /// When it was opened first.
    pub at: u64,
    /// Index into the hints of the brief.
    pub index: usize,
}

/// A diagnosis of the participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Try {
    /// When.
    pub at: u64,
    /// The findings.
    pub findings: Vec<Finding>,
    /// How it compares with the right diagnosis.
    pub answer: Answer,
}

/// How a diagnosis compares with the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// A finding is wrong, or there is none.
    Wrong,
    /// One of two faults is found, and nothing else is named.
    Partial,
    /// Exactly the right findings, in any order.
    Right,
}

/// A change that the participant made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    pub at: u64,
    /// Service, or `callers`.
    pub subject: String,
    /// Number of its revision.
    pub revision: u64,
    /// The change in words, with secrets masked.
    pub text: String,
}

/// Something that the participant looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    /// When.
    pub at: u64,
    /// The command, such as `metrics` or `logs app`.
    pub what: String,
}

/// A wrong fix that was recognized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedWrongFix {
    /// When the referee recognized it.
    pub at: u64,
    /// Its name in the brief.
    pub name: String,
    /// Time of the change that completed it.
    pub changed: Option<u64>,
}

/// An update that the participant wrote, with the facts of that time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SentUpdate {
    /// When.
    pub at: u64,
    /// The update.
    pub update: Update,
    /// The callers' requests of the last 10 seconds before it, or of the last 3 if they have no failure. `None` if the referee did not see any second.
    pub share: Option<Share>,
}

/// A message from outside of the scenario, such as from a trainer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// When.
    pub at: u64,
    /// Who writes it.
    pub from: String,
    /// The message.
    pub text: String,
}

/// End of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// When.
    pub at: u64,
    /// How.
    pub by: Ending,
}

impl Drill {
    /// Drill that has just started.
    pub fn new(at: DateTime<Utc>, clock: u64, started: Started) -> Self {
        Self {
            window: Window::new(&started.callers),
            heard: Heard::new(started.callers.len()),
            started: Box::new(started),
            at,
            last_at: at,
            clock,
            injecting: None,
            broken: None,
            failure: None,
            impact: None,
            self_inflicted: None,
            acknowledgements: Vec::new(),
            hints: Vec::new(),
            tries: Vec::new(),
            changes: Vec::new(),
            looks: Vec::new(),
            wrong_fixes: Vec::new(),
            updates: Vec::new(),
            notes: Vec::new(),
            down: Vec::new(),
            check: None,
            gaps: Gaps::default(),
            seconds: Vec::new(),
            ended: None,
            restored: None,
            verdicts: Verdicts::default(),
        }
    }

    /// Drill of a log. Fails if the log is empty or does not begin with the start.
    pub fn from_entries<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, NotStarted> {
        let mut entries = entries.into_iter();
        let first = entries.next().ok_or(NotStarted)?;
        let Event::Started(started) = &first.event else { return Err(NotStarted) };
        let mut drill = Self::new(first.at, first.clock, (**started).clone());
        entries.for_each(|entry| drill.apply(entry));
        Ok(drill)
    }

    /// Adds the next entry of the log. After the end, only [`Event::Restored`] has an effect.
    pub fn apply(&mut self, entry: &Entry) {
        if let Event::Restored { errors } = &entry.event {
            self.restored = Some(errors.clone());
        }
        if self.ended.is_some() {
            return;
        }
        self.gaps.pass((self.last_at, self.clock), entry);
        self.last_at = entry.at;
        self.clock = self.clock.max(entry.clock);
        self.verdicts.advance(self.clock);
        match &entry.event {
            Event::Started(_) | Event::Restored { .. } => {}
            Event::Second { callers } => self.add_second(callers),
            Event::Watching { .. } | Event::Unknown { .. } | Event::Known => self.follow_referee(entry),
            Event::Injecting | Event::Broken | Event::Failed { .. } => self.follow_injection(&entry.event),
            Event::Services { down } => {
                self.down.clone_from(down);
                self.verdicts.services(self.clock, down.is_empty());
            }
            Event::Checked(check) => {
                self.check = Some((self.clock, check.clone()));
                self.verdicts.check(self.clock, *check == Check::Passed);
            }
            Event::Ended { by } => self.ended = Some(End { at: self.clock, by: *by }),
            _ => self.add_participant(&entry.event),
        }
    }

    fn follow_referee(&mut self, entry: &Entry) {
        // Seconds before and after a gap do not follow each other.
        self.window.clear();
        match &entry.event {
            Event::Unknown { reason } => self.gaps.begin(entry, self.clock, reason),
            _ => self.gaps.end(entry, self.clock),
        }
    }

    fn follow_injection(&mut self, event: &Event) {
        match event {
            Event::Injecting => self.injecting = self.injecting.or(Some(self.clock)),
            Event::Broken => self.broken = self.broken.or(Some(self.clock)),
            Event::Failed { reason } => self.failure = Some(reason.clone()),
            _ => {}
        }
    }

    fn add_second(&mut self, callers: &[(u32, u32)]) {
        if self.is_unknown() {
            return;
        }
        self.gaps.see();
        let second = Second { at: self.clock, callers: callers.into() };
        let begin = second.begin();
        if self.injecting.is_none() {
            self.heard.add(&second);
        }
        if self.heard.failed(&second) > 0 {
            if self.impact.is_none() && self.injecting.is_some_and(|injecting| self.clock > injecting) {
                self.impact = Some(begin.max(self.injecting.unwrap_or_default()));
                // The verdict is about the time after the impact.
                self.window.clear();
            }
            if self.impact.is_none() && self.changes.first().is_some_and(|change| change.at <= second.at) {
                self.self_inflicted = self.self_inflicted.or(Some(begin));
            }
        }
        self.window.add(&second, &self.seconds);
        self.seconds.push(second);
        if let Some(impact) = self.impact {
            match self.window.verdict(&self.heard) {
                Some((start, true)) => self.verdicts.mitigate(start.max(impact), self.clock),
                Some((_, false)) => self.verdicts.relapse(begin),
                None => {}
            }
            self.verdicts.judge(self.clock);
        }
    }

    fn add_participant(&mut self, event: &Event) {
        let at = self.clock;
        match event.clone() {
            Event::Acknowledged => self.acknowledgements.push(at),
            Event::Hint { index } if !self.hints.iter().any(|hint| hint.index == index) => {
                self.hints.push(OpenedHint { at, index });
            }
            Event::Diagnosis { findings } => {
                let answer = self.compare(&findings);
                self.tries.push(Try { at, findings, answer });
            }
            Event::Changed { subject, revision, text } => self.changes.push(Change { at, subject, revision, text }),
            Event::Looked { what } => self.looks.push(Look { at, what }),
            Event::WrongFix { name } if !self.wrong_fixes.iter().any(|fix| fix.name == name) => {
                let changed = self.changes.last().map(|change| change.at);
                self.wrong_fixes.push(NamedWrongFix { at, name, changed });
            }
            Event::Update(update) => {
                let share = self.window_share();
                self.updates.push(SentUpdate { at, update, share });
            }
            Event::Message { from, text } => self.notes.push(Note { at, from, text }),
            _ => {}
        }
    }

    /// How findings compare with the right diagnosis.
    pub fn compare(&self, findings: &[Finding]) -> Answer {
        let Diagnosis { first, also } = self.diagnosis();
        let is_right = |finding: &Finding| *finding == first || also.as_ref() == Some(finding);
        if findings.is_empty() || !findings.iter().all(is_right) {
            return Answer::Wrong;
        }
        let complete = findings.contains(&first) && also.is_none_or(|also| findings.contains(&also));
        if complete { Answer::Right } else { Answer::Partial }
    }

    /// The right diagnosis: that of the incident, or [`Finding::NOTHING`] without a fault.
    pub fn diagnosis(&self) -> Diagnosis {
        if self.started.fault {
            self.started.brief.diagnosis
        } else {
            Diagnosis { first: Finding::NOTHING, also: None }
        }
    }

    /// First acknowledgement at or after the impact.
    pub fn acknowledged(&self) -> Option<u64> {
        let impact = self.impact?;
        self.acknowledgements.iter().copied().find(|at| *at >= impact)
    }

    /// Number of acknowledgements without an incident.
    pub fn false_acknowledgements(&self) -> usize {
        self.acknowledgements.iter().filter(|at| self.impact.is_none_or(|impact| **at < impact)).count()
    }

    /// Intervals in which the referee could not look. They have no length in drill time.
    pub fn gaps(&self) -> &[Gap] {
        self.gaps.all()
    }

    /// The referee cannot look at present.
    pub fn is_unknown(&self) -> bool {
        self.gaps().last().is_some_and(|gap| gap.until.is_none())
    }

    /// Whether a caller counts for the verdicts, by its index. One whose requests all failed before the fault does not.
    pub fn counts(&self, caller: usize) -> bool {
        self.heard.counts(caller)
    }

    /// The callers' requests of the last 10 seconds. `None` before the first second.
    pub fn window_share(&self) -> Option<Share> {
        Share::current(&self.seconds, &self.heard)
    }
}
