//! `lab down`: takes a lab down. What it leaves is the journals of its runs.

use super::choose;
use super::session::{Session, name_option};
use crate::cli::DownArgs;
use crate::engines::Connect;
use lab_containers::docker;
use lab_core::engine::{Engine, EngineError, EngineErrorKind};
use lab_core::error::Exit;
use lab_report::term::Tone;
use lab_runner::lab::{Containers, Lab, LabError, Record, StateFolder};
use lab_system::deadline;

pub(super) async fn run(session: &Session, args: &DownArgs) -> anyhow::Result<Exit> {
    let state = StateFolder::open()?;
    state.sweep()?;
    if !args.all {
        return one(session, &session.lab()?, args.force).await;
    }
    let labs = state.labs()?;
    if labs.is_empty() {
        return session.line("there is no lab");
    }
    let mut exit = Exit::Passed;
    for lab in &labs {
        session.hide_secrets_of(lab);
        // One that cannot be taken down keeps none of the others up.
        if let Err(error) = one(session, lab, false).await {
            exit = exit.worse(super::report_error(&error));
        }
    }
    Ok(exit)
}

async fn one(session: &Session, lab: &Lab, force: bool) -> anyhow::Result<Exit> {
    let is_known = lab.folder().root().exists();
    if is_known {
        // The run that holds it would break its stack under its feet.
        let _run = lab.lock_run("lab down")?;
        let _change = lab.lock_change("lab down").await?;
        end(session, lab).await?;
    }
    if force {
        down(lab, &lab.docker_of_anybody()?).await?;
    } else if !is_known && !forgotten(session, lab).await? {
        // A removal that was cut off may have left files under another name.
        StateFolder::open()?.sweep()?;
        return session.line(&format!("there is no lab {}", lab.name()));
    }
    session.line(&format!("lab {} is down", lab.name()))
}

/// Takes a lab down whose folder was removed, where the daemon that answers at once has one; says whether it had. Of one that
/// somebody else keeps it says whose that is.
async fn forgotten(session: &Session, lab: &Lab) -> anyhow::Result<bool> {
    let docker = lab.docker(&Containers::from_env())?;
    let Ok(found) = deadline::timeout(choose::PATIENCE, docker.describe()).await else { return Ok(false) };
    match found {
        Ok(_) => {}
        Err(error) if matches!(error.kind, EngineErrorKind::Lost | EngineErrorKind::Unsupported) => {}
        Err(error) => {
            if error.kind == EngineErrorKind::Foreign {
                let way = format!("lab down{} --force takes it down", name_option(lab));
                session.term.note(&format!("{}; {way}", error.detail));
            }
            return Ok(false);
        }
    }
    down(lab, &docker).await?;
    Ok(true)
}

/// Ends the stack of a lab, whatever is left of it, and forgets the lab.
async fn end(session: &Session, lab: &Lab) -> anyhow::Result<()> {
    match lab.record() {
        Ok(Some(record)) => down(lab, lab.engine_for_down(&record)?.as_ref()).await?,
        // Who knows what else it runs.
        Err(error @ LabError::Newer { .. }) => return Err(error.into()),
        // A record that is not there, or cannot be read, is no reason to leave anything behind.
        Ok(None) | Err(_) => on_every_engine(session, lab).await?,
    }
    Ok(lab.remove()?)
}

/// Ends its stack. Where that cannot be done now, says when to try again.
pub(super) async fn down(lab: &Lab, engine: &dyn Engine) -> Result<(), EngineError> {
    engine.down().await.map_err(|error| {
        let again = format!("try again: lab down{}", name_option(lab));
        let hint = error.hint.as_ref().map_or_else(|| again.clone(), |hint| format!("{hint}; then {again}"));
        error.hint(hint)
    })
}

/// Ends a lab of which only the name and the folder are known: no engine needs more.
async fn on_every_engine(session: &Session, lab: &Lab) -> anyhow::Result<()> {
    let record = |engine: &str| Record { containers: Containers::from_env(), ..Record::new(engine, 0) };
    down(lab, lab.engine_for_down(&record(lab_embedded::NAME))?.as_ref()).await?;
    match down(lab, lab.engine_for_down(&record(docker::NAME))?.as_ref()).await {
        Err(error) if matches!(error.kind, EngineErrorKind::Unreachable | EngineErrorKind::Denied) => {
            if lab.folder().path("lab.json").exists() {
                let name = lab.name();
                let note =
                    format!("whether lab {name} had containers is not known, since its record is damaged: {error}");
                session.term.note(&session.term.stderr_painter().paint(Tone::Warn, &note));
            }
            Ok(())
        }
        result => Ok(result?),
    }
}
