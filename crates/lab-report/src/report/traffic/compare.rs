//! Comparison of two results of `lab traffic --json`.

use std::cmp::Ordering;
use std::io::{self, Write};

use serde::Serialize;

use super::{TrafficLatency, TrafficReport, fine};
use crate::report::table::{Cell, Side, Table};
use crate::report::{human, text};
use crate::term::{Painter, Tone};

/// Changes below this percentage are not rated, because runs on the same machine vary as much.
const NOISE: f64 = 5.0;

/// Name of a result, and the result.
pub type Named<'a> = (&'a str, &'a TrafficReport);

/// Comparison of two results, also as a document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the first result.
    pub before: String,
    /// Name of the second result.
    pub after: String,
    /// Compared values.
    pub values: Vec<Value>,
    /// Differences between the two jobs, which limit the comparison.
    pub differences: Vec<String>,
}

/// A value of both results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Value {
    /// Such as `requests/s`, `failed`, a status code or `p99`.
    pub name: String,
    /// Unit of both values.
    pub unit: Unit,
    /// Value of the first result.
    pub before: f64,
    /// Value of the second result.
    pub after: f64,
    /// Change in percent of the first value. `None` if that is 0.
    pub change: Option<f64>,
    /// Rating of the change.
    pub rating: Rating,
}

/// Unit of a compared value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Requests per second.
    PerSecond,
    /// Percent of all requests.
    Percent,
    /// Number of requests.
    Requests,
    /// Milliseconds.
    Milliseconds,
}

/// Rating of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rating {
    /// Not larger than differences between equal runs.
    Unchanged,
    /// An improvement.
    Better,
    /// A regression.
    Worse,
    /// Neither direction is better.
    Neutral,
}

impl Comparison {
    /// Compares two results.
    pub fn new(before: Named<'_>, after: Named<'_>) -> Self {
        let (a, b) = (before.1, after.1);
        let failed = (share(a.failed, a.sent), share(b.failed, b.sent));
        let mut values = vec![
            value("requests/s", Unit::PerSecond, (a.rate, b.rate), Good::More),
            value("failed", Unit::Percent, failed, Good::Less),
            value("not sent in time", Unit::Requests, (count(a.unsent), count(b.unsent)), Good::Less),
        ];
        let mut codes: Vec<u16> = a.codes.keys().chain(b.codes.keys()).copied().collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            let of = |report: &TrafficReport| share(report.codes.get(&code).copied().unwrap_or(0), report.sent);
            values.push(value(&code.to_string(), Unit::Percent, (of(a), of(b)), Good::Neither));
        }
        if let (Some(one), Some(other)) = (a.latency_ms, b.latency_ms) {
            let latency = |(name, of): (&str, Of)| value(name, Unit::Milliseconds, (of(&one), of(&other)), Good::Less);
            values.extend(LATENCIES.map(latency));
        }
        Self { before: before.0.to_owned(), after: after.0.to_owned(), values, differences: differences(a, b) }
    }

    /// Writes both results and the changes as a table, then the differences between the jobs, in at most `width` columns.
    pub fn write(&self, out: &mut impl Write, width: usize, painter: Painter) -> io::Result<()> {
        let names = (self.before.as_str(), self.after.as_str());
        let columns = [("", Side::Left), (names.0, Side::Right), (names.1, Side::Right), ("change", Side::Right)];
        let mut table = Table::new(&columns);
        for value in &self.values {
            table.row(value.row());
        }
        table.write(out, width, painter)?;
        for line in self.differences.iter().flat_map(|note| text::wrap(note, width)) {
            writeln!(out, "{}", painter.paint(Tone::Warn, &line))?;
        }
        Ok(())
    }
}

impl Value {
    fn row(&self) -> [Cell; 4] {
        let text = |value: f64| match self.unit {
            Unit::PerSecond => human::number((value * 10.0).round() / 10.0),
            Unit::Percent => format!("{}%", human::number(value)),
            Unit::Requests => human::number(value),
            Unit::Milliseconds => fine(value),
        };
        let change = match (self.before.total_cmp(&self.after), self.change) {
            (Ordering::Equal, _) => "same".to_owned(),
            (_, None) => "new".to_owned(),
            (_, Some(change)) => format!("{change:+.1}%"),
        };
        let tone = match self.rating {
            Rating::Unchanged => Tone::Dim,
            Rating::Neutral => Tone::Plain,
            Rating::Better => Tone::Good,
            Rating::Worse => Tone::Failed,
        };
        [self.name.as_str().into(), text(self.before).into(), text(self.after).into(), Cell::new(tone, change)]
    }
}

type Of = fn(&TrafficLatency) -> f64;

const LATENCIES: [(&str, Of); 7] = [
    ("mean", |latency| latency.mean),
    ("p50", |latency| latency.p50),
    ("p90", |latency| latency.p90),
    ("p99", |latency| latency.p99),
    ("p99.9", |latency| latency.p999),
    ("p99.99", |latency| latency.p9999),
    ("max", |latency| latency.max),
];

/// Better direction of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Good {
    More,
    Less,
    Neither,
}

fn value(name: &str, unit: Unit, (before, after): (f64, f64), good: Good) -> Value {
    let change = (before != 0.0).then(|| (after - before) / before * 100.0);
    let is_rated = change.map_or(after != 0.0, |change| change.abs() >= NOISE);
    let rating = match good {
        _ if !is_rated => Rating::Unchanged,
        Good::Neither => Rating::Neutral,
        Good::More if after > before => Rating::Better,
        Good::Less if after < before => Rating::Better,
        Good::More | Good::Less => Rating::Worse,
    };
    Value { name: name.to_owned(), unit, before, after, change, rating }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { count(part) / count(whole) * 100.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn count(value: u64) -> f64 {
    value as f64
}

/// Differences between the two jobs.
fn differences(a: &TrafficReport, b: &TrafficReport) -> Vec<String> {
    let rate = |report: &TrafficReport| report.wanted_rate.map_or_else(|| "none".to_owned(), human::number);
    let pairs = [
        ("URL", a.url.clone(), b.url.clone()),
        ("method", a.method.clone(), b.method.clone()),
        ("model", a.model.clone(), b.model.clone()),
        ("requested rate", rate(a), rate(b)),
        ("number of connections", a.connections.to_string(), b.connections.to_string()),
    ];
    let mut notes: Vec<String> = pairs
        .into_iter()
        .filter(|(_, one, other)| one != other)
        .map(|(what, one, other)| format!("the {what} differs: {one} and {other}"))
        .collect();
    let cut = [a, b].iter().filter(|report| report.interrupted).count();
    if cut > 0 {
        notes.push(format!("{} interrupted", if cut == 2 { "both were" } else { "one was" }));
    }
    notes
}
