//! `lab scenario run`: finds or creates the lab and runs the scenario in it with the requested reports. Restores the lab
//! afterwards.

use crate::engines::Connect;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::alerts;
use super::annotate::Poster;
use super::choose::{self, DockerStatus, NewLab};
use super::report_error;
use super::runs::cannot_write;
use super::scenario::options;
use super::session::{Session, name_option, no_such_lab};
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

/// Duration of a step with traffic at workshop pace.
const WORKSHOP: Duration = Duration::from_mins(1);
/// From this many past runs on, a short id may not be unique.
const MANY_RUNS: usize = 10_000;

/// Lab of a run, up and locked.
struct Provisioned {
    lab: Lab,
    engine: Arc<dyn Engine>,
    /// Created for this run and removed with it.
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
        session.term.note(&format!("workshop pace: a minute of traffic per step, {whole} in total"));
    }
    let reports = reports(&args.reports)?;
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    if args.recover {
        let exit = super::recover::undo_pending(session, &state, &interrupt).await?;
        if exit != Exit::Passed {
            return Ok(exit);
        }
    }
    let id = new_id(&state)?;
    let keep = args.keep || until.is_some();
    let target = tokio::select! {
        target = prepare(session, &state, args, &plan, &id, keep) => target?,
        () = interrupt.stop().cancelled() => {
            remove_temporary(&state, &id).await?;
            return Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
        }
    };
    execute(session, args, &state, Task { plan, until, id, interrupt, reports }, target).await
}

/// Parts of a run that do not depend on its lab.
struct Task {
    plan: Plan,
    until: Option<Until>,
    id: String,
    interrupt: Interrupt,
    reports: Vec<ReportFile>,
}

