//! `lab runs`: the run history. Runs are read from their events, so interrupted runs are included.

use std::io::BufReader;
use std::path::PathBuf;

mod archive;
mod report;

pub(super) use report::failed as cannot_write;

use super::failure::text;
use super::session::Session;
use crate::cli::{Format, RunsCommand};
use lab_core::error::{Exit, Failure};
use lab_core::event::{Event, UndoOutcome};
use lab_report::report::diff::Diff;
use lab_report::report::journal::{INCOMPLETE, Journal};
use lab_report::report::json::Json;
use lab_report::report::ndjson::{Ndjson, read_events};
use lab_report::report::table::{Cell, Side, Table};
use lab_report::report::timeline::Timeline;
use lab_report::report::{Sink, human, journal_file, short_id, status_name, status_tone};
use lab_report::term::Tone;
use lab_runner::lab::{StateFolder, run_holder};
use lab_system::files;

/// Id argument for the latest run.
const LAST: &str = "last";

pub(super) fn run(session: &Session, command: &RunsCommand) -> anyhow::Result<Exit> {
    let state = StateFolder::open()?;
    match command {
        RunsCommand::List { json } => list(session, &state, *json),
        RunsCommand::Show { id, format, json } => {
            let format = if *json { Format::Json } else { *format };
            show(session, &state, &find(&state, id)?, format)
        }
        RunsCommand::Report(args) => {
            let args = args.disambiguate();
            let journal = journal(&find(&state, args.id.as_deref().unwrap_or(LAST))?)?;
            if is_in_progress(&state, &journal) {
                session.term.note("the run is in progress; showing the events so far");
            }
            report::report(session, &journal, &args.forms)
        }
        RunsCommand::Diff { one, other, json } => {
            let diff = Diff::new(&journal(&find(&state, one)?)?, &journal(&find(&state, other)?)?);
            if *json {
                return session.json(&diff);
            }
            diff.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
            Ok(Exit::Passed)
        }
        RunsCommand::Export { id, file } => {
            let (id, events) = locate(&event_files(&state)?, id)?;
            archive::export(session, &id, &events, file)
        }
        RunsCommand::Import { file } => archive::import(session, &state, file),
    }
}

/// Ids and event files of all runs, oldest first.
fn event_files(state: &StateFolder) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let runs = state.runs()?.into_iter();
    Ok(runs.map(|id| (id.clone(), state.run_folder(&id).path(journal_file::EVENTS))).collect())
}

fn read(path: &std::path::Path) -> anyhow::Result<Vec<Event>> {
    let file = files::open_state(path, files::JOURNAL_LIMIT)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    read_events(BufReader::new(file)).map_err(|error| Failure::failed(format!("{}: {error}", path.display())).into())
}

/// Events of the run whose id has this ending.
fn find(state: &StateFolder, typed: &str) -> anyhow::Result<Vec<Event>> {
    let (_, path) = locate(&event_files(state)?, typed)?;
    read(&path)
}

/// Journal of a run, by default of the latest one.
pub(super) fn selected_journal(state: &StateFolder, id: Option<&str>) -> anyhow::Result<Journal> {
    Ok(journal(&find(state, id.unwrap_or(LAST))?)?)
}

/// Builds the journal of a run.
fn journal(events: &[Event]) -> Result<Journal, Failure> {
    Journal::from_events(events).ok_or_else(|| Failure::failed("the record of this run has no start event"))
}

/// Journal of the run with this id.
pub(super) fn journal_of(state: &StateFolder, id: &str) -> anyhow::Result<Journal> {
    Ok(journal(&read(&state.run_folder(id).path(journal_file::EVENTS))?)?)
}

