//! `lab scenario run`: finds or makes the lab, runs the scenario in it with the reports that were asked for, and leaves
//! nothing behind that was not there before.

use crate::engines::Connect;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::alerts;
use super::annotate::Poster;
use super::choose::{self, DockerHere, Wish};
use super::report_error;
use super::runs::cannot_write;
use super::scenario::options;
use super::session::{Session, missing, name_option};
use super::signals;
use crate::cli::{EngineChoice, Format, PaceChoice, RunArgs};
use lab_containers::docker;
use lab_core::engine::{Engine, EngineErrorKind};
use lab_core::error::{Exit, Failure};
use lab_core::event::Phase;
use lab_report::report::annotations::Annotations;
use lab_report::report::file::{ENDINGS, Form, ReportFile};
use lab_report::report::journal_file::JournalFile;
use lab_report::report::json::Json;
use lab_report::report::live::Progress;
use lab_report::report::ndjson::Ndjson;
use lab_report::report::timeline::Timeline;
use lab_report::report::{Fan, Sink, human, short_id};
use lab_runner::lab::lock::Lock;
use lab_runner::lab::{DEFAULT_NAME, GRAFANA_PASSWORD, Lab, LabError, Record, StateFolder};
use lab_runner::runner::{Interrupt, Run, Signal, Until};
use lab_runner::undo;
use lab_scenario::forecast::forecast;
use lab_scenario::{Plan, Source, load};
use lab_system::process::{LocalProcesses, Processes};
use lab_telemetry::wire::{NetWire, TrafficProgressFn};

mod dry_run;

/// How long a step with traffic goes on in a workshop.
const WORKSHOP: Duration = Duration::from_mins(1);
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
    let mut plan = load(&Source::parse(&args.scenario), &options(&args.set)?)?;
    session.hide(&plan.secrets);
    if args.pace == PaceChoice::Workshop {
        plan.stretch(WORKSHOP);
    }
    let until = args.until.as_deref().map(|typed| until(&plan, typed)).transpose()?;
    if args.dry_run {
        return dry_run::run(session, args, &plan, until.as_ref()).await;
    }
    plan.check_commands(args.allow_commands)?;
    if args.pace == PaceChoice::Workshop {
        let last = until.as_ref().and_then(|until| until.last_step(&plan.steps));
        let whole = human::clock(forecast(&plan, last).seconds());
        session.term.note(&format!("the pace of a workshop: traffic goes on for a minute a step, {whole} in all"));
    }
    let reports = reports(&args.reports)?;
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    if args.recover {
        let exit = super::recover::owed_of(session, &state, &interrupt).await?;
        if exit != Exit::Passed {
            return Ok(exit);
        }
    }
    let id = new_id(&state)?;
    let keep = args.keep || until.is_some();
    let ground = tokio::select! {
        ground = prepare(session, &state, args, &plan, &id, keep) => ground?,
        () = interrupt.stop().cancelled() => {
            clear_away(&state, &id).await?;
            return Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
        }
    };
    perform(session, args, &state, Task { plan, until, id, interrupt, reports }, ground).await
}

/// What is to be done on the ground.
struct Task {
    plan: Plan,
    until: Option<Until>,
    id: String,
    interrupt: Interrupt,
    reports: Vec<ReportFile>,
}

