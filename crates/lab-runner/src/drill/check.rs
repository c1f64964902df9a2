//! The look that decides whether an incident is resolved: the scenario's resolved check, its steady state, and the data.

use std::sync::Arc;

use super::users;
use super::watch::Watch;
use super::wire::ProbeWire;
use crate::runner::{CheckResult, Checks, Interrupt, check as run_checks};
use lab_core::event::Status;
use lab_drill::event::Check;
use lab_scenario::plan::Step;
use lab_telemetry::wire::Wire;

/// Executes the checks with requests that leave no trace. `users` is the fingerprint of the data at the start.
pub(super) async fn check(watch: &Watch, users: Option<&str>) -> Check {
    let plan = &watch.plan;
    let mut reasons = execute(watch, &plan.claims.resolved_check).await;
    if reasons.is_empty() {
        reasons = execute(watch, &plan.steady_state).await;
    }
    if reasons.is_empty()
        && let Some(users) = users
    {
        reasons.extend(compare_users(watch, users).await);
    }
    if reasons.is_empty() { Check::Passed } else { Check::Failed { reasons } }
}

async fn execute(watch: &Watch, steps: &[Step]) -> Vec<String> {
    if steps.is_empty() {
        return Vec::new();
    }
    let checks = Checks {
        lab: watch.lab.clone(),
        engine: Arc::clone(&watch.engine),
        wire: Arc::new(ProbeWire(Arc::clone(&watch.wire))),
        interrupt: Interrupt::new(),
    };
    let results = run_checks(checks, &watch.plan, steps).await;
    let failed = results.iter().filter(|result| !result.passed());
    let mut reasons: Vec<String> = failed.map(reason).collect();
    if reasons.is_empty() && results.len() < steps.len() {
        reasons.push("a check was not executed".to_owned());
    }
    reasons
}

fn reason(result: &CheckResult) -> String {
    let reasons = result.reasons();
    if reasons.is_empty() {
        let word = if result.status == Status::Error { "could not be executed" } else { "did not pass" };
        return format!("{} {word}", result.what);
    }
    format!("{}: {}", result.what, reasons.join("; "))
}

async fn compare_users(watch: &Watch, users: &str) -> Option<String> {
    let now = match watch.engine.describe().await {
        Ok(now) => now,
        Err(error) => return Some(error.to_string()),
    };
    let wire: ProbeWire = ProbeWire(Arc::clone(&watch.wire));
    match users::digest(&wire as &dyn Wire, &now).await {
        Ok(now) if now == users => None,
        Ok(_) => Some("GET /api/users returns other users than at the start".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}
