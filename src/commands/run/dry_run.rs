//! `lab scenario run --dry-run`: shows the plan of a run and its lab. Changes nothing and takes no lock.

use crate::engines::Connect;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{NewLab, check_engine, no_such_lab, select_engine};
use crate::cli::RunArgs;
use crate::commands::choose;
use crate::commands::session::Session;
use lab_core::error::Exit;
use lab_report::report::table::{Side, Table};
use lab_report::report::{human, text};
use lab_report::term::{Tone, clean};
use lab_runner::lab::{DEFAULT_NAME, StateFolder};
use lab_runner::runner::Until;
use lab_runner::undo;
use lab_scenario::Plan;
use lab_scenario::forecast::{Forecast, StepForecast, forecast, lasting};

/// Lab and engine that the run would use.
struct Target {
    /// `None`: a temporary lab.
    lab: Option<String>,
    engine: &'static str,
    /// Reasons why the run would fail, and other notes.
    remarks: Vec<String>,
}

/// `--json` output.
#[derive(Serialize)]
pub(super) struct Document {
    scenario: String,
    title: String,
    kind: &'static str,
    /// Null: a temporary lab.
    lab: Option<String>,
    engine: &'static str,
    parameters: BTreeMap<String, String>,
    steps: Vec<StepDocument>,
    /// Changes that would be undone; empty if the lab is removed or kept.
    undo: Vec<UndoDocument>,
    kept: bool,
    requests: u64,
    /// Traffic and waits; changes and checks take additional time.
    seconds: f64,
    /// Additional seconds at most, for waits on a condition.
    deadline: f64,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct StepDocument {
    name: String,
    phase: &'static str,
    action: &'static str,
    what: String,
    service: Option<String>,
    requests: Option<u64>,
    seconds: Option<f64>,
    deadline: Option<f64>,
    expect: Vec<String>,
}

#[derive(Serialize)]
struct UndoDocument {
    target: String,
    name: String,
}

pub(super) async fn run(session: &Session, args: &RunArgs, plan: &Plan, until: Option<&Until>) -> anyhow::Result<Exit> {
    if args.json {
        return session.json(&describe(session, args, plan, until).await?);
    }
    let (target, forecast, kept) = prepare(session, args, plan, until).await?;
    show(session, plan, &target, &forecast, kept)
}

/// The plan as a document.
pub(super) async fn describe(
    session: &Session,
    args: &RunArgs,
    plan: &Plan,
    until: Option<&Until>,
) -> anyhow::Result<Document> {
    let (target, forecast, kept) = prepare(session, args, plan, until).await?;
    Ok(document(plan, target, forecast, kept))
}

async fn prepare(
    session: &Session,
    args: &RunArgs,
    plan: &Plan,
    until: Option<&Until>,
) -> anyhow::Result<(Target, Forecast, bool)> {
    let mut target = find_target(session, args, plan).await?;
    if !args.allow_commands && plan.check_commands(false).is_err() {
        target.remarks.push("it runs commands on this machine: add --allow-commands".to_owned());
    }
    let mut forecast = forecast(plan, until.and_then(|until| until.last_step(&plan.steps)));
    mask(&mut forecast, plan);
    let kept = args.keep || until.is_some();
    Ok((target, forecast, kept))
}

/// Masks secrets in the forecast.
fn mask(forecast: &mut Forecast, plan: &Plan) {
    for step in &mut forecast.steps {
        plan.secrets.hide(&mut step.what);
        step.expect.iter_mut().for_each(|expect| plan.secrets.hide(expect));
    }
}

/// Finds the lab as a run would, without creating one.
async fn find_target(session: &Session, args: &RunArgs, plan: &Plan) -> anyhow::Result<Target> {
    let state = StateFolder::open()?;
    let lab = state.lab(session.named().unwrap_or(DEFAULT_NAME))?;
    let mut remarks = Vec::new();
    match lab.record()? {
        Some(record) => {
            check_engine(&lab, &record, args.new_lab.engine)?;
            let engine = lab.engine(&record)?;
            plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
            match engine.describe().await {
                Ok(now) => {
                    plan.check_lab(lab.name(), &now.endpoints)?;
                    remarks.extend(lab.running().map(|holder| format!("{holder} is in progress: wait until it ends")));
                    let pending = undo::pending(&lab)?.filter(|pending| !pending.kept && lab.running().is_none());
                    remarks.extend(pending.map(|_| "the undo of an earlier run is pending: add --recover".to_owned()));
                    return Ok(Target { lab: Some(lab.name().to_owned()), engine: engine.name(), remarks });
                }
                Err(error) if error.kind.is_down() => {
                    if session.named().is_some() {
                        return Err(error.hint(format!("lab up{}", lab.name_option())).into());
                    }
                    remarks.push(format!("lab {} is not up: start it with lab up", lab.name()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        None if session.named().is_some() => return Err(no_such_lab(&lab).into()),
        None => {}
    }
    let new_lab = NewLab::new(&args.new_lab, 0, "lab scenario run")?;
    // No lab has this name, and none is created.
    let lab = state.temporary_lab("dry-run")?;
    let new_lab = select_engine(plan, &lab, new_lab).await?;
    let record = choose::record(session, &lab, new_lab).await?;
    let engine = lab.engine(&record)?;
    plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
    Ok(Target { lab: None, engine: engine.name(), remarks })
}

fn document(plan: &Plan, target: Target, forecast: Forecast, kept: bool) -> Document {
    let (requests, seconds, deadline) = (forecast.requests(), forecast.seconds(), forecast.deadline());
    let gone = target.lab.is_none() || kept;
    let step = |step: StepForecast| StepDocument {
        name: step.name,
        phase: step.phase,
        action: step.action,
        what: step.what,
        service: step.service,
        requests: step.requests,
        seconds: step.seconds,
        deadline: step.deadline,
        expect: step.expect,
    };
    let undo = forecast.undo.into_iter().filter(|_| !gone).map(|(target, name)| UndoDocument { target, name });
    Document {
        scenario: plan.name.clone(),
        title: plan.title.clone(),
        kind: plan.kind.name(),
        lab: target.lab,
        engine: target.engine,
        parameters: plan.parameters.clone(),
        steps: forecast.steps.into_iter().map(step).collect(),
        undo: undo.collect(),
        kept,
        requests,
        seconds,
        deadline,
        remarks: target.remarks,
    }
}

fn show(session: &Session, plan: &Plan, target: &Target, forecast: &Forecast, kept: bool) -> anyhow::Result<Exit> {
    let (painter, width) = (session.term.painter(), session.term.width());
    session.line(&format!("{} · {}", painter.paint(Tone::Strong, &plan.name), clean(&plan.title)))?;
    let lab = target.lab.as_ref().map_or_else(|| "a temporary lab".to_owned(), |lab| format!("lab {lab}"));
    session.line(&painter.paint(Tone::Dim, &format!("would run in {lab} · {}", target.engine)))?;
    let parameters: Vec<String> = plan.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if !parameters.is_empty() {
        for line in text::wrap(&format!("with {}", parameters.join(", ")), width) {
            session.line(&painter.paint(Tone::Dim, &line))?;
        }
    }
    session.line("")?;
    steps(forecast).write(&mut session.term.out(), width, painter)?;
    session.line("")?;
    let mut lines = vec![duration(forecast), restores(target, forecast, kept)];
    lines.extend(target.remarks.iter().cloned());
    for line in lines.iter().flat_map(|line| text::wrap(line, width)) {
        session.line(&line)?;
    }
    session.line(&painter.paint(Tone::Dim, "dry run: nothing was started"))
}

fn steps(forecast: &Forecast) -> Table {
    let columns = [("step", Side::Left), ("phase", Side::Left), ("what happens", Side::Left), ("expects", Side::Left)];
    let mut table = Table::new(&columns);
    for step in &forecast.steps {
        let row = [step.name.as_str(), step.phase, step.what.as_str(), &step.expect.join(", ")];
        table.row(row.map(Into::into));
    }
    table
}

/// `120 requests in 5.9s of traffic and waits; changes take additional time`.
fn duration(forecast: &Forecast) -> String {
    let requests = human::count(forecast.requests(), "request");
    let deadline = match forecast.deadline() {
        0.0 => String::new(),
        seconds => format!(", plus up to {} of waiting for conditions", human::duration(lasting(seconds))),
    };
    let seconds = human::duration(lasting(forecast.seconds()));
    format!("{requests} in {seconds} of traffic and waits{deadline}; changes take additional time")
}

fn restores(target: &Target, forecast: &Forecast, kept: bool) -> String {
    let items: Vec<String> = forecast.undo.iter().map(|(target, name)| format!("{target} {name}")).collect();
    match (&target.lab, kept) {
        (None, false) => "the temporary lab is removed after the run".to_owned(),
        (None, true) => "the lab is kept as the scenario leaves it; lab recover removes it".to_owned(),
        (Some(_), _) if items.is_empty() => "nothing is changed, so nothing has to be undone".to_owned(),
        (Some(_), true) => format!("kept until lab recover: {}", items.join(", ")),
        (Some(_), false) => format!("restored at the end: {}", items.join(", ")),
    }
}
