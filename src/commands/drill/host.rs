//! The referee's process. `lab drill start` and `lab drill resume` start it. It exits when the drill is over, when its lab is
//! gone, and after a signal; then the drill can be resumed.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::commands::host_process::{self, lab_in, respond};
use crate::engines::Connect;
use lab_core::error::{Exit, Failure};
use lab_core::event::MASK;
use lab_drill::brief::Brief;
use lab_drill::event::{Ending, Event};
use lab_drill::log::Log;
use lab_runner::callers;
use lab_runner::drill::{self, DrillError, LOCK_FILE, Order, Referee, Response, Watch};
use lab_runner::lab::Lab;
use lab_scenario::{LoadOptions, Plan, Source, load};
use lab_system::background;
use lab_system::files::{self, Folder};
use lab_telemetry::wire::{NetWire, Wire};

pub(in crate::commands) fn run() -> Exit {
    host_process::run("lab drill start", Response::Failed, watch)
}

async fn watch(order: Order) -> anyhow::Result<Exit> {
    let folder = Folder::new(order.folder.clone());
    let path = folder.path(LOCK_FILE);
    let lock = background::acquire_lock(&path).await?;
    // It is also the process that sends the callers' requests.
    let callers_lock = background::acquire_lock(&folder.path(callers::LOCK_FILE)).await?;
    let lab = lab_in(&order.folder)?;
    let mut log = Log::open(&drill::folder(&lab, &order.drill))?;
    let plan = Arc::new(plan(&mut log)?);
    let engine = lab.engine(&lab.existing()?)?;
    let wire: Arc<dyn Wire> = Arc::new(NetWire::new());
    let end = CancellationToken::new();
    background::end_with_signals(end.clone());
    let watch = Watch { lab: lab.clone(), engine: Arc::clone(&engine), wire: Arc::clone(&wire), plan };
    let log = Log::open(&drill::folder(&lab, &order.drill))?;
    let referee = Referee::begin(watch, log).await?;
    respond(&Response::Watching);
    let is_gone = || !files::is_named(&lock, &path);
    let ended = referee.run(end, is_gone).await?;
    drop((callers_lock, lock));
    match ended {
        // Nobody waits for the end, so it is made here.
        Some(Ending::TimeLimit | Ending::Void) => {
            let give_up = CancellationToken::new();
            background::end_with_signals(give_up.clone());
            drill::conclude(&lab, &engine, &wire, &order.drill, &give_up).await?;
        }
        Some(Ending::LabGone) => publish(&lab, &order.drill)?,
        Some(Ending::Finished | Ending::GaveUp) | None => {}
    }
    Ok(Exit::Passed)
}

/// Publishes the log, unless the command that removed the lab has done so.
fn publish(lab: &Lab, id: &str) -> Result<(), DrillError> {
    match drill::publish(lab, id) {
        Err(DrillError::Log(lab_drill::log::LogError::Over)) => Ok(()),
        result => result,
    }
}

/// Scenario of the drill, with its values.
fn plan(log: &mut Log) -> anyhow::Result<Plan> {
    let entries = log.read()?;
    let started = entries.iter().find_map(|entry| match &entry.event {
        Event::Started(started) => Some(started),
        _ => None,
    });
    let Some(started) = started else { return Err(Failure::failed("the drill's log is empty").into()) };
    let Brief { scenario, parameters, .. } = &started.brief;
    // Of secrets, the log has no values: their defaults are used.
    let set = parameters.iter().filter(|(_, value)| !value.contains(MASK));
    let set = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(load(&Source::parse(scenario), &LoadOptions { set, ..LoadOptions::default() })?)
}
