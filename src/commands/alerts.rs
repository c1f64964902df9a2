//! Checks before a run that the lab has the alerts that a scenario names.

use std::collections::BTreeSet;
use std::time::Duration;

use lab_core::engine::Endpoints;
use lab_http::{Http, Request};
use lab_runner::lab::Record;
use lab_scenario::{Diagnostics, Plan};
use lab_telemetry::alerts;

/// Time to wait for a response, because Prometheus may have just started.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(100);

/// Rejects a scenario that names alerts which the lab's rules do not have. Accepts it if the rules cannot be read; its alert
/// expectations fail in the run then.
pub(super) async fn check(plan: &Plan, lab: &str, record: &Record, endpoints: &Endpoints) -> Result<(), Diagnostics> {
    // The alerts of the built-in stack are known.
    if plan.alerts_asked().all(|(_, alert)| record.containers.stack.is_none() && alerts::is_own(alert)) {
        return Ok(());
    }
    let Some(base) = endpoints.alerts() else { return Ok(()) };
    match tokio::time::timeout(PATIENCE, known(base)).await {
        Ok(known) => plan.check_alerts(lab, &known),
        Err(_) => Ok(()),
    }
}

/// Names of the lab's alerts, as soon as the server returns them.
async fn known(base: &str) -> BTreeSet<String> {
    let http = Http::new();
    loop {
        let response = http.request(&Request::get(format!("{base}{}", alerts::PATH)).timeout(PATIENCE)).await;
        let response = response.ok().filter(|response| response.status == 200);
        if let Some(response) = response.and_then(|response| alerts::read(&response.text()).ok()) {
            return response.names();
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
