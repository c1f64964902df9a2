//! Sends HTTP requests on a schedule and counts what comes back. [`Load`] says what to send, [`Summary`] is what was
//! seen; a reporter renders it elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hdrhistogram::Histogram;

/// What to send, where, and how fast: an open model, in which requests are due on an absolute schedule, whatever the server does.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// `http://host:port/path`.
    pub url: String,
    /// `GET`, ….
    pub method: String,
    /// Sent with each request, `X-API-Key` included.
    pub headers: Vec<(String, String)>,
    /// When to stop.
    pub amount: Amount,
    /// Requests a second, above 0.
    pub rate: f64,
    /// How many connections, each with one request in flight at a time.
    pub connections: u32,
    /// How long to wait for a connection and for a whole response. A request that cannot be started within this time
    /// after it was due is not sent, and counted in [`Summary::unsent`].
    pub timeout: Duration,
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// After this many requests.
    Requests(u64),
    /// After this time: the requests that are due before it.
    Duration(Duration),
}

/// What was seen. Offsets are from the first request's scheduled start.
#[derive(Clone, Debug)]
pub struct Summary {
    /// When the first request was due.
    pub start: DateTime<Utc>,
    /// From the first request's scheduled start to the last response's end.
    pub duration: Duration,
    /// Requests that were started.
    pub sent: u64,
    /// Requests that were due and could not be started in time.
    pub unsent: u64,
    /// Responses by status code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests that were started and got no whole response, by cause.
    pub errors: BTreeMap<Cause, u64>,
    /// Microseconds from a request's scheduled start to the end of its response, of those that got one.
    pub latency: Histogram<u64>,
    /// When the first failed request (not 2xx, or no response) started.
    pub first_failure: Option<Duration>,
    /// When the last failed request started.
    pub last_failure: Option<Duration>,
    /// When the first successful request after the last failure started; the first of all where none failed.
    pub lasting_success: Option<Duration>,
    /// Whether it was cut short by cancellation.
    pub interrupted: bool,
}

impl Summary {
    /// Nothing sent yet.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self {
            start,
            duration: Duration::ZERO,
            sent: 0,
            unsent: 0,
            codes: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency: Histogram::new(3).expect("three digits are within the 0 to 5 that it takes"),
            first_failure: None,
            last_failure: None,
            lasting_success: None,
            interrupted: false,
        }
    }

    /// The latency in milliseconds that so many percent of the responses (0 to 100) did not exceed.
    #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 microseconds")]
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        let value = self.latency.value_at_quantile(percent / 100.0).min(self.latency.max());
        (!self.latency.is_empty()).then(|| value as f64 / 1000.0)
    }

    /// The longest latency in milliseconds.
    pub fn max_ms(&self) -> Option<f64> {
        self.percentile_ms(100.0)
    }

    /// Adds another run's, as if both were one.
    pub fn merge(&mut self, other: &Self) {
        let by = (other.start - self.start).to_std().unwrap_or_default();
        let shifted = |at: Option<Duration>| at.map(|at| at + by);
        self.duration = self.duration.max(other.duration + by);
        self.sent += other.sent;
        self.unsent += other.unsent;
        for (code, count) in &other.codes {
            *self.codes.entry(*code).or_default() += count;
        }
        for (cause, count) in &other.errors {
            *self.errors.entry(*cause).or_default() += count;
        }
        self.latency.auto(true);
        self.latency.add(&other.latency).expect("a histogram that resizes itself takes every value");
        self.first_failure = self.first_failure.or(shifted(other.first_failure));
        if other.last_failure.is_some() {
            self.last_failure = shifted(other.last_failure);
            self.lasting_success = shifted(other.lasting_success);
        } else {
            self.lasting_success = self.lasting_success.or(shifted(other.lasting_success));
        }
        self.interrupted |= other.interrupted;
    }

    /// Not 2xx, and transport errors.
    pub fn failed(&self) -> u64 {
        let codes: u64 =
            self.codes.iter().filter(|(code, _)| !(200..300).contains(*code)).map(|(_, count)| count).sum();
        codes + self.errors.values().sum::<u64>()
    }
}

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody listens there.
    Refused,
    /// The connection was closed or reset before the response was whole.
    Reset,
    /// No connection, or no whole response, in time.
    Timeout,
    /// The host's name has no address.
    Dns,
    /// What came back is not HTTP.
    Protocol,
    /// Anything else: no route, no file descriptors left.
    Other,
}

impl Cause {
    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }
}

/// Where it stands, while it runs; may be lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrafficProgress {
    /// Requests that are over: answered, failed or given up.
    pub done: u64,
    /// Of how many.
    pub planned: u64,
}
