//! `lab metrics`: the app's metrics, once or every second.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::failure::text;
use super::session::{Connected, Session};
use crate::cli::MetricsArgs;
use lab_core::error::{Exit, Failure};
use lab_report::report::metrics::table;
use lab_telemetry::metrics::scrape::Page;
use lab_telemetry::metrics::{Deltas, Exposition, Series, Snapshot, delta, names};
use lab_telemetry::wire::NetWire;

/// Refresh interval of `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);

/// Source of the metrics pages.
enum Source {
    /// The instances of a lab, which may change.
    Lab(Box<Connected>),
    /// Any metrics page; no specific metric is required.
    Url(String),
}

pub(super) async fn run(session: &Session, args: &MetricsArgs) -> anyhow::Result<Exit> {
    let source = match &args.url {
        Some(url) => Source::Url(url.clone()),
        None => Source::Lab(Box::new(session.connect()?)),
    };
    let wire = NetWire::new();
    if args.raw {
        let Results { instances, failed } = pages(&wire, &source).await?;
        for page in instances.into_values() {
            let kept = page.body.lines().filter(|line| args.filter.as_deref().is_none_or(|text| line.contains(text)));
            for line in kept {
                session.foreign_line(line)?;
            }
        }
        return Ok(report(&failed));
    }
    let (first, failed) = snapshot(&wire, &source).await?;
    if args.json {
        session.json(&document(&first, args.filter.as_deref()))?;
        return Ok(report(&failed));
    }
    show(session, args, &first, None)?;
    let exit = report(&failed);
    if !args.watch {
        return Ok(exit);
    }
    watch(session, args, &wire, &source, first).await
}

async fn watch(
    session: &Session,
    args: &MetricsArgs,
    wire: &NetWire,
    source: &Source,
    first: Snapshot,
) -> anyhow::Result<Exit> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let (mut before, mut at) = (first, Instant::now());
    while !session.term.out().is_closed() {
        ticks.tick().await;
        match snapshot(wire, source).await {
            Ok((after, failed)) => {
                for error in &failed {
                    session.term.note(&text(error));
                }
                let increase = delta::between(&before, &after, &[]);
                let seconds = at.elapsed().as_secs_f64();
                session.line("")?;
                show(session, args, &after, Some((&increase, seconds)))?;
                (before, at) = (after, Instant::now());
            }
            // The app may be away for a while; that is what a user watches for.
            Err(error) => session.term.note(&text(&error)),
        }
    }
    Ok(Exit::Passed)
}

/// Results of several instances: a failure of one does not hide the others.
struct Results<T> {
    instances: BTreeMap<String, T>,
    failed: Vec<anyhow::Error>,
}

impl<T> Results<T> {
    fn collect(results: impl IntoIterator<Item = (String, anyhow::Result<T>)>) -> anyhow::Result<Self> {
        let mut read = Self { instances: BTreeMap::new(), failed: Vec::new() };
        for (instance, result) in results {
            match result {
                Ok(value) => drop(read.instances.insert(instance, value)),
                Err(error) => read.failed.push(error.context(instance)),
            }
        }
        match read.failed.pop() {
            // All instances failed.
            Some(error) if read.instances.is_empty() => Err(error),
            last => {
                read.failed.extend(last);
                Ok(read)
            }
        }
    }
}

/// Prints the failures and returns the exit code.
fn report(failed: &[anyhow::Error]) -> Exit {
    failed.iter().fold(Exit::Passed, |exit, error| exit.worse(super::report_error(error)))
}

/// Metrics page of each instance.
async fn pages(wire: &NetWire, source: &Source) -> anyhow::Result<Results<Page>> {
    match source {
        Source::Url(url) => Results::collect([(url.clone(), Ok(wire.page(url).await?))]),
        Source::Lab(connected) => {
            let endpoints = connected.describe().await?.endpoints;
            if endpoints.metrics.is_empty() {
                return Err(Failure::failed("the app is not running, so it has no metrics")
                    .hint("see lab status, then start it with lab up")
                    .into());
            }
            let pages = endpoints.metrics.iter().map(async |endpoint| {
                (endpoint.instance.clone(), wire.page(&endpoint.url).await.map_err(anyhow::Error::from))
            });
            Results::collect(join_all(pages).await)
        }
    }
}

