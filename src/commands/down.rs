//! `lab down`: stops and removes a lab. Its run history is kept.

use serde::Serialize;

use super::choose;
use super::room;
use super::session::Session;
use crate::cli::DownArgs;
use crate::engines::Connect;
use lab_containers::{docker, swarm};
use lab_core::engine::{Engine, EngineError, EngineErrorKind};
use lab_core::error::{Exit, Failure};
use lab_report::term::Tone;
use lab_room::config::Rooms;
use lab_runner::callers;
use lab_runner::lab::{Containers, Lab, LabError, Record, StateFolder};
use lab_system::deadline;

/// Output of `lab down --json`, one per lab.
#[derive(Serialize)]
struct Document {
    lab: String,
    /// False if there was no such lab, or if it could not be removed.
    removed: bool,
    /// Reason why it was not removed.
    error: Option<String>,
}

pub(super) async fn run(session: &Session, args: &DownArgs) -> anyhow::Result<Exit> {
    let state = StateFolder::open()?;
    state.sweep()?;
    if !args.all {
        let lab = session.lab()?;
        let removed = remove_lab(session, &lab, args.force).await?;
        if args.json {
            return session.json(&Document { lab: lab.name().to_owned(), removed, error: None });
        }
        return show(session, &lab, removed);
    }
    let mut exit = close_rooms(session, &state, args.json).await?;
    let labs = state.labs()?;
    if labs.is_empty() && !args.json {
        session.line("there are no labs")?;
        return Ok(exit);
    }
    let mut documents = Vec::new();
    for lab in &labs {
        session.hide_secrets_of(lab);
        // A failure in one lab does not stop the removal of the others.
        let (removed, error) = match remove_lab(session, lab, false).await {
            Ok(removed) if args.json => (removed, None),
            Ok(removed) => show(session, lab, removed).map(|_| (removed, None))?,
            Err(error) => {
                exit = exit.worse(super::report_error(&error));
                (false, Some(super::failure::text(&error)))
            }
        };
        documents.push(Document { lab: lab.name().to_owned(), removed, error });
    }
    if args.json {
        session.json(&documents)?;
    }
    Ok(exit)
}

/// Takes all rooms down, with their labs.
async fn close_rooms(session: &Session, state: &StateFolder, json: bool) -> anyhow::Result<Exit> {
    let mut exit = Exit::Passed;
    for name in Rooms::new(state.root()).names()? {
        let closed = match room::down::close(state, &name).await {
            Ok(closed) if json && closed.is_complete() => Ok(Exit::Passed),
            Ok(closed) => room::down::report(session, &name, &closed),
            Err(error) => Err(error),
        };
        // A failure in one room does not stop the removal of the others.
        exit = exit.worse(closed.unwrap_or_else(|error| super::report_error(&error)));
    }
    Ok(exit)
}

fn show(session: &Session, lab: &Lab, removed: bool) -> anyhow::Result<Exit> {
    session.line(&format!("lab {} {}", lab.name(), if removed { "is down" } else { "does not exist" }))
}

/// Removes a lab. Returns false if there is none.
async fn remove_lab(session: &Session, lab: &Lab, force: bool) -> anyhow::Result<bool> {
    let is_known = lab.folder().root().exists();
    if is_known {
        if lab.drill().is_ok_and(|drill| drill.is_some()) && !confirm(session, lab)? {
            return Err(Failure::failed("nothing was removed").into());
        }
        remove(session, lab).await?;
    }
    if force {
        down(lab, &lab.docker_any_owner()?).await?;
    } else if !is_known && !remove_unrecorded(session, lab).await? {
        // An interrupted removal may have left files under another name.
        StateFolder::open()?.sweep()?;
        return Ok(false);
    }
    Ok(true)
}

