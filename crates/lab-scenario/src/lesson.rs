//! What a scenario teaches, and what shows that it does: [`Lesson`] is told to people, [`Claims`] are what a proof looks at.
//! Here is what was written of both ([`LessonFile`]) and what the texts mean; the steps of the claims are laid out in
//! `resolve`.

use std::sync::Arc;

use super::action::Reader;
use super::file::{self, StepFile};
use super::plan::Step;
use super::value;
use super::words::WRONG_FIX;
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, list, meant, shown};

/// What a scenario tells those who practise with it. Nothing of it is needed to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// As a customer would write it.
    pub ticket: Option<String>,
    /// What is seen of it, in a sentence.
    pub symptom: Option<String>,
    /// From vague to exact.
    pub hints: Vec<String>,
    /// What is broken, and how it is mended.
    pub solution: Option<String>,
    /// What to learn from it.
    pub lessons: Vec<String>,
    /// How hard it is.
    pub difficulty: Option<Difficulty>,
}

/// How hard a scenario is for those who practise with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difficulty {
    /// One cause, in plain sight.
    Beginner,
    /// One has to look in more than one place.
    Intermediate,
    /// What is seen first leads astray.
    Advanced,
}

impl Difficulty {
    /// All of them, the easiest first.
    pub const ALL: [Self; 3] = [Self::Beginner, Self::Intermediate, Self::Advanced];

    /// As it is written in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Beginner => "beginner",
            Self::Intermediate => "intermediate",
            Self::Advanced => "advanced",
        }
    }
}

/// What `lab scenario prove` looks at, beside the scenario's own steps. The checks change nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Passes while it is broken, and only then.
    pub symptom_check: Vec<Step>,
    /// Passes once it is mended, and not while it is broken.
    pub resolved_check: Vec<Step>,
    /// What somebody would try that does not mend it.
    pub wrong_fixes: Vec<WrongFix>,
}

/// Something that does not mend the incident, although somebody would try it.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongFix {
    /// Unique in the scenario.
    pub name: String,
    /// Why it is wrong.
    pub why: String,
    /// What is done.
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

/// A check as written; none where there is no place.
#[derive(Debug, Default)]
pub(crate) struct CheckFile {
    /// Its key.
    pub(crate) place: Option<Place>,
    pub(crate) steps: Vec<Arc<StepFile>>,
    /// Whether something in it is wrong, which is reported.
    pub(crate) broken: bool,
}

/// A wrong fix as written.
#[derive(Debug)]
pub(crate) struct WrongFixFile {
    pub(crate) name: Text,
    pub(crate) why: Text,
    pub(crate) steps: Vec<Arc<StepFile>>,
}

/// Reads the keys of a scenario that are about its lesson and its claims.
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
            NodeKind::Null => fields::nothing(&entry.key, "a list of wrong fixes"),
            _ => fields::wrong("wrong_fixes", &entry.value, "a list, each entry with `name`, `why` and `steps`"),
        });
        return Vec::new();
    };
    let mut fixes: Vec<WrongFixFile> = Vec::new();
    for item in items {
        let NodeKind::Mapping(entries) = &item.kind else {
            out.push(fields::wrong("wrong_fixes", item, "a mapping with `name`, `why` and `steps` in each entry"));
            continue;
        };
        let fields = Fields::read(entries, WRONG_FIX.what, &WRONG_FIX.keys(), &[], out);
        for key in WRONG_FIX.keys().into_iter().filter(|key| fields.lacks(key)) {
            let expected = format!("expected a mapping with {}", list(WRONG_FIX.keys()));
            out.push(Diagnostic::at(format!("this wrong fix has no `{key}`"), &item.place).label(expected));
        }
        let (name, why) = (fields.text("name", out), fields.text("why", out));
        let steps = fields.get("steps").map(|entry| file::step_list(entry, out)).unwrap_or_default();
        if let (Some(name), Some(why)) = (name, why) {
            if let Some(first) = fixes.iter().find(|fix| fix.name.text == name.text) {
                let message = format!("two wrong fixes are named {}", shown(&name.text));
                let first = format!("the first is at {}", first.name.place);
                out.push(Diagnostic::at(message, &name.place).label("give this one a name of its own").note(first));
            }
            fixes.push(WrongFixFile { name, why, steps });
        }
    }
    fixes
}

/// What the texts mean, parameters filled in.
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

fn difficulty(text: &str) -> Result<Difficulty, String> {
    let names = Difficulty::ALL.map(Difficulty::name);
    let found = Difficulty::ALL.into_iter().find(|difficulty| difficulty.name() == text);
    found.ok_or_else(|| meant(text, names, &format!("expected one of {}", list(names))))
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
