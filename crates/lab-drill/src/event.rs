//! [`Entry`]: one line of a drill's log. The referee's process and the participant's commands write them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::brief::Brief;
use lab_core::diagnosis::Finding;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// Drill time in milliseconds since the start. It stands still while the referee is away or cannot look.
    pub clock: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Line of a second. Most lines of a log are of this form, and reading it needs no detour over its tag.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecondLine {
    at: DateTime<Utc>,
    clock: u64,
    #[serde(rename = "event")]
    _event: SecondTag,
    callers: Vec<(u32, u32)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecondTag {
    Second,
}

impl Entry {
    /// Reads one line of a log.
    pub(crate) fn from_json(line: &[u8]) -> serde_json::Result<Self> {
        match serde_json::from_slice::<SecondLine>(line) {
            Ok(SecondLine { at, clock, callers, .. }) => Ok(Self { at, clock, event: Event::Second { callers } }),
            Err(_) => serde_json::from_slice(line),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first entry: everything that is decided at the start.
    Started(Box<Started>),
    /// A referee's process begins to watch: at the start, and after a gap.
    Watching {
        /// Its process id.
        pid: u32,
    },
    /// The callers' requests of the second that ends now, in the order of [`Started::callers`].
    Second {
        /// Requests that ended in this second and those of them that succeeded, of each caller. A request that is not
        /// answered counts when its caller gives up.
        callers: Vec<(u32, u32)>,
    },
    /// The referee begins to inject the fault.
    Injecting,
    /// The fault is injected.
    Broken,
    /// The fault could not be injected. The drill is void.
    Failed {
        /// Why.
        reason: String,
    },
    /// The services that do not run. Written when it changes.
    Services {
        /// Their names; empty if every service runs.
        down: Vec<String>,
    },
    /// Result of the resolved check and of the steady state. A result counts from the mitigation on, so it is written again
    /// after it.
    Checked(Check),
    /// A change that the participant made.
    Changed {
        /// Service, or `callers`.
        subject: String,
        /// Number of its revision.
        revision: u64,
        /// The change in words, with secrets masked.
        text: String,
    },
    /// The participant's changes contain those of a named wrong fix.
    WrongFix {
        /// Name of the wrong fix.
        name: String,
    },
    /// The referee cannot look at the lab: drill time stands still until [`Event::Known`].
    Unknown {
        /// Why.
        reason: String,
    },
    /// The referee can look again.
    Known,
    /// The participant looked at something.
    Looked {
        /// The command, such as `metrics` or `logs app`.
        what: String,
    },
    /// The participant says that there is an incident.
    Acknowledged,
    /// The participant opened a hint.
    Hint {
        /// Index into the hints.
        index: usize,
    },
    /// The participant's diagnosis.
    Diagnosis {
        /// One or two findings.
        findings: Vec<Finding>,
    },
    /// The participant wrote an update.
    Update(Update),
    /// A message from outside of the scenario, such as from a trainer.
    Message {
        /// Who writes it.
        from: String,
        /// The message.
        text: String,
    },
    /// The drill is over.
    Ended {
        /// How.
        by: Ending,
    },
    /// The lab was restored after the drill.
    Restored {
        /// What could not be restored; empty if everything was.
        errors: Vec<String>,
    },
}

/// Everything that is decided at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Version of the format.
    pub version: u32,
    /// Id of the drill.
    pub id: String,
    /// Name of the lab.
    pub lab: String,
    /// Name of the engine.
    pub engine: String,
    /// Version of the table of scores.
    pub scoring: u32,
    /// SHA-256 of the secret, as 64 hexadecimal digits.
    pub commitment: String,
    /// What the participant knows beforehand.
    pub known: Known,
    /// Wrong fixes are named at once.
    pub coach: bool,
    /// Drill time in milliseconds until the fault is injected.
    pub quiet: u64,
    /// The fault is injected. Without it, nothing is wrong in this drill.
    pub fault: bool,
    /// The incident.
    pub brief: Brief,
    /// Callers and their rates in requests per second.
    pub callers: Vec<(String, f64)>,
    /// SHA-256 of the response to `GET /api/users` at the start, as 64 hexadecimal digits: deleting data is no fix. `None` if
    /// the system has no such data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<String>,
}

/// What the participant knows before the drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// Nothing. The drill is blind.
    Nothing,
    /// What leads to the incident: the seed, or when it begins.
    Seed,
    /// The incident. The drill is a practice.
    Incident,
}

/// Result of one look of the referee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Check {
    /// The cause is removed.
    Passed,
    /// It is not.
    Failed {
        /// What failed.
        reasons: Vec<String>,
    },
}

/// How a drill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// `lab drill finish`.
    Finished,
    /// `lab drill give-up`.
    GaveUp,
    /// The lab was taken down, or is gone.
    LabGone,
    /// The fault could not be injected.
    Void,
    /// The time limit was reached.
    TimeLimit,
    /// The trainer ended the drill of the whole room.
    EndedByTrainer,
}

/// An update to others: a form with one free line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Who gets it.
    pub to: Audience,
    /// The claimed state.
    pub state: ClaimedState,
    /// The claimed impact.
    pub affected: Affected,
    /// Since when the incident lasts, as claimed, in drill time in milliseconds. `None` if it is not stated.
    pub since: Option<u64>,
    /// Time until the next update, in seconds. `None` if none is promised.
    pub next: Option<u64>,
    /// The free line, with secrets masked.
    pub text: String,
    /// Number of secrets that the line had before they were masked.
    #[serde(default)]
    pub disclosed: u32,
}

/// Who gets an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// The customers.
    Customers,
    /// Support and managers.
    Internal,
}

/// The state that an update claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimedState {
    /// The cause is not known.
    Investigating,
    /// The cause is known, the callers still fail.
    Identified,
    /// The callers succeed, and it is being watched.
    Monitoring,
    /// It is over.
    Resolved,
}

/// Who is affected, as an update claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affected {
    /// Nobody.
    Nobody,
    /// Some requests or callers.
    Some,
    /// All of them.
    Everybody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let at = DateTime::from_timestamp(1_796_040_000, 5_000_000).unwrap();
        let events = [
            Event::Second { callers: vec![(5, 4), (0, 0)] },
            Event::Watching { pid: 7 },
            Event::Checked(Check::Failed { reasons: vec!["still 401".to_owned()] }),
            Event::Known,
        ];
        for event in events {
            let entry = Entry { at, clock: 61_000, event };
            let line = serde_json::to_vec(&entry).unwrap();
            assert_eq!(Entry::from_json(&line).unwrap(), entry);
        }
        assert!(Entry::from_json(b"{}").is_err());
    }
}
