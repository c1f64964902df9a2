//! Evaluates expectations: [`Measurements`] and an [`Expectation`] give an [`ExpectationResult`]. Pure. Unknown values
//! fail, with the reason.

use lab_core::event::ExpectationResult;
use lab_scenario::plan::{Expectation, Metric, Sender};
use lab_telemetry::metrics::Deltas;
use lab_traffic::Summary;

use super::alerts::{self, AlertPeriods};
use super::background::SliceResults;
use super::error::MeasurementError;
use super::traffic_results::TrafficResults;

/// Observations of one or several steps.
#[derive(Clone, Debug)]
pub(super) struct Measurements {
    /// `None` if nothing was sent.
    pub(super) traffic: Option<TrafficResults>,
    /// Results of background traffic.
    pub(super) background: SliceResults,
    /// Counter increases, or why they are unknown.
    pub(super) deltas: Result<Deltas, MeasurementError>,
    /// Empty without an alert source.
    pub(super) alerts: AlertPeriods,
}

impl Default for Measurements {
    fn default() -> Self {
        Self {
            traffic: None,
            background: SliceResults::new(),
            deltas: Ok(Deltas::default()),
            alerts: AlertPeriods::new(),
        }
    }
}

impl Measurements {
    /// Combines consecutive steps. If one of them is unknown, so is the result.
    pub(super) fn merged(steps: &[Self]) -> Self {
        let mut whole = Self::default();
        for step in steps {
            if let Some(seen) = &step.traffic {
                whole.traffic.get_or_insert_default().merge(seen);
            }
            for (id, (name, seen)) in &step.background {
                whole.background.entry(*id).or_insert_with(|| (name.clone(), TrafficResults::default())).1.merge(seen);
            }
            alerts::merge(&mut whole.alerts, &step.alerts);
            match (&mut whole.deltas, &step.deltas) {
                (Ok(sum), Ok(deltas)) => sum.merge(deltas),
                (Ok(_), Err(why)) => whole.deltas = Err(why.clone()),
                (Err(_), _) => {}
            }
        }
        whole
    }

    /// Results by caller, in the foreground and in the background.
    pub(super) fn traffic(&self) -> impl Iterator<Item = (Option<&str>, &Summary)> {
        self.traffic.iter().chain(self.background.values().map(|(_, seen)| seen)).flat_map(TrafficResults::each)
    }

    /// Results of the traffic that an expectation refers to. `None` if it sent nothing.
    fn traffic_of(&self, sender: &Sender) -> Option<Summary> {
        match sender {
            Sender::All => self.traffic.as_ref().and_then(TrafficResults::total),
            Sender::Caller(name) => self.traffic.as_ref().and_then(|seen| seen.caller(name)).cloned(),
            // In a very short step no background request may have been due; then none failed.
            Sender::Background(id) => {
                let nothing = || Summary::new(chrono::Utc::now());
                self.background.get(id).map(|(_, seen)| seen.total().unwrap_or_else(nothing))
            }
        }
    }
}

/// Evaluates an expectation.
pub(super) fn evaluate(expectation: &Expectation, observed: &Measurements) -> ExpectationResult {
    if let Metric::Alert { alert, is } = &expectation.metric {
        let (passed, observed_text) = alerts::evaluate(*is, alert, &observed.alerts);
        return ExpectationResult {
            metric: expectation.metric_text.clone(),
            expected: expectation.text.clone(),
            observed: None,
            observed_text,
            passed,
        };
    }
    // An empty sum is -0; adding 0 turns it into plain 0.
    let seen = measure(&expectation.sender, &expectation.metric, observed).map(|value| value + 0.0);
    let passed = seen.as_ref().is_ok_and(|value| expectation.comparator.holds(*value, expectation.bound));
    let observed_text = match &seen {
        Ok(value) => format_observed(&expectation.metric, *value),
        Err(why) => format!("unknown: {why}"),
    };
    ExpectationResult {
        metric: expectation.metric_text.clone(),
        expected: expectation.text.clone(),
        observed: seen.ok(),
        observed_text,
        passed,
    }
}

/// Evaluates an expectation for traffic outside of a run, where app counters are not read.
pub fn evaluate_traffic(expectation: &Expectation, summary: &Summary) -> ExpectationResult {
    let deltas = Err(MeasurementError::CountersNotRead);
    evaluate(
        expectation,
        &Measurements { traffic: Some(TrafficResults::new(None, summary.clone())), deltas, ..Measurements::default() },
    )
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
fn measure(sender: &Sender, metric: &Metric, observed: &Measurements) -> Result<f64, MeasurementError> {
    let total = observed.traffic_of(sender);
    let summary = || total.as_ref().ok_or(MeasurementError::NothingSent);
    let code = |code: &u16| Ok::<f64, MeasurementError>(summary()?.codes.get(code).copied().unwrap_or(0) as f64);
    let failed = || Ok::<f64, MeasurementError>(summary()?.failed() as f64);
    let share = |part: f64| match summary()?.sent {
        0 => Err(MeasurementError::NothingSent),
        sent => Ok(part / sent as f64 * 100.0),
    };
    match metric {
        // A counter without a series is 0; its name was checked before the run.
        Metric::Delta { counter, labels } => Ok(observed.deltas.as_ref()?.sum(counter, labels).unwrap_or(0.0)),
        Metric::StatusCount(status) => code(status),
        Metric::StatusShare(status) => share(code(status)?),
        Metric::Latency(percentile) => summary()?.percentile_ms(*percentile).ok_or(MeasurementError::NothingAnswered),
        Metric::Sent => Ok(summary()?.sent as f64),
        Metric::Attempts => Ok(summary()?.attempts as f64),
        Metric::Failed => failed(),
        Metric::FailedShare => share(failed()?),
        Metric::Alert { .. } => Err(MeasurementError::Alert),
    }
}

/// Formats a measurement as a value in a scenario file: a number, or a duration with its unit.
pub(super) fn format_value(
    sender: &Sender,
    metric: &Metric,
    observed: &Measurements,
) -> Result<String, MeasurementError> {
    let value = measure(sender, metric, observed)? + 0.0;
    Ok(match metric {
        Metric::Latency(_) => format!("{}ms", trimmed(value, 3)),
        _ => trimmed(value, 3),
    })
}

fn format_observed(metric: &Metric, value: f64) -> String {
    match metric {
        Metric::Latency(_) => format!("{}ms", trimmed(value, 1)),
        Metric::StatusShare(_) | Metric::FailedShare => {
            let rounded = format!("{}%", trimmed(value, 1));
            // Avoid rounding 399 of 400 to "100%", or 1 of 4000 to "0%".
            let misleads = (rounded == "100%" && value < 100.0) || (rounded == "0%" && value > 0.0);
            if misleads { format!("{}%", trimmed(value, 4)) } else { rounded }
        }
        _ => trimmed(value, 3),
    }
}

/// Formats with a number of decimals, without trailing zeros.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
