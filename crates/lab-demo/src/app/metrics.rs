//! Metrics of the app, exposed in the Prometheus text format 0.0.4. All predictable series start at 0, so that rates are correct
//! from the first request on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use super::auth::{Auth, KeyName, Rejection};

/// Content type of the metrics page.
pub(super) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Status codes that the app returns.
const CODES: [u16; 7] = [200, 401, 403, 404, 405, 429, 503];

/// Buckets in seconds, from in-memory responses to beyond the database timeout.
const BUCKETS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// Metrics of the app. Only requests under `/api/` are counted.
pub(super) struct Metrics {
    registry: Registry,
    requests: IntCounter,
    auth_success: IntCounter,
    auth_failures: IntCounter,
    // Resolved once, because looking up a label takes a lock and a hash.
    key_uses: [IntCounter; KeyName::ALL.len()],
    rejections: [IntCounter; Rejection::ALL.len()],
    by_code: [(u16, IntCounter); CODES.len()],
    responses: IntCounterVec,
    duration: Histogram,
    in_flight: IntGauge,
    pub(super) pool: PoolMetrics,
}

/// Metrics of the database connection pool.
#[derive(Clone)]
pub(super) struct PoolMetrics {
    /// Maximum number of connections.
    pub(super) size: IntGauge,
    /// Connections in use.
    pub(super) in_use: IntGauge,
    /// Requests that got no connection in time.
    pub(super) timeouts: IntCounter,
}

impl Metrics {
    /// Registers all metrics, with the settings of the authentication.
    pub(super) fn new(auth: &Auth) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| add(&registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| add(&registry, IntGauge::new(name, help));
        let counters =
            |name: &str, help: &str, label: &str| add(&registry, IntCounterVec::new(Opts::new(name, help), &[label]));
        let responses = counters("app_http_responses_total", "Responses to requests under /api/, by code.", "code")?;
        let key_uses = counters("app_auth_key_uses_total", "Requests whose key was accepted, by key.", "key")?;
        let rejections =
            counters("app_auth_rejections_total", "Requests whose key was not accepted, by reason.", "reason")?;
        let opts = HistogramOpts::new("app_http_request_duration_seconds", "Time to answer a request under /api/.");
        let start = Gauge::new("process_start_time_seconds", "Start time of the process since the epoch, in seconds.");
        add(&registry, start)?.set(now_to_the_millisecond());
        add_expiries(&registry, auth.expiries())?;
        let required = gauge("app_client_required", "Set to 1 if the gateway must authenticate itself.")?;
        required.set(auth.client.is_some().into());
        Ok(Self {
            requests: counter("app_requests_total", "Requests under /api/.")?,
            auth_success: counter("app_auth_success_total", "Requests whose key was accepted.")?,
            auth_failures: counter("app_auth_failures_total", "Requests whose key was not accepted.")?,
            key_uses: KeyName::ALL.map(|key| key_uses.with_label_values(&[key.name()])),
            rejections: Rejection::ALL.map(|rejection| rejections.with_label_values(&[rejection.name()])),
            by_code: CODES.map(|code| (code, responses.with_label_values(&[code.to_string()]))),
            responses,
            duration: add(&registry, Histogram::with_opts(opts.buckets(BUCKETS.to_vec())))?,
            in_flight: gauge("app_http_requests_in_flight", "Requests under /api/ that are being answered.")?,
            pool: PoolMetrics {
                size: gauge("app_db_pool_size", "Connections to the database that there may be.")?,
                in_use: gauge("app_db_pool_in_use", "Connections to the database that are in use.")?,
                timeouts: counter("app_db_pool_timeouts_total", "Requests for which no connection was free in time.")?,
            },
            registry,
        })
    }

    /// Counts a request with the outcome of its authentication.
    pub(super) fn request(&self, auth: Result<KeyName, Rejection>) {
        self.requests.inc();
        match auth {
            Ok(key) => {
                self.auth_success.inc();
                self.key_uses[key as usize].inc();
            }
            Err(rejection) => {
                self.auth_failures.inc();
                self.rejections[rejection as usize].inc();
            }
        }
    }

    /// Counts a response.
    pub(super) fn response(&self, status: StatusCode, took: Duration) {
        let code = status.as_u16();
        match self.by_code.iter().find(|(known, _)| *known == code) {
            Some((_, counter)) => counter.inc(),
            None => self.responses.with_label_values(&[status.as_str()]).inc(),
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a request as in flight until the guard is dropped, whether it was answered or abandoned. A redeploy waits until
    /// none is in flight.
    pub(super) fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight)
    }

    /// Renders the metrics page.
    pub(super) fn exposition(&self) -> prometheus::Result<Vec<u8>> {
        let mut page = Vec::with_capacity(4096);
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }
}

/// Guard that increments a gauge until it is dropped.
pub(super) struct GaugeGuard(IntGauge);

impl GaugeGuard {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> prometheus::Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone())).map(|()| metric)
}

/// Exports the expiry times of the keys that expire, for alerts before the expiry.
fn add_expiries(registry: &Registry, expiries: impl Iterator<Item = (KeyName, SystemTime)>) -> prometheus::Result<()> {
    let opts = Opts::new("app_api_key_expiry_timestamp_seconds", "When a key ends, in seconds since the epoch.");
    let expiry = add(registry, GaugeVec::new(opts, &["key"]))?;
    for (key, end) in expiries {
        let since = end.duration_since(UNIX_EPOCH).unwrap_or_default();
        expiry.with_label_values(&[key.name()]).set(since.as_secs_f64());
    }
    Ok(())
}

/// Current time in seconds. The milliseconds distinguish two instances that start within the same second.
fn now_to_the_millisecond() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000).as_secs_f64()
}
