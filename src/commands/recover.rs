//! `lab recover`: undoes the changes of interrupted and kept runs.

use serde::Serialize;

use super::session::Session;
use super::signals;
use crate::cli::RecoverArgs;
use crate::engines::Connect;
use lab_core::error::{Exit, Failure};
use lab_core::event::{EventKind, UndoItem, UndoOutcome, UndoStatus};
use lab_report::report::short_id;
use lab_report::report::undo_text::describe_undo;
use lab_report::term::{Painter, Tone, clean};
use lab_runner::lab::{Lab, Record, StateFolder};
use lab_runner::runner::Interrupt;
use lab_runner::undo;

/// Output of `lab recover --json`, one per lab that had something to undo.
#[derive(Serialize)]
struct Document {
    lab: String,
    /// Run whose changes were undone. `None` for an interrupted reset, and if the undo could not begin.
    run: Option<String>,
    scenario: Option<String>,
    /// An interrupted reset was finished.
    reset: bool,
    /// Everything is restored.
    complete: bool,
    /// The lab was temporary and does not exist anymore.
    removed: bool,
    items: Vec<UndoItem>,
    /// Reason why it is not complete.
    error: Option<String>,
}

impl Document {
    fn failed(lab: &Lab, error: &anyhow::Error) -> Self {
        Self { complete: false, error: Some(super::failure::text(error)), ..Self::complete(lab) }
    }

    /// Document of a complete undo, without its changes.
    fn complete(lab: &Lab) -> Self {
        Self {
            lab: lab.name().to_owned(),
            run: None,
            scenario: None,
            reset: false,
            complete: true,
            removed: !lab.folder().root().exists(),
            items: Vec::new(),
            error: None,
        }
    }

    /// An incomplete undo is an error.
    fn check(&self, lab: &Lab) -> anyhow::Result<Exit> {
        if self.complete {
            return Ok(Exit::Passed);
        }
        let name = lab.name_option();
        let failure = Failure { exit: Exit::UndoIncomplete, ..Failure::failed("not all changes could be undone") };
        Err(failure.hint(format!("run lab recover{name} again, or lab down{name}")).into())
    }
}

pub(super) async fn run(session: &Session, args: &RecoverArgs) -> anyhow::Result<Exit> {
    let interrupt = signals::install()?;
    let state = StateFolder::open()?;
    // A failed sweep does not stop the recovery of labs.
    let mut exit = state.sweep().map_or_else(|error| super::report_error(&error.into()), |()| Exit::Passed);
    let labs = if args.all || session.named().is_none() { state.labs()? } else { vec![session.lab()?] };
    let mut found = exit != Exit::Passed;
    let mut documents = Vec::new();
    for lab in &labs {
        // Without a name: the default lab and leftover temporary labs.
        let selected =
            args.all || session.named().is_some() || lab.name() == lab_runner::lab::DEFAULT_NAME || lab.is_temporary();
        if !selected || lab.running().is_some() {
            continue;
        }
        session.hide_secrets_of(lab);
        // A failure in one lab does not stop the recovery of the others.
        let recovered = match has_undo(lab).await {
            Ok(false) => continue,
            Ok(true) => {
                let (term, json) = (session.term.clone(), args.json);
                // Recovery continues even if the output is closed.
                let say = move |line: &str| {
                    if !json {
                        let _ = std::io::Write::write_all(&mut term.out(), format!("{line}\n").as_bytes());
                    }
                };
                recover_lab(lab, &interrupt, session.term.painter(), say).await
            }
            Err(error) => Err(error),
        };
        found = true;
        let document = recovered.unwrap_or_else(|error| {
            exit = exit.worse(super::report_error(&error));
            Document::failed(lab, &error)
        });
        if document.error.is_none() {
            exit = exit.worse(document.check(lab).unwrap_or_else(|error| super::report_error(&error)));
        }
        documents.push(document);
    }
    if args.json {
        session.json(&documents)?;
    } else if !found {
        session.line("nothing to undo")?;
    }
    Ok(exit)
}

/// Undoes pending changes in the selected lab before a run; kept faults stay. Reports to stderr, because stdout belongs to
/// the run.
pub(super) async fn undo_pending(
    session: &Session,
    state: &StateFolder,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let lab = state.lab(session.named().unwrap_or(lab_runner::lab::DEFAULT_NAME))?;
    let is_pending = lab.running().is_none() && undo::pending(&lab)?.is_some_and(|pending| !pending.kept);
    let term = session.term.clone();
    if is_pending {
        recover_lab(&lab, interrupt, session.term.stderr_painter(), move |line| term.note(line)).await?.check(&lab)
    } else {
        Ok(Exit::Passed)
    }
}

