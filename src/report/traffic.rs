//! What `lab traffic` shows when it is done: [`TrafficReport`], as one document ([`write_json`]) or for people
//! ([`write_table`]).

use std::collections::BTreeMap;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::table::{Cell, Side, Table};
use super::{encode, human, text};
use crate::term::{Painter, Tone};
use crate::traffic::{Load, Summary};

/// What was sent and what came back; the document of `lab traffic --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficReport {
    /// Where to.
    pub url: String,
    /// `GET`, ….
    pub method: String,
    /// Requests that were started.
    pub sent: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Not 2xx, and those without a response.
    pub failed: u64,
    /// Seconds, from the first request's scheduled start to the last response's end.
    pub duration: f64,
    /// Requests started a second. The last request's slot counts whole, so that it is never above what was wanted.
    pub rate: f64,
    /// Requests a second that were asked for.
    pub wanted_rate: f64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a whole response, by cause.
    pub errors: BTreeMap<&'static str, u64>,
    /// Of the responses; null where there were none.
    pub latency_ms: Option<TrafficLatency>,
    /// Whether it was cut short.
    pub interrupted: bool,
}

/// Milliseconds from a request's scheduled start to the end of its response.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TrafficLatency {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl TrafficReport {
    /// From what was asked for and what was seen.
    pub fn new(load: &Load, summary: &Summary) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let (sent, due) = (summary.sent as f64, (summary.sent + summary.unsent) as f64);
        let seconds = summary.duration.as_secs_f64().max(due / load.rate);
        Self {
            url: load.url.clone(),
            method: load.method.clone(),
            sent: summary.sent,
            unsent: summary.unsent,
            failed: summary.failed(),
            duration: summary.duration.as_secs_f64(),
            rate: if seconds > 0.0 { sent / seconds } else { 0.0 },
            wanted_rate: load.rate,
            codes: summary.codes.clone(),
            errors: summary.errors.iter().map(|(cause, count)| (cause.name(), *count)).collect(),
            latency_ms: latency(&summary.latency),
            interrupted: summary.interrupted,
        }
    }
}

fn latency(micros: &Histogram<u64>) -> Option<TrafficLatency> {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a request's timeout are far below 2^52")]
    let millis = |value: u64| value as f64 / 1000.0;
    let at = |quantile| millis(micros.value_at_quantile(quantile));
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(at);
    (!micros.is_empty()).then(|| TrafficLatency { p50, p90, p99, p999, max: millis(micros.max()) })
}

/// One JSON document.
pub fn write_json(out: &mut impl Write, report: &TrafficReport) -> io::Result<()> {
    out.write_all(&encode::document(report)?)
}

/// What people read: what was sent, what came back, how long it took.
pub fn write_table(out: &mut impl Write, report: &TrafficReport, width: usize, painter: Painter) -> io::Result<()> {
    for line in text::wrap(&format!("{} {}", report.method, report.url), width) {
        writeln!(out, "{}", painter.paint(Tone::Strong, &line))?;
    }
    let rate = format!("{}/s of {}/s wanted", human::number(tenth(report.rate)), human::number(report.wanted_rate));
    let sent = human::count(report.sent, "request");
    let cut = if report.interrupted { " (interrupted)" } else { "" };
    let failed = if report.failed == 0 {
        "none failed".to_owned()
    } else {
        format!("{} failed ({})", report.failed, human::share(report.failed, report.sent))
    };
    let line = format!("{sent} in {}{cut} · {rate} · {failed}", human::clock(report.duration));
    for line in text::wrap(&line, width) {
        writeln!(out, "{line}")?;
    }
    if report.unsent > 0 {
        let note = format!("{} more could not be sent in time", report.unsent);
        writeln!(out, "{}", painter.paint(Tone::Warn, &note))?;
    }
    if report.sent > 0 {
        writeln!(out)?;
        responses(report).write(out, width, painter)?;
    }
    if let Some(latency) = report.latency_ms {
        writeln!(out)?;
        latencies(latency).write(out, width, painter)?;
    }
    Ok(())
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn responses(report: &TrafficReport) -> Table {
    let mut table = Table::new(&[("response", Side::Left), ("count", Side::Right), ("share", Side::Right)]);
    let codes = report.codes.iter().map(|(code, count)| {
        let tone = if (200..300).contains(code) { Tone::Held } else { Tone::Warn };
        (tone, code.to_string(), *count)
    });
    let errors = report.errors.iter().map(|(cause, count)| (Tone::Failed, format!("no answer: {cause}"), *count));
    for (tone, what, count) in codes.chain(errors) {
        table.row([Cell::new(tone, what), count.to_string().into(), human::share(count, report.sent).into()]);
    }
    table
}

fn latencies(latency: TrafficLatency) -> Table {
    let columns = ["p50", "p90", "p99", "p99.9", "max"].map(|name| (name, Side::Right));
    let mut table = Table::new(&[&[("latency", Side::Left)], columns.as_slice()].concat());
    let values =
        [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(|value| human::millis(value).into());
    table.row([Cell::from("")].into_iter().chain(values));
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{TrafficReport, write_json, write_table};
    use crate::term::Painter;
    use crate::traffic::{Amount, Cause, Load, Summary};

    fn report(answers: bool) -> TrafficReport {
        let load = Load {
            url: "http://127.0.0.1:8080/api/users".to_owned(),
            method: "GET".to_owned(),
            headers: Vec::new(),
            amount: Amount::Requests(50),
            rate: 20.0,
            connections: 1,
            timeout: Duration::from_secs(5),
        };
        let mut latency = hdrhistogram::Histogram::new(3).expect("three digits are valid");
        if answers {
            latency.record_n(900, 38).expect("it resizes");
            latency.record(12_000).expect("it resizes");
        }
        let summary = Summary {
            start: "2026-11-24T10:15:30Z".parse().expect("a time"),
            duration: Duration::from_micros(1_951_234),
            sent: 40,
            unsent: if answers { 0 } else { 10 },
            codes: if answers { [(200, 38), (401, 1)].into() } else { [].into() },
            errors: [(Cause::Refused, if answers { 1 } else { 40 })].into(),
            latency,
            first_failure: None,
            last_failure: None,
            lasting_success: None,
            interrupted: false,
        };
        TrafficReport::new(&load, &summary)
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).expect("in memory");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn looks_so() {
        insta::assert_snapshot!("table", text(|out| write_table(out, &report(true), 80, Painter::PLAIN)));
        insta::assert_snapshot!("nothing_answers", text(|out| write_table(out, &report(false), 80, Painter::PLAIN)));
        insta::assert_snapshot!("json", text(|out| write_json(out, &report(true))));
    }
}