/// Finds the only run whose id has this ending, or the latest one. `runs` is sorted by time.
fn locate(runs: &[(String, PathBuf)], typed: &str) -> Result<(String, PathBuf), Failure> {
    if typed == LAST {
        let none = || Failure::usage("there are no runs yet").hint("lab scenario run rotate-key");
        return runs.last().cloned().ok_or_else(none);
    }
    let matching: Vec<_> = runs.iter().filter(|(id, _)| !typed.is_empty() && id.ends_with(typed)).collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::usage(format!("no run id ends in {typed:?}")).hint("list the runs with lab runs list")),
        several => {
            let ids: Vec<&str> = several.iter().map(|(id, _)| id.as_str()).collect();
            let message = format!("{typed:?} matches {} run ids", several.len());
            Err(Failure::usage(message).hint(format!("use a longer ending: {}", ids.join(", "))))
        }
    }
}

/// Returns true if a run without an end event is still in progress.
fn is_in_progress(state: &StateFolder, journal: &Journal) -> bool {
    let lab = state.lab(&journal.lab).ok();
    journal.reason.as_deref() == Some(INCOMPLETE)
        && lab.and_then(|lab| lab.running()).is_some_and(|holder| holder == run_holder(&journal.id))
}

fn show(session: &Session, state: &StateFolder, events: &[Event], format: Format) -> anyhow::Result<Exit> {
    let mut sink: Box<dyn Sink> = match format {
        Format::Text => Box::new(Timeline::new(session.term.out(), session.term.width(), session.term.painter())),
        Format::Json => Box::new(Json::new(session.term.data())),
        Format::Ndjson => Box::new(Ndjson::new(session.term.data())),
    };
    for event in events {
        sink.event(event)?;
    }
    if Journal::from_events(events).is_some_and(|journal| is_in_progress(state, &journal)) {
        session.term.note("the run is in progress; showing the events so far");
        if format == Format::Text {
            return Ok(Exit::Passed);
        }
    }
    sink.finish()?;
    Ok(Exit::Passed)
}

fn list(session: &Session, state: &StateFolder, json: bool) -> anyhow::Result<Exit> {
    let mut journals = Vec::new();
    for (id, path) in event_files(state)?.iter().rev() {
        match read(path) {
            Ok(events) => journals.extend(Journal::from_events(&events)),
            // An unreadable run does not hide the others.
            Err(error) => session.term.note(&format!("run {id}: {}", text(&error))),
        }
    }
    if json {
        return session.json(&journals);
    }
    if journals.is_empty() {
        return session.line("there are no runs yet; try lab scenario run rotate-key");
    }
    let mut table = Table::new(&[
        ("run", Side::Left),
        ("when", Side::Left),
        ("scenario", Side::Left),
        ("lab", Side::Left),
        ("engine", Side::Left),
        ("took", Side::Right),
        ("outage", Side::Right),
        ("verdict", Side::Left),
    ]);
    for journal in &journals {
        let when = journal.start.with_timezone(&chrono::Local).format("%m-%d %H:%M:%S").to_string();
        table.row([
            short_id(&journal.id).into(),
            when.into(),
            journal.scenario.as_str().into(),
            journal.lab.as_str().into(),
            journal.engine.as_str().into(),
            human::clock(journal.duration).into(),
            outage(journal).into(),
            if is_in_progress(state, journal) { Cell::new(Tone::Plain, "running") } else { verdict(journal) },
        ]);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    Ok(Exit::Passed)
}

/// Length of the outage. Without a recovery during the run, it is only known that it was longer.
fn outage(journal: &Journal) -> String {
    let Some(outage) = journal.outage else { return "-".to_owned() };
    let longer = if outage.recovered_at.is_some() { "" } else { ">" };
    format!("{longer}{}", human::clock(outage.duration))
}

/// Result of a run, with the changes that it left in the lab.
fn verdict(journal: &Journal) -> Cell {
    let kept = if journal.undo.status == UndoOutcome::Kept { ", changes kept" } else { "" };
    Cell::new(status_tone(journal.status), format!("{}{kept}", status_name(journal.status)))
}
