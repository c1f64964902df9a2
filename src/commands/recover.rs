//! `lab recover`: puts back what a run that was cut off, or kept, has changed.

use super::session::{Session, name_option};
use super::signals;
use crate::cli::RecoverArgs;
use crate::engines::Connect;
use lab_core::error::{Exit, Failure};
use lab_core::event::{EventKind, UndoItem, UndoOutcome, UndoStatus};
use lab_report::report::{put_back, short_id};
use lab_report::term::{Painter, Tone, clean};
use lab_runner::lab::{Lab, Record, StateFolder};
use lab_runner::runner::Interrupt;
use lab_runner::undo;

pub(super) async fn run(session: &Session, args: &RecoverArgs) -> anyhow::Result<Exit> {
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    // What cannot be swept keeps no lab from being recovered.
    let mut exit = state.sweep().map_or_else(|error| super::report_error(&error.into()), |()| Exit::Passed);
    let labs = if args.all || session.named().is_none() { state.labs()? } else { vec![session.lab()?] };
    let mut found = exit != Exit::Passed;
    for lab in &labs {
        // Without a name it is the default lab that is meant, and what runs left that made labs of their own.
        let meant =
            args.all || session.named().is_some() || lab.name() == lab_runner::lab::DEFAULT_NAME || lab.is_temporary();
        if !meant || lab.running().is_some() {
            continue;
        }
        session.hide_secrets_of(lab);
        // One that cannot be put back keeps none of the others as it is.
        let done = match owed(lab).await {
            Ok(false) => continue,
            Ok(true) => {
                let term = session.term.clone();
                // That nobody reads it keeps nothing from being put back.
                let say = move |line: &str| {
                    let _ = std::io::Write::write_all(&mut term.out(), format!("{line}\n").as_bytes());
                };
                one(lab, &interrupt, session.term.painter(), say).await
            }
            Err(error) => Err(error),
        };
        found = true;
        exit = exit.worse(done.unwrap_or_else(|error| super::report_error(&error)));
    }
    if found { Ok(exit) } else { session.line("nothing to put back") }
}

/// Puts back what the lab that is meant owes, before a run; what was kept on purpose is left. It is told on stderr, since
/// stdout is the run's.
pub(super) async fn owed_of(session: &Session, state: &StateFolder, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let lab = state.lab(session.named().unwrap_or(lab_runner::lab::DEFAULT_NAME))?;
    let owes = lab.running().is_none() && undo::pending(&lab)?.is_some_and(|pending| !pending.kept);
    let term = session.term.clone();
    if owes {
        one(&lab, interrupt, session.term.stderr_painter(), move |line| term.note(line)).await
    } else {
        Ok(Exit::Passed)
    }
}

/// Whether there is anything to put back. A lab that nobody ever finished making goes.
async fn owed(lab: &Lab) -> anyhow::Result<bool> {
    if is_empty(lab)? {
        sweep(lab).await?;
        return Ok(false);
    }
    Ok(undo::pending(lab)?.is_some())
}

/// Whether neither a lab is there nor anything to put back: who was to make it was killed before it wrote the first word.
fn is_empty(lab: &Lab) -> anyhow::Result<bool> {
    let folder = lab.folder();
    Ok(folder.root().exists() && !folder.path("lab.json").exists() && undo::pending(lab)?.is_none())
}

/// Removes such a lab's folder; unless somebody makes the lab in this instant.
async fn sweep(lab: &Lab) -> anyhow::Result<()> {
    let _run = lab.lock_run("lab recover")?;
    let _change = lab.lock_change("lab recover").await?;
    if is_empty(lab)? {
        lab.remove()?;
    }
    Ok(())
}

async fn one(
    lab: &Lab,
    interrupt: &Interrupt,
    painter: Painter,
    say: impl Fn(&str) + Send + Sync,
) -> anyhow::Result<Exit> {
    let _lock = lab.lock_run("lab recover")?;
    let Some(pending) = undo::pending(lab)? else { return Ok(Exit::Passed) };
    // A run that was cut off before it had saved its lab leaves a folder without a record.
    let record = lab.record()?.unwrap_or_else(|| Record::new(lab_embedded::NAME, 0));
    let engine = lab.engine(&record)?;
    say(&format!("lab {}: putting back run {} ({})", lab.name(), short_id(&pending.run), pending.scenario));
    let show = |event: EventKind| {
        if let EventKind::UndoItem(item) = event {
            say(&row(&item, painter));
        }
    };
    let undo = undo::recover(lab, &engine, interrupt.stop(), show).await?;
    if undo.status == UndoOutcome::Complete {
        let gone = !lab.folder().root().exists();
        let outcome = if gone { "is gone: it was the run's own" } else { "is as before the run" };
        say(&format!("{} lab {} {outcome}", painter.paint(Tone::Held, "done:"), lab.name()));
        return Ok(Exit::Passed);
    }
    let failure = Failure { exit: Exit::UndoIncomplete, ..Failure::failed("not everything could be put back") };
    Err(failure.hint(format!("lab recover{} again, or lab down{}", name_option(lab), name_option(lab))).into())
}

fn row(item: &UndoItem, painter: Painter) -> String {
    let what = clean(&put_back(item));
    match item.status {
        UndoStatus::Undone | UndoStatus::Kept => format!("  {} {what}", painter.paint(Tone::Held, "undone")),
        UndoStatus::Failed => {
            let why = clean(item.error.as_deref().unwrap_or("no reason given"));
            format!("  {} {what}: {why}", painter.paint(Tone::Failed, "failed"))
        }
    }
}
