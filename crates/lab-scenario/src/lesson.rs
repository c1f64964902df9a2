//! [`Lesson`]: texts for people who practise with a scenario. [`Claims`]: checks for `lab scenario prove`. This module
//! reads both; `resolve` flattens the steps of the claims.

use std::sync::Arc;

use super::Expected;
use super::file::{self, StepFile};
use super::plan::Step;
use super::reader::Reader;
use super::schema::WRONG_FIX;
use super::value;
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, did_you_mean, quote, quote_list};

/// Texts for people who practise with a scenario. A run needs none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// The incident in the words of a customer.
    pub ticket: Option<String>,
    /// Visible effect, in one sentence.
    pub symptom: Option<String>,
    /// From vague to specific.
    pub hints: Vec<String>,
    /// Cause and fix.
    pub solution: Option<String>,
    /// Lessons learned, one paragraph each.
    pub lessons: Vec<String>,
    /// `None` if the file does not state it.
    pub difficulty: Option<Difficulty>,
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

/// Checks of `lab scenario prove` in addition to the steps. They do not change the lab.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Passes only while the fault is active.
    pub symptom_check: Vec<Step>,
    /// Passes once the incident is fixed, and fails while the fault is active.
    pub resolved_check: Vec<Step>,
    /// Plausible attempts that do not fix the incident.
    pub wrong_fixes: Vec<WrongFix>,
}

/// A plausible attempt that does not fix the incident.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongFix {
    /// Unique in the scenario.
    pub name: String,
    /// Reason why it does not help.
    pub why: String,
    /// Steps of the attempt, executed while the fault is active.
    pub steps: Vec<Step>,
}

/// Lesson and claims as written.
#[derive(Debug, Default)]
pub(crate) struct LessonFile {
    ticket: Option<Text>,
    symptom: Option<Text>,
    hints: Vec<Text>,
    solution: Option<Text>,
    lessons: Vec<Text>,
    difficulty: Option<Text>,
    pub(crate) symptom_check: CheckFile,
    pub(crate) resolved_check: CheckFile,
    pub(crate) wrong_fixes: Vec<WrongFixFile>,
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

/// A wrong fix as written.
#[derive(Debug)]
pub(crate) struct WrongFixFile {
    pub(crate) name: Text,
    pub(crate) why: Text,
    pub(crate) steps: Vec<Arc<StepFile>>,
}

/// Reads the keys for the lesson and the claims.
pub(crate) fn read(fields: &Fields<'_>, out: &mut Diagnostics) -> LessonFile {
    let mut texts = |key: &str| match fields.get(key) {
        Some(entry) => file::scalars(entry, "a list of sentences, each starting with `- `", "a sentence", out),
        None => Vec::new(),
    };
    let (hints, lessons) = (texts("hints"), texts("lessons"));
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
        hints,
        solution: fields.text("solution", out),
        lessons,
        difficulty: fields.text("difficulty", out),
        symptom_check,
        resolved_check,
        wrong_fixes: fields.get("wrong_fixes").map(|entry| wrong_fixes(entry, out)).unwrap_or_default(),
    }
}

fn wrong_fixes(entry: &Entry, out: &mut Diagnostics) -> Vec<WrongFixFile> {
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(match &entry.value.kind {
            NodeKind::Null => fields::missing_value(&entry.key, "a list of wrong fixes"),
            _ => fields::wrong_kind("wrong_fixes", &entry.value, "a list, each entry with `name`, `why` and `steps`"),
        });
        return Vec::new();
    };
    let mut fixes: Vec<WrongFixFile> = Vec::new();
    for item in items {
        let NodeKind::Mapping(entries) = &item.kind else {
            out.push(fields::wrong_kind("wrong_fixes", item, "a mapping with `name`, `why` and `steps` in each entry"));
            continue;
        };
        let fields = Fields::read(entries, WRONG_FIX.label, &WRONG_FIX.key_names(), &[], out);
        for key in WRONG_FIX.key_names().into_iter().filter(|key| fields.lacks(key)) {
            let expected = format!("expected a mapping with {}", quote_list(WRONG_FIX.key_names()));
            out.push(Diagnostic::at(format!("this wrong fix has no `{key}`"), &item.place).label(expected));
        }
        let (name, why) = (fields.text("name", out), fields.text("why", out));
        let steps = fields.get("steps").map(|entry| file::step_list(entry, out)).unwrap_or_default();
        if let (Some(name), Some(why)) = (name, why) {
            if let Some(first) = fixes.iter().find(|fix| fix.name.text == name.text) {
                let message = format!("two wrong fixes are named {}", quote(&name.text));
                let first = format!("the first one is at {}", first.name.place);
                out.push(Diagnostic::at(message, &name.place).label("give this one another name").note(first));
            }
            fixes.push(WrongFixFile { name, why, steps });
        }
    }
    fixes
}

