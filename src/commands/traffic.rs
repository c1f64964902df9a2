//! `lab traffic`: sends requests to a lab, or to any http address, and shows what comes back.

use std::sync::Arc;

use super::session::Session;
use super::signals;
use crate::cli::TrafficArgs;
use crate::error::{Exit, Failure};
use crate::report::traffic::{TrafficReport, write_json, write_table};
use crate::runner::Signal;
use crate::scenario::value;
use crate::term::Plain;
use crate::traffic::{Amount, Load};
use crate::wire::{NetWire, Wire};

/// How many requests are sent where nothing is said.
const DEFAULT_REQUESTS: u64 = 40;
/// The header that carries the key.
const KEY_HEADER: &str = "X-API-Key";

pub(super) async fn run(session: &Session, args: &TrafficArgs) -> anyhow::Result<Exit> {
    let load = load(session, args).await?;
    load.validate().map_err(|error| Failure::usage(error.to_string()))?;
    let interrupt = signals::install()?;
    let live = session.term.live("traffic", Plain::Silent);
    let progress = live.clone();
    let progress = Arc::new(move |now: crate::traffic::TrafficProgress| progress.progress(now.done, now.planned));
    let summary = NetWire::new().traffic(&load, progress, interrupt.stop()).await;
    live.clear();
    let report = TrafficReport::new(&load, &summary);
    let mut out = session.term.out();
    if args.json {
        write_json(&mut out, &report)?;
    } else {
        write_table(&mut out, &report, session.term.width(), session.term.painter())?;
    }
    Ok(match interrupt.signal() {
        Some(signal) => Signal::exit(signal),
        None if summary.codes.is_empty() => Exit::Failed,
        None => Exit::Held,
    })
}

/// What to send: to the address given, or through the gateway of the lab with its caller's key.
async fn load(session: &Session, args: &TrafficArgs) -> anyhow::Result<Load> {
    let usage = |option: &'static str| move |error: String| Failure::usage(format!("--{option}: {error}"));
    let amount = match (&args.requests, &args.duration) {
        (_, Some(duration)) => Amount::Duration(value::duration(duration).map_err(usage("duration"))?),
        (Some(requests), None) => Amount::Requests(value::requests(requests).map_err(usage("requests"))?),
        (None, None) => Amount::Requests(DEFAULT_REQUESTS),
    };
    let mut headers = Vec::new();
    for header in &args.headers {
        let split = header.split_once(':').ok_or_else(|| format!("{header:?} has no colon: write 'Name: value'"));
        let (name, text) = split.map_err(usage("header"))?;
        let name = value::header_name(name.trim()).map_err(usage("header"))?;
        headers.push((name, value::header_value(text).map_err(usage("header"))?));
    }
    let mut key = args.key.clone();
    if let Some(key) = &key {
        value::check_key(key).map_err(usage("key"))?;
    }
    let rate = value::rate(&args.rate).map_err(usage("rate"))?;
    let connections = value::connections(&args.connections).map_err(usage("connections"))?;
    let timeout = value::timeout(&args.timeout).map_err(usage("timeout"))?;
    let method = value::method(&args.method).map_err(usage("method"))?;
    let url = if let Some(url) = &args.url {
        url.clone()
    } else {
        let path = value::path(&args.path).map_err(usage("path"))?;
        let connected = session.connect()?;
        key = key.or(Some(connected.record.caller_key.clone()));
        format!("{}{path}", connected.describe().await?.endpoints.gateway)
    };
    headers.extend(key.map(|key| (KEY_HEADER.to_owned(), key)));
    Ok(Load { url, method, headers, amount, rate, connections, timeout })
}
