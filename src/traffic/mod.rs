//! Sends HTTP requests on a schedule and counts what comes back. [`Load`] says what to send, [`Summary`] is what was
//! seen; a reporter renders it elsewhere.

use std::time::Duration;

mod cause;
mod client;
mod outage;
mod pacer;
mod run;
mod summary;
mod target;
#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use run::run;
pub use summary::Summary;
pub use target::LoadError;

/// What to send, where, and how fast: an open model, in which requests are due on an absolute schedule, whatever the server does.
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

/// Where it stands, while it runs; may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficProgress {
    /// Requests that are over: answered, failed or given up.
    pub done: u64,
    /// Of how many.
    pub planned: u64,
}
