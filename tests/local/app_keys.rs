//! Authentication by the app: two keys, expiring keys, scopes, and client credentials of the gateway. Tested on the real process.

use crate::app::metric;
use crate::support::{Response, Service, get, until};
use lab_telemetry::metrics::names;

const KEY: &str = "apikey-v1";

/// Response of `/api/users` to this key.
fn users(app: &Service, key: &str) -> Response {
    get(app.address, "/api/users", &[("X-API-Key", key)])
}

fn assert_metrics(app: &Service, expected: &[(&str, f64)]) {
    for (series, value) in expected {
        let found = metric(app, series);
        assert!((found - value).abs() < f64::EPSILON, "{series} is {found}, not {value}");
    }
}

#[test]
fn both_keys_are_accepted_and_counted_during_a_rotation() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Service::app_with(folder.path(), "i1", &[("APP_API_KEY", "v2"), ("APP_API_KEY_PREVIOUS", "v1")]);
    assert_eq!([users(&app, "v2"), users(&app, "v1"), users(&app, "v1")].map(|answer| answer.status), [200; 3]);
    assert_eq!(users(&app, "v0").status, 401);
    let expected = [
        (names::AUTH_SUCCESS, 3.0),
        (names::AUTH_FAILURES, 1.0),
        (r#"app_auth_key_uses_total{key="current"}"#, 1.0),
        (r#"app_auth_key_uses_total{key="previous"}"#, 2.0),
    ];
    assert_metrics(&app, &expected);
}

#[test]
fn an_expired_key_is_rejected() {
    let folder = tempfile::tempdir().expect("a folder");
    let env = [("APP_API_KEY_EXPIRES", "2026-01-31T00:00:00Z")];
    let app = Service::app_with(folder.path(), "i1", &env);
    let answer = users(&app, KEY);
    assert_eq!((answer.status, answer.text().as_str()), (401, r#"{"error":"unauthorized"}"#));
    assert_eq!(users(&app, "other").status, 401);
    app.log_until(|log| log.contains(" path=/api/users status=401 ") && log.contains(" reason=expired request_id="));
    let expected = [
        (r#"app_auth_rejections_total{reason="expired"}"#, 1.0),
        (r#"app_auth_rejections_total{reason="invalid"}"#, 1.0),
        (r#"app_api_key_expiry_timestamp_seconds{key="current"}"#, 1_769_817_600.0),
        (names::AUTH_FAILURES, 2.0),
    ];
    assert_metrics(&app, &expected);
}

#[test]
fn a_key_with_a_lifetime_expires_while_the_app_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let env = [("APP_API_KEY", "v2"), ("APP_API_KEY_PREVIOUS", "v1"), ("APP_API_KEY_PREVIOUS_EXPIRES", "2s")];
    let app = Service::app_with(folder.path(), "i1", &env);
    assert_eq!(users(&app, "v1").status, 200);
    until(|| users(&app, "v1").status == 401);
    assert_eq!(users(&app, "v2").status, 200);
    assert_metrics(&app, &[(r#"app_auth_rejections_total{reason="expired"}"#, 1.0)]);
}

#[test]
fn a_missing_scope_is_403() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Service::app_with(folder.path(), "i1", &[("APP_API_KEY_SCOPES", "reports:read")]);
    let answer = users(&app, KEY);
    assert_eq!((answer.status, answer.text().as_str()), (403, r#"{"error":"forbidden","needs":"users:read"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let report = get(app.address, "/api/report", &[("X-API-Key", KEY)]);
    assert_eq!((report.status, report.text().as_str()), (200, r#"{"users":5}"#));
    assert_eq!(get(app.address, "/api/nothing", &[("X-API-Key", KEY)]).status, 404);
    assert_eq!(users(&app, "other").status, 401);
    let expected = [
        (names::AUTH_SUCCESS, 2.0),
        (names::AUTH_FAILURES, 2.0),
        (r#"app_auth_rejections_total{reason="scope"}"#, 1.0),
        (r#"app_http_responses_total{code="403"}"#, 1.0),
    ];
    assert_metrics(&app, &expected);
}

#[test]
fn only_the_gateway_can_authenticate_as_the_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let client = |secret| [("APP_CLIENT_ID", "gateway"), ("APP_CLIENT_SECRET", secret)];
    let app = Service::app_with(folder.path(), "i1", &client("s1"));
    let through = |secret| {
        let env = [("GATEWAY_CLIENT_ID", "gateway"), ("GATEWAY_CLIENT_SECRET", secret)];
        Service::gateway(app.address, &env)
    };
    assert_eq!(users(&through("s1"), KEY).status, 200);
    let mut wrong = through("sesame");
    for gateway in [&wrong, &Service::gateway(app.address, &[])] {
        let forged = [("X-API-Key", KEY), ("X-Client-Id", "gateway"), ("X-Client-Secret", "s1")];
        let answer = get(gateway.address, "/api/users", &forged);
        assert_eq!((answer.status, answer.text().as_str()), (401, r#"{"error":"invalid_client"}"#));
        assert_eq!(get(gateway.address, "/health", &[]).status, 200);
    }
    assert_metrics(&app, &[(r#"app_auth_rejections_total{reason="client"}"#, 2.0), (names::AUTH_FAILURES, 2.0)]);
    wrong.close_stdin();
    wrong.signal(rustix::process::Signal::TERM);
    wrong.wait();
    assert!(!wrong.whole_log().contains("sesame"));
}
