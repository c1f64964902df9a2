//! What is told while traffic runs ([`Update`]) and after it ([`Outcome`]).

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Cause, Summary};

/// Told while it runs; may be lost.
#[derive(Clone, Debug)]
pub enum Update<'a> {
    /// About ten times a second, from the end of the warm-up on.
    Progress(TrafficProgress),
    /// What happened in one second, or in what was left of the last.
    Interval(&'a Interval),
}

/// Where it stands, while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficProgress {
    /// Requests that are over: answered, failed or given up.
    pub done: u64,
    /// Of how many; 0 where that is not known.
    pub planned: u64,
}

/// What ended within a piece of the run.
#[derive(Clone, Debug)]
pub struct Interval {
    /// When it begins, from the end of the warm-up.
    pub start: Duration,
    /// How long it is.
    pub length: Duration,
    /// Requests that were over in it.
    pub sent: u64,
    /// Requests that were given up in it since they could not be started in time.
    pub unsent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a whole response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Microseconds, of the responses.
    pub latency: Histogram<u64>,
}

/// All that was seen.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of all callers together. In the closed model its times of failures are unknown, and none.
    pub summary: Summary,
    /// Of each caller, in the order of the job.
    pub callers: Vec<CallerOutcome>,
    /// Microseconds of latency, by status code.
    pub by_code: BTreeMap<u16, Histogram<u64>>,
    /// Microseconds from when a request was due to when it was started; empty in the closed model.
    pub delay: Histogram<u64>,
    /// Bytes that came, heads included.
    pub received: u64,
    /// Requests that were sent again, since the server had closed the idle connection that they were sent on. Each is one
    /// request in all other counts.
    pub resent: u64,
}

/// What one caller saw.
#[derive(Clone, Debug)]
pub struct CallerOutcome {
    /// Its name.
    pub name: String,
    /// Requests that were started.
    pub sent: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a whole response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Microseconds, of the responses.
    pub latency: Histogram<u64>,
}
