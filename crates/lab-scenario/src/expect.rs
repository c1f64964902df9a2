//! Parses expectations such as `auth_failures.delta: "== 40"`: a metric, and a comparator with a bound.

use super::Expected;
use super::plan::{AlertIs, Comparator, Expectation, Metric, Sender, Threshold};
use super::value;
use lab_telemetry::metrics::names;
use lab_yaml::{did_you_mean, nearest, quote_list};

/// A parsed metric name. The bound decides whether it is a share or a count.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricName {
    /// `COUNTER.delta`: increase of a counter of the app.
    Delta {
        /// Full name.
        counter: String,
        /// Names and values, sorted by name.
        labels: Vec<(String, String)>,
    },
    /// `status.CODE`: responses with this status.
    Status(u16),
    /// `latency.pN`: a percentile, 50.0 to 99.99.
    Latency(f64),
    /// `sent`: requests sent.
    Sent,
    /// `attempts`: attempts of the requests sent.
    Attempts,
    /// `failed`: failed requests.
    Failed,
    /// `alert.NAME`: state of an alert.
    Alert(String),
}

/// Reason why a metric name was rejected.
#[derive(Debug, PartialEq)]
pub enum UnknownMetric {
    /// Similar to no known metric.
    Metric,
    /// Ends in `.delta`, but is similar to no counter.
    Counter,
    /// Expected text or a suggestion.
    Because(Expected),
}

/// Lists the metrics, for messages.
pub fn metrics() -> String {
    let deltas: Vec<String> = names::SHORT.iter().map(|(short, _)| format!("{short}.delta")).collect();
    let names = deltas.iter().map(String::as_str).chain(["status.200", "latency.p99", "sent", "attempts", "failed"]);
    let alert = "and `alert.NAME`";
    format!("the metrics: {}, any counter's full name with `.delta`, {alert}", quote_list(names))
}

/// Lists the counters, for messages.
pub fn counters() -> String {
    format!("the counters: {}", quote_list(names::SHORT.iter().map(|(short, _)| *short).chain(names::COUNTERS)))
}

/// Counters that have a label, with that label.
pub(super) const LABELS: [(&str, &str); 3] =
    [("app_http_responses_total", "code"), ("app_auth_rejections_total", "reason"), ("app_auth_key_uses_total", "key")];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Share,
    Duration,
}

impl MetricName {
    /// Returns true if only traffic can answer it.
    pub fn needs_traffic(&self) -> bool {
        !matches!(self, Self::Delta { .. } | Self::Alert(_))
    }

    /// The metric as a plain number: counts instead of shares. `None` for alerts.
    pub fn plain(self) -> Option<Metric> {
        Some(match self {
            Self::Delta { counter, labels } => Metric::Delta { counter, labels },
            Self::Status(code) => Metric::StatusCount(code),
            Self::Latency(percentile) => Metric::Latency(percentile),
            Self::Sent => Metric::Sent,
            Self::Attempts => Metric::Attempts,
            Self::Failed => Metric::Failed,
            Self::Alert(_) => return None,
        })
    }

    /// Expected bound, for messages.
    fn expected(&self) -> &'static str {
        match self {
            Self::Delta { .. } | Self::Sent | Self::Attempts => "expected a count, such as \"== 40\"",
            Self::Status(_) | Self::Failed => "expected a share or a count, such as \">= 95%\" or \"== 40\"",
            Self::Latency(_) => "expected a duration, such as \"< 250ms\"",
            Self::Alert(_) => "expected `fired`, `firing`, `resolved` or `quiet`",
        }
    }

    fn metric(self, unit: Unit) -> Option<Metric> {
        Some(match (self, unit) {
            (Self::Delta { counter, labels }, Unit::Count) => Metric::Delta { counter, labels },
            (Self::Status(code), Unit::Count) => Metric::StatusCount(code),
            (Self::Status(code), Unit::Share) => Metric::StatusShare(code),
            (Self::Latency(percentile), Unit::Duration) => Metric::Latency(percentile),
            (Self::Sent, Unit::Count) => Metric::Sent,
            (Self::Attempts, Unit::Count) => Metric::Attempts,
            (Self::Failed, Unit::Count) => Metric::Failed,
            (Self::Failed, Unit::Share) => Metric::FailedShare,
            _ => return None,
        })
    }
}

/// Parses a metric name.
pub fn metric_name(text: &str) -> Result<MetricName, UnknownMetric> {
    if let Some(counter) = text.strip_suffix(".delta") {
        return delta(counter);
    }
    if let Some(code) = text.strip_prefix("status.") {
        return value::status(code).map(MetricName::Status).map_err(UnknownMetric::Because);
    }
    if let Some(name) = text.strip_prefix("alert.") {
        return alert(name).map(MetricName::Alert).map_err(UnknownMetric::Because);
    }
    if let Some(percentile) = text.strip_prefix("latency.") {
        return latency(percentile).map_err(UnknownMetric::Because);
    }
    match text {
        "sent" => Ok(MetricName::Sent),
        "attempts" => Ok(MetricName::Attempts),
        "failed" => Ok(MetricName::Failed),
        _ => Err(suggest(text)),
    }
}

