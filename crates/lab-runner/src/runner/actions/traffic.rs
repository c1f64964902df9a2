//! The `traffic` action: sends requests as one or several callers.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;

use super::ActionResult;
use crate::runner::context::Context;
use crate::runner::error::StepError;
use crate::runner::observation::Observation;
use crate::runner::samples::scrape_during;
use crate::runner::traffic_results::TrafficResults;
use lab_core::API_KEY_HEADER;
use lab_scenario::plan::{CallerLoad, Traffic};
use lab_telemetry::wire::TrafficProgressFn;
use lab_traffic::{Load, Retry, Summary, TrafficProgress};

pub(super) async fn send(context: &Context, traffic: &Traffic, now: &Observation) -> Result<ActionResult, StepError> {
    let loads = loads(traffic, now)?;
    let progress = Progress::new(&context.progress, loads.len());
    // All callers share one start, because their samples are added up.
    let start = context.clock.now();
    let sending = loads.iter().enumerate().map(|(index, (caller, load))| {
        let traffic = context.wire.traffic(load, progress.part(index), &context.stop);
        async move { TrafficResults::new(caller.as_deref(), Summary { start, ..traffic.await }) }
    });
    let (all, counters) = match loads.first() {
        Some((_, load)) => scrape_during(context, now, load, join_all(sending)).await,
        None => (Vec::new(), Vec::new()),
    };
    let mut results = TrafficResults::default();
    for one in &all {
        results.merge(one);
    }
    Ok(ActionResult { traffic: Some(results), counters, ..ActionResult::default() })
}

/// Load of each caller, or of the lab's default caller.
pub(in crate::runner) fn loads(traffic: &Traffic, now: &Observation) -> Result<Vec<(Option<String>, Load)>, StepError> {
    let headers = |caller: Option<&str>| {
        let key = match &traffic.key {
            Some(key) => key.as_str(),
            None => now.key_of(caller)?,
        };
        Ok::<_, StepError>(headers(&traffic.headers, key))
    };
    let url = |path: &str| format!("{}{path}", now.description.endpoints.gateway);
    if traffic.callers.is_empty() {
        let load = Load {
            url: url(&traffic.path),
            method: traffic.method.clone(),
            headers: headers(None)?,
            amount: traffic.amount,
            rate: traffic.rate,
            connections: traffic.connections,
            timeout: traffic.timeout,
            retry: Retry::default(),
        };
        return Ok(vec![(None, load)]);
    }
    let load = |caller: &CallerLoad| {
        let load = Load {
            url: url(&caller.path),
            method: traffic.method.clone(),
            headers: headers(Some(&caller.name))?,
            amount: caller.amount,
            rate: caller.rate,
            connections: caller.connections,
            timeout: caller.timeout,
            retry: caller.retry,
        };
        Ok((Some(caller.name.clone()), load))
    };
    traffic.callers.iter().map(load).collect()
}

/// Headers of a step plus the key. An empty key is not sent.
pub(in crate::runner) fn headers(headers: &[(String, String)], key: &str) -> Vec<(String, String)> {
    let mut all = headers.to_vec();
    if !key.is_empty() {
        all.push((API_KEY_HEADER.to_owned(), key.to_owned()));
    }
    all
}

/// Combines the progress of several callers.
struct Progress {
    whole: TrafficProgressFn,
    parts: Arc<Mutex<Vec<TrafficProgress>>>,
}

impl Progress {
    fn new(whole: &TrafficProgressFn, parts: usize) -> Self {
        let parts = Arc::new(Mutex::new(vec![TrafficProgress::default(); parts]));
        Self { whole: Arc::clone(whole), parts }
    }

    /// Callback for one caller's progress.
    fn part(&self, index: usize) -> TrafficProgressFn {
        let (whole, parts) = (Arc::clone(&self.whole), Arc::clone(&self.parts));
        Arc::new(move |now| {
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts[index] = now;
            let sum = parts.iter().fold(TrafficProgress::default(), |sum, part| TrafficProgress {
                done: sum.done + part.done,
                planned: sum.planned + part.planned,
            });
            drop(parts);
            whole(sum);
        })
    }
}
