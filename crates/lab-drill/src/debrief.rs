//! [`Debrief`]: what is shown after a drill. The hidden timeline is laid over the participant's own actions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lab_core::diagnosis::Diagnosis;
use serde::Serialize;

use crate::choice::Secret;
use crate::event::{Ending, Known};
use crate::fold::{Change, Drill, Gap, PublicHint, PublicSecond, Span, Try, Turn};
use crate::messages::{Message, messages};
use crate::score::Score;
use crate::updates::{Judgements, judge};

mod place;
mod timeline;

#[cfg(test)]
mod tests;

pub use place::{Place, Visit};
pub use timeline::{Line, Source, timeline};

/// Lesson of a drill without a fault.
pub const NOTHING_LESSON: &str =
    "Nothing was wrong. Saying so, with evidence, is a result; a change without a reason is a risk.";

/// Everything that is shown after a drill. Times are drill times in milliseconds since the start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Debrief {
    /// Id of the drill.
    pub id: String,
    /// Name of the lab.
    pub lab: String,
    /// Name of the engine.
    pub engine: String,
    /// Time of the start.
    pub at: DateTime<Utc>,
    /// What the participant knew beforehand.
    pub known: Known,
    /// Verdicts were shown at once.
    pub coach: bool,
    /// How it ended. `None` while it lasts.
    pub ending: Option<Ending>,
    /// The incident.
    pub incident: Incident,
    /// Times of the verdicts that hold at the end.
    pub times: Times,
    /// All phases.
    pub turns: Vec<Turn>,
    /// All callers' requests, second by second.
    pub seconds: Vec<PublicSecond>,
    /// Hidden events, the participant's actions and messages, in order.
    pub timeline: Vec<Line>,
    /// The score. `None` if there is none, for the reason in [`Debrief::no_score`].
    pub score: Option<Score>,
    /// Why there is no score.
    pub no_score: Option<String>,
    /// The participant's diagnoses.
    pub tries: Vec<Try>,
    /// All hints, with the time at which they were opened.
    pub hints: Vec<PublicHint>,
    /// The participant's changes.
    pub changes: Vec<Change>,
    /// Named wrong fixes.
    pub wrong_fixes: Vec<ExplainedFix>,
    /// What the participant looked at, and what never, in fixed order.
    pub visits: Vec<Visit>,
    /// Messages that arrived.
    pub messages: Vec<Message>,
    /// Judgement of the updates.
    pub updates: Judgements,
    /// Intervals in which the referee could not look.
    pub gaps: Vec<Gap>,
    /// What could not be restored. `None` if the lab was not restored yet.
    pub restored: Option<Vec<String>>,
    /// Lessons of the incident, or [`NOTHING_LESSON`] without a fault.
    pub lessons: Vec<String>,
    /// Commands that show or repeat the incident.
    pub replay: Vec<Command>,
    /// Proof that nothing was changed after the start.
    pub proof: Proof,
}

/// The incident of a drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// The fault was to be injected. Without it, nothing was wrong, and the rest tells what it would have been.
    pub fault: bool,
    /// Name of the scenario, or its path.
    pub scenario: String,
    /// Title of the scenario.
    pub title: String,
    /// `beginner`, `intermediate` or `advanced`.
    pub difficulty: String,
    /// Values of the scenario's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The right diagnosis of the drill.
    pub diagnosis: Diagnosis,
    /// Visible effect.
    pub symptom: String,
    /// Cause and fix.
    pub solution: String,
}

/// Times of the verdicts that hold at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// The injection began.
    pub injected: Option<u64>,
    /// The first request failed.
    pub impact: Option<u64>,
    /// The ticket arrived, or would have.
    pub ticket: Option<u64>,
    /// The participant acknowledged the incident.
    pub acknowledged: Option<u64>,
    /// The callers succeeded.
    pub mitigated: Option<u64>,
    /// It turned out that the cause was still there.
    pub masked: Option<u64>,
    /// The cause was removed.
    pub resolved: Option<u64>,
    /// The last time in which the callers succeeded, if it was over before the end.
    pub mitigation_lost: Option<Span>,
    /// The last time in which the cause was removed, if it was over before the end.
    pub resolution_lost: Option<Span>,
    /// The drill ended.
    pub ended: Option<u64>,
}

/// A named wrong fix with its explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedFix {
    /// When it was recognized.
    pub at: u64,
    /// Its name.
    pub name: String,
    /// Why it does not help.
    pub why: String,
    /// It made the callers succeed while the cause stayed.
    pub masked: bool,
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The command line.
    pub command: String,
    /// What it does.
    pub about: String,
}

