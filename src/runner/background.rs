//! Background traffic: it goes on while steps happen. Within a step it is a slice of its own, which begins after the look at
//! the counters before the step and is over before the one after it, so that each step's numbers are exact. Requests keep
//! to the one schedule that began with the traffic; what is not answered 0.2 s after a step's end is in no count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::act::loads;
use super::context::Context;
use super::observe::Observation;
use super::seen::Seen;
use crate::scenario::plan::Traffic;
use crate::traffic::Summary;

/// Traffic that goes on.
#[derive(Clone, Debug)]
pub(super) struct Background {
    /// The id of the step that began it.
    pub(super) id: usize,
    /// That step's name.
    pub(super) name: String,
    pub(super) traffic: Traffic,
    /// When its first request was due.
    pub(super) begun: Instant,
}

/// What each background traffic saw, by the id of the step that began it, with that step's name.
pub(super) type Slices = BTreeMap<usize, (String, Seen)>;

/// The slices of one step, under way.
pub(super) struct Running {
    tasks: JoinSet<(usize, String, Seen)>,
    stop: CancellationToken,
}

/// Starts the slices of a step.
pub(super) fn start(context: &Arc<Context>, all: &[Background], now: &Observation) -> Result<Running, String> {
    let stop = context.stop.child_token();
    let mut tasks = JoinSet::new();
    for Background { id, name, traffic, begun } in all {
        for (caller, load) in loads(traffic, now)? {
            let (id, name, begun) = (*id, name.clone(), *begun);
            let (context, stop) = (Arc::clone(context), stop.clone());
            tasks.spawn(async move {
                let mut seen = Seen::default();
                let due = next(begun, load.rate, Instant::now());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return (id, name, seen),
                    () = sleep_until(due) => {}
                }
                let start = context.clock.now();
                let summary = Summary { start, ..context.wire.traffic(&load, Arc::new(|_| {}), &stop).await };
                if summary.sent + summary.unsent > 0 {
                    seen = Seen::of(caller.as_deref(), summary);
                }
                (id, name, seen)
            });
        }
    }
    Ok(Running { tasks, stop })
}

/// When the next request is due, from `now` on.
fn next(begun: Instant, rate: f64, now: Instant) -> Instant {
    let past = now.saturating_duration_since(begun).as_secs_f64() * rate;
    begun + Duration::try_from_secs_f64((past - 1e-6).ceil().max(0.0) / rate).unwrap_or_default()
}

impl Running {
    /// Ends the slices, and says what they saw. A panic in one goes on here.
    pub(super) async fn end(mut self) -> Slices {
        self.stop.cancel();
        let mut slices = Slices::new();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((id, name, seen)) => slices.entry(id).or_insert_with(|| (name, Seen::default())).1.merge(&seen),
                Err(error) => {
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_schedule_goes_on_from_slice_to_slice() {
        let begun = Instant::now();
        let after = |millis| next(begun, 10.0, begun + Duration::from_millis(millis)) - begun;
        let expected = [(0, 0), (1, 100), (99, 100), (100, 100), (101, 200), (1234, 1300)];
        for (now, due) in expected {
            assert_eq!(after(now).as_millis(), due, "{now}");
        }
    }
}
