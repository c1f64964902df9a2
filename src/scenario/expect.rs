//! What an `expect` says: a metric, and a comparator with a bound that fits it. `auth_failures.delta: "== 40"`.

use super::diagnostics::near;
use super::plan::{Comparator, Expectation, Metric};
use super::value;
use crate::metrics::names;

/// What a metric's name means, before its bound says whether a share or a count is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    Delta { counter: String, labels: Vec<(String, String)> },
    Status(u16),
    Latency(f64),
    Sent,
    Failed,
}

/// How each is written, for messages.
pub(crate) const METRICS: &str = "`requests.delta`, `auth_success.delta`, `auth_failures.delta`, any counter's full name and `.delta`, \
     `status.200` (any code), `latency.p50` to `latency.p99.9`, `sent`, `failed`";

/// The labels of each counter that has some.
const LABELS: [(&str, &str); 2] = [("app_http_responses_total", "code"), ("app_auth_rejections_total", "reason")];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Share,
    Duration,
}

impl Subject {
    /// Whether only a step that sends traffic can answer it.
    pub(crate) fn needs_traffic(&self) -> bool {
        !matches!(self, Self::Delta { .. })
    }

    /// What it is compared with, as messages say it.
    fn expected(&self) -> &'static str {
        match self {
            Self::Delta { .. } | Self::Sent => "expected a count, such as \"== 40\"",
            Self::Status(_) | Self::Failed => "expected a share or a count, such as \">= 95%\" or \"== 40\"",
            Self::Latency(_) => "expected a duration, such as \"< 250ms\"",
        }
    }

    fn metric(self, unit: Unit) -> Option<Metric> {
        Some(match (self, unit) {
            (Self::Delta { counter, labels }, Unit::Count) => Metric::Delta { counter, labels },
            (Self::Status(code), Unit::Count) => Metric::StatusCount(code),
            (Self::Status(code), Unit::Share) => Metric::StatusShare(code),
            (Self::Latency(percentile), Unit::Duration) => Metric::Latency(percentile),
            (Self::Sent, Unit::Count) => Metric::Sent,
            (Self::Failed, Unit::Count) => Metric::Failed,
            (Self::Failed, Unit::Share) => Metric::FailedShare,
            _ => return None,
        })
    }
}

/// Reads a metric's name. The error says what was expected.
pub(crate) fn subject(text: &str) -> Result<Subject, String> {
    if let Some(counter) = text.strip_suffix(".delta") {
        return delta(counter);
    }
    if let Some(code) = text.strip_prefix("status.") {
        return value::status(code).map(Subject::Status);
    }
    if let Some(percentile) = text.strip_prefix("latency.") {
        return latency(percentile);
    }
    match text {
        "sent" => Ok(Subject::Sent),
        "failed" => Ok(Subject::Failed),
        _ => {
            let deltas: Vec<String> = names::SHORT
                .iter()
                .map(|(short, _)| *short)
                .chain(names::COUNTERS)
                .map(|name| format!("{name}.delta"))
                .collect();
            let known = ["sent", "failed", "latency.p50", "latency.p90", "latency.p99", "status.200"];
            // A counter without `.delta` is the likeliest slip of all.
            let whole = format!("{text}.delta");
            let near = deltas.iter().find(|delta| **delta == whole).map(String::as_str);
            let near = near.or_else(|| near_name(text, &deltas, &known));
            Err(near.map_or_else(|| "expected a metric".to_owned(), |near| format!("did you mean `{near}`?")))
        }
    }
}

