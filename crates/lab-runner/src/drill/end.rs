//! The end of a drill: the same for the participant's commands and for the referee, and also if the referee is dead.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::process::DrillProcess;
use super::restore::Restore;
use super::wire::ProbeWire;
use super::{DrillError, HOLDER, folder};
use crate::lab::Lab;
use lab_core::engine::Engine;
use lab_drill::event::{Ending, Entry, Event};
use lab_drill::log::{Log, LogError};
use lab_telemetry::wire::Wire;

/// Time for the referee to notice the end, and to complete an injection.
const PATIENCE: Duration = Duration::from_secs(10);

/// A drill that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Concluded {
    /// All entries of the log.
    pub entries: Vec<Entry>,
    /// What could not be restored. [`conclude`] can be repeated then.
    pub errors: Vec<String>,
}

/// Returns true if the drill has ended. Its lab may not be restored yet.
pub fn is_over(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| matches!(entry.event, Event::Ended { .. }))
}

/// Returns true if the drill of a lab has ended, so that only its restore is missing.
///
/// # Errors
/// If its log cannot be used.
pub fn is_ended(lab: &Lab, drill: &str) -> Result<bool, DrillError> {
    Ok(is_over(&Log::open(&folder(lab, drill))?.read()?))
}

/// How a drill of a lab ended. `None` if it has not.
///
/// # Errors
/// If its log cannot be used.
pub fn ending(lab: &Lab, drill: &str) -> Result<Option<Ending>, DrillError> {
    let entries = Log::open(&folder(lab, drill))?.read()?;
    Ok(entries.iter().find_map(|entry| match entry.event {
        Event::Ended { by } => Some(by),
        _ => None,
    }))
}

/// Publishes the log of a drill whose lab is not restored, because it is removed. Can be repeated.
///
/// # Errors
/// If its log cannot be used.
pub fn publish(lab: &Lab, drill: &str) -> Result<(), DrillError> {
    match Log::open(&folder(lab, drill))?.publish() {
        // Another process publishes it at this moment.
        Ok(_) | Err(LogError::Over) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends a drill, unless it has ended already. Then [`conclude`] must follow.
///
/// # Errors
/// If its log cannot be used.
pub fn end(lab: &Lab, drill: &str, by: Ending) -> Result<(), DrillError> {
    let mut log = Log::open(&folder(lab, drill))?;
    if is_over(&log.read()?) {
        return Ok(());
    }
    match log.append(None, Event::Ended { by }) {
        Ok(_) | Err(LogError::Over) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Restores the lab after the end of a drill and publishes its log. If it was killed, it can be repeated.
///
/// # Errors
/// If the log or the state folder cannot be used, or the stack does not come up.
pub async fn conclude(
    lab: &Lab,
    engine: &Arc<dyn Engine>,
    wire: &Arc<dyn Wire>,
    drill: &str,
    give_up: &CancellationToken,
) -> Result<Concluded, DrillError> {
    let _run = lab.lock_run_of_drill(&format!("the end of {HOLDER}"))?;
    DrillProcess::new(lab).stop(PATIENCE).await?;
    let mut log = Log::open(&folder(lab, drill))?;
    let entries = log.read()?;
    let users = entries.iter().find_map(|entry| match &entry.event {
        Event::Started(started) => started.users.clone(),
        _ => None,
    });
    let wire = ProbeWire(Arc::clone(wire));
    let errors = Restore { lab, engine, wire: &wire, drill, give_up }.run(users.as_deref()).await?;
    let is_published = entries.iter().any(|entry| matches!(entry.event, Event::Restored { .. }));
    let entries = if is_published {
        entries
    } else {
        log.append(None, Event::Restored { errors: errors.clone() })?;
        log.publish()?
    };
    if errors.is_empty() {
        lab.end_drill()?;
    }
    Ok(Concluded { entries, errors })
}
