//! `lab scenario prove`: several proofs at a time, each in a lab of its own that goes away with it.

use crate::engines::Connect;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;

use super::alerts;
use super::choose::{self, Wish};
use super::run::{new_id, own_name, run_holder};
use super::scenario::options;
use super::session::Session;
use super::signals;
use crate::cli::{ProofFormat, ProveArgs};
use lab_core::engine::{Engine, UpRequest};
use lab_core::error::{Exit, Failure};
use lab_core::event::UndoOutcome;
use lab_report::report::proof as report;
use lab_report::term::{Plain, Tone};
use lab_runner::lab::{Lab, Record, StateFolder};
use lab_runner::proof::{self, Missing, Proof, ProofLab, Verdict};
use lab_runner::runner::{Interrupt, Signal};
use lab_runner::undo;
use lab_scenario::plan::Kind;
use lab_scenario::{LoadOptions, Plan, Source, library, load};
use lab_system::process::{LocalProcesses, Processes};
use lab_telemetry::wire::NetWire;

/// More at once than there are cores, and what is measured is the machine.
const MOST_JOBS: usize = 16;

pub(super) async fn run(session: &Session, args: &ProveArgs) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let plans = plans(args)?;
    plans.iter().for_each(|plan| session.hide(&plan.secrets));
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    let ids = ids(&state, plans.len())?;
    // Which engine is found out once, for all.
    let record = match ids.first() {
        Some(id) => choose::record(session, &state.lab(&own_name(id))?, Wish::new(&args.ground, 0, VERB)?).await?,
        None => return Err(Failure::usage("there is nothing to prove").into()),
    };
    let names = plans.iter().map(|plan| plan.name.chars().count()).max().unwrap_or_default();
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let live = session.term.live("proving", Plain::Silent);
    let total = plans.len();
    let work = plans.into_iter().zip(ids).map(|(plan, id)| {
        let bench = Bench {
            state: state.clone(),
            record: record.clone(),
            interrupt: interrupt.clone(),
            named: !args.all,
            commands: args.allow_commands,
        };
        // A task of its own, so that one that panics takes no lab of the others along.
        async move {
            let name = plan.name.clone();
            let proof = tokio::spawn(async move { bench.prove(&plan, &id).await }).await;
            proof.unwrap_or_else(|panic| {
                let why = undo::panic_text(panic);
                Proof::without(&name, Verdict::Error, Exit::UndoIncomplete, Some(why))
            })
        }
    });
    let mut work = futures_util::stream::iter(work).buffer_unordered(jobs.clamp(1, MOST_JOBS));
    let mut proofs = Vec::new();
    while let Some(proof) = work.next().await {
        if args.format == ProofFormat::Text {
            for line in report::lines(&proof, names, session.term.width(), session.term.painter()) {
                session.line(&line)?;
            }
        }
        proofs.push(proof);
        live.progress(proofs.len() as u64, total as u64);
    }
    live.clear();
    let signal = interrupt.signal().map_or(Exit::Passed, Signal::exit);
    let exit = proofs.iter().fold(signal, |exit, proof| exit.worse(proof.exit));
    match args.format {
        ProofFormat::Json => session.json(&proofs)?,
        ProofFormat::Text => {
            session.line("")?;
            session.line(&session.term.painter().paint(Tone::Dim, &report::summary(&proofs, begun.elapsed())))?
        }
    };
    Ok(exit)
}

/// What is typed, for messages.
const VERB: &str = "lab scenario prove";

/// The scenarios that are meant, read with their short values.
fn plans(args: &ProveArgs) -> anyhow::Result<Vec<Plan>> {
    let sources: Vec<Source> = if args.all {
        library::names().map(|name| Source::Library(name.to_owned())).collect()
    } else {
        args.scenarios.iter().map(|typed| Source::parse(typed)).collect()
    };
    let options = LoadOptions { short: true, ..options(&args.set)? };
    Ok(sources.iter().map(|source| load(source, &options)).collect::<Result<_, _>>()?)
}

