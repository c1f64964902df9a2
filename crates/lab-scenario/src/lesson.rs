//! [`Lesson`]: texts and times for people who practise with a scenario. [`Claims`]: checks for `lab scenario prove`. This
//! module reads both; `resolve` flattens the steps of the claims.

use std::sync::Arc;

use super::Expected;
use super::file::{self, StepFile};
use super::plan::Step;
use super::reader::Reader;
use super::value;
use lab_core::diagnosis::Diagnosis;
use lab_yaml::fields::Fields;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostics, Place, did_you_mean, quote_list};

mod diagnosis;
mod fixes;
mod hints;
mod injects;
mod par;
mod seconds;
#[cfg(test)]
mod tests;

pub(crate) use diagnosis::DiagnosisFile;
pub(crate) use fixes::{FixFile, FixesFile};
pub use fixes::{OtherFix, WrongFix, changes};
pub use hints::Hint;
pub(crate) use hints::HintFile;
pub(crate) use injects::InjectsFile;
pub use injects::{Inject, Trigger};
pub use par::Par;
pub(crate) use par::ParFile;

/// Texts and times for people who practise with a scenario. A run needs none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// The incident in the words of a customer.
    pub ticket: Option<String>,
    /// Visible effect, in one sentence.
    pub symptom: Option<String>,
    /// From vague to specific.
    pub hints: Vec<Hint>,
    /// Cause and fix.
    pub solution: Option<String>,
    /// Lessons learned, one paragraph each.
    pub lessons: Vec<String>,
    /// `None` if the file does not state it.
    pub difficulty: Option<Difficulty>,
    /// The right answer in a drill. `None` if the file does not state it.
    pub diagnosis: Option<Diagnosis>,
    /// Expected times in a drill: those of the file, else the defaults of its difficulty.
    pub par: Par,
    /// Messages during a drill: those of the file, else the four default ones. The first default one is the ticket.
    pub injects: Vec<Inject>,
}

/// Difficulty of finding the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difficulty {
    /// A single, visible cause.
    Beginner,
    /// Needs evidence from more than one place.
    Intermediate,
    /// The first symptom is misleading.
    Advanced,
}

impl Difficulty {
    /// From easiest to hardest.
    pub const ALL: [Self; 3] = [Self::Beginner, Self::Intermediate, Self::Advanced];

    /// Name in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Beginner => "beginner",
            Self::Intermediate => "intermediate",
            Self::Advanced => "advanced",
        }
    }
}

/// Checks of `lab scenario prove` in addition to the steps. The checks do not change the lab, the fixes do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Passes only while the fault is active.
    pub symptom_check: Vec<Step>,
    /// Passes once the incident is fixed, and fails while the fault is active.
    pub resolved_check: Vec<Step>,
    /// Plausible attempts that do not fix the incident.
    pub wrong_fixes: Vec<WrongFix>,
    /// Legitimate fixes other than the scenario's own.
    pub other_fixes: Vec<OtherFix>,
}

/// Lesson and claims as written.
#[derive(Debug, Default)]
pub(crate) struct LessonFile {
    pub(crate) ticket: Option<Text>,
    symptom: Option<Text>,
    pub(crate) hints: Vec<HintFile>,
    solution: Option<Text>,
    lessons: Vec<Text>,
    difficulty: Option<Text>,
    pub(crate) diagnosis: Option<DiagnosisFile>,
    par: Option<ParFile>,
    pub(crate) injects: InjectsFile,
    pub(crate) symptom_check: CheckFile,
    pub(crate) resolved_check: CheckFile,
    pub(crate) fixes: FixesFile,
}

/// A check as written. `place` is `None` if the file has no such check.
#[derive(Debug, Default)]
pub(crate) struct CheckFile {
    /// Place of its key.
    pub(crate) place: Option<Place>,
    pub(crate) steps: Vec<Arc<StepFile>>,
    /// True if it contains an error, which has been reported.
    pub(crate) broken: bool,
}

/// Reads the keys for the lesson and the claims.
pub(crate) fn read(fields: &Fields<'_>, out: &mut Diagnostics) -> LessonFile {
    let lessons = match fields.get("lessons") {
        Some(entry) => file::scalars(entry, "a list of sentences, each starting with `- `", "a sentence", out),
        None => Vec::new(),
    };
    let mut check = |key: &str| match fields.get(key) {
        Some(entry) => {
            let before = out.len();
            let steps = file::step_list(entry, out);
            CheckFile { place: Some(entry.key.place.clone()), steps, broken: out.len() > before }
        }
        None => CheckFile::default(),
    };
    let (symptom_check, resolved_check) = (check("symptom_check"), check("resolved_check"));
    LessonFile {
        ticket: fields.text("ticket", out),
        symptom: fields.text("symptom", out),
        hints: fields.get("hints").map(|entry| hints::read(entry, out)).unwrap_or_default(),
        solution: fields.text("solution", out),
        lessons,
        difficulty: fields.text("difficulty", out),
        diagnosis: fields.get("diagnosis").and_then(|entry| diagnosis::read(entry, out)),
        par: fields.get("par").and_then(|entry| par::read(entry, out)),
        injects: fields.get("injects").map(|entry| injects::read(entry, out)).unwrap_or_default(),
        symptom_check,
        resolved_check,
        fixes: fixes::read(fields, out),
    }
}

/// Fills in parameters and checks the texts.
pub(crate) fn lesson(file: &LessonFile, reader: &mut Reader<'_>) -> Lesson {
    let mut paragraph =
        |key: &str, text: &Option<Text>| text.as_ref().and_then(|text| reader.open(key, text, value::paragraph));
    let (ticket, symptom) = (paragraph("ticket", &file.ticket), paragraph("symptom", &file.symptom));
    let solution = paragraph("solution", &file.solution);
    let lessons = file.lessons.iter().filter_map(|text| reader.open("lessons", text, value::paragraph)).collect();
    let difficulty = file.difficulty.as_ref().and_then(|text| reader.fixed("difficulty", text, difficulty));
    Lesson {
        hints: hints::hints(&file.hints, reader),
        diagnosis: file.diagnosis.as_ref().and_then(|file| diagnosis::diagnosis(file, reader)),
        par: par::par(file.par.as_ref(), difficulty, reader),
        injects: injects::injects(&file.injects, ticket.as_deref(), reader),
        ticket,
        symptom,
        solution,
        lessons,
        difficulty,
    }
}

fn difficulty(text: &str) -> Result<Difficulty, Expected> {
    let names = Difficulty::ALL.map(Difficulty::name);
    let found = Difficulty::ALL.into_iter().find(|difficulty| difficulty.name() == text);
    found.ok_or_else(|| Expected::new(did_you_mean(text, names, &format!("expected one of {}", quote_list(names)))))
}