/// Metrics of the readable instances, and the errors of the others.
async fn snapshot(wire: &NetWire, source: &Source) -> anyhow::Result<(Snapshot, Vec<anyhow::Error>)> {
    let required: &[&str] = if matches!(source, Source::Lab(_)) { &names::REQUIRED } else { &[] };
    let Results { instances, mut failed } = pages(wire, source).await?;
    let read = instances.into_iter().map(|(instance, page)| {
        let read = Exposition::read(&page, required).map_err(anyhow::Error::from);
        (instance, read)
    });
    let read = Results::collect(read)?;
    failed.extend(read.failed);
    Ok((Snapshot { at: Utc::now(), instances: read.instances }, failed))
}

/// One sample of `--json`.
#[derive(Serialize)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// `--json` output: every sample, summed over the instances.
fn document(snapshot: &Snapshot, filter: Option<&str>) -> Vec<Sample> {
    let mut values: BTreeMap<Series, f64> = BTreeMap::new();
    for (series, value) in snapshot.instances.values().flat_map(|exposition| &exposition.values) {
        if filter.is_none_or(|text| series.name.contains(text)) {
            *values.entry(series.clone()).or_default() += value;
        }
    }
    let sample = |(Series { name, labels }, value)| Sample { name, labels: labels.into_iter().collect(), value };
    values.into_iter().map(sample).collect()
}

fn show(
    session: &Session,
    args: &MetricsArgs,
    snapshot: &Snapshot,
    change: Option<(&Deltas, f64)>,
) -> anyhow::Result<()> {
    let values = visible(snapshot, args.filter.as_deref());
    if let Some(filter) = args.filter.as_deref().filter(|_| values.is_empty()) {
        return Err(Failure::usage(format!("no metric's name contains {filter:?}"))
            .hint("list all with lab metrics")
            .into());
    }
    let rates = change.map(|(deltas, seconds)| {
        deltas.increase.iter().map(|(series, increase)| (series.clone(), increase / seconds)).collect()
    });
    let mut out = session.term.out();
    table(&values, rates.as_ref()).write(&mut out, session.term.width(), session.term.painter())?;
    out.flush()?;
    Ok(())
}

/// Value of each series, summed over the instances. Without a filter, a histogram with a count is visible as sum and count,
/// because its many buckets mean little one by one.
fn visible(snapshot: &Snapshot, filter: Option<&str>) -> BTreeMap<Series, f64> {
    let mut values: BTreeMap<Series, f64> = BTreeMap::new();
    for exposition in snapshot.instances.values() {
        let names: BTreeSet<&str> = exposition.values.keys().map(|series| series.name.as_str()).collect();
        let is_detail = |series: &Series| {
            let base =
                series.name.strip_suffix("_bucket").filter(|_| series.labels.iter().any(|(label, _)| label == "le"));
            base.is_some_and(|base| names.contains(format!("{base}_count").as_str()))
        };
        for (series, value) in &exposition.values {
            if filter.map_or_else(|| !is_detail(series), |text| series.name.contains(text)) {
                *values.entry(series.clone()).or_default() += value;
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(page: &str, filter: Option<&str>) -> Vec<String> {
        let exposition = Exposition::parse(page, None).expect("metrics");
        let snapshot = Snapshot { at: Utc::now(), instances: [("app".to_owned(), exposition)].into() };
        visible(&snapshot, filter).into_keys().map(|series| series.name).collect()
    }

    #[test]
    fn buckets_are_shown_without_a_count() {
        let buckets = "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\n";
        assert_eq!(names(buckets, None), ["h_bucket", "h_bucket"]);
        assert_eq!(names(&format!("{buckets}h_sum 4\nh_count 3\n"), None), ["h_count", "h_sum"]);
        assert_eq!(names(&format!("{buckets}h_count 3\n"), Some("bucket")), ["h_bucket", "h_bucket"]);
        assert_eq!(names("s3_bucket 1\ns3_count 1\n", None), ["s3_bucket", "s3_count"], "no histogram");
        assert!(names(buckets, Some("none")).is_empty());
    }
}

#[cfg(test)]
mod read_tests {
    use super::Results;

    #[test]
    fn one_unreadable_instance_does_not_hide_the_others() {
        let failed = |name: &str| (name.to_owned(), Err(anyhow::anyhow!("refused")));
        let read = Results::collect([failed("a"), ("b".to_owned(), Ok(1)), failed("c")]).unwrap();
        assert_eq!(read.instances.into_iter().collect::<Vec<_>>(), [("b".to_owned(), 1)]);
        let failed_names: Vec<String> = read.failed.iter().map(ToString::to_string).collect();
        assert_eq!(failed_names, ["a", "c"]);
        assert!(Results::<u8>::collect([failed("a")]).is_err());
    }
}