/// Suggests a metric. The most common mistake is a counter without `.delta`.
fn suggest(text: &str) -> UnknownMetric {
    let deltas = || names::SHORT.iter().map(|(short, _)| *short).chain(names::COUNTERS);
    let known = ["sent", "attempts", "failed", "latency.p50", "latency.p90", "latency.p99", "status.200"];
    let name = text.split_once('.').map_or(text, |(name, _)| name);
    let counter = nearest(name, deltas()).map(|near| format!("{near}.delta"));
    let near = nearest(text, known).map(str::to_owned).or(counter);
    near.map_or(UnknownMetric::Metric, |near| UnknownMetric::Because(Expected::new(format!("did you mean `{near}`?"))))
}

/// Parses an alert name. Only the syntax is checked here; `Plan::check_alerts` compares it with the rules of the lab,
/// since a custom stack may have its own.
pub fn alert(text: &str) -> Result<String, Expected> {
    let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '.'));
    if fits && !text.is_empty() {
        return Ok(text.to_owned());
    }
    Err(Expected::new("expected the name of an alert: letters, digits, `_`, `-`, `:` and `.`"))
}

/// Parses an alert state, one of `states`.
pub fn alert_is(text: &str, states: &[AlertIs]) -> Result<AlertIs, Expected> {
    let names = || states.iter().map(|state| state.name());
    let found = states.iter().find(|state| state.name() == text).copied();
    found.ok_or_else(|| Expected::new(did_you_mean(text, names(), &format!("expected one of {}", quote_list(names())))))
}

fn latency(text: &str) -> Result<MetricName, Expected> {
    let percentile = text.strip_prefix('p').filter(|digits| digits.chars().all(|c| c.is_ascii_digit() || c == '.'));
    match percentile.and_then(|digits| digits.parse::<f64>().ok()) {
        Some(percentile) if (50.0..=99.99).contains(&percentile) => Ok(MetricName::Latency(percentile)),
        _ => Err(Expected::new("expected a percentile from `latency.p50` to `latency.p99.99`")),
    }
}

fn delta(text: &str) -> Result<MetricName, UnknownMetric> {
    let (name, labels) = match text.split_once('{') {
        None => (text, Some(Vec::new())),
        Some((name, rest)) => (name, rest.strip_suffix('}').and_then(labels)),
    };
    let Some(labels) = labels else {
        return Err(UnknownMetric::Because(Expected::new("expected labels such as `{code=\"401\"}` before `.delta`")));
    };
    let short = names::SHORT.iter().find(|(short, _)| *short == name).map(|(_, full)| *full);
    let Some(counter) = short.or_else(|| names::COUNTERS.into_iter().find(|counter| *counter == name)) else {
        let known = names::SHORT.iter().map(|(short, _)| *short).chain(names::COUNTERS);
        let because = |near| {
            UnknownMetric::Because(Expected::new(format!("the app has no such counter; did you mean `{near}.delta`?")))
        };
        return Err(nearest(name, known).map_or(UnknownMetric::Counter, because));
    };
    let known = LABELS.iter().find(|(name, _)| *name == counter).map(|(_, label)| *label);
    match labels.iter().map(|(label, _)| label).find(|label| known != Some(label.as_str())) {
        None => Ok(MetricName::Delta { counter: counter.to_owned(), labels }),
        Some(label) => Err(UnknownMetric::Because(Expected::new(match known {
            Some(known) => format!("`{counter}` has no label `{label}`; it has `{known}`"),
            None => format!("`{counter}` has no labels, and so no `{label}`"),
        }))),
    }
}

/// Parses `code="401",reason="unknown"` and sorts by name. `None` if malformed.
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

/// Combines a metric with its bound. The error states the expected bound.
pub fn expectation(subject: MetricName, metric_text: &str, bound: &str) -> Result<Expectation, Expected> {
    if let MetricName::Alert(alert) = subject {
        let is = alert_is(bound, &AlertIs::EXPECTED)?;
        return Ok(Expectation {
            sender: Sender::All,
            metric: Metric::Alert { alert, is },
            metric_text: metric_text.to_owned(),
            comparator: Comparator::Equal,
            bound: 1.0,
            text: is.name().to_owned(),
            since: 0,
            deferred: None,
        });
    }
    let expected = subject.expected();
    let (comparator, rest) = comparator(bound.trim()).map_err(|hint| Expected::new(format!("{expected}{hint}")))?;
    let (unit, number) = number(rest).ok_or_else(|| Expected::new(expected))?;
    let found = match unit {
        Unit::Count => "a count",
        Unit::Share => "a share",
        Unit::Duration => "a duration",
    };
    let metric = subject.metric(unit).ok_or_else(|| Expected::new(format!("{expected}, not {found}")))?;
    if unit == Unit::Share && number > 100.0 {
        return Err(Expected::new("a share is at most 100%"));
    }
    if unit == Unit::Count && number.fract() != 0.0 {
        return Err(Expected::new("expected a whole number"));
    }
    let most = if unit == Unit::Share { 100.0 } else { f64::INFINITY };
    let never = matches!(comparator, Comparator::Less) && number <= 0.0
        || matches!(comparator, Comparator::Greater) && number >= most;
    if never {
        return Err(Expected::new("no value can satisfy this"));
    }
    let text = format!("{} {rest}", symbol(comparator));
    let metric_text = metric_text.to_owned();
    Ok(Expectation {
        sender: Sender::All,
        metric,
        metric_text,
        comparator,
        bound: number,
        text,
        since: 0,
        deferred: None,
    })
}