/// Removes a lab whose folder exists, with everything of it that still runs. A drill in it ends without a result.
pub(super) async fn remove(session: &Session, lab: &Lab) -> anyhow::Result<()> {
    super::drill::end::abandon(lab).await?;
    // Excludes a run in progress, which would lose its stack.
    let _run = lab.lock_run_of_drill("lab down")?;
    let _change = lab.lock_change("lab down").await?;
    remove_known(session, lab).await
}

/// Asks at a terminal whether to end the drill in progress with its lab. Scripts are not asked.
fn confirm(session: &Session, lab: &Lab) -> anyhow::Result<bool> {
    if !(session.term.is_terminal() && std::io::IsTerminal::is_terminal(&std::io::stdin())) {
        return Ok(true);
    }
    session.term.note(&format!(
        "a drill is in progress in lab {}; with the lab, it ends without a result. Go on? [y/N]",
        lab.name()
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Removes a lab whose state folder is gone, if the daemon still has its containers and answers at once. Returns true if it
/// had. If the lab belongs to another owner, notes whose it is.
async fn remove_unrecorded(session: &Session, lab: &Lab) -> anyhow::Result<bool> {
    let docker = lab.docker(&Containers::from_env())?;
    let Ok(found) = deadline::timeout(choose::PATIENCE, docker.describe()).await else { return Ok(false) };
    match found {
        Ok(_) => {}
        Err(error) if matches!(error.kind, EngineErrorKind::Lost | EngineErrorKind::Unsupported) => {}
        Err(error) => {
            if error.kind == EngineErrorKind::Foreign {
                let hint = format!("lab down{} --force removes it", lab.name_option());
                session.term.note(&format!("{}; {hint}", error.detail));
            }
            return Ok(false);
        }
    }
    down(lab, &docker).await?;
    Ok(true)
}

/// Removes the lab's stack, complete or partial, and its state.
async fn remove_known(session: &Session, lab: &Lab) -> anyhow::Result<()> {
    callers::stop(lab).await.map_err(|error| Failure::failed(error.to_string()))?;
    match lab.record() {
        Ok(Some(record)) => down(lab, lab.engine_for_down(&record)?.as_ref()).await?,
        // It may run something that this version does not know.
        Err(error @ LabError::Newer { .. }) => return Err(error.into()),
        // A missing or unreadable record is no reason to leave anything behind.
        Ok(None) | Err(_) => on_every_engine(session, lab).await?,
    }
    Ok(lab.remove()?)
}

/// Removes the lab's stack. Adds a hint to the error to try again.
async fn down(lab: &Lab, engine: &dyn Engine) -> Result<(), EngineError> {
    engine.down().await.map_err(|error| try_again(lab, error))
}

/// Adds a hint to the error to try again.
pub(super) fn try_again(lab: &Lab, error: EngineError) -> EngineError {
    let again = format!("try again with lab down{}", lab.name_option());
    let hint = error.hint.as_ref().map_or_else(|| again.clone(), |hint| format!("{hint}; then {again}"));
    error.hint(hint)
}

/// Removes a lab without a readable record: name and folder are enough for every engine.
async fn on_every_engine(session: &Session, lab: &Lab) -> anyhow::Result<()> {
    let record = |engine: &str| Record { containers: Containers::from_env(), ..Record::new(engine, 0) };
    down(lab, lab.engine_for_down(&record(lab_embedded::NAME))?.as_ref()).await?;
    if swarm::has_record(lab.folder()) {
        down(lab, lab.engine_for_down(&record(swarm::NAME))?.as_ref()).await?;
    }
    match down(lab, lab.engine_for_down(&record(docker::NAME))?.as_ref()).await {
        Err(error) if matches!(error.kind, EngineErrorKind::Unreachable | EngineErrorKind::Denied) => {
            if lab.folder().path("lab.json").exists() {
                let name = lab.name();
                let note = format!(
                    "lab {name} may still have containers, because its record is damaged and Docker cannot be asked: {error}"
                );
                session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &note));
            }
            Ok(())
        }
        result => Ok(result?),
    }
}
