//! `lab scenario`: list, show and validate; running one is in [`super::run`].

use serde::Serialize;

use super::session::Session;
use crate::cli::ScenarioCommand;
use crate::error::{Exit, Failure};
use crate::report::table::{Cell, Side, Table};
use crate::report::{human, text};
use crate::scenario::plan::Kind;
use crate::scenario::{Diagnostics, LoadOptions, Plan, Source, library, load};
use crate::term::Tone;

/// A row of `lab scenario list --json`.
#[derive(Serialize)]
struct Row {
    name: String,
    title: String,
    kind: &'static str,
    tags: Vec<String>,
}

pub(super) async fn run(session: &Session, command: &ScenarioCommand) -> anyhow::Result<Exit> {
    match command {
        ScenarioCommand::List { json } => list(session, *json),
        ScenarioCommand::Show { scenario, source } => show(session, scenario, *source),
        ScenarioCommand::Validate { scenarios, set } => validate(session, scenarios, set),
        ScenarioCommand::Run(args) => super::run::run(session, args).await,
    }
}

/// What `--set` gave.
pub(super) fn options(set: &[String]) -> Result<LoadOptions, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("--set {text:?} has no =")).hint("write --set name=value")),
    };
    Ok(LoadOptions { set: set.iter().map(pair).collect::<Result<_, _>>()? })
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Incident => "incident",
        Kind::Practice => "practice",
        Kind::Part => "part",
    }
}

fn list(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    for name in library::names() {
        let plan = load(&Source::Library(name.to_owned()), &LoadOptions::default())?;
        rows.push(Row { name: plan.name, title: plan.title, kind: kind(plan.kind), tags: plan.tags });
    }
    if json {
        return session.json(&rows);
    }
    let columns = [("scenario", Side::Left), ("kind", Side::Left), ("title", Side::Left), ("tags", Side::Left)];
    let mut table = Table::new(&columns);
    for row in rows {
        table.row([
            Cell::new(Tone::Strong, row.name),
            row.kind.into(),
            row.title.into(),
            Cell::new(Tone::Dim, row.tags.join(", ")),
        ]);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    session.line("")?;
    let next = "next: lab scenario run rotate-key · lab scenario show NAME";
    session.line(&session.term.painter().paint(Tone::Dim, next))
}

fn show(session: &Session, typed: &str, source: bool) -> anyhow::Result<Exit> {
    let from = Source::parse(typed);
    // The text of a file that does not load is worth reading all the same.
    if source && let Some(text) = library::get(typed) {
        return session.print(text.as_bytes());
    }
    if source && let Source::Path(path) = &from {
        return session.print(&std::fs::read(path).map_err(|error| Failure::usage(format!("{typed}: {error}")))?);
    }
    let plan = load(&from, &LoadOptions::default())?;
    let painter = session.term.painter();
    session.line(&format!("{} · {}", painter.paint(Tone::Strong, &plan.name), plan.title))?;
    let tags = if plan.tags.is_empty() { String::new() } else { format!(" · {}", plan.tags.join(", ")) };
    session.line(&painter.paint(Tone::Dim, &format!("{}{tags}", kind(plan.kind))))?;
    session.line("")?;
    for line in text::wrap(plan.description.trim(), session.term.width()) {
        session.line(&line)?;
    }
    if !plan.parameters.is_empty() {
        session.line("")?;
        let mut table = Table::new(&[("parameter", Side::Left), ("default", Side::Left)]);
        for (name, value) in &plan.parameters {
            table.row([name.as_str().into(), value.as_str().into()]);
        }
        table.write(&mut session.term.out(), session.term.width(), painter)?;
    }
    session.line("")?;
    steps(&plan).write(&mut session.term.out(), session.term.width(), painter)?;
    session.line("")?;
    let next = format!("next: lab scenario run {typed} · lab scenario show {typed} --source > my.yaml");
    session.line(&painter.paint(Tone::Dim, &next))
}

fn steps(plan: &Plan) -> Table {
    let columns = [("step", Side::Left), ("phase", Side::Left), ("action", Side::Left), ("expects", Side::Left)];
    let mut table = Table::new(&columns);
    for step in &plan.steps {
        let expects: Vec<String> =
            step.expect.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text)).collect();
        table.row([
            step.name.as_str().into(),
            step.phase.name().into(),
            step.action.name().into(),
            expects.join(", ").into(),
        ]);
    }
    table
}

fn validate(session: &Session, typed: &[String], set: &[String]) -> anyhow::Result<Exit> {
    let options = options(set)?;
    let sources: Vec<Source> = if typed.is_empty() {
        library::names().map(|name| Source::Library(name.to_owned())).collect()
    } else {
        typed.iter().map(|typed| Source::parse(typed)).collect()
    };
    let mut exit = Exit::Held;
    for source in sources {
        match load(&source, &options) {
            Ok(plan) => {
                let steps = human::count(plan.steps.len() as u64, "step");
                session.line(&format!(
                    "{}  {} ({steps})",
                    session.term.painter().paint(Tone::Held, "ok"),
                    plan.name
                ))?;
            }
            Err(found) => {
                complain(session, &found);
                exit = Exit::Usage;
            }
        }
    }
    Ok(exit)
}

fn complain(session: &Session, found: &Diagnostics) {
    session.term.note(&found.render(session.term.stderr_painter().is_on()));
}
