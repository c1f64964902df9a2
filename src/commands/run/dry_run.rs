//! `lab scenario run --dry-run`: what would happen, and where. Starts nothing, changes nothing, takes no lock.

use crate::engines::Connect;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Wish, check_engine, fitting, missing, own_name};
use crate::cli::RunArgs;
use crate::commands::choose;
use crate::commands::session::{Session, name_option};
use lab_core::engine::EngineErrorKind;
use lab_core::error::Exit;
use lab_report::report::table::{Side, Table};
use lab_report::report::{human, text};
use lab_report::term::{Tone, clean};
use lab_runner::lab::{DEFAULT_NAME, StateFolder};
use lab_runner::runner::Until;
use lab_runner::undo;
use lab_scenario::Plan;
use lab_scenario::forecast::{Forecast, StepForecast, forecast, lasting};

/// Where it would run.
struct Place {
    /// The lab; none: one of the run's own.
    lab: Option<String>,
    engine: &'static str,
    /// What would keep it from running, or what is worth knowing before.
    remarks: Vec<String>,
}

/// What `--json` tells.
#[derive(Serialize)]
struct Document {
    scenario: String,
    title: String,
    kind: &'static str,
    /// Null: one of the run's own.
    lab: Option<String>,
    engine: &'static str,
    parameters: BTreeMap<String, String>,
    steps: Vec<StepDocument>,
    /// What would be put back; empty where the lab itself goes away, or where it is kept.
    undo: Vec<UndoDocument>,
    kept: bool,
    requests: u64,
    /// Of traffic and waits; changes and checks come on top.
    seconds: f64,
    /// What waiting for something may add.
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
    let mut place = place(session, args, plan).await?;
    if !args.allow_commands && plan.check_commands(false).is_err() {
        place.remarks.push("it runs commands on this machine: only with --allow-commands".to_owned());
    }
    let mut told = forecast(plan, until.and_then(|until| until.last_step(&plan.steps)));
    mask(&mut told, plan);
    let kept = args.keep || until.is_some();
    if args.json {
        return session.json(&document(plan, place, told, kept));
    }
    show(session, plan, &place, &told, kept)
}

/// Nobody is to read a secret here either.
fn mask(told: &mut Forecast, plan: &Plan) {
    for step in &mut told.steps {
        plan.secrets.hide(&mut step.what);
        step.expect.iter_mut().for_each(|expect| plan.secrets.hide(expect));
    }
}

