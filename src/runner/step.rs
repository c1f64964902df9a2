//! One step as a task of its own: look, act, look again. What it showed is judged by the run, which a panic in here cannot
//! take along.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::act::{Acted, act};
use super::clock::rounded;
use super::context::Context;
use super::observe::{Known, Observation, by_counter, deltas, observe_unless_stopped};
use crate::event::{ExpectationResult, Latency, Status, StepFinished, StepStarted};
use crate::metrics::Deltas;
use crate::scenario::plan::{Action, Step};
use crate::traffic::Summary;
use crate::undo::panic_text;

/// What a step did and saw.
pub(super) struct Done {
    pub(super) before: Result<Observation, String>,
    pub(super) after: Result<Observation, String>,
    pub(super) acted: Result<Acted, String>,
    pub(super) deltas: Result<Deltas, String>,
    pub(super) interrupted: bool,
}

impl Done {
    fn failed(why: String) -> Self {
        let unknown = || "the step was not carried out".to_owned();
        Self {
            before: Err(unknown()),
            after: Err(unknown()),
            deltas: Err(unknown()),
            acted: Err(why),
            interrupted: false,
        }
    }

    pub(super) fn summary(&self) -> Option<&Summary> {
        self.acted.as_ref().ok()?.summary.as_ref()
    }

    pub(super) fn changed(&self) -> bool {
        self.acted.as_ref().is_ok_and(|acted| acted.changed)
    }

    /// How the step ended, given what was seen of what was expected.
    pub(super) fn status(&self, results: &[ExpectationResult]) -> Status {
        match &self.acted {
            _ if self.interrupted => Status::Interrupted,
            Err(_) => Status::Error,
            Ok(_) if results.iter().all(|result| result.held) => Status::Held,
            Ok(_) => Status::Failed,
        }
    }

    /// What somebody else changed before and during the step, and what is known of the lab after it.
    pub(super) fn notices(&self, known: Option<&Known>) -> (Vec<String>, Option<Known>) {
        let before = self.before.as_ref().ok().map(Known::of);
        let after = self.after.as_ref().ok().map(Known::of);
        let mut notices = match (known, &before) {
            (Some(known), Some(before)) => known.differences(before),
            _ => Vec::new(),
        };
        if let (Some(before), Some(after), Ok(acted)) = (&before, &after, &self.acted) {
            notices.extend(before.clone().after(&acted.own).differences(after));
        }
        (notices, after.or(before).or(known.cloned()))
    }
}

/// Carries a step out, as a task of its own. A panic in it is an error of the step; the second signal leaves it to itself.
pub(super) async fn perform(context: &Arc<Context>, action: &Action) -> Done {
    let task = tokio::spawn(carry_out(Arc::clone(context), action.clone()));
    let mut done = tokio::select! {
        joined = task => joined.unwrap_or_else(|panic| Done::failed(panic_text(panic))),
        () = context.interrupt.give_up().cancelled() => Done::failed("given up at the second signal".to_owned()),
    };
    done.interrupted = context.interrupt.stop().is_cancelled();
    done
}

async fn carry_out(context: Arc<Context>, action: Action) -> Done {
    let before = observe_unless_stopped(&context).await;
    let acted = if context.interrupt.stop().is_cancelled() {
        Ok(Acted::default())
    } else {
        act(&context, &action, &before).await
    };
    let after = observe_unless_stopped(&context).await;
    let deltas = match &acted {
        Ok(acted) => deltas(&before, &after, acted),
        Err(_) => Err("the step was not carried out".to_owned()),
    };
    Done { before, after, acted, deltas, interrupted: false }
}

/// The event that a step is over.
pub(super) fn finished(
    context: &Context,
    started: StepStarted,
    begun: f64,
    step: &Step,
    done: &Done,
    expectations: Vec<ExpectationResult>,
) -> StepFinished {
    let status = done.status(&expectations);
    let acted = done.acted.as_ref().ok().filter(|acted| acted.changed || !done.interrupted);
    let summary = done.summary();
    StepFinished {
        index: started.index,
        name: started.name,
        phase: step.phase,
        action: started.action,
        status,
        start: context.clock.at(begun),
        elapsed: begun,
        duration: rounded(context.clock.elapsed() - begun),
        detail: acted.and_then(|acted| acted.detail.clone()),
        sent: summary.map(|summary| summary.sent),
        unsent: summary.map_or(0, |summary| summary.unsent),
        failed_requests: summary.map_or(0, Summary::failed),
        deltas: by_counter(&done.deltas),
        codes: summary.map(codes).unwrap_or_default(),
        errors: summary.map(errors).unwrap_or_default(),
        latency_ms: summary.and_then(latency),
        expectations,
        error: done.acted.as_ref().err().cloned(),
    }
}

fn codes(summary: &Summary) -> BTreeMap<String, u64> {
    summary.codes.iter().map(|(code, count)| (code.to_string(), *count)).collect()
}

fn errors(summary: &Summary) -> BTreeMap<String, u64> {
    summary.errors.iter().map(|(cause, count)| (cause.name().to_owned(), *count)).collect()
}

fn latency(summary: &Summary) -> Option<Latency> {
    let at = |percent| summary.percentile_ms(percent).map(rounded);
    Some(Latency { p50: at(50.0)?, p90: at(90.0)?, p99: at(99.0)?, max: rounded(summary.max_ms()?) })
}
