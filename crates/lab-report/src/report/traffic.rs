//! What `lab traffic` shows when it is done: [`TrafficReport`], as one document ([`write_json`]) or for people
//! ([`table::write_table`]); what it shows meanwhile is in `live.rs` and `csv.rs`. docs/traffic.md describes the document.

use std::collections::BTreeMap;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{encode, human};
use lab_core::event::ExpectationResult;
use lab_traffic::{Arrivals, CallerOutcome, Cause, Job, Outcome, Pace};

pub mod compare;
pub mod csv;
pub mod live;
pub mod table;
#[cfg(test)]
mod tests;

/// The version of the document.
pub const FORMAT: u32 = 1;

/// What was sent and what came back; the document of `lab traffic --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Of this document: 1. Fields are added without another.
    #[serde(default)]
    pub format: u32,
    /// Where to; the first, where there are several.
    pub url: String,
    /// `GET`, ….
    pub method: String,
    /// How many different requests were sent in turn.
    #[serde(default)]
    pub targets: usize,
    /// `open` or `closed`.
    #[serde(default)]
    pub model: String,
    /// Of the random arrivals; null where they were even.
    #[serde(default)]
    pub seed: Option<u64>,
    /// How many connections.
    #[serde(default)]
    pub connections: u32,
    /// Requests that were started.
    pub sent: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Requests that were started, and neither answered nor failed when it was cut short; they are in no other count.
    #[serde(default)]
    pub in_flight: u64,
    /// Not 2xx, and those without a response.
    pub failed: u64,
    /// Seconds, from the first request's scheduled start to the last response's end, or to where it was cut short.
    pub duration: f64,
    /// Requests started a second. On a schedule the last request's slot counts whole, so that it is never above what was
    /// wanted.
    pub rate: f64,
    /// Requests a second that were asked for; null where that changed, and in the closed model.
    pub wanted_rate: Option<f64>,
    /// Bytes that came, heads included.
    #[serde(default)]
    pub received_bytes: u64,
    /// Requests that were sent again, since the server had closed the idle connection that they were sent on.
    #[serde(default)]
    pub resent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a whole response, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Of the responses; null where there were none.
    pub latency_ms: Option<TrafficLatency>,
    /// The same by status code.
    #[serde(default)]
    pub latency_ms_by_code: BTreeMap<u16, TrafficLatency>,
    /// From when a request was due to when it was started; null in the closed model.
    #[serde(default)]
    pub start_delay_ms: Option<TrafficLatency>,
    /// Responses by latency, on a scale of 1, 2, 5.
    #[serde(default)]
    pub histogram: Vec<Bucket>,
    /// What each caller saw.
    #[serde(default)]
    pub callers: Vec<CallerReport>,
    /// What had to be seen.
    #[serde(default)]
    pub expectations: Vec<ExpectationResult>,
    /// Whether it was cut short.
    pub interrupted: bool,
}

/// Milliseconds: by default from a request's scheduled start to the end of its response.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficLatency {
    /// The average.
    #[serde(default)]
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    #[serde(default)]
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The 99.99th percentile.
    #[serde(rename = "p99.99", default)]
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

/// Responses whose latency lies between the bucket before and this.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Up to so many milliseconds.
    pub le: f64,
    /// How many.
    pub count: u64,
}

/// What one caller saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallerReport {
    /// Its key, or another name.
    pub name: String,
    /// Its part of all requests, in percent.
    pub share: f64,
    /// Requests that were started.
    pub sent: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Not 2xx, and those without a response.
    pub failed: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a whole response, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Of the responses; null where there were none.
    pub latency_ms: Option<TrafficLatency>,
}