async fn execute(
    session: &Session,
    args: &RunArgs,
    state: &StateFolder,
    task: Task,
    target: Provisioned,
) -> anyhow::Result<Exit> {
    let folder = state.run_folder(&task.id);
    let journal = JournalFile::create(&folder).map_err(|error| {
        Failure::failed(format!("cannot write the run's journal to {}: {error}", folder.root().display()))
    });
    let journal = match journal {
        Ok(journal) => journal,
        Err(failure) => {
            if target.owned
                && let Err(left) = remove_temporary(state, &task.id).await
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
    let poster = poster(&target).await;
    if let Some(poster) = &poster {
        sinks = sinks.and(Annotations::new(poster.sender()));
    }
    let run = Run {
        plan: task.plan,
        lab: target.lab.clone(),
        engine: target.engine.clone(),
        wire: Arc::new(NetWire::new()),
        processes: args.allow_commands.then(|| Arc::new(LocalProcesses) as Arc<dyn Processes>),
        id: task.id,
        keep: args.keep,
        until: task.until,
        owned: target.owned,
        interrupt: task.interrupt,
        progress,
    };
    let outcome = lab_runner::runner::run(run, |event| sinks.event(event)).await;
    // A reporting error does not change what the run did.
    let reported = sinks.finish().map_err(|error| Failure::failed(format!("cannot report the run: {error}")));
    drop(sinks);
    if let Some(poster) = poster {
        poster.finish();
    }
    if reported.is_ok() {
        for path in &args.reports {
            session.term.note(&format!("wrote {}", path.display()));
        }
    }
    Ok(reported.map_or_else(|failure| outcome.exit.worse(report_error(&failure.into())), |()| outcome.exit))
}

/// Annotation poster for the lab's Grafana, if it runs and lab knows its password.
async fn poster(target: &Provisioned) -> Option<Poster> {
    let record = target.lab.record().ok().flatten()?;
    let password = record.containers.secrets.get(GRAFANA_PASSWORD)?;
    let grafana = target.engine.describe().await.ok()?.endpoints.grafana?;
    Poster::start(&grafana, password)
}

/// Creates the report files before anything starts, so that a bad path fails early.
fn reports(paths: &[PathBuf]) -> Result<Vec<ReportFile>, Failure> {
    let report = |path: &PathBuf| {
        let form = Form::of(path).ok_or_else(|| {
            let endings: Vec<String> = ENDINGS.iter().map(|(ending, _)| format!(".{ending}")).collect();
            let message = format!("--report {}: unknown report format", path.display());
            Failure::usage(message).hint(format!("use one of these extensions: {}", endings.join(", ")))
        })?;
        ReportFile::create(path, form).map_err(|error| cannot_write(path, &error))
    };
    paths.iter().map(report).collect()
}

/// Provides the named lab or the running default lab, else creates a temporary one.
async fn prepare(
    session: &Session,
    state: &StateFolder,
    args: &RunArgs,
    plan: &Plan,
    id: &str,
    keep: bool,
) -> anyhow::Result<Provisioned> {
    let lab = state.lab(session.named().unwrap_or(DEFAULT_NAME))?;
    session.note_leftover_labs(&lab)?;
    match lab.record()? {
        Some(record) => {
            check_engine(&lab, &record, args.new_lab.engine)?;
            if let Some(target) = existing(session, &lab, &record, plan, id).await? {
                return Ok(target);
            }
        }
        None if session.named().is_some() => return Err(no_such_lab(&lab).into()),
        None => {}
    }
    let new_lab = NewLab::new(&args.new_lab, 0, "lab scenario run")?;
    create_temporary(session, state, new_lab, RunSpec { plan, id, keep }).await
}

/// Rejects an `--engine` that differs from the engine of an existing lab.
fn check_engine(lab: &Lab, record: &Record, choice: EngineChoice) -> Result<(), Failure> {
    let requested = match choice {
        EngineChoice::Auto => return Ok(()),
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => lab_embedded::NAME,
    };
    if requested == record.engine {
        return Ok(());
    }
    let message = format!("lab {} runs on {}, not on {requested}", lab.name(), record.engine);
    Err(Failure::usage(message).hint(format!("omit --engine, or run lab down{} first", name_option(lab))))
}

/// Run that a temporary lab is created for.
struct RunSpec<'a> {
    plan: &'a Plan,
    id: &'a str,
    keep: bool,
}

/// Uses an existing lab. `None` if it is the default lab and is not up.
async fn existing(
    session: &Session,
    lab: &Lab,
    record: &Record,
    plan: &Plan,
    id: &str,
) -> anyhow::Result<Option<Provisioned>> {
    let engine = lab.engine(record)?;
    let name = name_option(lab);
    plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
    let lock = lab.lock_run(&run_holder(id))?;
    match lab.locked_record(&lock) {
        // It was removed at this moment.
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
                return Err(error.hint(format!("lab up{name}")).into());
            }
            let message =
                format!("lab {}: {error}; using a temporary lab (run lab up to restart this one)", lab.name());
            session.term.note(&message);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(pending) = undo::pending(lab)?
        && !pending.kept
    {
        let run = short_id(&pending.run);
        let message = format!("lab {}: undo of run {run} ({}) is pending", lab.name(), pending.scenario);
        return Err(Failure::failed(message).hint(format!("lab recover{name}, or add --recover")).into());
    }
    Ok(Some(Provisioned { lab: lab.clone(), engine, owned: false, _lock: lock }))
}

/// Creates a lab for this run alone, on free ports. Records its removal as pending undo before it exists.
async fn create_temporary(
    session: &Session,
    state: &StateFolder,
    new_lab: NewLab<'_>,
    spec: RunSpec<'_>,
) -> anyhow::Result<Provisioned> {
    let RunSpec { plan, id, keep } = spec;
    let lab = state.lab(&temporary_lab_name(id))?;
    let new_lab = select_engine(plan, &lab, new_lab).await?;
    let chosen = choose::record(session, &lab, new_lab).await?;
    let record = Record { owner: Some(id.to_owned()), ..chosen };
    let engine = lab.engine(&record)?;
    plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
    let lock = lab.lock_run(&run_holder(id))?;
    let live = session.term.live("starting a lab for this run", lab_report::term::Plain::Silent);
    let started = async {
        super::session::check_reachable(engine.as_ref()).await?;
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
    let started = started.await;
    live.clear();
    if let Err(error) = started {
        // Removes a partial start before the error is shown.
        if let Err(left) = remove_temporary(state, id).await {
            report_error(&left);
        }
        return Err(error);
    }
    Ok(Provisioned { lab, engine, owned: true, _lock: lock })
}

/// Selects the engine of a temporary lab. Fails if the scenario does not support it. If the scenario supports only one
/// engine and the user chose none, that engine is used if it is ready; images are never pulled for this.
async fn select_engine<'w>(plan: &Plan, lab: &Lab, new_lab: NewLab<'w>) -> anyhow::Result<NewLab<'w>> {
    let engines = plan.engines.join(", ");
    let name = match new_lab.engine {
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => lab_embedded::NAME,
        EngineChoice::Auto if plan.runs_on(docker::NAME) && plan.runs_on(lab_embedded::NAME) => return Ok(new_lab),
        EngineChoice::Auto if plan.runs_on(lab_embedded::NAME) => {
            return Ok(NewLab { engine: EngineChoice::Embedded, ..new_lab });
        }
        EngineChoice::Auto => {
            let (why, hint) = match choose::docker_status(lab, &new_lab.containers).await? {
                DockerStatus::Ready => return Ok(NewLab { engine: EngineChoice::Docker, ..new_lab }),
                DockerStatus::MissingImages(count) => {
                    (format!("missing {}", human::count(count, "image")), "lab scenario run --engine docker pulls them")
                }
                DockerStatus::Remote => ("the Docker daemon is on another machine".to_owned(), "see docs/stack.md"),
                DockerStatus::Unavailable => ("the Docker daemon does not answer".to_owned(), "see lab doctor"),
            };
            return Err(Failure::usage(format!("{} runs only on {engines}: {why}", plan.name)).hint(hint).into());
        }
    };
    if plan.runs_on(name) {
        return Ok(new_lab);
    }
    let message = format!("{} cannot run on the {name} engine", plan.name);
    Err(Failure::usage(message).hint(format!("it supports {engines}: omit --engine")).into())
}

