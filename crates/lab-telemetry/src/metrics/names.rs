//! Names of the app's metrics, which scenarios use. A test of the app checks that it exposes exactly these.

/// Every request under `/api/`.
pub const REQUESTS: &str = "app_requests_total";
/// Requests whose key was accepted.
pub const AUTH_SUCCESS: &str = "app_auth_success_total";
/// Requests whose key was not accepted.
pub const AUTH_FAILURES: &str = "app_auth_failures_total";
/// Seconds since the epoch at which the instance started.
pub const START_TIME: &str = "process_start_time_seconds";

/// Requests of callers at the gateway, by `code`. A metric of the edge, not of the app.
pub const EDGE_REQUESTS: &str = "gateway_requests_total";
/// Buckets of the time of requests at the gateway. A metric of the edge, not of the app.
pub const EDGE_BUCKETS: &str = "gateway_request_duration_seconds_bucket";
/// 1 if the gateway answers. A metric of the exporter of the edge; a gateway that counts itself has none.
pub const EDGE_GATEWAY_UP: &str = "gateway_up";

/// Every counter of the app, the histogram's count included: the series whose increase an expectation may name.
pub const COUNTERS: [&str; 8] = [
    REQUESTS,
    AUTH_SUCCESS,
    AUTH_FAILURES,
    "app_http_responses_total",
    "app_auth_rejections_total",
    "app_auth_key_uses_total",
    "app_db_pool_timeouts_total",
    "app_http_request_duration_seconds_count",
];

/// Metrics that every page of the app has from the start. The other counters have no series before their first request.
pub const REQUIRED: [&str; 4] = [REQUESTS, AUTH_SUCCESS, AUTH_FAILURES, START_TIME];

/// The short forms in `expect`: `requests.delta` is `app_requests_total`.
pub const SHORT: [(&str, &str); 3] =
    [("requests", REQUESTS), ("auth_success", AUTH_SUCCESS), ("auth_failures", AUTH_FAILURES)];