fn ids(state: &StateFolder, count: usize) -> anyhow::Result<Vec<String>> {
    let mut ids: Vec<String> = Vec::new();
    while ids.len() < count {
        let id = new_id(state)?;
        if !ids.iter().any(|known| own_name(known) == own_name(&id)) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// What every proof needs.
struct Bench {
    state: StateFolder,
    /// Of a lab on the engine that was chosen.
    record: Record,
    interrupt: Interrupt,
    /// The scenario was asked for by its name.
    named: bool,
    /// `run` steps may run their commands.
    commands: bool,
}

impl Bench {
    async fn prove(&self, plan: &Plan, id: &str) -> Proof {
        let without = |status, exit, reason: Option<String>| Proof::without(&plan.name, status, exit, reason);
        if let Some(signal) = self.interrupt.signal() {
            return without(Verdict::Interrupted, signal.exit(), None);
        }
        if plan.kind == Kind::Part {
            return without(
                Verdict::Exempt,
                Exit::Passed,
                Some("a part for others claims nothing by itself".to_owned()),
            );
        }
        let proved = self.on_own_lab(plan, id).await;
        proved.unwrap_or_else(|error| {
            let exit = error.downcast_ref::<Failure>().map_or(Exit::Failed, |failure| failure.exit);
            without(Verdict::Error, exit, Some(super::failure::text(&error)))
        })
    }

    async fn on_own_lab(&self, plan: &Plan, id: &str) -> anyhow::Result<Proof> {
        if let Err(found) = plan.check_commands(self.commands) {
            let why = found.items().first().map_or_else(String::new, |item| item.message.clone());
            return Err(Failure::usage(why).hint("--allow-commands, for a scenario that you trust").into());
        }
        let lab = self.state.lab(&own_name(id))?;
        let engine = lab.engine(&self.record)?;
        match proof::check(plan, &*engine) {
            Err(Missing::Claims(lack)) => return Err(Failure::usage(lack).into()),
            Err(Missing::Ability(found)) => {
                let exit = if self.named { Exit::Usage } else { Exit::Passed };
                let why = found.items().first().map(|item| item.message.clone());
                return Ok(Proof::without(&plan.name, Verdict::Skipped, exit, why));
            }
            Ok(()) => {}
        }
        let _lock = lab.lock_run(&run_holder(id))?;
        // On record before it exists: a SIGKILL leaves a lab that `lab recover` removes.
        undo::record_new_lab(&lab, id, &plan.name)?;
        if let Some(reading) = lab.read_stack(&self.record)? {
            lab.save_stack(&reading.stack)?;
        }
        lab.save(&Record { owner: Some(id.to_owned()), ..self.record.clone() })?;
        let proof = self.prove_in(plan, id, &lab, &engine).await;
        let undo = undo::recover(&lab, &engine, self.interrupt.give_up(), |_| {}).await;
        let left = match undo {
            Ok(undo) if undo.status == UndoOutcome::Complete => return proof,
            Ok(undo) => undo.items.iter().find_map(|item| item.error.clone()).unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        let message = format!("lab {} could not be removed: {left}; lab recover --name {0} does it", lab.name());
        Err(Failure { exit: Exit::UndoIncomplete, ..Failure::failed(message) }.into())
    }

    async fn prove_in(&self, plan: &Plan, id: &str, lab: &Lab, engine: &Arc<dyn Engine>) -> anyhow::Result<Proof> {
        let request = UpRequest { tied: true, ..lab.up_request(&lab.existing()?)? };
        let up = tokio::select! {
            up = engine.up(&request, Arc::new(|_| {})) => up,
            () = self.interrupt.stop().cancelled() => {
                let exit = self.interrupt.signal().map_or(Exit::Interrupted, Signal::exit);
                return Ok(Proof::without(&plan.name, Verdict::Interrupted, exit, None));
            }
        };
        let endpoints = up?.endpoints;
        plan.check_lab(lab.name(), &endpoints)?;
        alerts::check(plan, lab.name(), &lab.existing()?, &endpoints).await?;
        let ground = ProofLab {
            lab: lab.clone(),
            engine: Arc::clone(engine),
            wire: Arc::new(NetWire::new()),
            processes: self.commands.then(|| Arc::new(LocalProcesses) as Arc<dyn Processes>),
            id: id.to_owned(),
            interrupt: self.interrupt.clone(),
        };
        Ok(proof::prove(plan, &ground).await)
    }
}