/// Name of a run in its lab's lock.
pub(super) fn run_holder(id: &str) -> String {
    format!("run {}", short_id(id))
}

/// Name of the temporary lab of a run.
pub(super) fn temporary_lab_name(id: &str) -> String {
    format!("run-{}", short_id(id))
}

/// Removes a run's temporary lab, complete or partial.
async fn remove_temporary(state: &StateFolder, id: &str) -> anyhow::Result<()> {
    let lab = state.lab(&temporary_lab_name(id))?;
    if lab.folder().root().exists() {
        let record = lab.record()?.unwrap_or_else(|| Record::new(lab_embedded::NAME, 0));
        lab.engine_for_down(&record)?.down().await?;
        lab.remove()?;
    }
    Ok(())
}

/// `20261124T101530.123Z-7f3a`: sorts by start time and ends in a short id that no other run has.
pub(super) fn new_id(state: &StateFolder) -> anyhow::Result<String> {
    let runs = state.runs()?;
    loop {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("cannot get random bytes: {error}"))?;
        let id = format!("{}-{:04x}", chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ"), u16::from_le_bytes(bytes));
        // With thousands of runs, short ids repeat and more of the id has to be typed.
        let taken = runs.len() < MANY_RUNS && runs.iter().any(|run| short_id(run) == short_id(&id));
        if !taken && !state.lab(&temporary_lab_name(&id))?.folder().root().exists() {
            return Ok(id);
        }
    }
}

/// Parses `--until`: a step or a phase of the plan.
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
