//! Executes the actions of steps, one file per action.

mod check;
mod keys;
mod result;
mod run;
mod service;
mod traffic;
mod wait;
mod wait_for;

pub(super) use result::{ActionResult, OwnChanges, StepOutputs};
pub(super) use traffic::{headers, loads};

use std::sync::Arc;

use super::alerts::SharedAlerts;
use super::context::Context;
use super::error::StepError;
use super::observation::Observation;
use lab_scenario::plan::Action;

/// Executes an action. `now` is the lab just before it.
pub(super) async fn execute(
    context: &Arc<Context>,
    alerts: &Arc<SharedAlerts>,
    action: &Action,
    now: &Result<Observation, StepError>,
) -> Result<ActionResult, StepError> {
    match action {
        Action::Traffic(traffic) => traffic::send(context, traffic, now.as_ref()?).await,
        Action::Background(traffic) => Ok(summary(format!("{} requests a second from now on", traffic.rate))),
        Action::StopBackground { name, .. } => Ok(summary(format!("{name} ended"))),
        Action::RotateKey { server } => keys::rotate_key(context, server).await,
        Action::CallerKey { key, callers } => keys::set_caller_keys(context, Some(key), callers).await,
        Action::AlignKey { callers } => keys::set_caller_keys(context, None, callers).await,
        Action::Change(change) => service::change(context, change).await,
        Action::Wait(duration) => Ok(wait::wait(context, *duration).await),
        Action::WaitFor(wait) => wait_for::wait_for(context, alerts, wait, now).await,
        Action::Check(probe) => check::check(context, probe, now.as_ref()?).await,
        Action::Run(command) => run::run(context, command, now.as_ref()?).await,
    }
}

fn summary(detail: String) -> ActionResult {
    ActionResult { detail: Some(detail), ..ActionResult::default() }
}
