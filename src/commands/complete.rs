//! `lab complete`: names for shell completions, one line each, with a tab before the explanation. It never fails, and asks
//! neither a daemon nor a host.

use crate::cli::{Cursor, ValueKind};
use crate::engines::Connect;

use super::session::Session;
use lab_core::engine::{APP, DB, GATEWAY};
use lab_core::error::Exit;
use lab_report::report::short_id;
use lab_runner::lab::{DEFAULT_NAME, StateFolder};
use lab_scenario::library;

/// Number of past runs that are offered.
const RUNS: usize = 30;

pub(super) fn run(session: &Session, words: &[String]) -> anyhow::Result<Exit> {
    let cursor = crate::cli::cursor(words);
    let typed = words.last().map_or("", String::as_str);
    let candidates = match cursor.kind {
        Some(ValueKind::Service) => services(session, &cursor),
        Some(ValueKind::Scenario) => library::names().map(|name| (name.to_owned(), String::new())).collect(),
        Some(ValueKind::Run) => runs(),
        Some(ValueKind::Lab) => labs(),
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
    let ids = StateFolder::open().ok().and_then(|state| state.runs().ok()).unwrap_or_default();
    let run = |id: &String| {
        let short = short_id(id);
        (short.to_owned(), id.strip_suffix(short).unwrap_or(id).trim_end_matches('-').to_owned())
    };
    let latest = ids.last().map(|_| ("last".to_owned(), "the latest run".to_owned()));
    ids.iter().rev().take(RUNS).map(run).chain(latest).collect()
}

fn labs() -> Vec<(String, String)> {
    let labs = StateFolder::open().ok().and_then(|state| state.labs().ok()).unwrap_or_default();
    let engine =
        |lab: &lab_runner::lab::Lab| lab.record().ok().flatten().map(|record| record.engine).unwrap_or_default();
    labs.iter().map(|lab| (lab.name().to_owned(), engine(lab))).collect()
}