impl TrafficReport {
    /// From what was asked for and what was seen.
    pub fn new(job: &Job, outcome: &Outcome, expectations: Vec<ExpectationResult>) -> Self {
        let Outcome { summary, callers, by_code, delay, received, resent } = outcome;
        let (model, wanted_rate, seed) = match &job.pace {
            Pace::Closed => ("closed", None, None),
            Pace::Open { stages, arrivals } => {
                let steady = stages.first().filter(|stage| stages.len() == 1 && (stage.from - stage.to).abs() < 1e-12);
                let seed = if let Arrivals::Poisson { seed } = arrivals { Some(*seed) } else { None };
                ("open", steady.map(|stage| stage.from), seed)
            }
        };
        let due = wanted_rate.map_or(0.0, |rate| float(summary.sent + summary.unsent) / rate);
        let seconds = summary.duration.as_secs_f64().max(due);
        let first = job.requests.first();
        let by_code = by_code.iter().filter_map(|(code, micros)| Some((*code, latency(micros)?)));
        Self {
            format: FORMAT,
            url: first.map_or_else(String::new, |request| request.url.clone()),
            method: first.map_or_else(String::new, |request| request.method.clone()),
            targets: job.requests.len(),
            model: model.to_owned(),
            seed,
            connections: job.connections,
            sent: summary.sent,
            unsent: summary.unsent,
            in_flight: summary.in_flight,
            failed: summary.failed(),
            duration: summary.duration.as_secs_f64(),
            rate: if seconds > 0.0 { float(summary.sent) / seconds } else { 0.0 },
            wanted_rate,
            received_bytes: *received,
            resent: *resent,
            codes: summary.codes.clone(),
            errors: errors(&summary.errors),
            latency_ms: latency(&summary.latency),
            latency_ms_by_code: by_code.collect(),
            start_delay_ms: latency(delay),
            histogram: histogram(&summary.latency),
            callers: job.callers.iter().zip(callers).map(|(caller, seen)| caller_report(caller.share, seen)).collect(),
            expectations,
            interrupted: summary.interrupted,
        }
    }
}

fn caller_report(share: f64, seen: &CallerOutcome) -> CallerReport {
    let good: u64 = seen.codes.iter().filter(|(code, _)| is_good(**code)).map(|(_, count)| count).sum();
    CallerReport {
        name: seen.name.clone(),
        share: share * 100.0,
        sent: seen.sent,
        unsent: seen.unsent,
        failed: seen.sent - good,
        codes: seen.codes.clone(),
        errors: errors(&seen.errors),
        latency_ms: latency(&seen.latency),
    }
}

fn errors(errors: &BTreeMap<Cause, u64>) -> BTreeMap<String, u64> {
    errors.iter().map(|(cause, count)| (cause.name().to_owned(), *count)).collect()
}

/// Whether a status code counts as success.
fn is_good(code: u16) -> bool {
    (200..300).contains(&code)
}

fn latency(micros: &Histogram<u64>) -> Option<TrafficLatency> {
    // The end of a bucket could lie beyond the longest of all.
    let at = |quantile| millis(micros.value_at_quantile(quantile).min(micros.max()));
    let [p50, p90, p95, p99, p999, p9999] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999].map(at);
    let (mean, max) = (micros.mean() / 1000.0, millis(micros.max()));
    (!micros.is_empty()).then_some(TrafficLatency { mean, p50, p90, p95, p99, p999, p9999, max })
}

/// On a scale of 1, 2, 5, from the shortest to the longest.
fn histogram(micros: &Histogram<u64>) -> Vec<Bucket> {
    let mut buckets: Vec<(u64, u64)> = Vec::new();
    for value in micros.iter_recorded() {
        let edge = scale().find(|edge| *edge >= value.value_iterated_to().min(micros.max())).unwrap_or(u64::MAX);
        // The empty ones between belong to the picture.
        while let Some((last, _)) = buckets.last().copied().filter(|(last, _)| *last < edge) {
            let next = scale().find(|edge| *edge > last).unwrap_or(edge);
            buckets.push((next, 0));
        }
        match buckets.last_mut() {
            Some((_, count)) => *count += value.count_at_value(),
            None => buckets.push((edge, value.count_at_value())),
        }
    }
    buckets.into_iter().map(|(edge, count)| Bucket { le: millis(edge), count }).collect()
}

/// 1, 2, 5, 10, 20, … microseconds.
fn scale() -> impl Iterator<Item = u64> {
    (0..17).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

fn millis(micros: u64) -> f64 {
    float(micros) / 1000.0
}

/// A latency for people: finer than elsewhere, since here it is what was asked for. `85µs`, `1.40ms`, `12.0ms`, `250ms`.
fn fine(millis: f64) -> String {
    if millis <= 0.0 {
        "0µs".to_owned()
    } else if millis < 0.9995 {
        format!("{:.0}µs", (millis * 1000.0).max(1.0))
    } else if millis < 9.995 {
        format!("{millis:.2}ms")
    } else if millis < 99.95 {
        format!("{millis:.1}ms")
    } else {
        human::millis(millis)
    }
}

/// One JSON document.
pub fn write_json(out: &mut impl Write, report: &TrafficReport) -> io::Result<()> {
    out.write_all(&encode::document(report)?)
}
