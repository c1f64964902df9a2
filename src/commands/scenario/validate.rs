//! `lab scenario validate`: checks files and folders of files without running them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::options;
use crate::cli::ValidateArgs;
use crate::commands::session::Session;
use lab_core::error::{Exit, Failure};
use lab_report::report::human;
use lab_report::term::{Tone, clean};
use lab_scenario::vary::{Vary, draw};
use lab_scenario::{Diagnostic, Diagnostics, LoadOptions, Plan, Source, library, load};
use lab_telemetry::alerts::is_built_in;

/// `--json` output for one scenario.
#[derive(Serialize)]
struct Report {
    /// As typed by the user.
    scenario: String,
    valid: bool,
    /// Number of steps, included ones counted; null if the scenario is invalid.
    steps: Option<usize>,
    diagnostics: Vec<DiagnosticDocument>,
}

/// A diagnostic. Lines and columns count from 1, in characters; null if it has no position in a file.
#[derive(Serialize)]
struct DiagnosticDocument {
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    end_line: Option<usize>,
    end_column: Option<usize>,
    message: String,
    expected: Option<String>,
    notes: Vec<String>,
    hint: Option<String>,
}

pub(super) fn run(session: &Session, args: &ValidateArgs) -> anyhow::Result<Exit> {
    let options = options(&args.set)?;
    let mut exit = Exit::Passed;
    let mut reports = Vec::new();
    for source in sources(&args.scenarios)? {
        let loaded = check(&source, &options);
        exit = if loaded.is_err() { Exit::Usage } else { exit };
        if args.json {
            reports.push(report(&source, &loaded));
            continue;
        }
        match loaded {
            Ok(plan) => {
                let steps = human::count(plan.steps.len() as u64, "step");
                let ok = session.term.painter().paint(Tone::Good, "ok");
                session.line(&format!("{ok}  {} ({steps}){}", clean(&plan.name), clean(&foreign_alerts(&plan))))?;
            }
            Err(found) => session.term.note(&found.render(session.term.stderr_painter().is_on())),
        }
    }
    if args.json {
        session.json(&reports)?;
    }
    Ok(exit)
}

/// Loads a scenario with its defaults, its short values, and every value that a drill may draw. Weaknesses of the lesson
/// count as errors here.
fn check(source: &Source, options: &LoadOptions) -> Result<Plan, Diagnostics> {
    let plan = load(source, options)?;
    load(source, &LoadOptions { short: true, ..options.clone() })?;
    for number in 0..draws(&plan) {
        let mut set = draw(source, |_| number)?;
        set.retain(|(name, _)| options.set.iter().all(|(given, _)| given != name));
        set.extend(options.set.iter().cloned());
        load(source, &LoadOptions { set, ..options.clone() }).map_err(|found| {
            let note = "this value is drawn from the parameter's `vary`";
            collect(found.items().iter().map(|item| item.clone().note(note)))
        })?;
    }
    if plan.lints.is_empty() { Ok(plan) } else { Err(collect(plan.lints)) }
}

/// Number of draws that cover every value of every list.
fn draws(plan: &Plan) -> u64 {
    let values = |vary: &Vary| match vary {
        Vary::Key => 1,
        Vary::OneOf(values) => values.len() as u64,
    };
    plan.varied.values().map(values).max().unwrap_or_default()
}

fn collect(items: impl IntoIterator<Item = Diagnostic>) -> Diagnostics {
    let mut found = Diagnostics::default();
    items.into_iter().for_each(|item| found.push(item));
    found
}

/// Notes the alerts that the built-in stack does not have: typos, or alerts of the user's own stack.
fn foreign_alerts(plan: &Plan) -> String {
    let foreign: BTreeSet<&str> =
        plan.alerts_asked().map(|(_, alert)| alert).filter(|alert| !is_built_in(alert)).collect();
    if foreign.is_empty() {
        return String::new();
    }
    let names = foreign.into_iter().collect::<Vec<_>>().join(", ");
    format!(" · requires a stack of your own with the alerts {names}")
}

fn sources(typed: &[String]) -> Result<Vec<Source>, Failure> {
    if typed.is_empty() {
        return Ok(library::names().map(|name| Source::Library(name.to_owned())).collect());
    }
    let mut sources = Vec::new();
    for typed in typed {
        let source = Source::parse(typed);
        // A folder with the name of a built-in scenario is selected only by its path.
        let known = matches!(&source, Source::Library(name) if library::get(name).is_some());
        if !known && Path::new(typed).is_dir() {
            sources.extend(folder(Path::new(typed))?.into_iter().map(Source::Path));
        } else {
            sources.push(source);
        }
    }
    Ok(sources)
}

/// Scenario files of a folder, sorted by name, without subfolders.
fn folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| Failure::usage(format!("cannot read {}: {error}", folder.display())))?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let ending = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let mut files: Vec<PathBuf> = paths.filter(|path| ending(path) && !path.is_dir()).collect();
    files.sort();
    if files.is_empty() {
        let message = format!("{} contains no scenario: no file ends in .yaml or .yml", folder.display());
        return Err(Failure::usage(message));
    }
    Ok(files)
}

fn report(source: &Source, loaded: &Result<Plan, Diagnostics>) -> Report {
    let items = loaded.as_ref().err().map(Diagnostics::items).unwrap_or_default();
    Report {
        scenario: source.typed(),
        valid: loaded.is_ok(),
        steps: loaded.as_ref().ok().map(|plan| plan.steps.len()),
        diagnostics: items.iter().map(document).collect(),
    }
}

fn document(item: &Diagnostic) -> DiagnosticDocument {
    let end = item.place.as_ref().map(lab_scenario::Place::end);
    let hint = Some(item.help.join("; ")).filter(|hint| !hint.is_empty());
    DiagnosticDocument {
        file: item.file().map(str::to_owned),
        line: item.line(),
        column: item.column(),
        end_line: end.map(|(line, _)| line),
        end_column: end.map(|(_, column)| column),
        message: item.message.clone(),
        expected: Some(item.label.clone()).filter(|label| !label.is_empty()),
        notes: item.notes.clone(),
        hint,
    }
}
