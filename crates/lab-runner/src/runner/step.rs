//! Executes one step in its own task: observe, act, observe again. The executor evaluates the result and survives a
//! panic of the task.

use std::sync::Arc;

use super::actions::{self, ActionResult};
use super::alerts::{AlertPeriods, SharedAlerts};
use super::background::{self, Slice, SliceResults, StepBackground};
use super::clock::rounded;
use super::context::Context;
use super::error::{MeasurementError, StepError};
use super::expectation::Measurements;
use super::observation::{KnownState, Observation, by_counter, deltas, observe_unless_stopped};
use super::outage::AttemptedChange;
use super::samples::samples;
use super::traffic_results::{self, TrafficResults};
use crate::undo::TaskPanic;
use lab_core::event::{ExpectationResult, Status, StepResult, StepStarted};
use lab_scenario::plan::Action;
use lab_telemetry::metrics::Deltas;
use lab_traffic::Summary;

/// Everything that happened during a step.
pub(super) struct StepExecution {
    pub(super) before: Result<Observation, StepError>,
    pub(super) after: Result<Observation, StepError>,
    pub(super) action: Result<ActionResult, StepError>,
    /// The action changes the lab. If it failed, it may have done so partly.
    pub(super) attempted: bool,
    pub(super) background: SliceResults,
    /// Background requests that are still open.
    pub(super) open: Vec<Slice>,
    pub(super) deltas: Result<Deltas, StepError>,
    /// Alerts during the step.
    pub(super) alerts: AlertPeriods,
    pub(super) interrupted: bool,
}

impl StepExecution {
    pub(super) fn failed(error: StepError) -> Self {
        let unknown = || StepError::NotExecuted;
        Self {
            before: Err(unknown()),
            after: Err(unknown()),
            deltas: Err(unknown()),
            action: Err(error),
            attempted: false,
            background: SliceResults::new(),
            open: Vec::new(),
            alerts: AlertPeriods::new(),
            interrupted: false,
        }
    }

    pub(super) fn traffic(&self) -> Option<&TrafficResults> {
        self.action.as_ref().ok()?.traffic.as_ref()
    }

    /// The observations that expectations are evaluated against.
    pub(super) fn observed(&self) -> Measurements {
        Measurements {
            traffic: self.traffic().cloned(),
            background: self.background.clone(),
            deltas: self.deltas.clone().map_err(MeasurementError::from),
            alerts: self.alerts.clone(),
        }
    }

    /// The change that the step made or attempted.
    pub(super) fn attempted_change(&self, begun: f64, action: &Action) -> AttemptedChange {
        let result = self.action.as_ref().ok();
        AttemptedChange {
            begun,
            attempted: action.is_change() && result.is_some() && !self.interrupted,
            changed: result.is_some_and(|result| result.changed),
        }
    }

    /// Result of the step, given its expectations.
    pub(super) fn status(&self, results: &[ExpectationResult]) -> Status {
        match &self.action {
            _ if self.interrupted => Status::Interrupted,
            Err(_) => Status::Error,
            Ok(_) if results.iter().all(|result| result.passed) => Status::Passed,
            Ok(_) => Status::Failed,
        }
    }

    /// Notices about changes made outside this run, and the lab state expected before the next step.
    pub(super) fn notices(&self, known: Option<&KnownState>) -> (Vec<String>, Option<KnownState>) {
        let before = self.before.as_ref().ok().map(KnownState::from_observation);
        let after = self.after.as_ref().ok().map(KnownState::from_observation);
        let mut notices = match (known, &before) {
            (Some(known), Some(before)) => known.differences(before),
            _ => Vec::new(),
        };
        // The fallback for the next comparison if the lab cannot be observed after the step.
        let expected = before.or(known.cloned()).map(|before| match &self.action {
            Ok(action) => before.after(&action.own),
            Err(_) if self.attempted => before.outdated(),
            Err(_) => before,
        });
        if let (Some(expected), Some(after)) = (&expected, &after) {
            notices.extend(expected.differences(after));
        }
        (notices, after.or(expected))
    }
}

/// Executes a step in its own task while background traffic continues. A panic becomes an error of the step. After a
/// second signal the task is abandoned.
pub(super) async fn execute(
    context: &Arc<Context>,
    alerts: &Arc<SharedAlerts>,
    action: Action,
    background: StepBackground,
) -> StepExecution {
    let attempted = action.is_change();
    let task = tokio::spawn(execute_to_end(Arc::clone(context), Arc::clone(alerts), action, background));
    let mut done = tokio::select! {
        joined = task => joined.unwrap_or_else(|panic| StepExecution::failed(TaskPanic::from(panic).into())),
        () = context.interrupt.give_up().cancelled() => StepExecution::failed(StepError::Abandoned),
    };
    done.attempted = attempted;
    done.interrupted = context.stop.is_cancelled();
    done
}

async fn execute_to_end(
    context: Arc<Context>,
    alerts: Arc<SharedAlerts>,
    action: Action,
    background: StepBackground,
) -> StepExecution {
    let before = observe_unless_stopped(&context).await;
    let running = background::start(&context, background, &before);
    let action = if context.stop.is_cancelled() {
        Ok(ActionResult::default())
    } else {
        actions::execute(&context, &alerts, &action, &before).await
    };
    let (background, open) = running.end().await;
    let after = observe_unless_stopped(&context).await;
    let deltas = match &action {
        Ok(action) => deltas(&before, &after, action),
        Err(_) => Err(StepError::NotExecuted),
    };
    let alerts = AlertPeriods::new();
    StepExecution { before, after, action, attempted: false, background, open, deltas, alerts, interrupted: false }
}

pub(super) fn result(
    context: &Context,
    started: StepStarted,
    begun: f64,
    done: &StepExecution,
    expectations: Vec<ExpectationResult>,
) -> StepResult {
    let status = done.status(&expectations);
    let action = done.action.as_ref().ok().filter(|action| action.changed || !done.interrupted);
    let summary = done.traffic().and_then(TrafficResults::total);
    let whole = summary.as_ref().map(traffic_results::result).unwrap_or_default();
    let background: Vec<(&String, Summary)> =
        done.background.values().filter_map(|(name, seen)| Some((name, seen.total()?))).collect();
    let everything = summary.iter().chain(background.iter().map(|(_, total)| total)).cloned().reduce(|mut all, one| {
        all.merge(&one);
        all
    });
    StepResult {
        duration: rounded(context.clock.elapsed() - begun),
        detail: action.and_then(|action| action.detail.clone()),
        sent: summary.as_ref().map(|summary| summary.sent),
        attempts: whole.attempts,
        unsent: whole.unsent,
        failed_requests: whole.failed_requests,
        deltas: by_counter(&done.deltas),
        codes: whole.codes,
        errors: whole.errors,
        latency_ms: whole.latency_ms,
        callers: done.traffic().map(TrafficResults::results).unwrap_or_default(),
        background: background.iter().map(|(name, total)| ((*name).clone(), traffic_results::result(total))).collect(),
        output: action.map(|action| action.output.clone()).unwrap_or_default(),
        samples: everything.map(|all| samples(&all, &context.clock)).unwrap_or_default(),
        counters: done.action.as_ref().map(|action| action.counters.clone()).unwrap_or_default(),
        expectations,
        error: done.action.as_ref().err().map(StepError::to_string),
        ..StepResult::new(started, status, context.clock.at(begun), begun)
    }
}
