//! Text report of `lab traffic`: requests, responses and latencies.

use std::io::{self, Write};

use super::{Bucket, CallerReport, TrafficLatency, TrafficReport, fine};
use crate::report::table::{Cell, Side, Table};
use crate::report::{human, text};
use crate::term::{Painter, Tone};
use lab_traffic::is_success;

/// Maximum length of a bar of the histogram, in columns.
const LONGEST_BAR: usize = 40;

/// Writes the report in at most `width` columns.
pub fn write_table(out: &mut impl Write, report: &TrafficReport, width: usize, painter: Painter) -> io::Result<()> {
    let more = if report.targets > 1 { format!(" and {} more", report.targets - 1) } else { String::new() };
    for line in text::wrap(&format!("{} {}{more}", report.method, report.url), width) {
        writeln!(out, "{}", painter.paint(Tone::Strong, &line))?;
    }
    for line in text::wrap(&headline(report), width) {
        writeln!(out, "{line}")?;
    }
    for note in notes(report) {
        for line in text::wrap(&note, width) {
            writeln!(out, "{}", painter.paint(Tone::Warn, &line))?;
        }
    }
    let mut table = |table: Table| -> io::Result<()> {
        if table.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        table.write(out, width, painter)
    };
    table(responses(report))?;
    table(samples(report, width))?;
    if report.callers.len() > 1 {
        table(callers(&report.callers))?;
    }
    table(latencies(report))?;
    if !report.histogram.is_empty() {
        writeln!(out)?;
        histogram(out, &report.histogram, width, painter)?;
    }
    expectations(out, report, width, painter)
}

/// A response body for each status code, on one line each.
fn samples(report: &TrafficReport, width: usize) -> Table {
    let mut table = Table::new(&[("status", Side::Left), ("sample body", Side::Left)]);
    // The width of the first column and its gap.
    let room = width.saturating_sub("status  ".len()).max(20);
    for (code, sample) in report.samples.iter().filter(|(_, sample)| !sample.body.trim().is_empty()) {
        let more = if sample.truncated { "…" } else { "" };
        let line = text::cut(&format!("{}{more}", sample.body), room);
        table.row([code.to_string().into(), line.into()]);
    }
    table
}

fn headline(report: &TrafficReport) -> String {
    let tenths = |rate: f64| human::number((rate * 10.0).round() / 10.0);
    let requested = match report.wanted_rate {
        Some(requested) if tenths(requested) == tenths(report.rate) => " as requested".to_owned(),
        Some(requested) => format!(" instead of {}/s", human::number(requested)),
        None if report.model == "closed" => {
            format!(" on {}", human::count(u64::from(report.connections), "connection"))
        }
        None => " on average".to_owned(),
    };
    let random = report.seed.map_or_else(String::new, |seed| format!(", Poisson with seed {seed}"));
    let rate = format!("{}/s{requested}{random}", tenths(report.rate));
    let sent = human::count(report.sent, "request");
    let attempts =
        if report.attempts > report.sent { format!(", {} attempts", report.attempts) } else { String::new() };
    let cut = if report.interrupted { " (interrupted)" } else { "" };
    let mut parts = vec![format!("{sent}{attempts} in {}{cut}", human::clock(report.duration)), rate];
    if report.failed > 0 {
        parts.push(format!("{} failed ({})", report.failed, human::share(report.failed, report.sent)));
    } else if report.sent > 0 && report.in_flight == 0 {
        parts.push("none failed".to_owned());
    }
    if report.in_flight > 0 {
        parts.push(format!("{} in flight", report.in_flight));
    }
    parts.join(" · ")
}

/// Warnings about the validity of the results.
fn notes(report: &TrafficReport) -> Vec<String> {
    let mut notes = Vec::new();
    if report.unsent > 0 {
        notes.push(format!("{} more could not be sent in time", report.unsent));
    }
    if report.resent > 0 {
        let were = if report.resent == 1 { "request was" } else { "requests were" };
        notes.push(format!(
            "{} {were} sent again: the server had closed the idle connection, as it does when it reloads or restarts",
            report.resent
        ));
    }
    let late = report.start_delay_ms.filter(|delay| delay.p99 >= 10.0);
    if let Some(delay) = late {
        notes.push(format!(
            "requests started up to {} after they were due (p99), which their latency includes: every connection, or this \
             machine, was busy; increase --connections to find out which",
            human::millis(delay.p99)
        ));
    }
    if report.errors.contains_key("exhausted") {
        notes.push(
            "this machine ran out of file descriptors or ports: use fewer --connections, raise ulimit -n, or keep \
             connections open"
                .to_owned(),
        );
    }
    notes
}