/// Parses the expected value of a query: a comparator and any number.
pub fn threshold(text: &str) -> Result<Threshold, Expected> {
    const EXPECTED: &str = "expected a comparator and a number, such as \"> 0.5\"";
    let (comparator, rest) = comparator(text.trim()).map_err(|hint| Expected::new(format!("{EXPECTED}{hint}")))?;
    let plain = rest.chars().all(|c| c.is_ascii_digit() || ".-+eE".contains(c));
    let bound =
        rest.parse::<f64>().ok().filter(|bound| plain && bound.is_finite()).ok_or_else(|| Expected::new(EXPECTED))?;
    Ok(Threshold { comparator, bound, text: format!("{} {rest}", symbol(comparator)) })
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

/// Parses a count, a percentage, or a duration in milliseconds.
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

#[cfg(test)]
mod tests {
    use super::{Expected, MetricName, UnknownMetric, expectation, metric_name};
    use crate::plan::{Comparator, Expectation, Metric};

    fn read(metric: &str, bound: &str) -> Result<Expectation, Expected> {
        expectation(metric_name(metric).unwrap(), metric, bound)
    }

    #[test]
    fn metrics_have_short_and_full_names() {
        let counter = |name: &str| match metric_name(name) {
            Ok(MetricName::Delta { counter, labels }) => (counter, labels),
            other => panic!("{other:?}"),
        };
        assert_eq!(counter("requests.delta").0, "app_requests_total");
        assert_eq!(counter("app_auth_failures_total.delta").0, "app_auth_failures_total");
        let (name, labels) = counter("app_http_responses_total{code=\"401\"}.delta");
        assert_eq!((name.as_str(), labels), ("app_http_responses_total", vec![("code".into(), "401".into())]));
        assert_eq!(metric_name("latency.p99.9"), Ok(MetricName::Latency(99.9)));
        assert_eq!(metric_name("status.401"), Ok(MetricName::Status(401)));
    }

    #[test]
    fn a_wrong_name_has_a_near_miss() {
        let because = |text: &str| Err(UnknownMetric::Because(Expected::new(format!("did you mean `{text}`?"))));
        assert_eq!(metric_name("auth_failures"), because("auth_failures.delta"));
        assert_eq!(metric_name("fialed"), because("failed"));
        assert_eq!(metric_name("latency_p99"), because("latency.p99"));
        assert_eq!(metric_name("banana.delta"), Err(UnknownMetric::Counter));
        assert_eq!(metric_name("banana"), Err(UnknownMetric::Metric));
    }

    #[test]
    fn bounds_fit_their_metric() {
        let share = read("status.401", ">= 95%").unwrap();
        assert_eq!(
            (share.metric, share.comparator, share.bound),
            (Metric::StatusShare(401), Comparator::AtLeast, 95.0)
        );
        let count = read("status.401", "40").unwrap();
        assert_eq!((count.metric, count.text.as_str()), (Metric::StatusCount(401), "== 40"));
        let latency = read("latency.p50", "<1.5s").unwrap();
        assert_eq!((latency.metric, latency.bound, latency.text.as_str()), (Metric::Latency(50.0), 1500.0, "< 1.5s"));
        assert_eq!(read("failed", "!= 0%").unwrap().metric, Metric::FailedShare);
    }

    #[test]
    fn bounds_that_do_not_fit_are_errors() {
        let wrong = [
            ("requests.delta", "100%"),
            ("requests.delta", "40ms"),
            ("requests.delta", "1.5"),
            ("requests.delta", "-1"),
            ("requests.delta", "< 0"),
            ("sent", "50%"),
            ("status.200", "101%"),
            ("status.200", "> 100%"),
            ("latency.p50", "40"),
            ("latency.p50", "5%"),
            ("failed", ""),
            ("failed", "=="),
            ("failed", "=> 1"),
            ("failed", "nan"),
        ];
        for (metric, bound) in wrong {
            assert!(read(metric, bound).is_err(), "{metric}: {bound}");
        }
    }
}
