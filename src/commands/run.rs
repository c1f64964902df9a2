//! `lab scenario run`: finds or makes the lab, runs the scenario in it with the reports that were asked for, and leaves
//! nothing behind that was not there before.

use std::sync::Arc;

use super::choose::{self, Wish};
use super::report_error;
use super::scenario::options;
use super::session::{Session, missing, name_option};
use super::signals;
use crate::cli::{EngineChoice, Format, RunArgs};
use crate::engine::{Engine, EngineErrorKind, docker, embedded};
use crate::error::{Exit, Failure};
use crate::event::Phase;
use crate::lab::lock::Lock;
use crate::lab::{DEFAULT_NAME, Lab, LabError, Record, State};
use crate::report::journal_file::JournalFile;
use crate::report::json::Json;
use crate::report::live::Progress;
use crate::report::ndjson::Ndjson;
use crate::report::timeline::Timeline;
use crate::report::{Fan, Sink, short_id};
use crate::runner::{Interrupt, Run, Signal, Until};
use crate::scenario::{Plan, Source, load};
use crate::undo;
use crate::wire::{NetWire, TrafficProgressFn};

/// So many runs may leave no ending that is free.
const MANY_RUNS: usize = 10_000;

/// The lab of a run, up and locked.
struct Ground {
    lab: Lab,
    engine: Arc<dyn Engine>,
    /// It was made for this run, and goes with it.
    owned: bool,
    _lock: Lock,
}

pub(super) async fn run(session: &Session, args: &RunArgs) -> anyhow::Result<Exit> {
    let plan = load(&Source::parse(&args.scenario), &options(&args.set)?)?;
    let until = args.until.as_deref().map(|typed| until(&plan, typed)).transpose()?;
    let interrupt = signals::install()?;
    let state = State::open()?;
    let id = new_id(&state)?;
    let keep = args.keep || until.is_some();
    let ground = tokio::select! {
        ground = prepare(session, &state, args, &plan, &id, keep) => ground?,
        () = interrupt.stop().cancelled() => {
            clear_away(&state, &id).await?;
            return Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
        }
    };
    perform(session, args, &state, Task { plan, until, id, interrupt }, ground).await
}

/// What is to be done on the ground.
struct Task {
    plan: Plan,
    until: Option<Until>,
    id: String,
    interrupt: Interrupt,
}

async fn perform(session: &Session, args: &RunArgs, state: &State, task: Task, ground: Ground) -> anyhow::Result<Exit> {
    let folder = state.run_folder(&task.id);
    let journal = JournalFile::create(&folder).map_err(|error| {
        Failure::failed(format!("the run's journal cannot be written: {}: {error}", folder.root().display()))
    });
    let journal = match journal {
        Ok(journal) => journal,
        Err(failure) => {
            if ground.owned
                && let Err(left) = clear_away(state, &task.id).await
            {
                report_error(&left);
            }
            return Err(failure.into());
        }
    };
    let mut sinks = Fan::new().and(journal);
    let out = session.term.out();
    let mut progress: TrafficProgressFn = Arc::new(|_| {});
    match args.format {
        Format::Text => {
            let live = Progress::new(&session.term);
            let handle = live.handle();
            progress = Arc::new(move |now| handle.progress(now.done, now.planned));
            sinks = sinks.and(Timeline::new(out, session.term.width(), session.term.painter())).and(live);
        }
        Format::Json => sinks = sinks.and(Json::new(out)),
        Format::Ndjson => sinks = sinks.and(Ndjson::new(out)),
    }
    let run = Run {
        plan: task.plan,
        lab: ground.lab.clone(),
        engine: ground.engine.clone(),
        wire: Arc::new(NetWire::new()),
        id: task.id,
        keep: args.keep,
        until: task.until,
        owned: ground.owned,
        interrupt: task.interrupt,
        progress,
    };
    let outcome = crate::runner::run(run, |event| sinks.event(event)).await;
    // What cannot be told changes nothing of what was done.
    let told = sinks.finish().map_err(|error| Failure::failed(format!("the run could not be reported: {error}")));
    Ok(told.map_or_else(|failure| outcome.exit.worse(report_error(&failure.into())), |()| outcome.exit))
}

/// The lab that is named or up, else one of the run's own.
async fn prepare(
    session: &Session,
    state: &State,
    args: &RunArgs,
    plan: &Plan,
    id: &str,
    keep: bool,
) -> anyhow::Result<Ground> {
    let lab = state.lab(session.named().unwrap_or(DEFAULT_NAME))?;
    match lab.record()? {
        Some(record) => {
            check_engine(&lab, &record, args.engine)?;
            if let Some(ground) = existing(session, &lab, &record, plan, id).await? {
                return Ok(ground);
            }
        }
        None if session.named().is_some() => return Err(missing(&lab).into()),
        None => {}
    }
    own(session, state, args.engine, Story { plan, id, keep }).await
}

/// A lab that exists stays on its engine.
fn check_engine(lab: &Lab, record: &Record, choice: EngineChoice) -> Result<(), Failure> {
    let wanted = match choice {
        EngineChoice::Auto => return Ok(()),
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => embedded::NAME,
    };
    if wanted == record.engine {
        return Ok(());
    }
    let message = format!("lab {} runs on {}, not on {wanted}", lab.name(), record.engine);
    Err(Failure::usage(message).hint(format!("leave out --engine, or lab down{} first", name_option(lab))))
}

