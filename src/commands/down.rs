//! `lab down`: takes a lab down. What it leaves is the journals of its runs.

use super::session::{Session, name_option};
use crate::cli::DownArgs;
use crate::engine::embedded;
use crate::error::Exit;
use crate::lab::{Lab, LabError, Record, State};

pub(super) async fn run(session: &Session, args: &DownArgs) -> anyhow::Result<Exit> {
    let state = State::open()?;
    if !args.all {
        return one(session, &session.lab()?).await;
    }
    let labs = state.labs()?;
    if labs.is_empty() {
        return session.line("there is no lab");
    }
    let mut exit = Exit::Held;
    for lab in &labs {
        // One that cannot be taken down keeps none of the others up.
        if let Err(error) = one(session, lab).await {
            exit = exit.worse(super::report_error(&error));
        }
    }
    Ok(exit)
}

async fn one(session: &Session, lab: &Lab) -> anyhow::Result<Exit> {
    if !lab.folder().root().exists() {
        return session.line(&format!("there is no lab {}", lab.name()));
    }
    // The run that holds it would break its stack under its feet.
    let _run = lab.lock_run("lab down")?;
    let _change = lab.lock_change("lab down").await?;
    end(lab).await?;
    session.line(&format!("lab {} is down", lab.name()))
}

/// Ends the stack of a lab, whatever is left of it, and forgets the lab.
async fn end(lab: &Lab) -> anyhow::Result<()> {
    let record = match lab.record() {
        Ok(Some(record)) => record,
        // Who knows what else it runs.
        Err(error @ LabError::Newer { .. }) => return Err(error.into()),
        // A record that cannot be read is no reason to leave processes behind: the engine needs the folder alone.
        Ok(None) | Err(_) => Record::new(embedded::NAME, 0),
    };
    let engine = lab.engine(&record)?;
    engine.down().await.map_err(|error| error.hint(format!("try again: lab down{}", name_option(lab))))?;
    Ok(lab.remove()?)
}
