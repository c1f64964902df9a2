//! Revisions of a lab: each change of the desired state of a service, or of the callers' keys, with its author and time.
//! They are stored in `revisions.ndjson` in the lab's folder, see [`file`]. The first revision is the state at `lab up`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use lab_core::engine::{Roles, RunState, ServiceChange, ServiceStatus, secret};
use lab_core::event::short_id;

mod author;
mod file;
#[cfg(test)]
mod tests;

pub use author::Author;
pub use file::{HistoryFile, RevisionLine};

/// Subject of the revisions of the callers' keys. Its variables are called `caller` and `caller NAME`.
pub const CALLERS: &str = "callers";
/// Variable of the default caller's key.
pub(crate) const DEFAULT_CALLER: &str = "caller";

/// Desired state of a service, or of the callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Environment variables, or the callers' keys.
    pub env: BTreeMap<String, String>,
    /// Run state. Always running for the callers.
    pub run: RunState,
}

impl State {
    /// Observed state of a service.
    pub fn observed(now: &ServiceStatus) -> Self {
        Self { env: now.env.clone(), run: now.state }
    }

    /// State after a change.
    #[must_use]
    pub fn after(&self, change: &ServiceChange) -> Self {
        Self { env: change.env_after(&self.env), run: change.run.unwrap_or(self.run) }
    }

    /// Change that leads from `now` to this state.
    pub fn change_from(&self, now: &Self) -> ServiceChange {
        let differences = now.differences(self);
        let env = differences.iter().map(|difference| (difference.name.clone(), difference.new.clone())).collect();
        ServiceChange { env, run: (now.run != self.run).then_some(self.run), abrupt: false }
    }

    /// Variables in which `next` differs from this state, sorted by name.
    pub fn differences(&self, next: &Self) -> Vec<Difference> {
        let mut names: Vec<&String> = self.env.keys().chain(next.env.keys()).collect();
        names.sort();
        names.dedup();
        let difference = |name: &String| {
            let (old, new) = (self.env.get(name).cloned(), next.env.get(name).cloned());
            (old != new).then(|| Difference { name: name.clone(), old, new })
        };
        names.into_iter().filter_map(difference).collect()
    }
}

/// A changed variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Name of the variable.
    pub name: String,
    /// Previous value. `None` if the variable was unset.
    pub old: Option<String>,
    /// New value. `None` if the variable is unset.
    pub new: Option<String>,
}

/// Result of the change that a revision records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was announced. Either it is in progress, or its command was killed.
    Pending,
    /// The service has this state, or had it until the next revision.
    Done,
    /// It was not made, or it was rolled back.
    Failed,
}

/// One change of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Name of the service, or [`CALLERS`].
    pub subject: String,
    /// Number within the subject, from 1.
    pub number: u64,
    /// When the change began.
    pub at: DateTime<Utc>,
    /// Author of the change.
    pub author: Author,
    /// Desired state after the change.
    pub state: State,
    /// SQL statement that was executed in the service. The desired state stays the same then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Result of the change.
    pub outcome: Outcome,
}

/// A revision with the state before it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'r> {
    /// The revision.
    pub revision: &'r Revision,
    /// State before it. `None` for the first one.
    pub before: Option<&'r State>,
}

impl Entry<'_> {
    /// Variables that the revision changed.
    pub fn differences(&self) -> Vec<Difference> {
        self.before.map(|before| before.differences(&self.revision.state)).unwrap_or_default()
    }

    /// Previous and new run state, if the revision changed it.
    pub fn run_change(&self) -> Option<(RunState, RunState)> {
        let (old, new) = (self.before?.run, self.revision.state.run);
        (old != new).then_some((old, new))
    }

    /// The change in words, with secrets masked: `app APP_DB_POOL unset > 3`, `db running > paused`,
    /// `caller apikey-v1 > apikey-v2`, `app restarted`.
    pub fn text(&self, roles: &Roles) -> String {
        let value = |name: &str, value: &Option<String>| {
            value.as_ref().map_or_else(|| "unset".to_owned(), |value| secret::mask_value(roles, name, value))
        };
        let subject = &self.revision.subject;
        if let Some(statement) = &self.revision.statement {
            return format!("{subject} SQL {statement:?}");
        }
        let changes = self.differences();
        let changes =
            changes.iter().map(|it| format!("{} {} > {}", it.name, value(&it.name, &it.old), value(&it.name, &it.new)));
        let run = self.run_change().map(|(old, new)| format!("{} > {}", old.name(), new.name()));
        let changes: Vec<String> = changes.chain(run).collect();
        if changes.is_empty() {
            return format!("{subject} restarted");
        }
        if subject == CALLERS { changes.join(", ") } else { format!("{subject} {}", changes.join(", ")) }
    }
}

