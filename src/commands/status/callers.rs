//! Callers in the background, as `lab status` shows them.

use serde::Serialize;

use lab_report::report::human;
use lab_report::term::Tone;
use lab_runner::callers::{CallersProcess, RECENT};
use lab_runner::lab::Lab;

/// What callers in the background got recently.
#[derive(Serialize)]
pub(super) struct Callers {
    /// Requests per second.
    rate: f64,
    /// Requests that ended in the last [`RECENT`] seconds.
    recent: u64,
    /// Those without a success.
    recent_failed: u64,
}

impl Callers {
    /// Whether some of the recent requests had no success.
    pub(super) fn fail(&self) -> bool {
        self.recent_failed > 0
    }

    /// Callers of a lab. `None` if none are running.
    pub(super) fn running_in(lab: &Lab) -> Option<Self> {
        let process = CallersProcess::new(lab);
        let state = process.is_running().then(|| process.state()).flatten()?;
        let (recent, succeeded) = state.last_seconds();
        Some(Self { rate: state.mix.rate(), recent, recent_failed: recent - succeeded })
    }

    /// `callers 20/s · 25% of their requests failed in the last 10s`.
    pub(super) fn line(&self) -> (Tone, String) {
        let rate = human::number(self.rate);
        match (self.recent, self.recent_failed) {
            (0, _) => (Tone::Plain, format!("callers {rate}/s")),
            (_, 0) => (Tone::Good, format!("callers {rate}/s · all requests succeeded in the last {RECENT}s")),
            (sent, failed) => {
                let share = human::share(failed, sent);
                (Tone::Failed, format!("callers {rate}/s · {share} of their requests failed in the last {RECENT}s"))
            }
        }
    }
}
