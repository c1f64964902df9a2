//! [`Exposition`]: one parsed `/metrics` page. Any invalid line is an error that names the line. The format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_parse::SampleType;

use super::Series;
use super::format::{Dialect, Fault, Line, Sample, number};
use super::names::COUNTERS;

/// Metrics of one instance: values by series, for counters and gauges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// Value by series. A histogram is its `_count`, `_sum` and `_bucket` series.
    pub values: BTreeMap<Series, f64>,
    /// Names of series that are not counters and have no increase: gauges, quantiles of summaries, and names without a type that
    /// do not follow the convention for counters.
    pub gauges: BTreeSet<String>,
}

/// A page as received over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// URL of the page.
    pub url: String,
    /// The status code.
    pub status: u16,
    /// The header `Content-Type`, if there was one.
    pub content_type: Option<String>,
    /// The body.
    pub body: String,
}

/// A scrape without usable metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// The page could not be fetched.
    #[error("{url} does not answer: {detail}")]
    Unreachable {
        /// URL of the page.
        url: String,
        /// Error of the transport.
        detail: String,
    },
    /// The status is not 200.
    #[error("{url} answers {status}, not metrics")]
    Status {
        /// URL of the page.
        url: String,
        /// The status code.
        status: u16,
    },
    /// The response is not a metrics page.
    #[error("{url} {reason}")]
    NotMetrics {
        /// URL of the page.
        url: String,
        /// Reason for refusing the page.
        reason: NotMetrics,
    },
    /// The page lacks metrics of the app.
    #[error("{url} has metrics, but lacks {}", names.join(", "))]
    Missing {
        /// URL of the page.
        url: String,
        /// Names of the missing metrics.
        names: Vec<String>,
    },
    /// The page exceeds the size limit.
    #[error("{url} is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// URL of the page.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Reason for refusing a page. The message completes a sentence such as "the page is empty".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMetrics {
    /// HTML.
    #[error("is a web page, not metrics")]
    WebPage,
    /// Another content type.
    #[error("is {0}, not metrics")]
    ContentType(String),
    /// The page contains no samples.
    #[error("is empty: it has no metrics")]
    Empty,
    /// A line that is not in the format.
    #[error("is not metrics: line {line} is {text:?}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// Start of the line.
        text: String,
    },
    /// A line that breaks a rule of the format.
    #[error("is not valid metrics: line {line}: {reason}")]
    Rule {
        /// Number of the line, from 1.
        line: usize,
        /// The rule that it breaks.
        reason: String,
    },
    /// `OpenMetrics` without its last line.
    #[error("is not whole: OpenMetrics ends with `# EOF`")]
    NoEnd,
}

impl Exposition {
    /// Parses the text format 0.0.4, and the part of `OpenMetrics` that the two formats have in common. Accepts a missing
    /// content type.
    pub fn parse(text: &str, content_type: Option<&str>) -> Result<Self, NotMetrics> {
        let dialect = check_type(text, content_type)?;
        let mut page = Reading::default();
        let mut ended = false;
        for (index, line) in text.split('\n').enumerate() {
            let fault = |fault| match fault {
                Fault::Syntax => NotMetrics::Line { line: index + 1, text: line.trim().chars().take(60).collect() },
                Fault::Rule(reason) => NotMetrics::Rule { line: index + 1, reason },
            };
            if ended && !line.is_empty() {
                return Err(fault(Fault::Rule("text after `# EOF`".to_owned())));
            }
            match dialect.line(line).map_err(fault)? {
                Line::Nothing => {}
                Line::End => ended = true,
                Line::Help(name) => page.help(name).map_err(fault)?,
                Line::Type(name, kind) => page.kind(name, kind).map_err(fault)?,
                Line::Sample(sample) => page.sample(sample).map_err(fault)?,
            }
        }
        if dialect == Dialect::OpenMetrics && !ended {
            return Err(NotMetrics::NoEnd);
        }
        if page.values.is_empty() {
            return Err(NotMetrics::Empty);
        }
        Ok(page.into_exposition())
    }

    /// Reads a page, which must have the status 200 and contain these metrics.
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

/// The dialect of a page. An error if the page is not metrics.
fn check_type(text: &str, content_type: Option<&str>) -> Result<Dialect, NotMetrics> {
    let start = text.trim_start().get(..14).unwrap_or(text.trim_start()).to_ascii_lowercase();
    let media = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    if media == "text/html" || start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Err(NotMetrics::WebPage);
    }
    match media.as_str() {
        // Only OpenMetrics ends with this line; it is a comment in the text format.
        "" if text.trim_end_matches('\n').ends_with("\n# EOF") => Ok(Dialect::OpenMetrics),
        "" | "text/plain" => Ok(Dialect::Text),
        "application/openmetrics-text" => Ok(Dialect::OpenMetrics),
        _ => Err(NotMetrics::ContentType(media)),
    }
}

