//! Time series for charts: traffic in intervals ([`samples`]) and the app's counters, scraped about once a second while
//! traffic is sent ([`scrape_during`]). Expectations do not use them.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::clock::{Clock, rounded, seconds};
use super::context::Context;
use super::observation::{Observation, scrape};
use lab_core::event::{CounterSample, Latency, Sample};
use lab_telemetry::metrics::{Snapshot, delta, names};
use lab_traffic::{Amount, Load, Summary, TimeSlice};

/// Minimum time between two scrapes.
const MIN_SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
/// Approximate maximum of scrapes per step; longer steps are scraped less often.
const MAX_SCRAPES: f64 = 3_600.0;
/// Counters shown in charts.
const CHART_COUNTERS: [&str; 3] = [names::REQUESTS, names::AUTH_SUCCESS, names::AUTH_FAILURES];

/// Traffic of a step over time.
pub(super) fn samples(summary: &Summary, clock: &Clock) -> Vec<Sample> {
    let start = clock.since_start(summary.start);
    let sample = |piece: &TimeSlice| {
        let at = |percent| piece.percentile_ms(percent).map(rounded);
        let latency = || Some(Latency { p50: at(50.0)?, p90: at(90.0)?, p99: at(99.0)?, max: piece.max_ms()? });
        Sample {
            at: rounded(start + seconds(piece.start)),
            duration: seconds(piece.length()),
            codes: piece.codes.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
            errors: piece.errors.iter().map(|(cause, count)| (cause.name().to_owned(), *count)).collect(),
            latency_ms: latency(),
        }
    };
    summary.timeline.slices().iter().map(sample).collect()
}

/// Scrapes the app while waiting for traffic. Returns the result of the traffic and the counter increases between
/// scrapes. Requests after the last scrape are missing; the step's own deltas include them.
pub(super) async fn scrape_during<T>(
    context: &Context,
    before: &Observation,
    load: &Load,
    traffic: impl Future<Output = T>,
) -> (T, Vec<CounterSample>) {
    let mut counters = Vec::new();
    let watch = async {
        let period = period(load);
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = before.snapshot.clone().ok();
        loop {
            ticks.tick().await;
            let Ok(now) = scrape(context, &before.description).await else { continue };
            counters.extend(last.as_ref().map(|last| between(last, &now, &context.clock)));
            last = Some(now);
        }
    };
    let result = tokio::select! {
        biased;
        result = traffic => result,
        () = watch => unreachable!("it scrapes until it is dropped"),
    };
    (result, counters)
}

/// Scrape interval for a load.
fn period(load: &Load) -> Duration {
    let planned = match load.amount {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 requests")]
        Amount::Requests(count) => count as f64 / load.rate,
        Amount::Duration(duration) => duration.as_secs_f64(),
    };
    Duration::try_from_secs_f64(planned / MAX_SCRAPES)
        .unwrap_or(Duration::MAX)
        .clamp(MIN_SCRAPE_INTERVAL, Duration::from_hours(1))
}

fn between(last: &Snapshot, now: &Snapshot, clock: &Clock) -> CounterSample {
    let at = clock.since_start(last.at);
    let deltas = delta::between(last, now, &[]);
    let increase = |name: &str| deltas.sum(name, &[]).unwrap_or(0.0);
    CounterSample {
        at: rounded(at),
        duration: rounded(clock.since_start(now.at) - at),
        deltas: CHART_COUNTERS.iter().map(|name| ((*name).to_owned(), increase(name))).collect(),
    }
}