/// Returns true if there is something to undo. Removes the folder of a lab that was never created.
async fn has_undo(lab: &Lab) -> anyhow::Result<bool> {
    if is_empty(lab)? {
        sweep(lab).await?;
        return Ok(false);
    }
    Ok(lab.is_reset_pending() || lab.drill()?.is_some() || undo::pending(lab)?.is_some())
}

/// True for a folder without lab and without undo log: its creator was killed before it wrote anything.
fn is_empty(lab: &Lab) -> anyhow::Result<bool> {
    let folder = lab.folder();
    Ok(folder.root().exists() && !folder.path("lab.json").exists() && undo::pending(lab)?.is_none())
}

/// Removes the folder of such a lab, unless the lab is being created at this moment.
async fn sweep(lab: &Lab) -> anyhow::Result<()> {
    let _run = lab.lock_run("lab recover")?;
    let _change = lab.lock_change("lab recover").await?;
    if is_empty(lab)? {
        lab.remove()?;
    }
    Ok(())
}

async fn recover_lab(
    lab: &Lab,
    interrupt: &Interrupt,
    painter: Painter,
    say: impl Fn(&str) + Send + Sync,
) -> anyhow::Result<Document> {
    if super::drill::end::continue_end(lab, interrupt).await? {
        say(&format!("done: lab {} is restored after its drill", lab.name()));
        return Ok(Document::complete(lab));
    }
    if lab.is_reset_pending() {
        return finish_reset(lab, say).await;
    }
    let _lock = lab.lock_run("lab recover")?;
    let Some(pending) = undo::pending(lab)? else { return Ok(Document::complete(lab)) };
    // An interrupted run may leave a folder without a record, if it had not saved its lab yet.
    let record = lab.record()?.unwrap_or_else(|| Record::new(lab_embedded::NAME, 0));
    let engine = lab.engine(&record)?;
    say(&format!("lab {}: undoing run {} ({})", lab.name(), short_id(&pending.run), pending.scenario));
    // Callers that do not stop now end with their lab, or at their time limit.
    if super::callers::stop_those_of_runs(lab).await.unwrap_or(false) {
        say("  stopped its callers");
    }
    let show = |event: EventKind| {
        if let EventKind::UndoItem(item) = event {
            say(&row(&item, painter));
        }
    };
    let undo = undo::recover(lab, &engine, interrupt.stop(), show).await?;
    let document = Document {
        run: Some(pending.run),
        scenario: Some(pending.scenario),
        complete: undo.status == UndoOutcome::Complete,
        items: undo.items,
        ..Document::complete(lab)
    };
    if document.complete {
        let outcome = if document.removed { "was temporary and is removed" } else { "is restored" };
        say(&format!("{} lab {} {outcome}", painter.paint(Tone::Good, "done:"), lab.name()));
    }
    Ok(document)
}

/// Finishes an interrupted `lab reset`, which undoes more than any run.
async fn finish_reset(lab: &Lab, say: impl Fn(&str)) -> anyhow::Result<Document> {
    let _run = lab.lock_run("lab recover")?;
    let change = lab.lock_change("lab recover").await?;
    let engine = lab.engine(&lab.locked_record(&change)?)?;
    say(&format!("lab {}: finishing its reset", lab.name()));
    let failed =
        |error| Failure { exit: Exit::UndoIncomplete, ..Failure::failed(format!("the reset failed: {error}")) };
    lab.reset(&engine).await.map_err(|error| failed(error).hint(format!("run lab reset{}", lab.name_option())))?;
    say(&format!("done: lab {} is as it was first brought up", lab.name()));
    Ok(Document { reset: true, ..Document::complete(lab) })
}

fn row(item: &UndoItem, painter: Painter) -> String {
    let what = clean(&describe_undo(item));
    match item.status {
        UndoStatus::Undone | UndoStatus::Kept => format!("  {} {what}", painter.paint(Tone::Good, "undone")),
        UndoStatus::Failed => {
            let why = clean(item.error.as_deref().unwrap_or("no reason given"));
            format!("  {} {what}: {why}", painter.paint(Tone::Failed, "failed"))
        }
    }
}