fn responses(report: &TrafficReport) -> Table {
    let mut table = Table::new(&[("response", Side::Left), ("count", Side::Right), ("share", Side::Right)]);
    let codes = report.codes.iter().map(|(code, count)| (tone(*code), code.to_string(), *count));
    let errors = report.errors.iter().map(|(cause, count)| (Tone::Failed, format!("no answer: {cause}"), *count));
    for (tone, what, count) in codes.chain(errors) {
        table.row([Cell::new(tone, what), count.to_string().into(), human::share(count, report.sent).into()]);
    }
    table
}

fn tone(code: u16) -> Tone {
    if is_success(code) { Tone::Good } else { Tone::Warn }
}

fn callers(callers: &[CallerReport]) -> Table {
    let retried = callers.iter().any(|caller| caller.attempts > caller.sent);
    let mut columns = vec![("caller", Side::Left), ("sent", Side::Right)];
    if retried {
        columns.push(("attempts", Side::Right));
    }
    columns.extend([("failed", Side::Right), ("p50", Side::Right), ("p99", Side::Right), ("answers", Side::Left)]);
    let mut table = Table::new(&columns);
    for caller in callers {
        let failed = if caller.failed == 0 { Tone::Good } else { Tone::Warn };
        let at = |of: fn(&TrafficLatency) -> f64| {
            caller.latency_ms.map_or_else(|| "-".to_owned(), |latency| fine(of(&latency)))
        };
        let codes = caller.codes.iter().map(|(code, count)| format!("{code}: {count}"));
        let errors = caller.errors.iter().map(|(cause, count)| format!("{cause}: {count}"));
        let mut row = vec![Cell::from(caller.name.as_str()), caller.sent.to_string().into()];
        if retried {
            row.push(caller.attempts.to_string().into());
        }
        row.extend([
            Cell::new(failed, human::share(caller.failed, caller.sent)),
            at(|latency| latency.p50).into(),
            at(|latency| latency.p99).into(),
            codes.chain(errors).collect::<Vec<_>>().join(", ").into(),
        ]);
        table.row(row);
    }
    table
}

fn latencies(report: &TrafficReport) -> Table {
    let columns = ["mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"].map(|name| (name, Side::Right));
    let mut table = Table::new(&[&[("latency", Side::Left)], columns.as_slice()].concat());
    let mut row = |what: Cell, of: TrafficLatency| {
        let values = [of.mean, of.p50, of.p90, of.p99, of.p999, of.p9999, of.max];
        table.row([what].into_iter().chain(values.map(|value| fine(value).into())));
    };
    if let Some(latency) = report.latency_ms {
        row("all".into(), latency);
    }
    if report.latency_ms_by_code.len() > 1 {
        for (code, latency) in &report.latency_ms_by_code {
            row(Cell::new(tone(*code), code.to_string()), *latency);
        }
    }
    table
}

/// Draws a bar for each bucket. Small counts get at least a sliver.
fn histogram(out: &mut impl Write, buckets: &[Bucket], width: usize, painter: Painter) -> io::Result<()> {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
    let labels: Vec<String> = buckets.iter().map(|bucket| edge(bucket.le)).collect();
    let label = labels.iter().map(|label| text::columns(label)).max().unwrap_or(0);
    let digits = most.to_string().len();
    let room = width.saturating_sub(label + digits + 6).clamp(10, LONGEST_BAR);
    for (bucket, name) in buckets.iter().zip(labels) {
        let bar = bar(bucket.count, most, room);
        let pad = room - text::columns(&bar);
        let bar = painter.paint(Tone::Good, &bar);
        writeln!(out, "<= {name:>label$} {bar}{:pad$} {:>digits$}", "", bucket.count)?;
    }
    Ok(())
}

/// Formats the bound of a bucket, which is a round number.
fn edge(millis: f64) -> String {
    if millis >= 1000.0 {
        format!("{}s", human::number(millis / 1000.0))
    } else {
        format!("{}ms", human::number(millis))
    }
}

/// Draws a bar in eighths of a column.
fn bar(count: u64, most: u64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(count) * 8 * room as u128 / u128::from(most);
    let eighths = usize::try_from(eighths).unwrap_or(0).max(usize::from(count > 0));
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn expectations(out: &mut impl Write, report: &TrafficReport, width: usize, painter: Painter) -> io::Result<()> {
    if report.expectations.is_empty() {
        return Ok(());
    }
    let columns = [("expected", Side::Left), ("", Side::Left), ("observed", Side::Right), ("", Side::Left)];
    let mut table = Table::new(&columns);
    for expected in &report.expectations {
        let (tone, verdict) = if expected.passed { (Tone::Good, "passed") } else { (Tone::Failed, "failed") };
        table.row([
            Cell::from(expected.metric.as_str()),
            expected.expected.as_str().into(),
            expected.observed_text.as_str().into(),
            Cell::new(tone, verdict),
        ]);
    }
    writeln!(out)?;
    table.write(out, width, painter)
}
