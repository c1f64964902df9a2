//! `lab scenario prove`: runs proofs in parallel, each in its own temporary lab. The runs of a long proof are shared among several
//! labs, so that the slowest scenario does not determine the duration of them all.

use crate::engines::{Connect, EngineRegistry};
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;

use super::choose::{self, NewLab};
use super::failure::provision_failure;
use super::scenario::options;
use super::session::Session;
use super::signals;
use crate::cli::{ProofFormat, ProveArgs};
use lab_core::error::{Exit, Failure};
use lab_report::report::proof as report;
use lab_report::term::{Fallback, Tone};
use lab_runner::lab::{Record, StateFolder};
use lab_runner::proof::{self, Missing, Proof, ProofLab, Share, Verdict};
use lab_runner::provision::{CreateError, ProvisionError, Provisioner, TemporaryLab};
use lab_runner::runner::Signal;
use lab_runner::undo;
use lab_scenario::forecast::forecast;
use lab_scenario::plan::Kind;
use lab_scenario::{LoadOptions, Plan, Source, library, load};
use lab_system::process::{LocalProcesses, Processes};
use lab_telemetry::wire::NetWire;

/// Limit of labs at the same time.
const MOST_JOBS: usize = 16;
/// Embedded labs for each core: they wait most of the time.
const EMBEDDED_PER_CORE: usize = 3;
/// Desired duration of the runs in one lab, in seconds.
const SHARE_DURATION: f64 = 20.0;

pub(super) async fn run(session: &Session, args: &ProveArgs) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let format = if args.json { ProofFormat::Json } else { args.format };
    let plans = plans(args)?;
    for plan in &plans {
        session.hide(&plan.secrets);
    }
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    // The engine is selected once, for all proofs.
    let lab = state.temporary_lab(&state.new_run_id()?)?;
    let template = choose::record(session, &lab, NewLab::new(&args.new_lab, 0, VERB)?).await?;
    let jobs = args.jobs.unwrap_or_else(|| default_jobs(&template)).clamp(1, MOST_JOBS);
    let names = plans.iter().map(|plan| plan.name.chars().count()).max().unwrap_or_default();
    let line = session.term.progress_line("proving", Fallback::Silent);
    let total = plans.len();
    let provisioner =
        Provisioner { connector: Arc::new(EngineRegistry), progress: Arc::new(|_| {}), interrupt: interrupt.clone() };
    let prover = Arc::new(Prover {
        state,
        template,
        provisioner,
        named: !args.all,
        commands: args.allow_commands,
        permits: Semaphore::new(jobs),
    });
    let shares: Vec<Vec<Share>> = plans.iter().map(|plan| shares(plan, jobs)).collect();
    let mut ids = prover.state.new_run_ids(shares.iter().map(Vec::len).sum())?.into_iter();
    // The longest come first, and permits are given in this order.
    let mut work: FuturesUnordered<_> = plans
        .into_iter()
        .zip(shares)
        .map(|(plan, shares)| {
            let shares = shares.into_iter().zip(ids.by_ref()).collect();
            Arc::clone(&prover).prove(Arc::new(plan), shares)
        })
        .collect();
    let mut proofs = Vec::new();
    while let Some(proof) = work.next().await {
        if format == ProofFormat::Text {
            for line in report::lines(&proof, names, session.term.width(), session.term.painter()) {
                session.line(&line)?;
            }
        }
        proofs.push(proof);
        line.progress(proofs.len() as u64, total as u64);
    }
    line.clear();
    let signal = interrupt.signal().map_or(Exit::Passed, Signal::exit);
    let exit = proofs.iter().fold(signal, |exit, proof| exit.worse(proof.exit));
    match format {
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
    let mut plans: Vec<Plan> = sources.iter().map(|source| load(source, &options)).collect::<Result<_, _>>()?;
    if args.all {
        // The longest first, so that it is not the last one that is waited for.
        plans.sort_by(|one, other| seconds(other).total_cmp(&seconds(one)));
    }
    Ok(plans)
}

/// Approximate duration of a proof: traffic and waits of its runs, one for each fix and three others.
fn seconds(plan: &Plan) -> f64 {
    let claims = &plan.claims;
    let check = Plan { steps: claims.resolved_check.clone(), steady_state: Vec::new(), ..plan.clone() };
    let fixes = claims.wrong_fixes.len() + claims.other_fixes.len();
    let runs = u32::try_from(3 + fixes).map_or(f64::MAX, f64::from);
    runs * (forecast(plan, None).seconds() + forecast(&check, None).seconds())
}

/// Number of labs at the same time, by the engine.
fn default_jobs(template: &Record) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if template.engine == lab_embedded::NAME { cores * EMBEDDED_PER_CORE } else { cores }
}

