//! `lab scenario prove`: runs proofs in parallel, each in its own temporary lab.

use crate::engines::Connect;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;

use super::alerts;
use super::choose::{self, NewLab};
use super::run::{new_id, run_holder, temporary_lab_name};
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

/// Limit of parallel proofs. With more proofs than cores, the measurements depend on the machine.
const MOST_JOBS: usize = 16;

pub(super) async fn run(session: &Session, args: &ProveArgs) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let plans = plans(args)?;
    for plan in &plans {
        session.hide(&plan.secrets);
    }
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    let ids = ids(&state, plans.len())?;
    // The engine is selected once, for all proofs.
    let record = match ids.first() {
        Some(id) => {
            choose::record(session, &state.lab(&temporary_lab_name(id))?, NewLab::new(&args.new_lab, 0, VERB)?).await?
        }
        None => return Err(Failure::usage("there is nothing to prove").into()),
    };
    let names = plans.iter().map(|plan| plan.name.chars().count()).max().unwrap_or_default();
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let live = session.term.live("proving", Plain::Silent);
    let total = plans.len();
    let work = plans.into_iter().zip(ids).map(|(plan, id)| {
        let prover = Prover {
            state: state.clone(),
            record: record.clone(),
            interrupt: interrupt.clone(),
            named: !args.all,
            commands: args.allow_commands,
        };
        // A separate task: a panic in one proof must not lose the labs of the others.
        async move {
            let name = plan.name.clone();
            let proof = tokio::spawn(async move { prover.prove(&plan, &id).await }).await;
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

/// Command name, for messages.
const VERB: &str = "lab scenario prove";

/// Loads the selected scenarios with their short values.
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
        if !ids.iter().any(|known| temporary_lab_name(known) == temporary_lab_name(&id)) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Shared settings of all proofs.
struct Prover {
    state: StateFolder,
    /// Template for the record of each lab.
    record: Record,
    interrupt: Interrupt,
    /// The scenario was selected by name, not by `--all`.
    named: bool,
    /// `run` steps are allowed to run their commands.
    commands: bool,
}

impl Prover {
    async fn prove(&self, plan: &Plan, id: &str) -> Proof {
        let without = |status, exit, reason: Option<String>| Proof::without(&plan.name, status, exit, reason);
        if let Some(signal) = self.interrupt.signal() {
            return without(Verdict::Interrupted, signal.exit(), None);
        }
        if plan.kind == Kind::Part {
            return without(
                Verdict::Exempt,
                Exit::Passed,
                Some("a part of other scenarios makes no claims".to_owned()),
            );
        }
        let proved = self.in_temporary_lab(plan, id).await;
        proved.unwrap_or_else(|error| {
            let exit = error.downcast_ref::<Failure>().map_or(Exit::Failed, |failure| failure.exit);
            without(Verdict::Error, exit, Some(super::failure::text(&error)))
        })
    }

    async fn in_temporary_lab(&self, plan: &Plan, id: &str) -> anyhow::Result<Proof> {
        if let Err(found) = plan.check_commands(self.commands) {
            let why = found.items().first().map_or_else(String::new, |item| item.message.clone());
            return Err(Failure::usage(why).hint("add --allow-commands if you trust the scenario").into());
        }
        let lab = self.state.lab(&temporary_lab_name(id))?;
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
        // Recorded before the lab exists, so that `lab recover` removes it even after a SIGKILL.
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
        let message = format!("lab {} could not be removed: {left}; run lab recover --name {0}", lab.name());
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
