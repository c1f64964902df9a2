//! Description of the traffic to send: [`Job`] in full, [`Load`] in the simple form that a scenario step needs.

use std::time::Duration;

use super::Retry;

/// One kind of request by one caller at a constant rate. It uses the open model: requests are due on an absolute schedule,
/// independent of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// `http://host:port/path`.
    pub url: String,
    /// HTTP method, such as `GET`.
    pub method: String,
    /// Headers of each request, including `X-API-Key`. `Host` and `User-Agent` have defaults.
    pub headers: Vec<(String, String)>,
    /// Number of requests, or time in which they are due.
    pub amount: Amount,
    /// Requests per second, above 0.
    pub rate: f64,
    /// Number of connections, each with at most one request in flight. Retries use connections of their own.
    pub connections: u32,
    /// Time limit for connecting and receiving the complete response, for each attempt. A request that cannot be started within this time
    /// after it was due is not sent, but counted in [`Summary::unsent`](super::Summary::unsent).
    pub timeout: Duration,
    /// Further attempts of failed requests.
    pub retry: Retry,
}

/// Amount of traffic to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// This many requests.
    Requests(u64),
    /// The requests that are due within this time.
    Duration(Duration),
}

/// Requests of several kinds by several callers, either on a schedule or as fast as the server responds.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Request specifications, at least one. Each caller cycles through them.
    pub requests: Vec<RequestSpec>,
    /// At least one caller.
    pub callers: Vec<Caller>,
    /// Load model, with the schedule of the open model.
    pub pace: Pace,
    /// Excludes the requests of the warm-up.
    pub amount: Amount,
    /// Duration of the warm-up, whose requests are sent at the first rate and not counted.
    pub warmup: Duration,
    /// Number of connections, each with at most one request in flight. In the open model, retries use connections of their
    /// own, so that they do not delay the requests that are due meanwhile.
    pub connections: u32,
    /// Reuses connections for more than one request.
    pub keepalive: bool,
    /// Time limit for connecting, in addition to [`Job::timeout`].
    pub connect_timeout: Duration,
    /// Time limit for connecting and receiving the complete response, for each attempt. In the open model also the longest delay between the
    /// due time of a request and its start.
    pub timeout: Duration,
}

/// Load model.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// Open model: requests are due on a schedule, independent of the server. Latency is measured from the due time.
    Open {
        /// At least one stage. The final rate of the last stage continues until the amount is reached.
        stages: Vec<Stage>,
        /// Distribution of the requests within the stages.
        arrivals: Arrivals,
    },
    /// Closed model: each connection sends its next request after the response to the previous one, so a stalled server slows
    /// the sender down. Latency is measured from the start of the request.
    Closed,
}

/// A period with a constant rate, or with a linear ramp from one rate to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Time from the start to the end of the stage.
    pub length: Duration,
    /// Requests per second at the start.
    pub from: f64,
    /// Requests per second at the end.
    pub to: f64,
}

impl Stage {
    /// A constant rate until the amount is reached.
    pub fn steady(rate: f64) -> Self {
        Self { length: Duration::ZERO, from: rate, to: rate }
    }
}

/// Distribution of requests in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Equal intervals.
    Even,
    /// A Poisson process, which models independent callers. The same seed gives the same arrivals.
    Poisson {
        /// Seed of the random intervals.
        seed: u64,
    },
}

/// Specification of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSpec {
    /// `http://host:port/path`.
    pub url: String,
    /// HTTP method, such as `GET`.
    pub method: String,
    /// `Host` and `User-Agent` have defaults.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
}

/// A sender of requests, with its own headers.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Display name in reports.
    pub name: String,
    /// Added to the headers of each request.
    pub headers: Vec<(String, String)>,
    /// Fraction of all requests, above 0. The shares of all callers add up to 1.
    pub share: f64,
    /// Index of the only request specification that it sends. `None`: all of them in turn.
    pub request: Option<usize>,
    /// Replaces [`Job::timeout`].
    pub timeout: Option<Duration>,
    /// Further attempts of failed requests.
    pub retry: Retry,
}

impl Caller {
    /// A caller that sends all requests without retries. `share` is its fraction of them.
    pub fn new(name: &str, headers: Vec<(String, String)>, share: f64) -> Self {
        Self { name: name.to_owned(), headers, share, request: None, timeout: None, retry: Retry::default() }
    }
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
            callers: vec![Caller { retry: load.retry, ..Caller::new("", Vec::new(), 1.0) }],
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