/// Distributes the runs of a proof among at most `jobs` labs, by its approximate duration.
fn shares(plan: &Plan, jobs: usize) -> Vec<Share> {
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    let most = (1..jobs).find(|&labs| seconds(plan) <= SHARE_DURATION * f64::from(labs)).unwrap_or(jobs);
    // What cannot be proved is refused as a whole.
    Share::split(plan, most as usize).unwrap_or_else(|_| vec![Share::WHOLE])
}

/// Shared settings of all proofs.
struct Prover {
    state: StateFolder,
    /// Record that each lab starts with.
    template: Record,
    provisioner: Provisioner,
    /// The scenario was selected by name, not by `--all`.
    named: bool,
    /// `run` steps are allowed to run their commands.
    commands: bool,
    /// Limits the labs at the same time.
    permits: Semaphore,
}

impl Prover {
    /// Proves a scenario in a lab for each share, given with the id of its run.
    async fn prove(self: Arc<Self>, plan: Arc<Plan>, shares: Vec<(Share, String)>) -> Proof {
        if plan.kind == Kind::Part {
            let reason = "a part of other scenarios makes no claims".to_owned();
            return Proof::without(&plan.name, Verdict::Exempt, Exit::Passed, Some(reason));
        }
        let shares = shares.into_iter().map(|(share, id)| {
            let (prover, plan) = (Arc::clone(&self), Arc::clone(&plan));
            async move {
                let name = plan.name.clone();
                // A separate task: a panic in one proof must not lose the labs of the others.
                let proof = tokio::spawn(async move { prover.prove_share(&plan, share, &id).await }).await;
                proof.unwrap_or_else(|panic| {
                    let why = undo::TaskPanic::from(panic).to_string();
                    Proof::without(&name, Verdict::Error, Exit::UndoIncomplete, Some(why))
                })
            }
        });
        let merged = Proof::merge(join_all(shares).await);
        merged.unwrap_or_else(|| Proof::without(&plan.name, Verdict::Error, Exit::Failed, None))
    }

    async fn prove_share(&self, plan: &Plan, share: Share, id: &str) -> Proof {
        let without = |status, exit, reason: Option<String>| Proof::without(&plan.name, status, exit, reason);
        let _permit = self.permits.acquire().await;
        if let Some(signal) = self.provisioner.interrupt.signal() {
            return without(Verdict::Interrupted, signal.exit(), None);
        }
        let proved = self.in_temporary_lab(plan, share, id).await;
        proved.unwrap_or_else(|error| {
            let exit = error.downcast_ref::<Failure>().map_or(Exit::Failed, |failure| failure.exit);
            without(Verdict::Error, exit, Some(super::failure::text(&error)))
        })
    }

    async fn in_temporary_lab(&self, plan: &Plan, share: Share, id: &str) -> anyhow::Result<Proof> {
        if let Err(found) = plan.check_commands(self.commands) {
            let why = found.items().first().map_or_else(String::new, |item| item.message.clone());
            return Err(Failure::usage(why).hint("add --allow-commands if you trust the scenario").into());
        }
        let lab = self.state.temporary_lab(id)?;
        let engine = lab.engine(&self.template)?;
        match proof::check(plan, &*engine) {
            Err(Missing::Claims(lack)) => return Err(Failure::usage(lack.to_string()).into()),
            Err(Missing::Ability(found)) => {
                let exit = if self.named { Exit::Usage } else { Exit::Passed };
                let why = found.items().first().map(|item| item.message.clone());
                return Ok(Proof::without(&plan.name, Verdict::Skipped, exit, why));
            }
            Ok(()) => {}
        }
        let new = TemporaryLab { state: &self.state, template: &self.template, plan, id, tied: true };
        let provisioned = match self.provisioner.create(new).await {
            Ok(provisioned) => provisioned,
            Err(CreateError { leftover: Some(left), .. }) => return Err(provision_failure(left, &lab)),
            Err(CreateError { error: ProvisionError::Interrupted, .. }) => {
                let exit = self.provisioner.interrupt.signal().map_or(Exit::Interrupted, Signal::exit);
                return Ok(Proof::without(&plan.name, Verdict::Interrupted, exit, None));
            }
            Err(CreateError { error, .. }) => return Err(provision_failure(error, &lab)),
        };
        let ground = ProofLab {
            lab: provisioned.lab.clone(),
            engine: Arc::clone(&provisioned.engine),
            wire: Arc::new(NetWire::new()),
            processes: self.commands.then(|| Arc::new(LocalProcesses) as Arc<dyn Processes>),
            id: id.to_owned(),
            interrupt: self.provisioner.interrupt.clone(),
        };
        let proof = proof::prove(plan, share, &ground).await;
        self.provisioner.remove(provisioned).await.map_err(|error| provision_failure(error, &lab))?;
        Ok(proof)
    }
}
