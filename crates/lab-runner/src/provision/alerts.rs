//! Checks that a lab has the alerts that a scenario names.

use std::time::Duration;

use crate::lab::Record;
use lab_core::engine::Endpoints;
use lab_scenario::{Diagnostics, Plan};
use lab_telemetry::alerts;

/// Time for the alert source to answer, because Prometheus may have just started.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rejects a plan that names alerts which the lab's rules do not have. Accepts it if the rules cannot be read; its alert
/// expectations fail in the run then.
pub(super) async fn check(plan: &Plan, lab: &str, record: &Record, endpoints: &Endpoints) -> Result<(), Diagnostics> {
    // The alerts of the built-in stack are known.
    if plan.alerts_asked().all(|(_, alert)| record.containers.stack.is_none() && alerts::is_built_in(alert)) {
        return Ok(());
    }
    let Some(base) = endpoints.alerts() else { return Ok(()) };
    match alerts::fetch_names(base, PATIENCE).await {
        Some(names) => plan.check_alerts(lab, &names),
        None => Ok(()),
    }
}
