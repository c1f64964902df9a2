//! Traffic results by caller. Callers overlap in time, so outage times are kept per caller; counts and latencies add
//! up.

use std::collections::BTreeMap;

use lab_core::event::{CallerResult, Latency};
use lab_traffic::Summary;

use super::clock::rounded;

/// Traffic results by caller. `None` is the lab's default caller.
#[derive(Clone, Debug, Default)]
pub(super) struct TrafficResults {
    by_caller: BTreeMap<Option<String>, Summary>,
}

impl TrafficResults {
    /// Results of one caller.
    pub(super) fn new(caller: Option<&str>, summary: Summary) -> Self {
        Self { by_caller: BTreeMap::from([(caller.map(str::to_owned), summary)]) }
    }

    /// Adds earlier or later results. Results of the same caller must not overlap in time.
    pub(super) fn merge(&mut self, other: &Self) {
        for (caller, summary) in &other.by_caller {
            match self.by_caller.get_mut(caller) {
                Some(known) => known.merge(summary),
                None => {
                    self.by_caller.insert(caller.clone(), summary.clone());
                }
            }
        }
    }

    /// Returns whether nothing was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.by_caller.is_empty()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (Option<&str>, &Summary)> {
        self.by_caller.iter().map(|(caller, summary)| (caller.as_deref(), summary))
    }

    pub(super) fn caller(&self, name: &str) -> Option<&Summary> {
        self.by_caller.get(&Some(name.to_owned()))
    }

    /// Totals over all callers, `None` if there are none. The outage times are meaningless, because callers overlap in
    /// time.
    pub(super) fn total(&self) -> Option<Summary> {
        let mut summaries = self.by_caller.values();
        let mut total = summaries.next()?.clone();
        summaries.for_each(|summary| total.merge(summary));
        Some(total)
    }

    /// Results of each named caller, as in events.
    pub(super) fn results(&self) -> BTreeMap<String, CallerResult> {
        self.each().filter_map(|(caller, summary)| Some((caller?.to_owned(), result(summary)))).collect()
    }
}

/// Converts a summary to its event form.
pub(super) fn result(summary: &Summary) -> CallerResult {
    CallerResult {
        sent: summary.sent,
        attempts: Some(summary.attempts).filter(|attempts| *attempts > summary.sent),
        unsent: summary.unsent,
        failed_requests: summary.failed(),
        codes: summary.codes.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
        errors: summary.errors.iter().map(|(cause, count)| (cause.name().to_owned(), *count)).collect(),
        latency_ms: latency(summary),
    }
}

fn latency(summary: &Summary) -> Option<Latency> {
    let at = |percent| summary.percentile_ms(percent).map(rounded);
    Some(Latency { p50: at(50.0)?, p90: at(90.0)?, p99: at(99.0)?, max: rounded(summary.max_ms()?) })
}
