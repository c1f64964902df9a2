//! Background traffic, which continues across steps. Each step gets its own slice: it starts after the counters are
//! read and sends no new request once the step ends, so the numbers of each step are exact. All slices follow one
//! schedule that started with the traffic. Requests still open after [`GRACE`] continue during the next steps and count
//! in the step in which they end, so that a hanging service is visible.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::actions::loads;
use super::context::Context;
use super::error::StepError;
use super::observation::Observation;
use super::traffic_results::TrafficResults;
use lab_scenario::plan::Traffic;
use lab_traffic::{Load, Summary, TrafficCommands, TrafficControl, traffic_control};

/// How long the end of a step waits for open requests. Healthy requests finish much sooner.
const GRACE: Duration = Duration::from_millis(200);

/// Background traffic under way.
#[derive(Clone, Debug)]
pub(super) struct Background {
    /// Id of the step that started it.
    pub(super) id: usize,
    /// Name of that step.
    pub(super) name: String,
    pub(super) traffic: Traffic,
    /// When the first request was due.
    pub(super) begun: Instant,
}

/// Background traffic during a step.
pub(super) struct StepBackground {
    pub(super) all: Vec<Background>,
    /// Open requests of earlier steps.
    pub(super) open: Vec<Slice>,
    /// No step follows, so open requests are awaited.
    pub(super) last: bool,
}

/// Results of background traffic, by the id of the step that started it, with that step's name.
pub(super) type SliceResults = BTreeMap<usize, (String, TrafficResults)>;

/// Requests of one caller during one step. Dropping it cancels them.
pub(super) struct Slice {
    id: usize,
    name: String,
    caller: Option<String>,
    /// When the first request was due.
    start: Arc<OnceLock<DateTime<Utc>>>,
    control: TrafficControl,
    task: JoinHandle<Option<Summary>>,
    finished: bool,
    /// Results not collected yet, once the slice has finished.
    rest: Option<Summary>,
    _end: DropGuard,
}

/// Running slices of one step.
pub(super) struct RunningSlices {
    new: Vec<Slice>,
    open: Vec<Slice>,
    last: bool,
}

/// Starts the slices of a step. Starts none if the lab could not be observed.
pub(super) fn start(
    context: &Arc<Context>,
    background: StepBackground,
    now: &Result<Observation, StepError>,
) -> RunningSlices {
    let StepBackground { all, open, last } = background;
    let new = now.as_ref().ok().and_then(|now| begin(context, &all, now).ok());
    RunningSlices { new: new.unwrap_or_default(), open, last }
}

fn begin(context: &Arc<Context>, all: &[Background], now: &Observation) -> Result<Vec<Slice>, StepError> {
    let mut slices = Vec::new();
    for background in all {
        for (caller, load) in loads(&background.traffic, now)? {
            slices.push(Slice::begin(context, background, caller, load));
        }
    }
    Ok(slices)
}

/// Time at which the next request is due after `now`.
fn next_due(begun: Instant, rate: f64, now: Instant) -> Instant {
    let past = now.saturating_duration_since(begun).as_secs_f64() * rate;
    begun + Duration::try_from_secs_f64((past - 1e-6).ceil().max(0.0) / rate).unwrap_or_default()
}

impl Slice {
    fn begin(context: &Arc<Context>, background: &Background, caller: Option<String>, load: Load) -> Self {
        let (stop, start) = (context.stop.child_token(), Arc::new(OnceLock::new()));
        let (control, commands) = traffic_control();
        let task = send(Arc::clone(context), background.begun, load, commands, stop.clone(), Arc::clone(&start));
        let (id, name, task, end) = (background.id, background.name.clone(), tokio::spawn(task), stop.drop_guard());
        Self { id, name, caller, start, control, task, finished: false, rest: None, _end: end }
    }

    /// Waits for the slice to finish. Propagates panics.
    async fn finish(&mut self) {
        if !self.finished {
            let ended = (&mut self.task).await;
            self.finished = true;
            self.rest = match ended.map_err(JoinError::try_into_panic) {
                Ok(rest) => rest,
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(_)) => None,
            };
        }
    }

    /// Collects the results since the last call.
    async fn collect(&mut self) -> TrafficResults {
        let asked = self.control.request_summary();
        let summary = tokio::select! {
            biased;
            Ok(summary) = asked => Some(summary),
            () = self.finish() => self.rest.take(),
        };
        match (summary, self.start.get()) {
            (Some(summary), Some(start)) if summary.sent + summary.unsent > 0 => {
                TrafficResults::new(self.caller.as_deref(), Summary { start: *start, ..summary })
            }
            _ => TrafficResults::default(),
        }
    }
}

/// Sends requests, beginning with the next one that is due.
async fn send(
    context: Arc<Context>,
    begun: Instant,
    load: Load,
    commands: TrafficCommands,
    stop: CancellationToken,
    start: Arc<OnceLock<DateTime<Utc>>>,
) -> Option<Summary> {
    let due = next_due(begun, load.rate, Instant::now());
    tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        () = commands.halt.cancelled() => return None,
        () = sleep_until(due) => {}
    }
    start.get_or_init(|| context.clock.now());
    Some(context.wire.background_traffic(&load, commands, &stop).await)
}

impl RunningSlices {
    /// Stops new requests. Returns the results and the slices that still have open requests.
    pub(super) async fn end(mut self) -> (SliceResults, Vec<Slice>) {
        self.new.iter().for_each(|slice| slice.control.halt());
        if self.last {
            // Each slice ends at its own timeout or at Ctrl-C.
            join_all(self.new.iter_mut().chain(&mut self.open).map(Slice::finish)).await;
        } else {
            let _ = timeout(GRACE, join_all(self.new.iter_mut().map(Slice::finish))).await;
        }
        let mut slices = SliceResults::new();
        for slice in &self.new {
            // Includes slices in which no request was due.
            slices.entry(slice.id).or_insert_with(|| (slice.name.clone(), TrafficResults::default()));
        }
        let mut open = Vec::new();
        for mut slice in self.open.into_iter().chain(self.new) {
            let seen = slice.collect().await;
            if !seen.is_empty() {
                let name = || (slice.name.clone(), TrafficResults::default());
                slices.entry(slice.id).or_insert_with(name).1.merge(&seen);
            }
            if !slice.finished {
                open.push(slice);
            }
        }
        (slices, open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_schedule_goes_on_from_slice_to_slice() {
        let begun = Instant::now();
        let after = |millis| next_due(begun, 10.0, begun + Duration::from_millis(millis)) - begun;
        let expected = [(0, 0), (1, 100), (99, 100), (100, 100), (101, 200), (1234, 1300)];
        for (now, due) in expected {
            assert_eq!(after(now).as_millis(), due, "{now}");
        }
    }
}
