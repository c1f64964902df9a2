//! The edge's metrics, and the server of their page.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use tokio::net::TcpListener;

use crate::service::log::Log;
use crate::service::serve::{self, Limits};
use crate::service::stop::Stop;
use lab_server::inbound::InboundBody;

/// Path of the metrics page.
pub(crate) const PATH: &str = "/metrics";
/// Path of the app's health check. lab itself requests it through the gateway, so it is not counted.
const HEALTH_PATH: &str = "/health";

/// Status codes whose counters start at 0, so that their rates are correct from the first response on. 499, as in nginx, counts
/// clients that disconnected before the response.
const CODES: [u16; 10] = [200, 400, 401, 403, 404, 429, 499, 502, 503, 504];

/// Buckets in seconds, from responses of the app without a database to the gateway's timeouts.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const LIMITS: Limits = Limits { header_size: 16 << 10, header_timeout: Duration::from_secs(75) };

/// Metrics of the edge.
pub(crate) struct Metrics {
    registry: Registry,
    // Resolved once, because looking up a label takes a lock and a hash.
    by_code: [(u16, IntCounter); CODES.len()],
    requests: IntCounterVec,
    duration: Histogram,
}

impl Metrics {
    /// Registers all metrics.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let opts =
            Opts::new("gateway_requests_total", "Requests of callers at the gateway, by the code of the response.");
        let requests = add(&registry, IntCounterVec::new(opts, &["code"]))?;
        let opts = HistogramOpts::new(
            "gateway_request_duration_seconds",
            "Time from a caller's request to the end of the response, at the gateway.",
        );
        let duration = add(&registry, Histogram::with_opts(opts.buckets(BUCKETS.to_vec())))?;
        let start = Gauge::new("process_start_time_seconds", "Start time of the process since the epoch, in seconds.");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        add(&registry, start)?.set(now.as_secs_f64());
        let by_code = CODES.map(|code| (code, requests.with_label_values(&[code.to_string()])));
        Ok(Self { registry, by_code, requests, duration })
    }

    /// Adds the metric that shows if the gateway answers, for an exporter apart from it. A gateway that counts itself has none:
    /// its page does not answer while it is down.
    pub(super) fn gateway_up(&self) -> prometheus::Result<IntGauge> {
        add(&self.registry, IntGauge::new("gateway_up", "1 if the gateway answers HTTP requests, otherwise 0."))
    }

    /// Counts a response. Health checks are not requests of callers.
    pub(crate) fn record(&self, path: &str, status: u16, took: Duration) {
        if path != HEALTH_PATH {
            self.count(status, took);
        }
    }

    /// Counts a response.
    pub(super) fn count(&self, status: u16, took: Duration) {
        match self.by_code.iter().find(|(known, _)| *known == status) {
            Some((_, counter)) => counter.inc(),
            None => self.requests.with_label_values(&[status.to_string()]).inc(),
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Renders the metrics page.
    fn exposition(&self) -> prometheus::Result<Vec<u8>> {
        let mut page = Vec::with_capacity(4096);
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }

    fn answer(&self, request: &Request<InboundBody>) -> Response<Full<Bytes>> {
        let (status, kind, body) = match self.exposition() {
            _ if request.uri().path() != PATH => (StatusCode::NOT_FOUND, "text/plain", b"not found\n".to_vec()),
            _ if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, "text/plain", b"method not allowed\n".to_vec())
            }
            Ok(page) => (StatusCode::OK, prometheus::TEXT_FORMAT, page),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", b"internal error\n".to_vec()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// Serves the metrics page until `stop`.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, stop: Stop, log: Log) {
    serve::serve(listener, LIMITS, &stop, &log, |_: SocketAddr| {
        let metrics = Arc::clone(&metrics);
        service_fn(move |request| std::future::ready(Ok::<_, Infallible>(metrics.answer(&request))))
    })
    .await;
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> prometheus::Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone())).map(|()| metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_code_and_health_checks_are_not() {
        let metrics = Metrics::new().unwrap();
        for (path, status) in [("/api/users", 200), ("/api/users", 200), ("/", 502), ("/", 418), ("/health", 503)] {
            metrics.record(path, status, Duration::from_millis(3));
        }
        let page = String::from_utf8(metrics.exposition().unwrap()).unwrap();
        for line in [
            r#"gateway_requests_total{code="200"} 2"#,
            r#"gateway_requests_total{code="502"} 1"#,
            r#"gateway_requests_total{code="418"} 1"#,
            r#"gateway_requests_total{code="503"} 0"#,
            r#"gateway_request_duration_seconds_bucket{le="0.0025"} 0"#,
            r#"gateway_request_duration_seconds_bucket{le="0.005"} 4"#,
            "gateway_request_duration_seconds_count 4",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }
}