/// The lab that is named or up, else one of the run's own: as the run would find it.
async fn place(session: &Session, args: &RunArgs, plan: &Plan) -> anyhow::Result<Place> {
    let state = StateFolder::open()?;
    let lab = state.lab(session.named().unwrap_or(DEFAULT_NAME))?;
    let mut remarks = Vec::new();
    match lab.record()? {
        Some(record) => {
            check_engine(&lab, &record, args.ground.engine)?;
            let engine = lab.engine(&record)?;
            plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
            match engine.describe().await {
                Ok(now) => {
                    plan.check_lab(lab.name(), &now.endpoints)?;
                    remarks
                        .extend(lab.running().map(|holder| format!("{holder} is under way in it: wait for its end")));
                    let owed = undo::pending(&lab)?.filter(|pending| !pending.kept && lab.running().is_none());
                    remarks.extend(
                        owed.map(|_| "it owes the undo of an earlier run: --recover does that first".to_owned()),
                    );
                    return Ok(Place { lab: Some(lab.name().to_owned()), engine: engine.name(), remarks });
                }
                Err(error) if matches!(error.kind, EngineErrorKind::NotUp | EngineErrorKind::Lost) => {
                    if session.named().is_some() {
                        return Err(error.hint(format!("lab up{} brings it back", name_option(&lab))).into());
                    }
                    remarks.push(format!("lab {} is not up: lab up brings it back", lab.name()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        None if session.named().is_some() => return Err(missing(&lab).into()),
        None => {}
    }
    let wish = Wish::new(&args.ground, 0, "lab scenario run")?;
    // A name that no lab has: nothing is made of it.
    let lab = state.lab(&own_name("dry-run"))?;
    let wish = fitting(plan, &lab, wish).await?;
    let record = choose::record(session, &lab, wish).await?;
    let engine = lab.engine(&record)?;
    plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
    Ok(Place { lab: None, engine: engine.name(), remarks })
}

fn document(plan: &Plan, place: Place, told: Forecast, kept: bool) -> Document {
    let (requests, seconds, deadline) = (told.requests(), told.seconds(), told.deadline());
    let gone = place.lab.is_none() || kept;
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
    let undo = told.undo.into_iter().filter(|_| !gone).map(|(target, name)| UndoDocument { target, name });
    Document {
        scenario: plan.name.clone(),
        title: plan.title.clone(),
        kind: plan.kind.name(),
        lab: place.lab,
        engine: place.engine,
        parameters: plan.parameters.clone(),
        steps: told.steps.into_iter().map(step).collect(),
        undo: undo.collect(),
        kept,
        requests,
        seconds,
        deadline,
        remarks: place.remarks,
    }
}

fn show(session: &Session, plan: &Plan, place: &Place, told: &Forecast, kept: bool) -> anyhow::Result<Exit> {
    let (painter, width) = (session.term.painter(), session.term.width());
    session.line(&format!("{} · {}", painter.paint(Tone::Strong, &plan.name), clean(&plan.title)))?;
    let lab = place.lab.as_ref().map_or_else(|| "a lab of its own".to_owned(), |lab| format!("lab {lab}"));
    session.line(&painter.paint(Tone::Dim, &format!("would run in {lab} · {}", place.engine)))?;
    let parameters: Vec<String> = plan.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if !parameters.is_empty() {
        for line in text::wrap(&format!("with {}", parameters.join(", ")), width) {
            session.line(&painter.paint(Tone::Dim, &line))?;
        }
    }
    session.line("")?;
    steps(told).write(&mut session.term.out(), width, painter)?;
    session.line("")?;
    let mut lines = vec![lasts(told), puts_back(place, told, kept)];
    lines.extend(place.remarks.iter().cloned());
    for line in lines.iter().flat_map(|line| text::wrap(line, width)) {
        session.line(&line)?;
    }
    session.line(&painter.paint(Tone::Dim, "nothing was started · without --dry-run it is"))
}

fn steps(told: &Forecast) -> Table {
    let columns = [("step", Side::Left), ("phase", Side::Left), ("what happens", Side::Left), ("expects", Side::Left)];
    let mut table = Table::new(&columns);
    for step in &told.steps {
        let row = [step.name.as_str(), step.phase, step.what.as_str(), &step.expect.join(", ")];
        table.row(row.map(Into::into));
    }
    table
}

/// `120 requests, about 5.9s of traffic and waits; changes and checks come on top`.
fn lasts(told: &Forecast) -> String {
    let requests = human::count(told.requests(), "request");
    let deadline = match told.deadline() {
        0.0 => String::new(),
        seconds => format!(", at most {} more of waiting for something", human::duration(lasting(seconds))),
    };
    let seconds = human::duration(lasting(told.seconds()));
    format!("{requests} in {seconds} of traffic and waits{deadline}; changes come on top")
}

fn puts_back(place: &Place, told: &Forecast, kept: bool) -> String {
    let items: Vec<String> = told.undo.iter().map(|(target, name)| format!("{target} {name}")).collect();
    match (&place.lab, kept) {
        (None, false) => "nothing is left: the lab goes away with the run".to_owned(),
        (None, true) => "the lab stays as the scenario leaves it; lab recover removes it".to_owned(),
        (Some(_), _) if items.is_empty() => "nothing is changed, and nothing to be put back".to_owned(),
        (Some(_), true) => format!("left as it is, until lab recover: {}", items.join(", ")),
        (Some(_), false) => format!("put back at the end: {}", items.join(", ")),
    }
}
