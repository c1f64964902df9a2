//! The app under load: a rate limit for each key, an exhausted connection pool, a slow dependency; and the path of its metrics.
//! Tested on the real process.

use crate::app::metric;
use crate::support::{Client, Response, Service, get, until};
use lab_telemetry::metrics::names;

const KEY: (&str, &str) = ("X-API-Key", "apikey-v1");

fn app(env: &[(&str, &str)]) -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Service::app_with(folder.path(), "i1", env), folder)
}

fn users(app: &Service) -> Response {
    get(app.address, "/api/users", &[KEY])
}

fn metric_is(app: &Service, series: &str, value: f64) -> bool {
    (metric(app, series) - value).abs() < f64::EPSILON
}

#[test]
fn a_rate_limited_key_gets_retry_after() {
    let env = [("APP_RATE_LIMIT", "1/h"), ("APP_RATE_BURST", "3"), ("APP_API_KEY_PREVIOUS", "apikey-v0")];
    let (app, _folder) = app(&env);
    let answers: Vec<_> = (0..5).map(|_| users(&app)).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    assert_eq!(answers[4].text(), r#"{"error":"rate limit exceeded"}"#);
    let wait: u64 = answers[4].header("retry-after").expect("the header is present").parse().expect("whole seconds");
    assert!((3000..=3600).contains(&wait), "{wait}");
    // Each key has its own limit, and rejected keys do not count.
    assert_eq!(get(app.address, "/api/users", &[("X-API-Key", "apikey-v0")]).status, 200);
    assert_eq!(get(app.address, "/api/users", &[("X-API-Key", "other")]).status, 401);
    // A rate-limited request counts as a success of authentication.
    assert!(metric_is(&app, names::AUTH_SUCCESS, 6.0) && metric_is(&app, names::AUTH_FAILURES, 1.0));
    assert!(metric_is(&app, r#"app_http_responses_total{code="429"}"#, 2.0));
    app.log_until(|log| log.contains(" status=429 ") && log.contains(" reason=rate "));
    assert_eq!(get(app.address, "/health", &[]).status, 200);
}

#[test]
fn reports_hold_all_connections_until_they_are_complete() {
    let env = [("APP_DB_POOL", "2"), ("APP_DB_POOL_TIMEOUT", "50ms"), ("APP_REPORT_TIME", "5s")];
    let (app, _folder) = app(&env);
    let mut callers = [Client::connect(app.address), Client::connect(app.address)];
    for caller in &mut callers {
        caller.get("/api/report", &[KEY]);
    }
    until(|| metric_is(&app, "app_db_pool_in_use", 2.0));
    // A report is completed even if its client has disconnected.
    drop(callers);
    until(|| metric_is(&app, "app_http_requests_in_flight", 0.0));
    let answer = users(&app);
    assert_eq!((answer.status, answer.text().as_str()), (503, r#"{"error":"database pool exhausted"}"#));
    app.log_until(|log| log.contains(" status=503 ") && log.contains(" reason=pool "));
    let health = get(app.address, "/health", &[]);
    let expected = r#"{"status":"unwell","instance":"i1","checks":{"database":"pool exhausted"}}"#;
    assert_eq!((health.status, health.text().as_str()), (503, expected));
    assert!(metric_is(&app, "app_db_pool_size", 2.0) && metric_is(&app, "app_db_pool_timeouts_total", 1.0));
    until(|| metric_is(&app, "app_db_pool_in_use", 0.0));
    assert_eq!(users(&app).status, 200);
}

#[test]
fn a_running_report_does_not_delay_shutdown() {
    let (mut app, _folder) = app(&[("APP_REPORT_TIME", "1h")]);
    let mut caller = Client::connect(app.address);
    caller.get("/api/report", &[KEY]);
    until(|| metric_is(&app, "app_db_pool_in_use", 1.0));
    drop(caller);
    until(|| metric_is(&app, "app_http_requests_in_flight", 0.0));
    app.signal(rustix::process::Signal::TERM);
    assert_eq!(app.wait().code(), Some(0));
}

#[test]
fn a_slow_dependency_is_504_at_the_gateway_while_the_app_is_healthy() {
    let (app, _folder) = app(&[("APP_DEPENDENCY_DELAY", "1h")]);
    let gateway = Service::gateway(app.address, &[("GATEWAY_READ_TIMEOUT", "100ms")]);
    let answer = users(&gateway);
    assert_eq!((answer.status, answer.text().as_str()), (504, r#"{"error":"gateway timeout"}"#));
    assert_eq!(get(gateway.address, "/health", &[]).status, 200);
    // A request with a rejected key does not wait for the dependency.
    assert_eq!(get(gateway.address, "/api/users", &[]).status, 401);
    assert!(metric_is(&app, names::AUTH_SUCCESS, 1.0));
    app.log_until(|log| log.contains(" path=/api/users status=499 "));
    assert!(metric_is(&app, r#"app_http_responses_total{code="200"}"#, 0.0));
}

#[test]
fn the_path_of_the_metrics_is_configurable() {
    let (app, _folder) = app(&[("APP_METRICS_PATH", "/internal/metrics")]);
    assert_eq!(get(app.address, "/metrics", &[]).status, 404);
    let page = get(app.address, "/internal/metrics", &[]);
    assert!(page.status == 200 && page.text().contains("\napp_requests_total 0\n"), "{}", page.text());
}