/// Fills in parameters and checks the texts.
pub(crate) fn lesson(file: &LessonFile, reader: &mut Reader<'_>) -> Lesson {
    let mut paragraph =
        |key: &str, text: &Option<Text>| text.as_ref().and_then(|text| reader.open(key, text, value::paragraph));
    let (ticket, symptom) = (paragraph("ticket", &file.ticket), paragraph("symptom", &file.symptom));
    let solution = paragraph("solution", &file.solution);
    let mut all = |key: &str, texts: &[Text]| {
        texts.iter().filter_map(|text| reader.open(key, text, value::paragraph)).collect::<Vec<_>>()
    };
    let (hints, lessons) = (all("hints", &file.hints), all("lessons", &file.lessons));
    let difficulty = file.difficulty.as_ref().and_then(|text| reader.fixed("difficulty", text, difficulty));
    Lesson { ticket, symptom, hints, solution, lessons, difficulty }
}

fn difficulty(text: &str) -> Result<Difficulty, Expected> {
    let names = Difficulty::ALL.map(Difficulty::name);
    let found = Difficulty::ALL.into_iter().find(|difficulty| difficulty.name() == text);
    found.ok_or_else(|| Expected::new(did_you_mean(text, names, &format!("expected one of {}", quote_list(names)))))
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Action, Metric};
    use super::super::{LoadOptions, Plan, Source, load};
    use super::{Claims, Difficulty, Lesson};

    const TEXT: &str = "
title: Test
difficulty: advanced
ticket: It is ${what}.
hints: [look, 'look at ${what}']
parameters: { what: { default: broken, short: slow }, n: { default: 40, short: 4 } }
steps: [{ traffic: { requests: '${n}' } }]
symptom_check:
  - { scenario: drive-traffic, with: { requests: '${n}' }, expect: { failed: '100%' } }
  - wait: 10ms
  - check: { path: '/${what}' }
wrong_fixes:
  - { name: restart, why: 'It is ${what} again.', steps: [{ stop: app }, { start: app }, { stop: app }] }
";

    fn read(short: bool) -> Plan {
        let source = Source::Text { name: "test.yaml".into(), text: TEXT.into() };
        load(&source, &LoadOptions { short, ..LoadOptions::default() }).unwrap_or_else(|found| panic!("{found}"))
    }

    #[test]
    fn a_lesson_has_its_parameters_filled_in() {
        let lesson = read(false).lesson;
        assert_eq!(lesson.ticket.as_deref(), Some("It is broken."));
        assert_eq!(lesson.hints, ["look", "look at broken"]);
        assert_eq!((lesson.difficulty, lesson.symptom, lesson.solution), (Some(Difficulty::Advanced), None, None));
    }

    #[test]
    fn claims_are_steps_of_their_own() {
        let Claims { symptom_check, resolved_check, wrong_fixes } = read(false).claims;
        let names: Vec<&str> = symptom_check.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["drive-traffic", "wait", "check"]);
        assert_eq!(
            (symptom_check[0].expect[0].metric.clone(), symptom_check[0].expect[0].since),
            (Metric::FailedShare, 0)
        );
        assert!(resolved_check.is_empty());
        let names: Vec<&str> = wrong_fixes[0].steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!((wrong_fixes[0].why.as_str(), names), ("It is broken again.", vec!["stop", "start", "stop-2"]));
    }

    #[test]
    fn short_values_are_taken_where_it_has_to_be_quick() {
        let plan = read(true);
        assert_eq!((plan.parameters["what"].as_str(), plan.parameters["n"].as_str()), ("slow", "4"));
        let Action::Check(check) = &plan.claims.symptom_check[2].action else { panic!("{plan:?}") };
        assert_eq!(check.path, "/slow");
    }

    #[test]
    fn nothing_of_it_is_needed() {
        let source = Source::Text { name: "test.yaml".into(), text: "title: T\nsteps: [{ wait: 1s }]".into() };
        let plan = load(&source, &LoadOptions::default()).unwrap();
        assert_eq!((plan.lesson, plan.claims), (Lesson::default(), Claims::default()));
    }
}