async fn perform(
    session: &Session,
    args: &RunArgs,
    state: &StateFolder,
    task: Task,
    ground: Ground,
) -> anyhow::Result<Exit> {
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
    let mut sinks = task.reports.into_iter().fold(Fan::new().and(journal), Fan::and);
    let mut progress: TrafficProgressFn = Arc::new(|_| {});
    match args.format {
        Format::Text => {
            let live = Progress::new(&session.term);
            let handle = live.handle();
            progress = Arc::new(move |now| handle.progress(now.done, now.planned));
            sinks =
                sinks.and(Timeline::new(session.term.out(), session.term.width(), session.term.painter())).and(live);
        }
        Format::Json => sinks = sinks.and(Json::new(session.term.data())),
        Format::Ndjson => sinks = sinks.and(Ndjson::new(session.term.data())),
    }
    let poster = poster(&ground).await;
    if let Some(poster) = &poster {
        sinks = sinks.and(Annotations::new(poster.taker()));
    }
    let run = Run {
        plan: task.plan,
        lab: ground.lab.clone(),
        engine: ground.engine.clone(),
        wire: Arc::new(NetWire::new()),
        processes: args.allow_commands.then(|| Arc::new(LocalProcesses) as Arc<dyn Processes>),
        id: task.id,
        keep: args.keep,
        until: task.until,
        owned: ground.owned,
        interrupt: task.interrupt,
        progress,
    };
    let outcome = lab_runner::runner::run(run, |event| sinks.event(event)).await;
    // What cannot be told changes nothing of what was done.
    let told = sinks.finish().map_err(|error| Failure::failed(format!("the run could not be reported: {error}")));
    drop(sinks);
    if let Some(poster) = poster {
        poster.finish();
    }
    if told.is_ok() {
        for path in &args.reports {
            session.term.note(&format!("wrote {}", path.display()));
        }
    }
    Ok(told.map_or_else(|failure| outcome.exit.worse(report_error(&failure.into())), |()| outcome.exit))
}

/// Posts to the lab's Grafana, where one runs whose password lab knows.
async fn poster(ground: &Ground) -> Option<Poster> {
    let record = ground.lab.record().ok().flatten()?;
    let password = record.containers.secrets.get(GRAFANA_PASSWORD)?;
    let grafana = ground.engine.describe().await.ok()?.endpoints.grafana?;
    Poster::start(&grafana, password)
}

/// The files that take reports. What keeps one from being written is said before anything is started.
fn reports(paths: &[PathBuf]) -> Result<Vec<ReportFile>, Failure> {
    let report = |path: &PathBuf| {
        let form = Form::of(path).ok_or_else(|| {
            let endings: Vec<String> = ENDINGS.iter().map(|(ending, _)| format!(".{ending}")).collect();
            let message = format!("--report {}: its ending names no form of report", path.display());
            Failure::usage(message).hint(format!("use one of {}", endings.join(", ")))
        })?;
        ReportFile::create(path, form).map_err(|error| cannot_write(path, &error))
    };
    paths.iter().map(report).collect()
}

/// The lab that is named or up, else one of the run's own.
async fn prepare(
    session: &Session,
    state: &StateFolder,
    args: &RunArgs,
    plan: &Plan,
    id: &str,
    keep: bool,
) -> anyhow::Result<Ground> {
    let lab = state.lab(session.named().unwrap_or(DEFAULT_NAME))?;
    session.mention_left(&lab)?;
    match lab.record()? {
        Some(record) => {
            check_engine(&lab, &record, args.ground.engine)?;
            if let Some(ground) = existing(session, &lab, &record, plan, id).await? {
                return Ok(ground);
            }
        }
        None if session.named().is_some() => return Err(missing(&lab).into()),
        None => {}
    }
    let wish = Wish::new(&args.ground, 0, "lab scenario run")?;
    own(session, state, wish, Story { plan, id, keep }).await
}

