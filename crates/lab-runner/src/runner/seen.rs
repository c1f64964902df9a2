//! [`Seen`]: what traffic saw, by who sent it. Callers send side by side, so the outage's times are kept for each of them;
//! counts and latencies add up.

use std::collections::BTreeMap;

use lab_core::event::{CallerResult, Latency};
use lab_traffic::Summary;

use super::clock::rounded;

/// What one piece of traffic saw: by caller, `None` being the lab's one caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    by_caller: BTreeMap<Option<String>, Summary>,
}

impl Seen {
    /// Of one caller.
    pub(super) fn of(caller: Option<&str>, summary: Summary) -> Self {
        Self { by_caller: BTreeMap::from([(caller.map(str::to_owned), summary)]) }
    }

    /// Adds what was seen before or after, never at the same time by the same caller.
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

    /// Nobody sent anything.
    pub(super) fn is_empty(&self) -> bool {
        self.by_caller.is_empty()
    }

    /// What each caller saw.
    pub(super) fn each(&self) -> impl Iterator<Item = (Option<&str>, &Summary)> {
        self.by_caller.iter().map(|(caller, summary)| (caller.as_deref(), summary))
    }

    /// What one caller saw.
    pub(super) fn caller(&self, name: &str) -> Option<&Summary> {
        self.by_caller.get(&Some(name.to_owned()))
    }

    /// All callers together; none where nobody sends. Its outage's times say nothing, since the callers overlap in time.
    pub(super) fn total(&self) -> Option<Summary> {
        let mut summaries = self.by_caller.values();
        let mut total = summaries.next()?.clone();
        summaries.for_each(|summary| total.merge(summary));
        Some(total)
    }

    /// As events have it: each caller that has a name.
    pub(super) fn results(&self) -> BTreeMap<String, CallerResult> {
        self.each().filter_map(|(caller, summary)| Some((caller?.to_owned(), result(summary)))).collect()
    }
}

/// A summary as events have it.
pub(super) fn result(summary: &Summary) -> CallerResult {
    CallerResult {
        sent: summary.sent,
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