fn near_name<'n>(text: &str, deltas: &'n [String], known: &[&'n str]) -> Option<&'n str> {
    near(text, deltas.iter().map(String::as_str).chain(known.iter().copied()))
}

fn latency(text: &str) -> Result<Subject, String> {
    let percentile = text.strip_prefix('p').filter(|digits| digits.chars().all(|c| c.is_ascii_digit() || c == '.'));
    match percentile.and_then(|digits| digits.parse::<f64>().ok()) {
        Some(percentile) if (50.0..=99.9).contains(&percentile) => Ok(Subject::Latency(percentile)),
        _ => Err("expected a percentile from `latency.p50` to `latency.p99.9`".to_owned()),
    }
}

fn delta(text: &str) -> Result<Subject, String> {
    let (name, labels) = match text.split_once('{') {
        None => (text, Vec::new()),
        Some((name, rest)) => {
            let inner = rest.strip_suffix('}').and_then(labels);
            (name, inner.ok_or("expected labels such as `{code=\"401\"}` before `.delta`")?)
        }
    };
    let short = names::SHORT.iter().find(|(short, _)| *short == name).map(|(_, full)| *full);
    let Some(counter) = short.or_else(|| names::COUNTERS.into_iter().find(|counter| *counter == name)) else {
        let known = names::SHORT.iter().map(|(short, _)| *short).chain(names::COUNTERS);
        return Err(near(name, known).map_or_else(
            || "the app has no such counter".to_owned(),
            |near| format!("the app has no such counter; did you mean `{near}.delta`?"),
        ));
    };
    let known: Vec<&str> = LABELS.iter().filter(|(name, _)| *name == counter).map(|(_, label)| *label).collect();
    match labels.iter().find(|(label, _)| !known.contains(&label.as_str())) {
        Some((label, _)) if known.is_empty() => Err(format!("`{counter}` has no labels, and so no `{label}`")),
        Some((label, _)) => Err(format!("`{counter}` has no label `{label}`; it has `{}`", known.join("`, `"))),
        None => Ok(Subject::Delta { counter: counter.to_owned(), labels }),
    }
}

/// `code="401",reason="unknown"`, sorted by name; none where it is written differently.
fn labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (text, after) = after.trim_start().strip_prefix('"')?.split_once('"')?;
        let name = value::env_name(name.trim()).ok()?;
        if labels.iter().any(|(known, _)| *known == name) {
            return None;
        }
        labels.push((name, text.to_owned()));
        let after = after.trim_start();
        rest = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
    }
    labels.sort();
    (!labels.is_empty()).then_some(labels)
}

/// Puts a metric and its bound together. The error says what was expected of the bound.
pub(crate) fn expectation(subject: Subject, metric_text: &str, bound: &str) -> Result<Expectation, String> {
    let expected = subject.expected();
    let (comparator, rest) = comparator(bound.trim()).map_err(|hint| format!("{expected}{hint}"))?;
    let (unit, number) = number(rest).ok_or(expected)?;
    let found = match unit {
        Unit::Count => "a count",
        Unit::Share => "a share",
        Unit::Duration => "a duration",
    };
    let metric = subject.metric(unit).ok_or_else(|| format!("{expected}, not {found}"))?;
    if unit == Unit::Share && number > 100.0 {
        return Err("a share is at most 100%".to_owned());
    }
    if unit == Unit::Count && number.fract() != 0.0 {
        return Err("expected a whole number".to_owned());
    }
    let most = if unit == Unit::Share { 100.0 } else { f64::INFINITY };
    let never = matches!(comparator, Comparator::Less) && number <= 0.0
        || matches!(comparator, Comparator::Greater) && number >= most;
    if never {
        return Err("this can never hold".to_owned());
    }
    let text = format!("{} {rest}", symbol(comparator));
    Ok(Expectation { metric, metric_text: metric_text.to_owned(), comparator, bound: number, text, since: 0 })
}

fn comparator(text: &str) -> Result<(Comparator, &str), &'static str> {
    const COMPARATORS: [Comparator; 6] = [
        Comparator::Equal,
        Comparator::NotEqual,
        Comparator::AtMost,
        Comparator::AtLeast,
        Comparator::Less,
        Comparator::Greater,
    ];
    for comparator in COMPARATORS {
        if let Some(rest) = text.strip_prefix(symbol(comparator)) {
            return Ok((comparator, rest.trim_start()));
        }
    }
    match text.chars().next() {
        Some('=' | '!' | '~' | '≥' | '≤' | '≠') => Err("; comparators are `==`, `!=`, `<`, `<=`, `>`, `>=`"),
        _ => Ok((Comparator::Equal, text)),
    }
}

fn symbol(comparator: Comparator) -> &'static str {
    match comparator {
        Comparator::Equal => "==",
        Comparator::NotEqual => "!=",
        Comparator::Less => "<",
        Comparator::AtMost => "<=",
        Comparator::Greater => ">",
        Comparator::AtLeast => ">=",
    }
}

/// A count, a share in percent, or a duration in milliseconds.
fn number(text: &str) -> Option<(Unit, f64)> {
    let plain = |text: &str| {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
        text.parse::<f64>().ok().filter(|number| digits && *number <= 9e15)
    };
    if let Some(share) = text.strip_suffix('%') {
        return Some((Unit::Share, plain(share.trim_end())?));
    }
    if text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Some((Unit::Duration, value::duration(text).ok()?.as_secs_f64() * 1000.0));
    }
    Some((Unit::Count, plain(text)?))
}
