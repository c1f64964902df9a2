//! [`Exposition`]: one `/metrics` page, read. The lines go through `prometheus-parse`, which drops and mangles in silence
//! what it does not understand; so what it gives is checked line by line, and a page that cannot be read whole is an error.
//! The format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_parse::{LineInfo, SampleType};

use super::Series;

/// What one instance said: values by series, counters and gauges alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// Value by series. A histogram is its `_count`, `_sum` and `_bucket` series.
    pub values: BTreeMap<Series, f64>,
    /// Names of those series that are no counters and have no increase: gauges, what has no type, a summary's quantiles.
    pub gauges: BTreeSet<String>,
}

/// A page as it came over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What was asked.
    pub url: String,
    /// The status code.
    pub status: u16,
    /// The header `Content-Type`, where there was one.
    pub content_type: Option<String>,
    /// The body.
    pub body: String,
}

/// Why a page is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// No answer.
    #[error("{url} does not answer: {detail}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        detail: String,
    },
    /// It answered something else than 200.
    #[error("{url} answers {status}, not metrics")]
    Status {
        /// What was asked.
        url: String,
        /// The status code.
        status: u16,
    },
    /// It answered something else than metrics.
    #[error("{url} {reason}")]
    NotMetrics {
        /// What was asked.
        url: String,
        /// What it is instead.
        reason: NotMetrics,
    },
    /// It answered metrics, but not the app's.
    #[error("{url} has metrics, but lacks {}", names.join(", "))]
    Missing {
        /// What was asked.
        url: String,
        /// The names that it lacks.
        names: Vec<String>,
    },
    /// It goes on and on.
    #[error("{url} is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// What was asked.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Why a text is not an exposition; fits after what it is: "the page is empty".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMetrics {
    /// HTML.
    #[error("is a web page, not metrics")]
    WebPage,
    /// Another content type.
    #[error("is {0}, not metrics")]
    ContentType(String),
    /// No sample in it.
    #[error("is empty: it has no metrics")]
    Empty,
    /// A line that is not in the format.
    #[error("is not metrics: line {line} is {text:?}")]
    Line {
        /// From 1.
        line: usize,
        /// The beginning of it.
        text: String,
    },
}

impl Exposition {
    /// Reads the text format, 0.0.4, and of `OpenMetrics` what the two have in common. A missing content type is taken
    /// for the right one.
    pub fn parse(text: &str, content_type: Option<&str>) -> Result<Self, NotMetrics> {
        check_type(text, content_type)?;
        let mut exposition = Self::default();
        let mut types = BTreeMap::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line == "# EOF" {
                break;
            }
            let unreadable = || NotMetrics::Line { line: index + 1, text: line.chars().take(60).collect() };
            // Braces within quotes and an empty set of labels are what its pattern cannot take.
            let masked = mask(line);
            match LineInfo::parse(&masked) {
                LineInfo::Type { metric_name, metric_alias, sample_type } => {
                    types.insert(metric_alias.unwrap_or(metric_name), sample_type);
                }
                LineInfo::Sample { metric_name, labels, value, timestamp } if !line.starts_with('#') => {
                    let labels = read_labels(labels.unwrap_or_default()).ok_or_else(unreadable)?;
                    // Go's `NaN` and `+Inf` are numbers to Rust too.
                    let value = value.parse().map_err(|_| unreadable())?;
                    // An exemplar may follow, behind a `#`.
                    if timestamp.is_some_and(|text| text.parse::<f64>().is_err() && !text.starts_with('#')) {
                        return Err(unreadable());
                    }
                    exposition.values.insert(Series { name: metric_name.to_owned(), labels }, value);
                }
                LineInfo::Ignored if !line.starts_with('#') => return Err(unreadable()),
                _ => {}
            }
        }
        if exposition.values.is_empty() {
            return Err(NotMetrics::Empty);
        }
        let names: BTreeSet<&str> = exposition.values.keys().map(|series| series.name.as_str()).collect();
        exposition.gauges = names.into_iter().filter(|name| !is_counter(name, &types)).map(str::to_owned).collect();
        Ok(exposition)
    }

    /// Reads a page, which must be 200 and have these names.
    pub fn read(page: &Page, required: &[&str]) -> Result<Self, ScrapeError> {
        let url = || page.url.clone();
        if page.status != 200 {
            return Err(ScrapeError::Status { url: url(), status: page.status });
        }
        let exposition = Self::parse(&page.body, page.content_type.as_deref())
            .map_err(|reason| ScrapeError::NotMetrics { url: url(), reason })?;
        let lacks = |name: &&&str| !exposition.values.keys().any(|series| series.name == ***name);
        let names: Vec<String> = required.iter().filter(lacks).map(|name| (*name).to_owned()).collect();
        if names.is_empty() { Ok(exposition) } else { Err(ScrapeError::Missing { url: url(), names }) }
    }

    /// The value of a series without labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.get(&Series::new(name, &[])).copied()
    }
}

fn check_type(text: &str, content_type: Option<&str>) -> Result<(), NotMetrics> {
    let start = text.trim_start().get(..14).unwrap_or(text.trim_start()).to_ascii_lowercase();
    let media = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    if media == "text/html" || start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Err(NotMetrics::WebPage);
    }
    match media.as_str() {
        "" | "text/plain" | "application/openmetrics-text" => Ok(()),
        _ => Err(NotMetrics::ContentType(media)),
    }
}

/// Whether the series of this name only rise. Its type stands with the metric it belongs to.
fn is_counter(name: &str, types: &BTreeMap<String, SampleType>) -> bool {
    let base = |suffix| name.strip_suffix(suffix).and_then(|base| types.get(base)).copied();
    match types.get(name) {
        Some(SampleType::Counter) => return true,
        Some(_) => return false,
        None => {}
    }
    base("_total") == Some(SampleType::Counter)
        || base("_bucket") == Some(SampleType::Histogram)
        || ["_sum", "_count"]
            .into_iter()
            .any(|suffix| matches!(base(suffix), Some(SampleType::Histogram | SampleType::Summary)))
}

const OPEN: char = '\u{1}';
const CLOSE: char = '\u{2}';

/// A sample's line with what is misread out of the way: braces within quotes as control characters, `{}` left out.
fn mask(line: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let masked: String = line
        .chars()
        .map(|char| {
            let was_escaped = std::mem::take(&mut escaped);
            match char {
                '"' if !was_escaped => quoted = !quoted,
                '\\' if quoted && !was_escaped => escaped = true,
                '{' if quoted => return OPEN,
                '}' if quoted => return CLOSE,
                _ => {}
            }
            char
        })
        .collect();
    masked.replacen("{}", " ", 1)
}

/// Label names and values, sorted, from what stands between the braces; none where it is malformed.
fn read_labels(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            break;
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = read_quoted(rest.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim().to_owned(), value));
        let rest = rest.trim_start();
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    labels.sort();
    Some(labels)
}

/// A label's value up to its closing quote, and what follows that.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            OPEN => value.push('{'),
            CLOSE => value.push('}'),
            other => value.push(other),
        }
    }
    None
}