/// What a lab is made for.
struct Story<'a> {
    plan: &'a Plan,
    id: &'a str,
    keep: bool,
}

/// A lab that exists; none where it is the default one and does not run.
async fn existing(
    session: &Session,
    lab: &Lab,
    record: &Record,
    plan: &Plan,
    id: &str,
) -> anyhow::Result<Option<Ground>> {
    let engine = lab.engine(record)?;
    let name = name_option(lab);
    plan.check_engine(engine.name(), &engine.services())?;
    let lock = lab.lock_run(&run_holder(id))?;
    match lab.locked_record(&lock) {
        // It was taken down in this instant.
        Err(LabError::Missing { .. }) if session.named().is_none() => return Ok(None),
        record => record?,
    };
    match engine.describe().await {
        Ok(_) => {}
        Err(error) if matches!(error.kind, EngineErrorKind::NotUp | EngineErrorKind::Lost) => {
            if session.named().is_some() {
                return Err(error.hint(format!("lab up{name} brings it back")).into());
            }
            let message =
                format!("lab {}: {error}; the run gets a lab of its own (lab up brings that one back)", lab.name());
            session.term.note(&message);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(pending) = undo::pending(lab)?
        && !pending.kept
    {
        let run = short_id(&pending.run);
        let message = format!("lab {} owes the undo of run {run} ({})", lab.name(), pending.scenario);
        return Err(Failure::failed(message).hint(format!("lab recover{name} does it")).into());
    }
    Ok(Some(Ground { lab: lab.clone(), engine, owned: false, _lock: lock }))
}

/// A lab for this run alone, on free ports. That it is not to exist is on record before it exists.
async fn own(session: &Session, state: &State, choice: EngineChoice, story: Story<'_>) -> anyhow::Result<Ground> {
    let Story { plan, id, keep } = story;
    let lab = state.lab(&own_name(id))?;
    let chosen = choose::record(session, &lab, Wish::new(choice, 0, "lab scenario run")?).await?;
    let record = Record { owner: Some(id.to_owned()), ..chosen };
    let engine = lab.engine(&record)?;
    plan.check_engine(engine.name(), &engine.services())?;
    let lock = lab.lock_run(&run_holder(id))?;
    let live = session.term.live("starting a lab for this run", crate::term::Plain::Silent);
    let brought = async {
        undo::record_new_lab(&lab, id, &plan.name)?;
        lab.save(&record)?;
        let request = crate::engine::UpRequest { tied: !keep, ..lab.up_request(&record)? };
        engine.up(&request, super::progress::show(&session.term)).await?;
        anyhow::Ok(())
    };
    let brought = brought.await;
    live.clear();
    if let Err(error) = brought {
        // Whatever came up of it is gone before the user reads why it did not.
        if let Err(left) = clear_away(state, id).await {
            report_error(&left);
        }
        return Err(error);
    }
    Ok(Ground { lab, engine, owned: true, _lock: lock })
}

/// What a run says of itself in its lab's lock.
pub(super) fn run_holder(id: &str) -> String {
    format!("run {}", short_id(id))
}

/// The name of the lab that a run makes for itself.
fn own_name(id: &str) -> String {
    format!("run-{}", short_id(id))
}

/// Removes the lab that a run was making for itself, as far as it got.
async fn clear_away(state: &State, id: &str) -> anyhow::Result<()> {
    let lab = state.lab(&own_name(id))?;
    if lab.folder().root().exists() {
        let record = lab.record()?.unwrap_or_else(|| Record::new(embedded::NAME, 0));
        lab.engine(&record)?.down().await?;
        lab.remove()?;
    }
    Ok(())
}

/// `20261124T101530Z-7f3a`: sortable by time, and short enough at its end to be typed. No other run's ends so.
fn new_id(state: &State) -> anyhow::Result<String> {
    let runs = state.runs()?;
    loop {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        let id = format!("{}-{:04x}", chrono::Utc::now().format("%Y%m%dT%H%M%SZ"), u16::from_le_bytes(bytes));
        // After thousands of runs an ending comes twice: then more of the id has to be typed.
        let taken = runs.len() < MANY_RUNS && runs.iter().any(|run| short_id(run) == short_id(&id));
        if !taken && !state.lab(&own_name(&id))?.folder().root().exists() {
            return Ok(id);
        }
    }
}

/// A phase or a step of the plan.
fn until(plan: &Plan, typed: &str) -> Result<Until, Failure> {
    let step = Until::Step(typed.to_owned());
    let phase = Phase::ALL.into_iter().find(|phase| phase.name() == typed).map(Until::Phase);
    let found = [Some(step), phase].into_iter().flatten().find(|until| until.last_step(&plan.steps).is_some());
    found.ok_or_else(|| {
        let steps: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
        let phases: Vec<&str> = Phase::ALL
            .into_iter()
            .filter(|phase| plan.steps.iter().any(|step| step.phase == *phase))
            .map(Phase::name)
            .collect();
        let message = format!("--until {typed:?}: {} has no such step or phase", plan.name);
        Failure::usage(message).hint(format!("steps: {} · phases: {}", steps.join(", "), phases.join(", ")))
    })
}
