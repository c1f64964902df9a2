//! Expectations, evaluated: [`Observed`] and an [`Expectation`] give an [`ExpectationResult`]. Pure. What is unknown does
//! not hold, and says why it is unknown.

use crate::event::ExpectationResult;
use crate::metrics::Deltas;
use crate::scenario::plan::{Expectation, Metric};
use crate::traffic::Summary;

/// What one step, or several together, showed.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// What the caller saw; none where nothing was sent.
    pub(super) summary: Option<Summary>,
    /// What the app counted, or why that is unknown.
    pub(super) deltas: Result<Deltas, String>,
}

impl Observed {
    /// Several steps together, in order. Where one is unknown, so is the whole.
    pub(super) fn merged(steps: &[Self]) -> Self {
        let mut whole = Self { summary: None, deltas: Ok(Deltas::default()) };
        for step in steps {
            match (&mut whole.summary, &step.summary) {
                (Some(sum), Some(summary)) => sum.merge(summary),
                (none, summary) => *none = none.take().or_else(|| summary.clone()),
            }
            match (&mut whole.deltas, &step.deltas) {
                (Ok(sum), Ok(deltas)) => sum.merge(deltas),
                (Ok(_), Err(why)) => whole.deltas = Err(why.clone()),
                (Err(_), _) => {}
            }
        }
        whole
    }
}

/// Whether what was seen is what was expected.
pub(super) fn evaluate(expectation: &Expectation, observed: &Observed) -> ExpectationResult {
    // A sum over nothing is -0: adding 0 makes it what a person calls zero.
    let seen = measure(&expectation.metric, observed).map(|value| value + 0.0);
    let held = seen.as_ref().is_ok_and(|value| expectation.comparator.holds(*value, expectation.bound));
    let observed_text = match &seen {
        Ok(value) => shown(&expectation.metric, *value),
        Err(why) => format!("unknown: {why}"),
    };
    ExpectationResult {
        metric: expectation.metric_text.clone(),
        expected: expectation.text.clone(),
        observed: seen.ok(),
        observed_text,
        held,
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
fn measure(metric: &Metric, observed: &Observed) -> Result<f64, String> {
    let summary = || observed.summary.as_ref().ok_or_else(|| "nothing was sent".to_owned());
    let code = |code: &u16| Ok::<f64, String>(summary()?.codes.get(code).copied().unwrap_or(0) as f64);
    let failed = || Ok::<f64, String>(summary()?.failed() as f64);
    let share = |part: f64| match summary()?.sent {
        0 => Err("nothing was sent".to_owned()),
        sent => Ok(part / sent as f64 * 100.0),
    };
    match metric {
        // A counter without a series has not counted yet: that its name is right was checked before the run.
        Metric::Delta { counter, labels } => Ok(observed.deltas.as_ref()?.of(counter, labels).unwrap_or(0.0)),
        Metric::StatusCount(status) => code(status),
        Metric::StatusShare(status) => share(code(status)?),
        Metric::Latency(percentile) => {
            summary()?.percentile_ms(*percentile).ok_or_else(|| "nothing was answered".to_owned())
        }
        Metric::Sent => Ok(summary()?.sent as f64),
        Metric::Failed => failed(),
        Metric::FailedShare => share(failed()?),
    }
}

fn shown(metric: &Metric, value: f64) -> String {
    match metric {
        Metric::Latency(_) => format!("{}ms", trimmed(value, 1)),
        Metric::StatusShare(_) | Metric::FailedShare => {
            let rounded = format!("{}%", trimmed(value, 1));
            // 399 of 400 are not "100%", nor is 1 of 4000 "0%".
            let misleads = (rounded == "100%" && value < 100.0) || (rounded == "0%" && value > 0.0);
            if misleads { format!("{}%", trimmed(value, 4)) } else { rounded }
        }
        _ => trimmed(value, 3),
    }
}

/// With so many decimals, and without zeros at the end.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
