//! `lab drill list` and `lab drill show`: past drills, computed from their logs.

use std::path::Path;

use lab_core::error::{Exit, Failure};
use lab_drill::debrief::Debrief;
use lab_drill::event::Entry;
use lab_drill::fold::Drill;
use lab_drill::history::{Candidate, Suggestion, Summary, suggest};
use lab_drill::log::Drills;
use lab_report::report::drill::{DebriefReport, history};
use lab_report::report::file::FileFormat;
use lab_report::report::short_id;
use lab_runner::lab::{DEFAULT_NAME, StateFolder};
use lab_scenario::lesson::Difficulty;
use lab_scenario::plan::Kind;
use lab_scenario::{LoadOptions, Source, library, load};
use lab_system::files;

use super::{next, open_log};
use crate::cli::DebriefArgs;
use crate::commands::failure::text;
use crate::commands::session::Session;

/// Id argument for the latest drill.
const LAST: &str = "last";
/// Permissions of a report, before the umask: reports are shared, unlike the files of the state folder.
const MODE: u32 = 0o666;

pub(super) fn list(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let mut summaries = summaries(session)?;
    summaries.reverse();
    if json {
        return session.json(&summaries);
    }
    if summaries.is_empty() {
        session.line("there are no drills yet")?;
        return next(session, "lab drill start");
    }
    let (table, progress) = history(&summaries);
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    if let Some(progress) = progress {
        session.line("")?;
        session.line(&progress)?;
    }
    // A suggestion could give away what a drill in progress has.
    if let Some(running) = summaries.iter().find(|summary| summary.ending.is_none()) {
        session.line("")?;
        let name = if running.lab == DEFAULT_NAME { String::new() } else { format!(" --name {}", running.lab) };
        return next(session, &format!("lab drill status{name}"));
    }
    summaries.reverse();
    match suggestion(&summaries) {
        Some(suggestion) => {
            session.line("")?;
            next(session, &format!("{} ({})", suggestion.command, suggestion.reason))
        }
        None => Ok(Exit::Passed),
    }
}

pub(super) fn show(session: &Session, typed: &str, args: &DebriefArgs) -> anyhow::Result<Exit> {
    let files = report_files(args)?;
    let state = StateFolder::open()?;
    let id = locate(&Drills::new(state.root()).ids()?, typed)?;
    debrief(session, &state, &id, &files, args.json)
}

/// Files that a debrief goes to, with their formats.
pub(super) fn report_files(args: &DebriefArgs) -> Result<Vec<(&Path, FileFormat)>, Failure> {
    args.reports.iter().map(|path| Ok((path.as_path(), format(path)?))).collect()
}

/// Shows the debrief of a drill that is over, and writes the files that were asked for.
pub(super) fn debrief(
    session: &Session,
    state: &StateFolder,
    id: &str,
    files: &[(&Path, FileFormat)],
    json: bool,
) -> anyhow::Result<Exit> {
    let mut log = open_log(state, id)?;
    let drill = fold(id, &log.read().map_err(|error| Failure::failed(format!("drill {id}: {error}")))?)?;
    if drill.ended.is_none() {
        let message = format!("drill {} is in progress, so its debrief is closed", short_id(id));
        return Err(Failure::failed(message).hint("lab drill finish or lab drill give-up ends it").into());
    }
    let report = DebriefReport::new(Debrief::new(&drill, log.secret()), suggestion(&summaries(session)?));
    for (path, format) in files {
        write(&report, path, *format)?;
        session.term.note(&format!("debrief written to {}", path.display()));
    }
    if json {
        return session.json(&report);
    }
    report.write_text(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(Exit::Passed)
}

/// Format of a report file.
fn format(path: &Path) -> Result<FileFormat, Failure> {
    DebriefReport::format(path).ok_or_else(|| {
        Failure::usage(format!("--report {}: unknown format", path.display()))
            .hint("use a name that ends in .html, .md or .json")
    })
}

fn write(report: &DebriefReport, path: &Path, format: FileFormat) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    report.write(format, &mut bytes)?;
    files::write_output(path, &bytes, MODE)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())).into())
}

fn fold(id: &str, entries: &[Entry]) -> Result<Drill, Failure> {
    Drill::from_entries(entries).map_err(|error| Failure::failed(format!("drill {id}: {error}")))
}

/// Summaries of all drills, oldest first. An unreadable one is noted and left out.
fn summaries(session: &Session) -> anyhow::Result<Vec<Summary>> {
    let state = StateFolder::open()?;
    let mut summaries = Vec::new();
    for id in Drills::new(state.root()).ids()? {
        let summary = || {
            let entries = open_log(&state, &id)?.read()?;
            anyhow::Ok(Summary::new(&fold(&id, &entries)?))
        };
        match summary() {
            Ok(summary) => summaries.push(summary),
            Err(error) => session.term.note(&text(&error)),
        }
    }
    Ok(summaries)
}

/// The next drill to try.
fn suggestion(oldest_first: &[Summary]) -> Option<Suggestion> {
    let candidate = |name: &str| {
        let plan = load(&Source::Library(name.to_owned()), &LoadOptions::default()).ok()?;
        let difficulty = plan.lesson.difficulty.map(Difficulty::name).filter(|_| plan.kind == Kind::Incident)?;
        Some(Candidate { name: name.to_owned(), difficulty: difficulty.to_owned() })
    };
    suggest(oldest_first, &library::names().filter_map(candidate).collect::<Vec<_>>())
}

/// Finds the only drill whose id has this ending, or the latest one. `ids` are sorted by time.
fn locate(ids: &[String], typed: &str) -> Result<String, Failure> {
    if typed == LAST {
        return ids.last().cloned().ok_or_else(|| Failure::usage("there are no drills yet").hint("lab drill start"));
    }
    let matching: Vec<&String> = ids.iter().filter(|id| !typed.is_empty() && id.ends_with(typed)).collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::usage(format!("no drill id ends in {typed:?}")).hint("list the drills with lab drill list")),
        several => {
            let ids: Vec<&str> = several.iter().map(|id| id.as_str()).collect();
            let message = format!("{typed:?} matches {} drill ids", several.len());
            Err(Failure::usage(message).hint(format!("use a longer ending: {}", ids.join(", "))))
        }
    }
}