/// Proof that the choices of a drill were made before its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The secret, as 64 hexadecimal digits.
    pub secret: String,
    /// Its SHA-256, which was published at the start.
    pub commitment: String,
    /// The secret belongs to the commitment.
    pub matches: bool,
    /// Command that computes the commitment from the secret.
    pub verify: String,
}

impl Debrief {
    /// Debrief of a drill with its secret. It is to be shown only after the end.
    pub fn new(drill: &Drill, secret: &Secret) -> Self {
        let started = &drill.started;
        let brief = &started.brief;
        let (score, no_score) = match Score::new(drill) {
            Ok(score) => (Some(score), None),
            Err(reason) => (None, Some(reason.to_string())),
        };
        let hints = (0..brief.hints.len()).filter_map(|index| drill.public_hint(index)).collect();
        Self {
            id: started.id.clone(),
            lab: started.lab.clone(),
            engine: started.engine.clone(),
            at: drill.at,
            known: started.known,
            coach: started.coach,
            ending: drill.ended.map(|end| end.by),
            incident: Incident::new(drill),
            times: Times::new(drill),
            turns: drill.turns(),
            seconds: drill.public_seconds(usize::MAX),
            timeline: timeline(drill),
            score,
            no_score,
            tries: drill.tries.clone(),
            hints,
            changes: drill.changes.clone(),
            wrong_fixes: explain_fixes(drill),
            visits: place::visits(&drill.looks),
            messages: messages(drill, drill.clock),
            updates: judge(drill),
            gaps: drill.gaps().to_vec(),
            restored: drill.restored.clone(),
            lessons: if started.fault { brief.lessons.clone() } else { vec![NOTHING_LESSON.to_owned()] },
            replay: replay(drill),
            proof: Proof::new(&started.commitment, secret),
        }
    }
}

impl Incident {
    fn new(drill: &Drill) -> Self {
        let brief = &drill.started.brief;
        Self {
            fault: drill.started.fault,
            scenario: brief.scenario.clone(),
            title: brief.title.clone(),
            difficulty: brief.difficulty.clone(),
            parameters: brief.parameters.clone(),
            diagnosis: drill.diagnosis(),
            symptom: brief.symptom.clone(),
            solution: brief.solution.clone(),
        }
    }
}

impl Times {
    /// Times of the verdicts after the last entry.
    pub fn new(drill: &Drill) -> Self {
        Self {
            injected: drill.injecting,
            impact: drill.impact,
            ticket: drill.ticket_at(),
            acknowledged: drill.acknowledged(),
            mitigated: drill.mitigated(),
            masked: drill.masked(),
            resolved: drill.resolved(),
            mitigation_lost: drill.lost_mitigation(),
            resolution_lost: drill.lost_resolution(),
            ended: drill.ended.map(|end| end.at),
        }
    }
}

impl Proof {
    fn new(commitment: &str, secret: &Secret) -> Self {
        let hex = secret.hex();
        let verify = format!("printf %s {hex} | xxd -r -p | sha256sum");
        Self { matches: secret.matches(commitment), verify, secret: hex, commitment: commitment.to_owned() }
    }
}

fn explain_fixes(drill: &Drill) -> Vec<ExplainedFix> {
    let masking = drill.masking_fix().map(|fix| fix.name.clone());
    let known = &drill.started.brief.wrong_fixes;
    let explain = |fix: &crate::fold::NamedWrongFix| ExplainedFix {
        at: fix.at,
        name: fix.name.clone(),
        why: known.iter().find(|known| known.name == fix.name).map(|known| known.why.clone()).unwrap_or_default(),
        masked: masking.as_ref() == Some(&fix.name),
    };
    drill.mistakes().map(explain).collect()
}

fn replay(drill: &Drill) -> Vec<Command> {
    let brief = &drill.started.brief;
    let name = quote(&brief.scenario);
    let values =
        brief.parameters.iter().flat_map(|(key, value)| ["--set".to_owned(), quote(&format!("{key}={value}"))]);
    let run: Vec<String> = ["lab scenario run".to_owned(), name.clone()].into_iter().chain(values).collect();
    let command = |command: String, about: &str| Command { command, about: about.to_owned() };
    vec![
        command(format!("lab drill start {name}"), "practise this incident again"),
        command(run.join(" "), "see the fault, its effect and its fix with the same values"),
        command(format!("lab scenario show {name} --solution"), "read its cause, fix and lessons"),
    ]
}

/// Quotes a word for a shell, if it is necessary.
fn quote(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