/// All revisions of a lab, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    all: Vec<Revision>,
}

impl Revisions {
    /// All revisions, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.all.iter()
    }

    /// Revisions of one subject, oldest first.
    pub fn of<'r>(&'r self, subject: &'r str) -> impl DoubleEndedIterator<Item = &'r Revision> {
        self.all.iter().filter(move |revision| revision.subject == subject)
    }

    /// Revisions of one subject with the state before each, oldest first.
    pub fn entries<'r>(&'r self, subject: &'r str) -> Vec<Entry<'r>> {
        let mut before = None;
        let mut entries = Vec::new();
        for revision in self.of(subject) {
            entries.push(Entry { revision, before });
            if revision.outcome == Outcome::Done {
                before = Some(&revision.state);
            }
        }
        entries
    }

    /// First revision of a subject: the state at `lab up`.
    pub fn first(&self, subject: &str) -> Option<&Revision> {
        self.all.iter().find(|revision| revision.subject == subject && revision.outcome == Outcome::Done)
    }

    /// Latest revision of a subject that took effect.
    pub fn current(&self, subject: &str) -> Option<&Revision> {
        self.all.iter().rev().find(|revision| revision.subject == subject && revision.outcome == Outcome::Done)
    }

    /// Revision of a subject by number.
    pub fn get(&self, subject: &str, number: u64) -> Option<&Revision> {
        self.all.iter().find(|revision| revision.subject == subject && revision.number == number)
    }

    /// Target of a rollback without a number: the latest earlier revision in which the service runs and that differs from
    /// the current state.
    pub fn previous(&self, subject: &str) -> Option<&Revision> {
        let current = self.current(subject)?;
        let mut earlier = self.all.iter().rev().skip_while(|revision| !std::ptr::eq(*revision, current)).skip(1);
        earlier.find(|revision| {
            revision.subject == subject
                && revision.outcome == Outcome::Done
                && revision.state.run == RunState::Running
                && revision.state != current.state
        })
    }

    /// Subjects in the order of their first revision.
    pub fn subjects(&self) -> Vec<&str> {
        let mut subjects: Vec<&str> = Vec::new();
        for revision in &self.all {
            if !subjects.contains(&revision.subject.as_str()) {
                subjects.push(&revision.subject);
            }
        }
        subjects
    }

    /// Announced changes without a known result.
    pub fn pending(&self) -> impl Iterator<Item = &Revision> {
        self.all.iter().filter(|revision| revision.outcome == Outcome::Pending)
    }

    fn next_number(&self, subject: &str) -> u64 {
        self.of(subject).map(|revision| revision.number).max().unwrap_or(0) + 1
    }

    fn set_outcome(&mut self, subject: &str, number: u64, outcome: Outcome) {
        let found = self.all.iter_mut().find(|revision| revision.subject == subject && revision.number == number);
        if let Some(revision) = found {
            revision.outcome = outcome;
        }
    }
}

impl Revision {
    /// Whether an observed state shows that the change was made. Only what the change mentions counts.
    pub(super) fn is_met_by(&self, before: Option<&State>, now: &State) -> bool {
        let Some(before) = before else { return *now == self.state };
        let differences = before.differences(&self.state);
        differences.iter().all(|difference| now.env.get(&difference.name) == difference.new.as_ref())
            && (before.run == self.state.run || now.run == self.state.run)
    }
}
