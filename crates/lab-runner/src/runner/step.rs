//! Executes one step in its own task: observe, act, observe again. The executor evaluates the result and survives a
//! panic of the task.

use std::sync::Arc;

use super::act::{Acted, act};
use super::alerts::{Alerts, Shared};
use super::background::{self, Beside, Slice, Slices};
use super::clock::rounded;
use super::context::Context;
use super::expect::Observed;
use super::observe::{Known, Observation, by_counter, deltas, observe_unless_stopped};
use super::samples::samples;
use super::seen::{self, Seen};
use super::story::Deed;
use crate::undo::panic_text;
use lab_core::event::{ExpectationResult, Status, StepResult, StepStarted};
use lab_scenario::plan::Action;
use lab_telemetry::metrics::Deltas;
use lab_traffic::Summary;

/// Everything that happened during a step.
pub(super) struct Done {
    pub(super) before: Result<Observation, String>,
    pub(super) after: Result<Observation, String>,
    pub(super) acted: Result<Acted, String>,
    /// The action changes the lab. If it failed, it may have done so partly.
    pub(super) attempted: bool,
    pub(super) background: Slices,
    /// Background requests that are still open.
    pub(super) open: Vec<Slice>,
    pub(super) deltas: Result<Deltas, String>,
    /// Alerts during the step.
    pub(super) alerts: Alerts,
    pub(super) interrupted: bool,
}

impl Done {
    pub(super) fn failed(why: String) -> Self {
        let unknown = || "the step was not executed".to_owned();
        Self {
            before: Err(unknown()),
            after: Err(unknown()),
            deltas: Err(unknown()),
            acted: Err(why),
            attempted: false,
            background: Slices::new(),
            open: Vec::new(),
            alerts: Alerts::new(),
            interrupted: false,
        }
    }

    pub(super) fn traffic(&self) -> Option<&Seen> {
        self.acted.as_ref().ok()?.traffic.as_ref()
    }

    /// The observations that expectations are evaluated against.
    pub(super) fn observed(&self) -> Observed {
        Observed {
            traffic: self.traffic().cloned(),
            background: self.background.clone(),
            deltas: self.deltas.clone(),
            alerts: self.alerts.clone(),
        }
    }

    /// The change that the step made or attempted.
    pub(super) fn deed(&self, begun: f64, action: &Action) -> Deed {
        let acted = self.acted.as_ref().ok();
        Deed {
            begun,
            change: action.is_change() && acted.is_some() && !self.interrupted,
            changed: acted.is_some_and(|acted| acted.changed),
        }
    }

    /// Result of the step, given its expectations.
    pub(super) fn status(&self, results: &[ExpectationResult]) -> Status {
        match &self.acted {
            _ if self.interrupted => Status::Interrupted,
            Err(_) => Status::Error,
            Ok(_) if results.iter().all(|result| result.passed) => Status::Passed,
            Ok(_) => Status::Failed,
        }
    }

    /// Notices about changes made outside this run, and the lab state expected before the next step.
    pub(super) fn notices(&self, known: Option<&Known>) -> (Vec<String>, Option<Known>) {
        let before = self.before.as_ref().ok().map(Known::of);
        let after = self.after.as_ref().ok().map(Known::of);
        let mut notices = match (known, &before) {
            (Some(known), Some(before)) => known.differences(before),
            _ => Vec::new(),
        };
        // The fallback for the next comparison if the lab cannot be observed after the step.
        let expected = before.or(known.cloned()).map(|before| match &self.acted {
            Ok(acted) => before.after(&acted.own),
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
pub(super) async fn perform(context: &Arc<Context>, alerts: &Arc<Shared>, action: Action, beside: Beside) -> Done {
    let attempted = action.is_change();
    let task = tokio::spawn(carry_out(Arc::clone(context), Arc::clone(alerts), action, beside));
    let mut done = tokio::select! {
        joined = task => joined.unwrap_or_else(|panic| Done::failed(panic_text(panic))),
        () = context.interrupt.give_up().cancelled() => Done::failed("abandoned after the second signal".to_owned()),
    };
    done.attempted = attempted;
    done.interrupted = context.stop.is_cancelled();
    done
}

async fn carry_out(context: Arc<Context>, alerts: Arc<Shared>, action: Action, beside: Beside) -> Done {
    let before = observe_unless_stopped(&context).await;
    let running = background::start(&context, beside, &before);
    let acted =
        if context.stop.is_cancelled() { Ok(Acted::default()) } else { act(&context, &alerts, &action, &before).await };
    let (background, open) = running.end().await;
    let after = observe_unless_stopped(&context).await;
    let deltas = match &acted {
        Ok(acted) => deltas(&before, &after, acted),
        Err(_) => Err("the step was not executed".to_owned()),
    };
    let alerts = Alerts::new();
    Done { before, after, acted, attempted: false, background, open, deltas, alerts, interrupted: false }
}

pub(super) fn result(
    context: &Context,
    started: StepStarted,
    begun: f64,
    done: &Done,
    expectations: Vec<ExpectationResult>,
) -> StepResult {
    let status = done.status(&expectations);
    let acted = done.acted.as_ref().ok().filter(|acted| acted.changed || !done.interrupted);
    let summary = done.traffic().and_then(Seen::total);
    let whole = summary.as_ref().map(seen::result).unwrap_or_default();
    let background: Vec<(&String, Summary)> =
        done.background.values().filter_map(|(name, seen)| Some((name, seen.total()?))).collect();
    let everything = summary.iter().chain(background.iter().map(|(_, total)| total)).cloned().reduce(|mut all, one| {
        all.merge(&one);
        all
    });
    StepResult {
        duration: rounded(context.clock.elapsed() - begun),
        detail: acted.and_then(|acted| acted.detail.clone()),
        sent: summary.as_ref().map(|summary| summary.sent),
        unsent: whole.unsent,
        failed_requests: whole.failed_requests,
        deltas: by_counter(&done.deltas),
        codes: whole.codes,
        errors: whole.errors,
        latency_ms: whole.latency_ms,
        callers: done.traffic().map(Seen::results).unwrap_or_default(),
        background: background.iter().map(|(name, total)| ((*name).clone(), seen::result(total))).collect(),
        output: acted.map(|acted| acted.output.clone()).unwrap_or_default(),
        samples: everything.map(|all| samples(&all, &context.clock)).unwrap_or_default(),
        counters: done.acted.as_ref().map(|acted| acted.counters.clone()).unwrap_or_default(),
        expectations,
        error: done.acted.as_ref().err().cloned(),
        ..StepResult::new(started, status, context.clock.at(begun), begun)
    }
}
