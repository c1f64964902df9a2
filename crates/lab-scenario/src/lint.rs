//! Weaknesses of a lesson that do not keep a scenario from running, but would spoil a drill: texts that give the
//! diagnosis away, hints that cost everything, fixes that cannot be told apart. `lab scenario validate` and
//! `lab scenario prove` report them.

use super::actions::Action;
use super::lesson::{FixFile, LessonFile, changes};
use super::plan::{Plan, Step};
use lab_core::diagnosis::{Diagnosis, Finding};
use lab_core::event::Phase;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, Place, quote};

mod words;

/// Hints that must not name the diagnosis, for messages.
const VAGUE_HINTS: [&str; 2] = ["the first hint", "the second hint"];

/// Reports the weaknesses of `plan`. `file` has the places of its texts.
pub(crate) fn lint(file: &LessonFile, plan: &Plan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    lint_diagnosis(file, plan, &mut found);
    lint_texts(file, plan, &mut found);
    lint_costs(file, plan, &mut found);
    lint_fixes(file, plan, &mut found);
    lint_resolved_check(file, plan, &mut found);
    found
}

fn findings(diagnosis: Option<Diagnosis>) -> impl Iterator<Item = Finding> {
    diagnosis.into_iter().flat_map(|diagnosis| [Some(diagnosis.first), diagnosis.also]).flatten()
}

fn lint_diagnosis(file: &LessonFile, plan: &Plan, found: &mut Vec<Diagnostic>) {
    let Some(place) = file.diagnosis.as_ref().map(|diagnosis| &diagnosis.place) else { return };
    for finding in findings(plan.lesson.diagnosis).filter(|finding| !finding.is_consistent()) {
        let label = "`nowhere` and `nothing is wrong` belong together";
        found.push(Diagnostic::at(format!("the diagnosis `{finding}` contradicts itself"), place).label(label));
    }
    if let Some(Diagnosis { first, also: Some(also) }) = plan.lesson.diagnosis
        && first == also
    {
        let label = "expected two different faults, or no `also`";
        found.push(Diagnostic::at("the diagnosis states the same fault twice", place).label(label));
    }
}

/// Texts that participants read before they have paid for anything, or for little, must not name the diagnosis.
fn lint_texts(file: &LessonFile, plan: &Plan, found: &mut Vec<Diagnostic>) {
    let lesson = &plan.lesson;
    let ticket = lesson.ticket.as_deref().zip(file.ticket.as_ref()).map(|(text, at)| ("the ticket", text, at));
    let hints = lesson.hints.iter().zip(&file.hints);
    let texts =
        VAGUE_HINTS.into_iter().zip(hints.clone()).map(|(which, (hint, at))| (which, hint.text.as_str(), &at.text));
    let subjects = hints.filter_map(|(hint, at)| Some(("`about`", hint.about.as_str(), at.about.as_ref()?)));
    let injects = lesson.injects.iter().zip(&file.injects.list);
    let injects = injects.filter_map(|(inject, at)| Some(("the inject", inject.text.as_str(), at.text.as_ref()?)));
    for (which, text, at) in ticket.into_iter().chain(texts).chain(subjects).chain(injects) {
        if words::contains(text, &plan.title) {
            let label = format!("the title is {}; participants would search for it", quote(&plan.title));
            found.push(Diagnostic::at(format!("{which} contains the title of the scenario"), &at.place).label(label));
        }
        let named = findings(lesson.diagnosis).flat_map(|finding| [finding.location.name(), finding.cause.name()]);
        for name in named.filter(|name| words::contains(text, name)) {
            found.push(giveaway(which, name, at));
        }
    }
}

fn giveaway(which: &str, name: &str, at: &Text) -> Diagnostic {
    Diagnostic::at(format!("{which} gives the diagnosis away: it contains `{name}`"), &at.place.narrow(name))
        .label("describe what can be seen from outside")
        .help("words in quotation marks and in backticks are not compared, so messages and commands can be quoted")
}

fn lint_costs(file: &LessonFile, plan: &Plan, found: &mut Vec<Diagnostic>) {
    let total: u32 = plan.lesson.hints.iter().map(|hint| u32::from(hint.cost)).sum();
    if let (true, Some(hint)) = (total >= 100, file.hints.last()) {
        let place = hint.cost.as_ref().map_or(&hint.text.place, |cost| &cost.place);
        let label = "expected a total below 100, so that a drill with all hints is still worth solving";
        found.push(Diagnostic::at(format!("the hints cost {total} % together"), place).label(label));
    }
}

/// A fix for comparison: its changes in order, and its place if it is not the remedy.
struct Fix<'p> {
    name: String,
    changes: Vec<&'p Action>,
    place: Option<&'p Place>,
}

fn lint_fixes(file: &LessonFile, plan: &Plan, found: &mut Vec<Diagnostic>) {
    let mut known = vec![Fix { name: "the remedy".to_owned(), changes: plan.remedy(), place: None }];
    let wrong = plan.claims.wrong_fixes.iter().map(|fix| (&fix.name, &fix.steps)).zip(&file.fixes.wrong);
    let other = plan.claims.other_fixes.iter().map(|fix| (&fix.name, &fix.steps)).zip(&file.fixes.other);
    for ((name, steps), at) in wrong.chain(other) {
        let fix = fix(name, steps, at);
        if fix.changes.is_empty() {
            let label = "expected a change, such as `set_env`, `stop` or `align_key`, to recognise it by";
            found.push(Diagnostic::at(format!("{} changes nothing", fix.name), &at.name.place).label(label));
        } else if let Some(same) = known.iter().find(|other| other.changes == fix.changes) {
            let message = format!("{} makes the same changes as {}", fix.name, same.name);
            let diagnostic =
                Diagnostic::at(message, &at.name.place).label("expected other changes, to tell them apart");
            found.push(match same.place {
                Some(place) => diagnostic.note(format!("{} is at {place}", same.name)),
                None => diagnostic,
            });
        }
        known.push(fix);
    }
}

/// Nobody who fixes the incident by hand can guess a key that only the remedy chooses.
fn lint_resolved_check(file: &LessonFile, plan: &Plan, found: &mut Vec<Diagnostic>) {
    let Some(place) = &file.resolved_check.place else { return };
    let (remedy, earlier): (Vec<&Step>, Vec<&Step>) = plan.steps.iter().partition(|step| step.phase == Phase::Remedy);
    let (remedy, earlier) = (changes(remedy), changes(earlier));
    let accepted = plan.claims.resolved_check.iter().filter_map(|step| match &step.action {
        Action::Check(check) if check.status < 400 => check.key.as_deref(),
        _ => None,
    });
    let chosen = |key: &&str| sets(&remedy, key) && !sets(&earlier, key);
    for key in accepted.filter(chosen) {
        let message = format!("`resolved_check` requires the key {}", plan.secrets.mask(&quote(key)));
        let label = "only the remedy sets this key; check that callers get through, and that the old key does not";
        found.push(Diagnostic::at(message, place).label(label));
    }
}

/// Returns true if one of the changes sets this key, for the server or for callers.
fn sets(changes: &[&Action], key: &str) -> bool {
    changes.iter().any(|change| match change {
        Action::RotateKey { server } => server == key,
        Action::CallerKey { key: set, .. } => set == key,
        Action::Change(change) => change.change.env.values().flatten().any(|value| value == key),
        _ => false,
    })
}

fn fix<'p>(name: &str, steps: &'p [Step], at: &'p FixFile) -> Fix<'p> {
    Fix { name: quote(name), changes: changes(steps), place: Some(&at.name.place) }
}

#[cfg(test)]
mod tests;
