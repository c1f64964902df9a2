//! `lab metrics`: the app's counters, once or again every second.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::failure::text;
use super::session::{Connected, Session};
use crate::cli::MetricsArgs;
use crate::error::{Exit, Failure};
use crate::metrics::scrape::Page;
use crate::metrics::{Deltas, Exposition, Series, Snapshot, delta, names};
use crate::report::metrics::table;
use crate::wire::NetWire;

/// How often `--watch` looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where the pages are.
enum Source {
    /// A lab's instances, which change.
    Lab(Box<Connected>),
    /// Any page; nothing is expected of it but that it is metrics.
    Url(String),
}

pub(super) async fn run(session: &Session, args: &MetricsArgs) -> anyhow::Result<Exit> {
    let source = match &args.url {
        Some(url) => Source::Url(url.clone()),
        None => Source::Lab(Box::new(session.connect()?)),
    };
    let wire = NetWire::new();
    if args.raw {
        for page in pages(&wire, &source).await?.into_values() {
            let kept = page.body.lines().filter(|line| args.filter.as_deref().is_none_or(|text| line.contains(text)));
            for line in kept {
                session.line(line)?;
            }
        }
        return Ok(Exit::Held);
    }
    let first = snapshot(&wire, &source).await?;
    show(session, args, &first, None)?;
    if !args.watch {
        return Ok(Exit::Held);
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
            Ok(after) => {
                let increase = delta::between(&before, &after, &[]);
                let seconds = at.elapsed().as_secs_f64();
                session.line("")?;
                show(session, args, &after, Some((&increase, seconds)))?;
                (before, at) = (after, Instant::now());
            }
            // An app that is away for a while is what one watches for.
            Err(error) => session.term.note(&text(&error)),
        }
    }
    Ok(Exit::Held)
}

/// Each instance's page.
async fn pages(wire: &NetWire, source: &Source) -> anyhow::Result<BTreeMap<String, Page>> {
    let mut pages = BTreeMap::new();
    match source {
        Source::Url(url) => {
            pages.insert(url.clone(), wire.page(url).await?);
        }
        Source::Lab(connected) => {
            let endpoints = connected.describe().await?.endpoints;
            if endpoints.metrics.is_empty() {
                return Err(Failure::failed("the app does not run, so it shows no metrics")
                    .hint("lab status says why; lab up starts it")
                    .into());
            }
            for endpoint in endpoints.metrics {
                pages.insert(endpoint.instance, wire.page(&endpoint.url).await?);
            }
        }
    }
    Ok(pages)
}

async fn snapshot(wire: &NetWire, source: &Source) -> anyhow::Result<Snapshot> {
    let required: &[&str] = if matches!(source, Source::Lab(_)) { &names::REQUIRED } else { &[] };
    let mut instances = BTreeMap::new();
    for (instance, page) in pages(wire, source).await? {
        instances.insert(instance, Exposition::read(&page, required)?);
    }
    Ok(Snapshot { at: Utc::now(), instances })
}

fn show(
    session: &Session,
    args: &MetricsArgs,
    snapshot: &Snapshot,
    change: Option<(&Deltas, f64)>,
) -> anyhow::Result<()> {
    let wanted = |series: &Series| args.filter.as_deref().is_none_or(|text| series.name.contains(text));
    let mut values: BTreeMap<Series, f64> = BTreeMap::new();
    for exposition in snapshot.instances.values() {
        for (series, value) in &exposition.values {
            // The buckets of a histogram are many, and say little one by one.
            if wanted(series) && (args.filter.is_some() || !series.name.ends_with("_bucket")) {
                *values.entry(series.clone()).or_default() += value;
            }
        }
    }
    if values.is_empty() {
        let text = args.filter.as_deref().unwrap_or_default();
        return Err(Failure::usage(format!("no metric's name contains {text:?}")).hint("lab metrics shows all").into());
    }
    let rates = change.map(|(deltas, seconds)| {
        deltas.increase.iter().map(|(series, increase)| (series.clone(), increase / seconds)).collect()
    });
    let mut out = session.term.out();
    table(&values, rates.as_ref()).write(&mut out, session.term.width(), session.term.painter())?;
    out.flush()?;
    Ok(())
}
