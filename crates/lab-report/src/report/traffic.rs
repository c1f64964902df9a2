//! Result of `lab traffic`: [`TrafficReport`], as a document ([`write_json`]) or as tables
//! ([`table::write_table`]). Output during the run is in [`live`] and [`csv`]. docs/traffic.md describes the document.

use std::collections::BTreeMap;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{encode, human};
use lab_core::event::ExpectationResult;
use lab_traffic::{Arrivals, BodySample, CallerOutcome, Cause, Job, Outcome, Pace};

pub mod compare;
pub mod csv;
pub mod progress;
pub mod table;
#[cfg(test)]
mod tests;

/// Version of the document.
pub const FORMAT: u32 = 1;

/// Requests and responses of a run of traffic: the document of `lab traffic --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Version of the document. New fields do not change it.
    #[serde(default)]
    pub format: u32,
    /// Target; the first one if there are several.
    pub url: String,
    /// Method of the requests.
    pub method: String,
    /// Number of different requests, sent in turn.
    #[serde(default)]
    pub targets: usize,
    /// `open` or `closed`.
    #[serde(default)]
    pub model: String,
    /// Seed of random arrivals; null for even ones.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Number of connections.
    #[serde(default)]
    pub connections: u32,
    /// Requests that were started.
    pub sent: u64,
    /// Attempts of these requests. More than `sent` if callers retried some.
    #[serde(default)]
    pub attempts: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Requests without a result at an interruption. They are in no other count.
    #[serde(default)]
    pub in_flight: u64,
    /// Responses other than 2xx, and requests without a response.
    pub failed: u64,
    /// Seconds from the scheduled start of the first request to the end of the last response, or to an interruption.
    pub duration: f64,
    /// Requests started per second. The slot of the last scheduled request counts in full, so that the rate does not exceed the
    /// requested rate.
    pub rate: f64,
    /// Requested rate; null if it changed over time, and in the closed model.
    pub wanted_rate: Option<f64>,
    /// Bytes received, including headers.
    #[serde(default)]
    pub received_bytes: u64,
    /// Requests that were sent again because the server had closed their idle connection.
    #[serde(default)]
    pub resent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a whole response, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Latency of the responses; null without responses.
    pub latency_ms: Option<TrafficLatency>,
    /// Latency by status code.
    #[serde(default)]
    pub latency_ms_by_code: BTreeMap<u16, TrafficLatency>,
    /// Delay between the due time and the start of requests; null in the closed model.
    #[serde(default)]
    pub start_delay_ms: Option<TrafficLatency>,
    /// Responses by latency, on a scale of 1, 2, 5.
    #[serde(default)]
    pub histogram: Vec<Bucket>,
    /// One response body for each status code.
    #[serde(default)]
    pub samples: BTreeMap<u16, Sample>,
    /// Results by caller.
    #[serde(default)]
    pub callers: Vec<CallerReport>,
    /// Expectations with observed values.
    #[serde(default)]
    pub expectations: Vec<ExpectationResult>,
    /// True after an interruption.
    pub interrupted: bool,
}

/// Latency in milliseconds, by default from a request's scheduled start to the end of its response.
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

/// Responses with a latency above the previous bucket's bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Upper bound in milliseconds, inclusive.
    pub le: f64,
    /// Number of responses.
    pub count: u64,
}

/// Start of a response body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Up to 1 KiB, with invalid UTF-8 replaced.
    pub body: String,
    /// True if the body is longer.
    pub truncated: bool,
}

impl From<&BodySample> for Sample {
    fn from(sample: &BodySample) -> Self {
        Self { body: String::from_utf8_lossy(&sample.bytes).into_owned(), truncated: sample.truncated }
    }
}

/// Results of one caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallerReport {
    /// Key or name of the caller.
    pub name: String,
    /// Share of all requests in percent.
    pub share: f64,
    /// Requests that were started.
    pub sent: u64,
    /// Attempts of these requests. More than `sent` if the caller retried some.
    #[serde(default)]
    pub attempts: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Responses other than 2xx, and requests without a response.
    pub failed: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a whole response, by cause.
    pub errors: BTreeMap<String, u64>,
    /// Latency of the responses; null without responses.
    pub latency_ms: Option<TrafficLatency>,
}

impl TrafficReport {
    /// Builds the report from a job and its outcome.
    pub fn new(job: &Job, outcome: &Outcome, expectations: Vec<ExpectationResult>) -> Self {
        let Outcome { summary, callers, by_code, delay, received, resent, samples } = outcome;
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
            attempts: summary.attempts,
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
            samples: samples.iter().map(|(code, sample)| (*code, sample.into())).collect(),
            callers: job.callers.iter().zip(callers).map(|(caller, seen)| caller_report(caller.share, seen)).collect(),
            expectations,
            interrupted: summary.interrupted,
        }
    }
}

fn caller_report(share: f64, seen: &CallerOutcome) -> CallerReport {
    CallerReport {
        name: seen.name.clone(),
        share: share * 100.0,
        sent: seen.sent,
        attempts: seen.attempts,
        unsent: seen.unsent,
        failed: seen.failed(),
        codes: seen.codes.clone(),
        errors: errors(&seen.errors),
        latency_ms: latency(&seen.latency),
    }
}

fn errors(errors: &BTreeMap<Cause, u64>) -> BTreeMap<String, u64> {
    errors.iter().map(|(cause, count)| (cause.name().to_owned(), *count)).collect()
}

fn latency(micros: &Histogram<u64>) -> Option<TrafficLatency> {
    let at = |share| millis(lab_traffic::quantile(micros, share));
    let [p50, p90, p95, p99, p999, p9999] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999].map(at);
    let (mean, max) = (micros.mean() / 1000.0, millis(micros.max()));
    (!micros.is_empty()).then_some(TrafficLatency { mean, p50, p90, p95, p99, p999, p9999, max })
}

/// Buckets on a scale of 1, 2, 5, from the shortest to the longest latency.
fn histogram(micros: &Histogram<u64>) -> Vec<Bucket> {
    let mut buckets: Vec<(u64, u64)> = Vec::new();
    for value in micros.iter_recorded() {
        let edge = scale().find(|edge| *edge >= value.value_iterated_to().min(micros.max())).unwrap_or(u64::MAX);
        // Empty buckets in between are included.
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

/// Formats a latency with more digits than [`human::millis`]: `85µs`, `1.40ms`, `12.0ms`, `250ms`.
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

/// Writes the JSON document.
pub fn write_json(out: &mut impl Write, report: &TrafficReport) -> io::Result<()> {
    out.write_all(&encode::document(report)?)
}
