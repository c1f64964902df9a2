//! `lab drill start`: brings the lab up, draws the drill from a secret, and starts the referee. `lab drill resume`: starts it
//! again.

use std::time::Duration;

use super::begin::{self, NewDrill};
use super::candidates::Selection;
use super::{end, no_drill};
use crate::cli::{StartDrillArgs, UpArgs};
use crate::commands::session::Session;
use crate::commands::{callers, signals, time_span, up};
use lab_core::error::{Exit, Failure};
use lab_core::event::short_id;
use lab_drill::choice::Secret;
use lab_drill::event::{Ending, Known, Started};
use lab_report::report::human;
use lab_report::term::{Fallback, Tone};
use lab_runner::drill::{self, DrillProcess};
use lab_runner::lab::Lab;
use lab_runner::runner::{Interrupt, Signal};

/// Longest quiet time that can be asked for.
const MAX_QUIET: Duration = Duration::from_hours(1);

pub(super) async fn run(session: &Session, args: &StartDrillArgs) -> anyhow::Result<Exit> {
    let selection = Selection::new(&args.incident)?;
    let quiet = quiet(args)?;
    let lab = session.lab()?;
    if lab.drill()?.is_some() {
        let name = lab.name_option();
        let message = format!("a drill is in progress in lab {}", lab.name());
        return Err(Failure::failed(message).hint(format!("lab drill status{name} · lab drill give-up{name}")).into());
    }
    let interrupt = signals::install()?;
    let line = session.term.progress_line("preparing the lab", Fallback::Silent);
    let begun = start(session, &lab, args, (&selection, quiet), &interrupt).await;
    line.clear();
    match begun? {
        Some(started) => show(session, &lab, &started),
        None => Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit)),
    }
}

fn quiet(args: &StartDrillArgs) -> Result<Option<Duration>, Failure> {
    let Some(typed) = &args.quiet else { return Ok(None) };
    let quiet = time_span::parse_span(typed).map_err(|error| Failure::usage(format!("--quiet {typed:?}: {error}")))?;
    if quiet > MAX_QUIET {
        return Err(Failure::usage(format!("--quiet {typed:?}: expected at most 1h")));
    }
    Ok(Some(quiet))
}

/// Brings the lab up, and begins the drill under the lab's run lock. `None` after a signal.
async fn start(
    session: &Session,
    lab: &Lab,
    args: &StartDrillArgs,
    (selection, quiet): (&Selection, Option<Duration>),
    interrupt: &Interrupt,
) -> anyhow::Result<Option<Started>> {
    if !bring_up(session, lab, args, interrupt).await? {
        return Ok(None);
    }
    let connected = session.connect()?;
    let lock = lab.lock_run("lab drill start")?;
    begin::check_undo(lab)?;
    callers::make_way(session, lab).await?;
    let secret = match args.seed {
        Some(seed) => Secret::from_seed(seed),
        None => Secret::random().map_err(|error| Failure::failed(format!("cannot get random bytes: {error}")))?,
    };
    let known = match (&args.incident.scenario, args.seed, quiet) {
        (Some(_), ..) => Known::Incident,
        (None, None, None) => Known::Nothing,
        _ => Known::Seed,
    };
    let has_fault = known == Known::Incident;
    let new = NewDrill { selection, secret: &secret, known, coach: args.coach, quiet, has_fault };
    let started = begin::begin(&connected, &new).await?;
    if let Err(error) = DrillProcess::new(lab).start(&started.id).await {
        drop(lock);
        // The reason matters more than what could not be restored, which `lab recover` repeats.
        let _ = end::finish(lab, &started.id, Ending::Void, &Interrupt::new()).await;
        return Err(error.into());
    }
    Ok(Some(started))
}

/// Brings the lab up if it is not up. Returns false after a signal.
async fn bring_up(session: &Session, lab: &Lab, args: &StartDrillArgs, interrupt: &Interrupt) -> anyhow::Result<bool> {
    if lab.record()?.is_some() {
        match session.connect()?.engine.describe().await {
            Ok(_) => return refuse_options(lab, args).map(|()| true),
            Err(error) if error.kind.is_down() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let args = UpArgs::for_new_lab(args.new_lab.clone(), args.new_stack.clone());
    Ok(up::bring_up(session, lab, &args, interrupt).await?.is_some())
}

/// Refuses options of a new lab for one that is up.
fn refuse_options(lab: &Lab, args: &StartDrillArgs) -> anyhow::Result<()> {
    let Some(option) = args.new_stack.given() else { return Ok(()) };
    let message = format!("{option} is for a new lab, and lab {} is up", lab.name());
    Err(Failure::usage(message).hint(format!("leave it out, or run lab down{} first", lab.name_option())).into())
}

fn show(session: &Session, lab: &Lab, started: &Started) -> anyhow::Result<Exit> {
    let painter = session.term.painter();
    let name = lab.name_option();
    let title = format!("drill {} has begun in lab {}", short_id(&started.id), lab.name());
    session.line(&format!("{} · {}", painter.paint(Tone::Strong, &title), started.engine))?;
    session.line(&format!(
        "the callers send {} requests per second",
        human::number(started.callers.iter().map(|(_, rate)| rate).sum())
    ))?;
    session.line(&format!("commitment {}", started.commitment))?;
    session.line(&painter.paint(
        Tone::Dim,
        &format!("next: lab drill status{name} · lab drill ack{name} when something is wrong · lab drill finish{name}"),
    ))
}

/// Starts the referee again.
pub(super) async fn resume(session: &Session) -> anyhow::Result<Exit> {
    let lab = session.lab()?;
    let Some(id) = lab.drill()? else { return Err(no_drill(&lab).into()) };
    let process = DrillProcess::new(&lab);
    if process.is_running() {
        return session.line("the referee is watching");
    }
    if drill::is_ended(&lab, &id)? {
        let hint = format!("lab drill finish{} restores the lab", lab.name_option());
        return Err(Failure::failed("the drill is over").hint(hint).into());
    }
    let line = session.term.progress_line("resuming the drill", Fallback::Silent);
    let resumed = process.start(&id).await;
    line.clear();
    resumed?;
    session.line(&format!("drill {} goes on in lab {}; the gap does not count", short_id(&id), lab.name()))
}
