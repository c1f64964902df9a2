//! Comparison of two results of `lab traffic --json`.

use std::cmp::Ordering;
use std::io::{self, Write};

use super::{TrafficLatency, TrafficReport, fine};
use crate::report::table::{Cell, Side, Table};
use crate::report::{human, text};
use crate::term::{Painter, Tone};

/// Changes below this percentage are not rated, because runs on the same machine vary as much.
const NOISE: f64 = 5.0;

/// Name of a result, and the result.
pub type Named<'a> = (&'a str, &'a TrafficReport);

/// Writes both results, the changes, and differences that limit the comparison, in at most `width` columns.
pub fn write_comparison(
    out: &mut impl Write,
    before: Named<'_>,
    after: Named<'_>,
    width: usize,
    painter: Painter,
) -> io::Result<()> {
    let columns = [("", Side::Left), (before.0, Side::Right), (after.0, Side::Right), ("change", Side::Right)];
    let mut table = Table::new(&columns);
    let (a, b) = (before.1, after.1);
    table.row(row("requests/s", (a.rate, b.rate), |value| human::number((value * 10.0).round() / 10.0), Good::More));
    table.row(row("failed", (share(a.failed, a.sent), share(b.failed, b.sent)), percent, Good::Less));
    table.row(row("not sent in time", (count(a.unsent), count(b.unsent)), human::number, Good::Less));
    let mut codes: Vec<u16> = a.codes.keys().chain(b.codes.keys()).copied().collect();
    codes.sort_unstable();
    codes.dedup();
    for code in codes {
        let of = |report: &TrafficReport| share(report.codes.get(&code).copied().unwrap_or(0), report.sent);
        table.row(row(&code.to_string(), (of(a), of(b)), percent, Good::Neither));
    }
    for (name, of) in LATENCIES {
        if let (Some(one), Some(other)) = (a.latency_ms, b.latency_ms) {
            table.row(row(name, (of(&one), of(&other)), fine, Good::Less));
        }
    }
    table.write(out, width, painter)?;
    for note in differences(a, b) {
        for line in text::wrap(&note, width) {
            writeln!(out, "{}", painter.paint(Tone::Warn, &line))?;
        }
    }
    Ok(())
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

fn row(name: &str, (a, b): (f64, f64), show: impl Fn(f64) -> String, good: Good) -> [Cell; 4] {
    let change = if a == 0.0 { 0.0 } else { (b - a) / a * 100.0 };
    let shown = match a.total_cmp(&b) {
        Ordering::Equal => "same".to_owned(),
        _ if a == 0.0 => "new".to_owned(),
        _ => format!("{change:+.1}%"),
    };
    let weighs = change.abs() >= NOISE || (a == 0.0 && b != 0.0);
    let tone = match good {
        _ if !weighs => Tone::Dim,
        Good::Neither => Tone::Plain,
        Good::More if b > a => Tone::Good,
        Good::Less if b < a => Tone::Good,
        _ => Tone::Failed,
    };
    [name.into(), show(a).into(), show(b).into(), Cell::new(tone, shown)]
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { count(part) / count(whole) * 100.0 }
}

fn percent(value: f64) -> String {
    format!("{}%", human::number(value))
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
        ("wanted rate", rate(a), rate(b)),
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