/// State of parsing a page.
#[derive(Default)]
struct Reading {
    values: BTreeMap<Series, f64>,
    /// Series and times of all samples.
    seen: BTreeSet<(Series, Option<i64>)>,
    /// The latest time of a series; a sample without a time is the latest.
    latest: BTreeMap<Series, Option<i64>>,
    helped: BTreeSet<String>,
    types: BTreeMap<String, SampleType>,
    /// Metrics that have samples.
    begun: BTreeSet<String>,
}

impl Reading {
    fn help(&mut self, name: String) -> Result<(), Fault> {
        let fault = format!("a second HELP line for {name}");
        if self.helped.insert(name) { Ok(()) } else { Err(Fault::Rule(fault)) }
    }

    fn kind(&mut self, name: String, kind: SampleType) -> Result<(), Fault> {
        if self.begun.contains(&name) {
            return Err(Fault::Rule(format!("the TYPE line for {name} follows its samples")));
        }
        let fault = format!("a second TYPE line for {name}");
        if self.types.insert(name, kind).is_some() { Err(Fault::Rule(fault)) } else { Ok(()) }
    }

    fn sample(&mut self, sample: Sample) -> Result<(), Fault> {
        let Sample { name, mut labels, value, timestamp } = sample;
        self.check_bounds(&name, &labels, value)?;
        labels.sort();
        self.begun.insert(name.clone());
        let series = Series { name, labels };
        if !self.seen.insert((series.clone(), timestamp)) {
            return Err(Fault::Rule(format!("a second sample of the same series of {}", series.name)));
        }
        let is_newer = |known: &Option<i64>| match (known, timestamp) {
            (_, None) => true,
            (None, _) => false,
            (Some(known), Some(new)) => new > *known,
        };
        if self.latest.get(&series).is_none_or(is_newer) {
            self.latest.insert(series.clone(), timestamp);
            self.values.insert(series, value);
        }
        Ok(())
    }

    /// The bound of a bucket and a quantile are numbers, and no bucket is negative.
    fn check_bounds(&self, name: &str, labels: &[(String, String)], value: f64) -> Result<(), Fault> {
        let histogram = name.strip_suffix("_bucket").and_then(|base| self.types.get(base));
        let bound = match (self.types.get(name), histogram) {
            (Some(SampleType::Summary), _) => "quantile",
            (_, Some(SampleType::Histogram)) => "le",
            _ => return Ok(()),
        };
        if let Some((_, text)) = labels.iter().find(|(label, text)| label == bound && number(text).is_none()) {
            return Err(Fault::Rule(format!("{bound}={text:?} of {name} is not a number")));
        }
        if bound == "le" && value < 0.0 {
            return Err(Fault::Rule(format!("a bucket of {name} is below 0")));
        }
        Ok(())
    }

    fn into_exposition(self) -> Exposition {
        let names: BTreeSet<&str> = self.values.keys().map(|series| series.name.as_str()).collect();
        let gauges =
            names.iter().filter(|name| !self.is_counter(name, &names)).map(|name| (*name).to_owned()).collect();
        Exposition { gauges, values: self.values }
    }

    /// Returns true if the series of this name are counters, by the type of their metric or, without a type, by the name.
    fn is_counter(&self, name: &str, names: &BTreeSet<&str>) -> bool {
        match self.types.get(name) {
            Some(SampleType::Counter) => return true,
            Some(SampleType::Gauge | SampleType::Histogram | SampleType::Summary) => return false,
            Some(SampleType::Untyped) | None => {}
        }
        let base = |suffix| name.strip_suffix(suffix);
        let parts = || ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| Some((suffix, base(suffix)?)));
        if let Some((suffix, base)) = parts() {
            match self.types.get(base) {
                Some(SampleType::Histogram) => return true,
                Some(SampleType::Summary) => return suffix != "_bucket",
                Some(SampleType::Gauge) => return false,
                Some(SampleType::Counter | SampleType::Untyped) | None => {}
            }
        }
        let has = |base: &str, suffix: &str| names.contains(format!("{base}{suffix}").as_str());
        let of_name = || self.values.range(Series::new(name, &[])..).take_while(|(series, _)| series.name == name);
        COUNTERS.contains(&name)
            || base("_total").is_some()
            || match parts() {
                Some(("_bucket", _)) => {
                    of_name().any(|(series, _)| series.labels.iter().any(|(label, _)| label == "le"))
                }
                Some((_, base)) => has(base, "_sum") && has(base, "_count"),
                None => false,
            }
    }
}
