//! [`Metrics`]: what the app counts, and its page in the text format 0.0.4. Every series that can be foreseen is there
//! from the start with 0, so that its increase is known from the first request on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use super::auth::Rejection;

/// The type of the page.
pub(super) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The codes that the app answers with.
const CODES: [u16; 5] = [200, 401, 404, 405, 503];

/// From what a request takes in memory to beyond the database's timeout, in seconds.
const BUCKETS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// The app's counters. Only requests under `/api/` are counted anywhere.
pub(super) struct Metrics {
    registry: Registry,
    requests: IntCounter,
    auth_success: IntCounter,
    auth_failures: IntCounter,
    missing: IntCounter,
    invalid: IntCounter,
    responses: IntCounterVec,
    /// `responses`, by the codes that are known: looking a label up costs a lock and a hash.
    by_code: [(u16, IntCounter); CODES.len()],
    duration: Histogram,
    in_flight: IntGauge,
}

impl Metrics {
    /// All zero.
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone())).map(|()| counters)
        };
        let requests = counter("app_requests_total", "Requests under /api/.")?;
        let auth_success = counter("app_auth_success_total", "Requests whose key was accepted.")?;
        let auth_failures = counter("app_auth_failures_total", "Requests whose key was not accepted.")?;
        let responses = counters("app_http_responses_total", "Responses to requests under /api/, by code.", "code")?;
        let rejections =
            counters("app_auth_rejections_total", "Requests whose key was not accepted, by reason.", "reason")?;
        let opts = HistogramOpts::new("app_http_request_duration_seconds", "Time to answer a request under /api/.");
        let duration = Histogram::with_opts(opts.buckets(BUCKETS.to_vec()))?;
        registry.register(Box::new(duration.clone()))?;
        let in_flight = IntGauge::new("app_http_requests_in_flight", "Requests under /api/ that are being answered.")?;
        registry.register(Box::new(in_flight.clone()))?;
        let start = Gauge::new("process_start_time_seconds", "Start time of the process since the epoch, in seconds.")?;
        start.set(now_to_the_millisecond());
        registry.register(Box::new(start))?;
        let by_code = CODES.map(|code| (code, responses.with_label_values(&[code.to_string()])));
        let missing = rejections.with_label_values(&["missing"]);
        let invalid = rejections.with_label_values(&["invalid"]);
        Ok(Self {
            registry,
            requests,
            auth_success,
            auth_failures,
            missing,
            invalid,
            responses,
            by_code,
            duration,
            in_flight,
        })
    }

    /// A request came, and its key was looked at.
    pub(super) fn request(&self, auth: Result<(), Rejection>) {
        self.requests.inc();
        match auth {
            Ok(()) => self.auth_success.inc(),
            Err(rejection) => {
                self.auth_failures.inc();
                match rejection {
                    Rejection::Missing => self.missing.inc(),
                    Rejection::Invalid => self.invalid.inc(),
                }
            }
        }
    }

    /// It was answered.
    pub(super) fn response(&self, status: StatusCode, took: Duration) {
        let code = status.as_u16();
        match self.by_code.iter().find(|(known, _)| *known == code) {
            Some((_, counter)) => counter.inc(),
            None => self.responses.with_label_values(&[status.as_str()]).inc(),
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a request as being answered until it is dropped: answered, or left by its caller. Whoever redeploys the app
    /// waits until there is none.
    pub(super) fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// The page.
    pub(super) fn exposition(&self) -> prometheus::Result<Vec<u8>> {
        let mut page = Vec::with_capacity(4096);
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }
}

/// A request that is being answered.
pub(super) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Milliseconds tell two instances apart that were started within one second.
fn now_to_the_millisecond() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000).as_secs_f64()
}