/// A lab that exists stays on its engine.
fn check_engine(lab: &Lab, record: &Record, choice: EngineChoice) -> Result<(), Failure> {
    let wanted = match choice {
        EngineChoice::Auto => return Ok(()),
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => lab_embedded::NAME,
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
    plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
    let lock = lab.lock_run(&run_holder(id))?;
    match lab.locked_record(&lock) {
        // It was taken down in this instant.
        Err(LabError::Missing { .. }) if session.named().is_none() => return Ok(None),
        record => record?,
    };
    match engine.describe().await {
        Ok(now) => {
            plan.check_lab(lab.name(), &now.endpoints)?;
            alerts::check(plan, lab.name(), record, &now.endpoints).await?;
        }
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
        return Err(Failure::failed(message).hint(format!("lab recover{name} does it, or --recover here")).into());
    }
    Ok(Some(Ground { lab: lab.clone(), engine, owned: false, _lock: lock }))
}

/// A lab for this run alone, on free ports. That it is not to exist is on record before it exists.
async fn own(session: &Session, state: &StateFolder, wish: Wish<'_>, story: Story<'_>) -> anyhow::Result<Ground> {
    let Story { plan, id, keep } = story;
    let lab = state.lab(&own_name(id))?;
    let wish = fitting(plan, &lab, wish).await?;
    let chosen = choose::record(session, &lab, wish).await?;
    let record = Record { owner: Some(id.to_owned()), ..chosen };
    let engine = lab.engine(&record)?;
    plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
    let lock = lab.lock_run(&run_holder(id))?;
    let live = session.term.live("starting a lab for this run", lab_report::term::Plain::Silent);
    let brought = async {
        super::session::reachable(engine.as_ref()).await?;
        undo::record_new_lab(&lab, id, &plan.name)?;
        if let Some(reading) = lab.read_stack(&record)? {
            lab.save_stack(&reading.stack)?;
        }
        lab.save(&record)?;
        let request = lab_core::engine::UpRequest { tied: !keep, ..lab.up_request(&record)? };
        let now = engine.up(&request, super::progress::show(&session.term)).await?;
        plan.check_lab(lab.name(), &now.endpoints)?;
        alerts::check(plan, lab.name(), &record, &now.endpoints).await?;
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

/// The engine to choose for a lab of the run's own. One that the scenario is not for is refused; where the user names none and
/// the scenario is for one alone, that one is taken if it is there, and is never fetched for.
async fn fitting<'w>(plan: &Plan, lab: &Lab, wish: Wish<'w>) -> anyhow::Result<Wish<'w>> {
    let engines = plan.engines.join(", ");
    let name = match wish.engine {
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => lab_embedded::NAME,
        EngineChoice::Auto if plan.runs_on(docker::NAME) && plan.runs_on(lab_embedded::NAME) => return Ok(wish),
        EngineChoice::Auto if plan.runs_on(lab_embedded::NAME) => {
            return Ok(Wish { engine: EngineChoice::Embedded, ..wish });
        }
        EngineChoice::Auto => {
            let (why, hint) = match choose::docker_here(lab, &wish.containers).await? {
                DockerHere::Ready => return Ok(Wish { engine: EngineChoice::Docker, ..wish }),
                DockerHere::Lacks(count) => (
                    format!("{} of the stack not here", human::count(count, "image")),
                    "lab scenario run --engine docker fetches them",
                ),
                DockerHere::Elsewhere => ("the Docker daemon is on another machine".to_owned(), "see docs/stack.md"),
                DockerHere::Silent => ("no Docker daemon answers".to_owned(), "lab doctor says what it found"),
            };
            return Err(Failure::usage(format!("{} is for {engines} alone: {why}", plan.name)).hint(hint).into());
        }
    };
    if plan.runs_on(name) {
        return Ok(wish);
    }
    let message = format!("{} cannot run on the {name} engine", plan.name);
    Err(Failure::usage(message).hint(format!("it is for {engines}: leave out --engine")).into())
}

/// What a run says of itself in its lab's lock.
pub(super) fn run_holder(id: &str) -> String {
    format!("run {}", short_id(id))
}

/// The name of the lab that a run makes for itself.
pub(super) fn own_name(id: &str) -> String {
    format!("run-{}", short_id(id))
}

/// Removes the lab that a run was making for itself, as far as it got.
async fn clear_away(state: &StateFolder, id: &str) -> anyhow::Result<()> {
    let lab = state.lab(&own_name(id))?;
    if lab.folder().root().exists() {
        let record = lab.record()?.unwrap_or_else(|| Record::new(lab_embedded::NAME, 0));
        lab.engine_for_down(&record)?.down().await?;
        lab.remove()?;
    }
    Ok(())
}

/// `20261124T101530.123Z-7f3a`: sorts by the time of the start, and is short enough at its end to be typed. No other
/// run's ends so.
pub(super) fn new_id(state: &StateFolder) -> anyhow::Result<String> {
    let runs = state.runs()?;
    loop {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        let id = format!("{}-{:04x}", chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ"), u16::from_le_bytes(bytes));
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
