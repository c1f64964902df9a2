//! `lab complete`: names for shell completions, one line each, with a tab before the explanation. It never fails, and asks
//! neither a daemon nor a host.

use crate::cli::{Cursor, ValueKind};
use crate::engines::Connect;

use super::session::Session;
use lab_core::diagnosis::{Cause, Location};
use lab_core::engine::{APP, DB, GATEWAY};
use lab_core::error::Exit;
use lab_drill::log::Drills;
use lab_report::report::short_id;
use lab_room::config::Rooms;
use lab_runner::lab::{DEFAULT_NAME, StateFolder};
use lab_scenario::library;

/// Number of past runs or drills that are offered.
const RUNS: usize = 30;

pub(super) fn run(session: &Session, words: &[String]) -> anyhow::Result<Exit> {
    let cursor = crate::cli::cursor(words);
    let typed = words.last().map_or("", String::as_str);
    let candidates = match cursor.kind {
        Some(ValueKind::Service) => services(session, &cursor),
        Some(ValueKind::Scenario) => library::names().map(|name| (name.to_owned(), String::new())).collect(),
        Some(ValueKind::Run) => runs(),
        Some(ValueKind::Lab) => labs(),
        Some(ValueKind::Room) => rooms(),
        Some(ValueKind::Drill) => drills(),
        Some(ValueKind::Location) => Location::ALL.map(|it| (it.name().to_owned(), it.explanation().to_owned())).into(),
        // A name in several words would be several arguments.
        Some(ValueKind::Cause) => {
            Cause::ALL.map(|it| (it.name().replace(' ', "-"), it.explanation().to_owned())).into()
        }
        None => Vec::new(),
    };
    let candidates = candidates.into_iter().filter(|(name, _)| name.starts_with(typed) && !cursor.given.contains(name));
    let lines = candidates.map(|(name, what)| if what.is_empty() { name } else { format!("{name}\t{what}") });
    let text: String = lines.map(|line| line + "\n").collect();
    session.print(text.as_bytes())
}

/// Services of the selected lab, else those of lab's own stack.
fn services(session: &Session, cursor: &Cursor) -> Vec<(String, String)> {
    let name = cursor.lab.as_deref().or(session.named()).unwrap_or(DEFAULT_NAME);
    let of_lab = || {
        let lab = StateFolder::open().ok()?.lab(name).ok()?;
        let engine = lab.engine(&lab.record().ok()??).ok()?;
        Some(engine.services().into_iter().map(|service| service.name).collect::<Vec<_>>())
    };
    let known = of_lab().unwrap_or_else(|| [GATEWAY, APP, DB].map(str::to_owned).into());
    known.into_iter().map(|name| (name, String::new())).collect()
}

/// The latest runs, newest first.
fn runs() -> Vec<(String, String)> {
    latest(&StateFolder::open().ok().and_then(|state| state.runs().ok()).unwrap_or_default(), "the latest run")
}

/// The latest drills, newest first.
fn drills() -> Vec<(String, String)> {
    let ids = StateFolder::open().ok().and_then(|state| Drills::new(state.root()).ids().ok());
    latest(&ids.unwrap_or_default(), "the latest drill")
}

/// Short ids with their times, newest first, and `last`. `ids` are sorted by time.
fn latest(ids: &[String], about: &str) -> Vec<(String, String)> {
    let run = |id: &String| {
        let short = short_id(id);
        (short.to_owned(), id.strip_suffix(short).unwrap_or(id).trim_end_matches('-').to_owned())
    };
    let latest = ids.last().map(|_| ("last".to_owned(), about.to_owned()));
    ids.iter().rev().take(RUNS).map(run).chain(latest).collect()
}

fn labs() -> Vec<(String, String)> {
    let labs = StateFolder::open().ok().and_then(|state| state.labs().ok()).unwrap_or_default();
    let engine =
        |lab: &lab_runner::lab::Lab| lab.record().ok().flatten().map(|record| record.engine).unwrap_or_default();
    labs.iter().map(|lab| (lab.name().to_owned(), engine(lab))).collect()
}

fn rooms() -> Vec<(String, String)> {
    let names = StateFolder::open().ok().and_then(|state| Rooms::new(state.root()).names().ok());
    names.unwrap_or_default().into_iter().map(|name| (name, String::new())).collect()
}
