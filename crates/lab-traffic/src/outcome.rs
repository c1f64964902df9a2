//! Results of traffic: [`Update`] while it runs, [`Outcome`] at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::summary::failures;
use super::{Cause, Summary};

/// Report on running traffic.
#[derive(Clone, Debug)]
pub enum Update<'a> {
    /// About ten times a second, from the end of the warm-up on.
    Progress(TrafficProgress),
    /// Results of one interval. The last one may be shorter.
    Interval(&'a Interval),
}

/// Progress of running traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficProgress {
    /// Requests that were answered, failed or given up.
    pub done: u64,
    /// Total number of requests, 0 if unknown.
    pub planned: u64,
}

/// Results of the requests that ended within an interval.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Offset from the end of the warm-up.
    pub start: Duration,
    /// Duration of the interval. The last one may be shorter than the others.
    pub length: Duration,
    /// Requests that ended in the interval.
    pub sent: u64,
    /// Requests given up in the interval because they could not be started in time.
    pub unsent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a complete response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Latency of the responses in microseconds.
    pub latency: Histogram<u64>,
    /// Counts by caller, in the order of the job.
    pub callers: Vec<CallerCounts>,
}

/// Counts of one caller within an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerCounts {
    /// Attempts of the requests that ended, with their retries.
    pub attempts: u64,
    /// Requests that could not be started in time.
    pub unsent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a complete response, by cause.
    pub errors: BTreeMap<Cause, u64>,
}

/// Final result of traffic.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Totals of all callers. The failure times are `None` in the closed model.
    pub summary: Summary,
    /// Results by caller, in the order of the job.
    pub callers: Vec<CallerOutcome>,
    /// Microseconds of latency, by status code.
    pub by_code: BTreeMap<u16, Histogram<u64>>,
    /// Microseconds between the due time and the start of a request. Empty in the closed model.
    pub delay: Histogram<u64>,
    /// Bytes received, including response heads.
    pub received: u64,
    /// Requests that were sent again because the server had closed their idle connection. All other counts count them once.
    pub resent: u64,
    /// One response body for each status code.
    pub samples: BTreeMap<u16, BodySample>,
}

/// Start of a response body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodySample {
    /// At most [`BodySample::LIMIT`] bytes.
    pub bytes: Vec<u8>,
    /// The body is longer.
    pub truncated: bool,
}

impl BodySample {
    /// Maximum size in bytes.
    pub const LIMIT: usize = 1 << 10;

    /// Appends bytes up to the limit.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = Self::LIMIT - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.truncated |= bytes.len() > room;
    }
}

/// Results of one caller.
#[derive(Clone, Debug)]
pub struct CallerOutcome {
    /// Name of the caller in the job.
    pub name: String,
    /// Requests that were started.
    pub sent: u64,
    /// Attempts of these requests. More than `sent` if some were retried.
    pub attempts: u64,
    /// Requests that could not be started in time.
    pub unsent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests without a complete response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Latency of the responses in microseconds.
    pub latency: Histogram<u64>,
}

impl CallerOutcome {
    /// Number of failed requests, as in [`Summary::failed`].
    pub fn failed(&self) -> u64 {
        failures(&self.codes, &self.errors)
    }
}
