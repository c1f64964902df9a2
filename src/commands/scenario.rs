//! `lab scenario`: lists the built-in scenarios and dispatches the other commands.

use serde::Serialize;

use super::session::Session;
use crate::cli::ScenarioCommand;
use lab_core::error::{Exit, Failure};
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::Tone;
use lab_scenario::lesson::Difficulty;
use lab_scenario::plan::Kind;
use lab_scenario::{LoadOptions, Plan, Source, library, load};

mod check;
pub(super) mod current;
mod new;
mod schema;
mod show;
mod validate;

#[derive(Serialize)]
struct Row {
    name: String,
    title: String,
    kind: &'static str,
    difficulty: Option<&'static str>,
    tags: Vec<String>,
}

pub(super) async fn run(session: &Session, command: &ScenarioCommand) -> anyhow::Result<Exit> {
    match command {
        ScenarioCommand::List { json } => list(session, *json),
        ScenarioCommand::Show(args) => show::run(session, args),
        ScenarioCommand::Validate(args) => validate::run(session, args),
        ScenarioCommand::New(args) => new::run(session, args),
        ScenarioCommand::Schema { format } => schema::run(session, *format),
        ScenarioCommand::Prove(args) => super::prove::run(session, args).await,
        ScenarioCommand::Check(args) => check::run(session, args).await,
        ScenarioCommand::Run(args) => Box::pin(super::run::run(session, args)).await,
    }
}

/// Parses `--set` options.
pub(super) fn options(set: &[String]) -> Result<LoadOptions, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("--set {text:?} has no =")).hint("write --set name=value")),
    };
    Ok(LoadOptions { set: set.iter().map(pair).collect::<Result<_, _>>()?, ..LoadOptions::default() })
}

/// `incident · beginner`.
fn kind_and_level(plan: &Plan) -> String {
    let level = plan.lesson.difficulty.map(|level| format!(" · {}", level.name()));
    format!("{}{}", plan.kind.name(), level.unwrap_or_default())
}

/// Sort key: incidents first, parts last, easy ones first within each kind.
fn sort_key(plan: &Plan) -> (usize, Option<Difficulty>) {
    let kind = [Kind::Incident, Kind::Practice, Kind::Part].iter().position(|kind| *kind == plan.kind);
    (kind.unwrap_or_default(), plan.lesson.difficulty)
}

fn list(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let load = |name: &str| load(&Source::Library(name.to_owned()), &LoadOptions::default());
    let mut plans = library::names().map(load).collect::<Result<Vec<Plan>, _>>()?;
    plans.sort_by_key(sort_key);
    if json {
        let difficulty = |plan: &Plan| plan.lesson.difficulty.map(Difficulty::name);
        let row = |plan: Plan| Row {
            kind: plan.kind.name(),
            difficulty: difficulty(&plan),
            name: plan.name,
            title: plan.title,
            tags: plan.tags,
        };
        return session.json(&plans.into_iter().map(row).collect::<Vec<_>>());
    }
    let mut table = Table::new(&[("scenario", Side::Left), ("title", Side::Left), ("tags", Side::Left)]);
    let mut last = String::new();
    for plan in plans {
        let heading = kind_and_level(&plan);
        if heading != last {
            table.row([Cell::new(Tone::Dim, heading.clone()), "".into(), "".into()]);
        }
        last = heading;
        table.row([
            Cell::new(Tone::Strong, format!("  {}", plan.name)),
            plan.title.into(),
            Cell::new(Tone::Dim, plan.tags.join(", ")),
        ]);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    session.line("")?;
    let next = "next: lab scenario run rotate-key · lab scenario show NAME";
    session.line(&session.term.painter().paint(Tone::Dim, next))
}
