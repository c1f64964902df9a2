//! `lab drill finish` and `give-up`: end the drill, restore the lab, publish the log. Also continues an end that was
//! interrupted.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::{no_drill, results, verdict};
use crate::cli::{DebriefArgs, FinishArgs};
use crate::commands::session::Session;
use crate::commands::signals;
use crate::engines::Connect;
use lab_core::error::{Exit, Failure};
use lab_drill::event::Ending;
use lab_report::report::file::FileFormat;
use lab_report::report::human;
use lab_report::term::{Fallback, Tone};
use lab_runner::drill::{self, Concluded, DrillProcess};
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::runner::{Interrupt, Signal};
use lab_telemetry::wire::{NetWire, Wire};

/// Ends the drill once the verdict about the last fix is known.
pub(super) async fn finish_when_judged(session: &Session, args: &FinishArgs) -> anyhow::Result<Exit> {
    let files = results::report_files(&args.debrief)?;
    let interrupt = signals::install()?;
    if !args.now && !verdict::wait(session, &interrupt).await? {
        return Ok(interrupt.signal().map_or(Exit::Interrupted, Signal::exit));
    }
    run(session, Ending::Finished, (&files, args.debrief.json), &interrupt).await
}

/// Ends the drill without a result.
pub(super) async fn give_up(session: &Session, args: &DebriefArgs) -> anyhow::Result<Exit> {
    let files = results::report_files(args)?;
    run(session, Ending::GaveUp, (&files, args.json), &signals::install()?).await
}

async fn run(
    session: &Session,
    by: Ending,
    (files, json): (&[(&Path, FileFormat)], bool),
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let lab = session.lab()?;
    let Some(id) = lab.drill()? else { return Err(no_drill(&lab).into()) };
    let begun = Instant::now();
    let line = session.term.progress_line("restoring the lab", Fallback::Silent);
    let concluded = finish(&lab, &id, by, interrupt).await;
    line.clear();
    let concluded = concluded?;
    results::debrief(session, &StateFolder::open()?, &id, files, json)?;
    report(&lab, &concluded)?;
    let restored = format!("lab {} is restored, after {}", lab.name(), human::duration(begun.elapsed()));
    session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &restored));
    Ok(Exit::Passed)
}

/// Ends a drill and restores its lab.
pub(in crate::commands) async fn finish(
    lab: &Lab,
    id: &str,
    by: Ending,
    interrupt: &Interrupt,
) -> anyhow::Result<Concluded> {
    drill::end(lab, id, by)?;
    let engine = lab.engine(&lab.existing()?)?;
    let wire: Arc<dyn Wire> = Arc::new(NetWire::new());
    Ok(drill::conclude(lab, &engine, &wire, id, interrupt.stop()).await?)
}

/// Fails if the lab could not be restored completely.
pub(in crate::commands) fn report(lab: &Lab, concluded: &Concluded) -> anyhow::Result<()> {
    if concluded.errors.is_empty() {
        return Ok(());
    }
    let name = lab.name_option();
    let message = format!("lab {} could not be restored: {}", lab.name(), concluded.errors.join("; "));
    let failure = Failure { exit: Exit::UndoIncomplete, ..Failure::failed(message) };
    Err(failure.hint(format!("run lab recover{name} again, or lab down{name}")).into())
}

/// Ends the drill of a lab that is about to be removed. The lab is not restored.
pub(in crate::commands) async fn abandon(lab: &Lab) -> anyhow::Result<()> {
    // A damaged file is no reason to keep the lab.
    let Ok(Some(id)) = lab.drill() else { return Ok(()) };
    // Without a readable log, there is nothing to end.
    let _ = drill::end(lab, &id, Ending::LabGone).and_then(|()| drill::publish(lab, &id));
    Ok(DrillProcess::new(lab).stop(std::time::Duration::from_secs(1)).await?)
}

/// Continues the end of a drill that was interrupted. Returns true if there was one.
pub(in crate::commands) async fn continue_end(lab: &Lab, interrupt: &Interrupt) -> anyhow::Result<bool> {
    let Some(id) = lab.drill()? else { return Ok(false) };
    if !drill::is_ended(lab, &id)? {
        return Ok(false);
    }
    report(lab, &finish(lab, &id, Ending::Finished, interrupt).await?)?;
    Ok(true)
}
