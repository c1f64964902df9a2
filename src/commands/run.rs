//! `lab scenario run`: finds or creates the lab and runs the scenario in it with the requested reports. Restores the lab
//! afterwards.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::annotate::Poster;
use super::choose::{self, DockerStatus, NewLab};
use super::failure::provision_failure;
use super::report_error;
use super::runs::cannot_write;
use super::scenario::options;
use super::session::{Session, no_such_lab};
use super::signals;
use crate::cli::{EngineChoice, Format, PaceChoice, RunArgs};
use lab_containers::{docker, swarm};
use lab_core::error::{Exit, Failure};
use lab_core::event::{Phase, UndoOutcome};
use lab_report::report::annotations::Annotations;
use lab_report::report::file::{EXTENSIONS, FileFormat, ReportFile};
use lab_report::report::journal_file::JournalFile;
use lab_report::report::json::Json;
use lab_report::report::ndjson::Ndjson;
use lab_report::report::progress::Progress;
use lab_report::report::timeline::Timeline;
use lab_report::report::{FanOut, Sink, human, short_id};
use lab_runner::callers::CallerMix;
use lab_runner::lab::{DEFAULT_NAME, GRAFANA_PASSWORD, Lab, LabError, Record, StateFolder};
use lab_runner::provision::{CreateError, ProvisionError, ProvisionedLab, TemporaryLab};
use lab_runner::runner::{Interrupt, Run, Signal, Until};
use lab_scenario::forecast::forecast;
use lab_scenario::{Plan, Source, load};
use lab_system::process::{LocalProcesses, Processes};
use lab_telemetry::wire::{NetWire, TrafficProgressFn};

mod dry_run;
mod several;

use several::Journals;

/// Duration of a step with traffic at workshop pace.
const WORKSHOP: Duration = Duration::from_mins(1);

pub(super) async fn run(session: &Session, args: &RunArgs) -> anyhow::Result<Exit> {
    // Every mistake in one of the scenarios is found before the first one starts.
    let selected: Vec<Selected> =
        args.scenarios.iter().map(|typed| select(session, args, typed)).collect::<Result<_, _>>()?;
    if let [_, _, ..] = selected.as_slice() {
        return Box::pin(several::run(session, args, selected)).await;
    }
    let Some(only) = selected.into_iter().next() else { return Err(Failure::usage("no scenario was given").into()) };
    if args.dry_run {
        return dry_run::run(session, args, &only.plan, only.until.as_ref()).await;
    }
    only.plan.check_commands(args.allow_commands)?;
    let reports = reports(&args.reports)?;
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    if args.recover {
        let exit = super::recover::undo_pending(session, &state, &interrupt).await?;
        if exit != Exit::Passed {
            return Ok(exit);
        }
    }
    let id = state.new_run_id()?;
    let task = Task { selected: only, id, interrupt, reports, format: Some(args.format()), journals: None };
    Box::pin(one(session, args, &state, task)).await
}

/// A scenario to run.
struct Selected {
    plan: Plan,
    until: Option<Until>,
}

/// Loads a scenario with the options of the command line.
fn select(session: &Session, args: &RunArgs, typed: &str) -> anyhow::Result<Selected> {
    let mut plan = load(&Source::parse(typed), &options(&args.set)?)?;
    session.hide(&plan.secrets);
    if args.pace == PaceChoice::Workshop {
        plan.stretch(WORKSHOP);
    }
    let until = args.until.as_deref().map(|typed| until(&plan, typed)).transpose()?;
    Ok(Selected { plan, until })
}

