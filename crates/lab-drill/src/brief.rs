//! [`Brief`]: what a drill needs to know about its incident. It is a copy, stored in the log, so that a later version of the
//! scenario does not change the result of a finished drill.

use std::collections::BTreeMap;
use std::time::Duration;

use lab_core::diagnosis::Diagnosis;
use serde::{Deserialize, Serialize};

/// What a drill needs to know about its incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// Name of the scenario, or its path.
    pub scenario: String,
    /// Title of the scenario.
    pub title: String,
    /// `beginner`, `intermediate` or `advanced`.
    pub difficulty: String,
    /// Values of the scenario's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The incident in a customer's words.
    pub ticket: String,
    /// Visible effect, in one sentence.
    pub symptom: String,
    /// Cause and fix.
    pub solution: String,
    /// Lessons learned, one paragraph each.
    pub lessons: Vec<String>,
    /// From vague to specific.
    pub hints: Vec<Hint>,
    /// The right diagnosis.
    pub diagnosis: Diagnosis,
    /// Times in which an experienced person does it.
    pub par: Par,
    /// Messages that arrive during the drill.
    pub injects: Vec<Inject>,
    /// Plausible attempts that do not fix it.
    pub wrong_fixes: Vec<WrongFix>,
}

/// A hint with its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// What it is about. Shown before it is opened.
    pub about: String,
    /// The hint.
    pub text: String,
    /// Its price in percent of the points for diagnosis and resolution.
    pub cost: u8,
}

/// Times in which an experienced person does it, counted from the first failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Par {
    /// Until the incident is acknowledged.
    pub detect: Duration,
    /// Until the callers succeed again.
    pub mitigate: Duration,
    /// Until the cause is removed.
    pub resolve: Duration,
}

/// A message that arrives during the drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inject {
    /// Drill time between [`Inject::after`] and the message.
    pub at: Duration,
    /// What the time counts from.
    pub after: Moment,
    /// Who writes it, such as `a customer`.
    pub from: String,
    /// The message.
    pub text: String,
    /// It is the ticket, which arrives even if the callers succeed again by then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ticket: bool,
}

/// What the time of an [`Inject`] counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// The first failed request.
    Impact,
    /// The moment from which an update is overdue.
    Overdue,
    /// The callers succeed again.
    Mitigated,
    /// The cause is removed.
    Resolved,
}

/// A plausible attempt that does not fix the incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongFix {
    /// Unique in the scenario.
    pub name: String,
    /// Why it does not help.
    pub why: String,
    /// Its changes are among those of a right fix. It is a mistake only if the incident is not resolved in the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}
