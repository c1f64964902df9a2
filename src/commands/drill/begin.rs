//! The begin of a drill in a lab: checks the lab and writes the start of the drill's log. Nothing happens in the drill until
//! a referee watches.

use std::sync::Arc;
use std::time::Duration;

use super::candidates::{Candidate, Selection};
use crate::commands::session::Connected;
use lab_core::engine::{Description, RunState};
use lab_core::error::Failure;
use lab_core::event::short_id;
use lab_drill::choice::Secret;
use lab_drill::event::{Event, Known, Started};
use lab_drill::log::{Drills, Log};
use lab_drill::{LOG_VERSION, score};
use lab_runner::drill::{self, ProbeWire};
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::undo;
use lab_system::deadline::Deadline;
use lab_telemetry::wire::NetWire;

/// Time for the app to return its users.
const USERS_TIMEOUT: Duration = Duration::from_secs(5);
const USERS_INTERVAL: Duration = Duration::from_millis(200);

/// A drill that is going to begin.
pub(in crate::commands) struct NewDrill<'a> {
    /// Among which incidents it draws.
    pub(in crate::commands) selection: &'a Selection,
    pub(in crate::commands) secret: &'a Secret,
    /// What the participant knows beforehand.
    pub(in crate::commands) known: Known,
    /// Wrong fixes are named at once.
    pub(in crate::commands) coach: bool,
    /// Time until the fault. `None` draws it.
    pub(in crate::commands) quiet: Option<Duration>,
    /// A fault is injected in any case. Otherwise, this is drawn.
    pub(in crate::commands) has_fault: bool,
}

/// Refuses a lab that is not restored after a reset or a run.
pub(in crate::commands) fn check_undo(lab: &Lab) -> anyhow::Result<()> {
    let name = lab.name_option();
    if lab.is_reset_pending() {
        let message = format!("the reset of lab {} was interrupted", lab.name());
        return Err(Failure::failed(message).hint(format!("lab reset{name} finishes it")).into());
    }
    if let Some(pending) = undo::pending(lab)? {
        let what = if pending.kept { "has the kept fault" } else { "still has the changes" };
        let message = format!("lab {} {what} of run {} ({})", lab.name(), short_id(&pending.run), pending.scenario);
        return Err(Failure::failed(message).hint(format!("lab recover{name} undoes it")).into());
    }
    Ok(())
}

/// Begins a drill in a lab in which nothing else is wrong. The lab's run lock must be held.
pub(in crate::commands) async fn begin(connected: &Connected, new: &NewDrill<'_>) -> anyhow::Result<Started> {
    let now = check_services(connected).await?;
    let state = StateFolder::open()?;
    let chosen = new.selection.choose(new.secret, connected, &now)?;
    let started = started(&state, connected, &now, (&chosen, new)).await?;
    let mut log = Log::create(&Drills::new(state.root()).folder(&started.id), new.secret)?;
    log.append(Some(0), Event::Started(Box::new(started.clone())))?;
    connected.lab.begin_drill(&started.id)?;
    Ok(started)
}

/// Refuses a lab in which a service does not run.
async fn check_services(connected: &Connected) -> anyhow::Result<Description> {
    let (lab, name) = (&connected.lab, connected.lab.name_option());
    connected.settle().await?;
    let now = connected.describe().await?;
    let down: Vec<&str> =
        now.services.iter().filter(|service| service.state != RunState::Running).map(|it| it.name.as_str()).collect();
    if down.is_empty() {
        return Ok(now);
    }
    let message = format!("lab {} is not whole: {} not running", lab.name(), down.join(", "));
    Err(Failure::failed(message).hint(format!("lab up{name}, or lab reset{name}")).into())
}

/// Fingerprint of the users. An app that was just started may need a moment.
async fn users(now: &Description) -> Result<String, drill::UsersError> {
    let wire = ProbeWire(Arc::new(NetWire::new()));
    let deadline = Deadline::after(USERS_TIMEOUT);
    loop {
        match drill::users_digest(&wire, now).await {
            Err(_) if !deadline.is_over() => tokio::time::sleep(USERS_INTERVAL).await,
            result => return result,
        }
    }
}

async fn started(
    state: &StateFolder,
    connected: &Connected,
    now: &Description,
    (chosen, new): (&Candidate, &NewDrill<'_>),
) -> anyhow::Result<Started> {
    let users = users(now).await.map_err(|error| {
        let failure = Failure::failed(format!("lab {} does not work: {error}", connected.lab.name()));
        failure.hint(format!("lab status{0} · lab reset{0}", connected.lab.name_option()))
    })?;
    let quiet = new.quiet.unwrap_or_else(|| new.secret.quiet());
    Ok(Started {
        version: LOG_VERSION,
        id: state.new_run_id()?,
        lab: connected.lab.name().to_owned(),
        engine: connected.engine.name().to_owned(),
        scoring: score::VERSION,
        commitment: new.secret.commitment(),
        known: new.known,
        coach: new.coach,
        quiet: u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX),
        fault: new.has_fault || new.secret.has_fault(),
        brief: chosen.brief.clone(),
        callers: drill::callers(&chosen.plan),
        users: Some(users),
    })
}