/// Runs a scenario in its lab.
async fn one(session: &Session, args: &RunArgs, state: &StateFolder, task: Task) -> anyhow::Result<Exit> {
    let Selected { plan, until } = &task.selected;
    if args.pace == PaceChoice::Workshop {
        let last = until.as_ref().and_then(|until| until.last_step(&plan.steps));
        let whole = human::clock(forecast(plan, last).seconds());
        session.term.note(&format!("workshop pace: a minute of traffic per step, {whole} in total"));
    }
    let spec = RunSpec { plan, id: &task.id, keep: args.keep || until.is_some() };
    let Some(target) = prepare(session, state, args, spec, &task.interrupt).await? else {
        return Ok(task.interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
    };
    execute(session, args, state, task, target).await
}

/// Parts of a run that do not depend on its lab.
struct Task {
    selected: Selected,
    id: String,
    interrupt: Interrupt,
    reports: Vec<ReportFile>,
    /// Format on standard output. `None` prints nothing.
    format: Option<Format>,
    /// Collects the journals of several runs.
    journals: Option<Journals>,
}

async fn execute(
    session: &Session,
    args: &RunArgs,
    state: &StateFolder,
    task: Task,
    target: ProvisionedLab,
) -> anyhow::Result<Exit> {
    let folder = state.run_folder(&task.id);
    let journal = JournalFile::create(&folder).map_err(|error| {
        Failure::failed(format!("cannot write the run's journal to {}: {error}", folder.root().display()))
    });
    let journal = match journal {
        Ok(journal) => journal,
        Err(failure) => {
            let lab = target.lab.clone();
            if target.temporary
                && let Err(left) = session.provisioner(&task.interrupt).remove(target).await
            {
                report_error(&provision_failure(left, &lab));
            }
            return Err(failure.into());
        }
    };
    let mut sinks = task.reports.into_iter().fold(FanOut::new().with(journal), FanOut::with);
    if let Some(journals) = task.journals {
        sinks = sinks.with(journals);
    }
    let mut progress: TrafficProgressFn = Arc::new(|_| {});
    match task.format {
        Some(Format::Text) => {
            let live = Progress::new(&session.term);
            let handle = live.handle();
            progress = Arc::new(move |now| handle.progress(now.done, now.planned));
            sinks =
                sinks.with(Timeline::new(session.term.out(), session.term.width(), session.term.painter())).with(live);
        }
        Some(Format::Json) => sinks = sinks.with(Json::new(session.term.data())),
        Some(Format::Ndjson) => sinks = sinks.with(Ndjson::new(session.term.data())),
        None => {}
    }
    let mix = |steps| CallerMix::from_plan(&task.selected.plan, steps, Some(&task.id));
    let last = task.selected.until.as_ref().and_then(|until| until.last_step(&task.selected.plan.steps));
    let mix = mix(last.map_or(task.selected.plan.steps.len(), |last| last + 1));
    let poster = poster(&target);
    if let Some(poster) = &poster {
        sinks = sinks.with(Annotations::new(poster.sender()));
    }
    let run = Run {
        plan: task.selected.plan,
        lab: target.lab.clone(),
        engine: target.engine.clone(),
        wire: Arc::new(NetWire::new()),
        processes: args.allow_commands.then(|| Arc::new(LocalProcesses) as Arc<dyn Processes>),
        id: task.id,
        keep: args.keep,
        until: task.selected.until,
        owned: target.temporary,
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
    if outcome.undo == UndoOutcome::Kept && !args.no_callers {
        super::callers::go_on(session, &target.lab, mix).await;
    }
    Ok(reported.map_or_else(|failure| outcome.exit.worse(report_error(&failure.into())), |()| outcome.exit))
}

/// Annotation poster for the lab's Grafana, if it runs and lab knows its password.
fn poster(target: &ProvisionedLab) -> Option<Poster> {
    let record = target.lab.record().ok().flatten()?;
    let password = record.containers.secrets.get(GRAFANA_PASSWORD)?;
    Poster::start(target.description.endpoints.grafana.as_ref()?, password)
}

/// Creates the report files before anything starts, so that a bad path fails early.
fn reports(paths: &[PathBuf]) -> Result<Vec<ReportFile>, Failure> {
    let report = |path: &PathBuf| {
        let form = FileFormat::from_path(path).ok_or_else(|| {
            let endings: Vec<String> = EXTENSIONS.iter().map(|(ending, _)| format!(".{ending}")).collect();
            let message = format!("--report {}: unknown report format", path.display());
            Failure::usage(message).hint(format!("use one of these extensions: {}", endings.join(", ")))
        })?;
        ReportFile::create(path, form).map_err(|error| cannot_write(path, &error))
    };
    paths.iter().map(report).collect()
}

/// Provides the named lab or the running default lab, else creates a temporary one. `None` after a signal.
async fn prepare(
    session: &Session,
    state: &StateFolder,
    args: &RunArgs,
    spec: RunSpec<'_>,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<ProvisionedLab>> {
    let lab = state.lab(session.named().unwrap_or(DEFAULT_NAME))?;
    session.note_leftover_labs(&lab)?;
    match lab.record()? {
        Some(record) => {
            check_engine(&lab, &record, args.new_lab.engine)?;
            match existing(session, &lab, &record, spec, interrupt).await? {
                Existing::Ready(target) => return Ok(Some(*target)),
                Existing::Interrupted => return Ok(None),
                Existing::Unusable => {}
            }
        }
        None if session.named().is_some() => return Err(no_such_lab(&lab).into()),
        None => {}
    }
    let new_lab = NewLab::new(&args.new_lab, 0, "lab scenario run")?;
    let template = tokio::select! {
        template = new_record(session, state, new_lab, spec) => template?,
        () = interrupt.stop().cancelled() => return Ok(None),
    };
    create_temporary(session, state, &template, spec, interrupt).await
}

/// Rejects an `--engine` that differs from the engine of an existing lab.
fn check_engine(lab: &Lab, record: &Record, choice: EngineChoice) -> Result<(), Failure> {
    let Some(requested) = choose::engine_name(choice) else { return Ok(()) };
    if requested == record.engine {
        return Ok(());
    }
    let message = format!("lab {} runs on {}, not on {requested}", lab.name(), record.engine);
    Err(Failure::usage(message).hint(format!("omit --engine, or run lab down{} first", lab.name_option())))
}

/// Run that a lab is provided for.
#[derive(Clone, Copy)]
struct RunSpec<'a> {
    plan: &'a Plan,
    id: &'a str,
    keep: bool,
}

/// Result of looking for a lab to use.
enum Existing {
    Ready(Box<ProvisionedLab>),
    /// It is the default lab, and it is not up.
    Unusable,
    Interrupted,
}

/// Uses an existing lab.
async fn existing(
    session: &Session,
    lab: &Lab,
    record: &Record,
    spec: RunSpec<'_>,
    interrupt: &Interrupt,
) -> anyhow::Result<Existing> {
    match session.provisioner(interrupt).attach(lab, record, spec.plan, spec.id).await {
        Ok(target) => {
            if let Some(fault) = &target.fixed {
                let (run, scenario) = (short_id(&fault.run), &fault.scenario);
                session.term.note(&format!("the kept fault of run {run} ({scenario}) was fixed by hand"));
            }
            super::callers::make_way(session, lab).await?;
            Ok(Existing::Ready(Box::new(target)))
        }
        Err(ProvisionError::Interrupted) => Ok(Existing::Interrupted),
        // It was removed at this moment.
        Err(ProvisionError::Lab(LabError::Missing { .. })) if session.named().is_none() => Ok(Existing::Unusable),
        Err(ProvisionError::Engine(error)) if error.kind.is_down() => {
            if session.named().is_some() {
                return Err(error.hint(format!("lab up{}", lab.name_option())).into());
            }
            let message =
                format!("lab {}: {error}; using a temporary lab (run lab up to restart this one)", lab.name());
            session.term.note(&message);
            Ok(Existing::Unusable)
        }
        Err(error) => Err(provision_failure(error, lab)),
    }
}

/// Selects the engine of a temporary lab, and creates the record for it.
async fn new_record(
    session: &Session,
    state: &StateFolder,
    new_lab: NewLab<'_>,
    spec: RunSpec<'_>,
) -> anyhow::Result<Record> {
    let lab = state.temporary_lab(spec.id)?;
    let new_lab = select_engine(spec.plan, &lab, new_lab).await?;
    choose::record(session, &lab, new_lab).await
}

/// Creates a lab for this run alone, on free ports. `None` after a signal.
async fn create_temporary(
    session: &Session,
    state: &StateFolder,
    template: &Record,
    spec: RunSpec<'_>,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<ProvisionedLab>> {
    let RunSpec { plan, id, keep } = spec;
    let live = session.term.progress_line("starting a lab for this run", lab_report::term::Fallback::Silent);
    let new = TemporaryLab { state, template, plan, id, tied: !keep };
    let created = session.provisioner(interrupt).create(new).await;
    live.clear();
    let lab = state.temporary_lab(id)?;
    match created {
        Ok(provisioned) => Ok(Some(provisioned)),
        Err(CreateError { error: ProvisionError::Interrupted, leftover: None }) => Ok(None),
        Err(CreateError { error: ProvisionError::Interrupted, leftover: Some(left) }) => {
            Err(provision_failure(left, &lab))
        }
        Err(CreateError { error, leftover }) => {
            if let Some(left) = leftover {
                report_error(&provision_failure(left, &lab));
            }
            Err(provision_failure(error, &lab))
        }
    }
}

/// Selects the engine of a temporary lab. Fails if the scenario does not support it. If the scenario supports only one
/// engine and the user chose none, that engine is used if it is ready; images are never pulled for this.
async fn select_engine<'w>(plan: &Plan, lab: &Lab, new_lab: NewLab<'w>) -> anyhow::Result<NewLab<'w>> {
    let engines = plan.engines.join(", ");
    let name = match new_lab.engine {
        EngineChoice::Docker => docker::NAME,
        EngineChoice::Embedded => lab_embedded::NAME,
        EngineChoice::Swarm => swarm::NAME,
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
