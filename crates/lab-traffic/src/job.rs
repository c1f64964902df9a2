//! What to send, where, and how fast: [`Job`], all of it, and [`Load`], the part that a scenario's step needs.

use std::time::Duration;

/// One kind of request by one caller on an even schedule: an open model, in which requests are due on an absolute schedule,
/// whatever the server does.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// `http://host:port/path`.
    pub url: String,
    /// `GET`, ….
    pub method: String,
    /// Sent with each request, `X-API-Key` included. `Host` and `User-Agent` are set unless they stand here.
    pub headers: Vec<(String, String)>,
    /// When to stop.
    pub amount: Amount,
    /// Requests a second, above 0.
    pub rate: f64,
    /// How many connections, each with one request in flight at a time.
    pub connections: u32,
    /// How long to wait for a connection and for a whole response. A request that cannot be started within this time
    /// after it was due is not sent, and counted in [`Summary::unsent`](super::Summary::unsent).
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

/// Requests of several kinds by several callers, on a schedule or as fast as they are answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What is sent, each caller sending one after the other. At least one.
    pub requests: Vec<RequestSpec>,
    /// Who sends, at least one.
    pub callers: Vec<Caller>,
    /// How fast.
    pub pace: Pace,
    /// When to stop; requests during the warm-up are not counted.
    pub amount: Amount,
    /// For how long requests are sent before any is counted, at the first rate.
    pub warmup: Duration,
    /// How many connections, each with one request in flight at a time.
    pub connections: u32,
    /// Whether a connection is used for more than one request.
    pub keepalive: bool,
    /// How long to wait for a connection; [`Job::timeout`] counts as well.
    pub connect_timeout: Duration,
    /// How long to wait for a connection and for a whole response, together; in the open model also how long after it was
    /// due a request may start.
    pub timeout: Duration,
}

/// How fast requests are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// The open model: requests are due on a schedule, whatever the server does. Latency counts from when they were due.
    Open {
        /// The rate as it changes; after the last stage its final rate goes on until the amount is reached. At least one.
        stages: Vec<Stage>,
        /// How requests are spread.
        arrivals: Arrivals,
    },
    /// The closed model: each connection sends its next request when it has the answer to the last. Latency counts from
    /// when they were sent, so that a server that stalls slows the sender down.
    Closed,
}

/// A rate for a while: steady, or going evenly from one to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// For how long.
    pub length: Duration,
    /// Requests a second at its beginning.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
}

impl Stage {
    /// One rate for as long as it takes.
    pub fn steady(rate: f64) -> Self {
        Self { length: Duration::ZERO, from: rate, to: rate }
    }
}

/// How requests are spread in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// At equal distances.
    Even,
    /// As independent callers come: a Poisson process, the same one for the same seed.
    Poisson {
        /// Any number.
        seed: u64,
    },
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSpec {
    /// `http://host:port/path`.
    pub url: String,
    /// `GET`, ….
    pub method: String,
    /// Sent with it. `Host` and `User-Agent` are set unless they stand here.
    pub headers: Vec<(String, String)>,
    /// What follows the head; empty for none.
    pub body: Vec<u8>,
}

/// Who sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// As it stands in reports.
    pub name: String,
    /// Sent with each of its requests, beside the request's own.
    pub headers: Vec<(String, String)>,
    /// Its part of all requests, above 0; those of all callers add up to 1.
    pub share: f64,
}

impl From<&Load> for Job {
    fn from(load: &Load) -> Self {
        let request = RequestSpec {
            url: load.url.clone(),
            method: load.method.clone(),
            headers: load.headers.clone(),
            body: Vec::new(),
        };
        Self {
            requests: vec![request],
            callers: vec![Caller { name: String::new(), headers: Vec::new(), share: 1.0 }],
            pace: Pace::Open { stages: vec![Stage::steady(load.rate)], arrivals: Arrivals::Even },
            amount: load.amount,
            warmup: Duration::ZERO,
            connections: load.connections,
            keepalive: true,
            connect_timeout: load.timeout,
            timeout: load.timeout,
        }
    }
}
