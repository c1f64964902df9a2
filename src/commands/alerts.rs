//! Whether a lab has the alerts that a scenario names: asked of whoever evaluates the lab's rules, before the run.

use std::collections::BTreeSet;
use std::time::Duration;

use lab_core::engine::Endpoints;
use lab_http::{Http, Request};
use lab_runner::lab::Record;
use lab_scenario::{Diagnostics, Plan};
use lab_telemetry::alerts;

/// How long is waited for an answer: Prometheus may just have been started.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(100);

/// Refuses a scenario that names alerts which this lab's rules do not have. Where nobody says what they are, nothing is refused:
/// then nothing is known of them in the run either, and no expectation on one holds.
pub(super) async fn check(plan: &Plan, lab: &str, record: &Record, endpoints: &Endpoints) -> Result<(), Diagnostics> {
    // Those of the stack that comes with lab are known.
    if plan.alerts_asked().all(|(_, alert)| record.containers.stack.is_none() && alerts::is_own(alert)) {
        return Ok(());
    }
    let Some(base) = endpoints.alerts() else { return Ok(()) };
    match tokio::time::timeout(PATIENCE, known(base)).await {
        Ok(known) => plan.check_alerts(lab, &known),
        Err(_) => Ok(()),
    }
}

/// The alerts that there are, as soon as somebody says it.
async fn known(base: &str) -> BTreeSet<String> {
    let http = Http::new();
    loop {
        let answer = http.request(&Request::get(format!("{base}{}", alerts::PATH)).timeout(PATIENCE)).await;
        let answer = answer.ok().filter(|answer| answer.status == 200);
        if let Some(answer) = answer.and_then(|answer| alerts::read(&answer.text()).ok()) {
            return answer.names();
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
