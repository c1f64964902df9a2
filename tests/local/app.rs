//! The contract of the app, tested on the real process.

use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use lab_telemetry::metrics::names;
use rustix::process::Signal;
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;

use crate::support::{Client, Service, exchange, get, lab, until};

const KEY: (&str, &str) = ("X-API-Key", "apikey-v1");

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Value of a series on the metrics page.
pub(crate) fn metric(app: &Service, series: &str) -> f64 {
    let page = get(app.address, "/metrics", &[]).text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().expect("a number")
}

#[test]
fn users_need_the_key() {
    let folder = folder();
    let app = Service::app(folder.path(), "i1");
    let users = get(app.address, "/api/users", &[KEY]);
    assert_eq!((users.status, users.header("content-type")), (200, Some("application/json")));
    let list: serde_json::Value = serde_json::from_slice(&users.body).expect("JSON");
    assert_eq!(list[0], serde_json::json!({ "id": 1, "name": "Ada Lovelace" }));
    assert!(list.as_array().expect("a list").len() > 1);

    for headers in [&[][..], &[("X-API-Key", "apikey-v2")], &[KEY, KEY], &[("X-API-Key", "")]] {
        for path in ["/api/users", "/api/nothing"] {
            let answer = get(app.address, path, headers);
            assert_eq!((answer.status, answer.text().as_str()), (401, r#"{"error":"unauthorized"}"#));
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
    assert_eq!(get(app.address, "/api/nothing", &[KEY]).status, 404);
    assert_eq!(get(app.address, "/api/nothing", &[KEY]).text(), r#"{"error":"not found"}"#);
    let posted = exchange(app.address, "POST /api/users HTTP/1.1\r\nHost: a\r\nX-API-Key: apikey-v1\r\n\r\n").unwrap();
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET,HEAD")));
}

#[test]
fn a_response_reaches_a_client_that_is_still_sending() {
    const SIZE: usize = 4 << 20;
    let folder = folder();
    let app = Service::app(folder.path(), "i1");
    let mut client = Client::connect(app.address);
    for (method, path, key, status) in [
        ("POST", "/api/users", "wrong", 401),
        ("POST", "/api/users", KEY.1, 405),
        ("GET", "/api/users", KEY.1, 200),
        ("POST", "/nothing", KEY.1, 404),
    ] {
        // The whole request is sent before the response is read, on one connection.
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: {SIZE}\r\n\r\n");
        client.send(head);
        client.send(vec![b'x'; SIZE]);
        assert_eq!(client.response().expect("a response").status, status, "{method} {path}");
    }
    // A client that waits for `100 Continue` gets the final response instead, and the connection is closed.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    let answer = client.response().expect("a response");
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(client.ended());
}

#[test]
fn health_and_metrics_need_no_key_and_are_not_counted() {
    let folder = folder();
    let app = Service::app(folder.path(), "i1");
    let health = get(app.address, "/health", &[]);
    assert_eq!(
        (health.status, health.text().as_str()),
        (200, r#"{"status":"ok","instance":"i1","checks":{"database":"ok"}}"#)
    );
    get(app.address, "/nothing", &[]);
    get(app.address, "/api", &[]);
    let metrics = get(app.address, "/metrics", &[]);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let counted = |line: &&str| line.starts_with("app_") && !line.starts_with("app_db_pool_size ");
    for line in metrics.text().lines().filter(counted) {
        assert!(line.ends_with(" 0"), "{line}");
    }
}

#[test]
fn requests_are_counted_by_their_result() {
    let folder = folder();
    let app = Service::app(folder.path(), "i1");
    for headers in [&[KEY][..], &[KEY], &[], &[("X-API-Key", "no")], &[("X-API-Key", "no")]] {
        get(app.address, "/api/users", headers);
    }
    get(app.address, "/api/nothing", &[KEY]);
    let expected = [
        (names::REQUESTS, 6.0),
        (names::AUTH_SUCCESS, 3.0),
        (names::AUTH_FAILURES, 3.0),
        (r#"app_http_responses_total{code="200"}"#, 2.0),
        (r#"app_http_responses_total{code="401"}"#, 3.0),
        (r#"app_http_responses_total{code="404"}"#, 1.0),
        (r#"app_http_responses_total{code="503"}"#, 0.0),
        (r#"app_auth_rejections_total{reason="missing"}"#, 1.0),
        (r#"app_auth_rejections_total{reason="invalid"}"#, 2.0),
        ("app_http_request_duration_seconds_count", 6.0),
    ];
    for (series, value) in expected {
        assert!((metric(&app, series) - value).abs() < f64::EPSILON, "{series}");
    }
}

#[test]
fn the_counters_are_those_that_scenarios_can_use() {
    let folder = folder();
    let app = Service::app(folder.path(), "i1");
    let page = get(app.address, "/metrics", &[]).text();
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut counters: Vec<String> = typed
        .filter_map(|(name, kind)| match kind {
            "counter" => Some(name.to_owned()),
            "histogram" => Some(format!("{name}_count")),
            _ => None,
        })
        .collect();
    let mut known = names::COUNTERS.map(str::to_owned).to_vec();
    counters.sort();
    known.sort();
    assert_eq!(counters, known);

    let start = metric(&app, names::START_TIME);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(start <= now && now - start < 60.0, "{start} and now {now}");
}

fn freeze(folder: &Path) -> impl FnOnce() + use<> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = format!("sqlite:{}", folder.join("users.db").display());
    let lock = runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.expect("the database can be opened");
        connection.execute("BEGIN EXCLUSIVE").await.expect("the database is not locked");
        connection
    });
    move || runtime.block_on(lock.close()).expect("the lock can be released")
}

#[test]
fn a_frozen_database_is_503_until_it_is_unfrozen() {
    let folder = folder();
    let app = Service::app(folder.path(), "i1");
    let unfreeze = freeze(folder.path());
    let frozen: Vec<_> = std::thread::scope(|scope| {
        let send = || get(app.address, "/api/users", &[KEY]);
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a response")).collect()
    });
    // Four requests wait for the database, and the others for a connection of the pool.
    for answer in &frozen {
        let text = answer.text();
        let known = [r#"{"error":"database unavailable"}"#, r#"{"error":"database pool exhausted"}"#];
        assert!(answer.status == 503 && known.contains(&text.as_str()), "{answer:?}");
    }
    assert!(frozen.iter().filter(|answer| answer.text().contains("unavailable")).count() >= 4, "{frozen:?}");
    let health = get(app.address, "/health", &[]);
    let expected = r#"{"status":"unwell","instance":"i1","checks":{"database":"does not answer"}}"#;
    assert_eq!((health.status, health.text().as_str()), (503, expected));
    assert_eq!(get(app.address, "/api/users", &[]).status, 401);
    unfreeze();
    for _ in 0..8 {
        assert_eq!(get(app.address, "/api/users", &[KEY]).status, 200);
    }
    assert!((metric(&app, names::AUTH_SUCCESS) - 20.0).abs() < f64::EPSILON);
}

#[test]
fn the_app_starts_before_its_database() {
    let folder = folder();
    let missing = folder.path().join("missing");
    let database = format!("sqlite:{}", missing.join("users.db").display());
    let env = [("APP_LISTEN", "localhost:0"), ("APP_API_KEY", "apikey-v1"), ("DATABASE_URL", &database)];
    let app = Service::start("app", &env);
    assert_eq!(get(app.address, "/api/users", &[KEY]).status, 503);
    until(|| get(app.address, "/health", &[]).text().contains(r#""database":"does not answer""#));
    assert_eq!(get(app.address, "/health", &[]).status, 503);
    std::fs::create_dir(&missing).expect("a folder");
    until(|| get(app.address, "/health", &[]).status == 200);
    assert_eq!(get(app.address, "/api/users", &[KEY]).status, 200);
}

#[test]
fn sigterm_completes_requests_in_flight() {
    let folder = folder();
    let mut app = Service::app(folder.path(), "i1");
    let mut idle = Client::connect(app.address);
    idle.get("/health", &[]);
    assert_eq!(idle.response().expect("a response").status, 200);

    let unfreeze = freeze(folder.path());
    let mut waiting = Client::connect(app.address);
    waiting.get("/api/users", &[KEY]);
    until(|| metric(&app, names::REQUESTS) > 0.0);
    app.signal(Signal::TERM);
    until(|| TcpStream::connect(app.address).is_err());
    unfreeze();
    let answer = waiting.response().expect("a response");
    // 503 if the machine is slower than the database timeout.
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(waiting.ended());
    assert_eq!(app.wait().code(), Some(0));
    assert!(idle.ended());
    let log = app.whole_log();
    assert!(log.contains("path=/api/users"), "{log}");
}

#[test]
fn a_request_that_arrives_with_sigterm_is_answered() {
    let folder = folder();
    let mut app = Service::app(folder.path(), "i1");
    let mut kept = Client::connect(app.address);
    kept.get("/health", &[]);
    assert_eq!(kept.response().expect("a response").status, 200);
    // The process is suspended, so that the requests and the signal reach it at the same time.
    app.signal(Signal::STOP);
    kept.get("/api/users", &[KEY]);
    let mut new = Client::connect(app.address);
    new.get("/api/users", &[KEY]);
    app.signal(Signal::TERM);
    app.signal(Signal::CONT);
    assert_eq!(kept.response().expect("a response").status, 200);
    assert_eq!(new.response().expect("a response").status, 200);
    assert_eq!(app.wait().code(), Some(0));
}

#[test]
fn the_end_of_standard_input_stops_only_a_tied_app() {
    let folder = folder();
    let mut app = Service::app(folder.path(), "i1");
    app.close_stdin();
    assert_eq!(app.wait().code(), Some(0));

    let database = format!("sqlite:{}", folder.path().join("users.db").display());
    let env = [("APP_LISTEN", "127.0.0.1:0"), ("APP_API_KEY", "apikey-v1"), ("DATABASE_URL", &database)];
    let mut free = Service::spawn(lab().arg("app").envs(env));
    free.close_stdin();
    until(|| get(free.address, "/health", &[]).status == 200);
    free.signal(Signal::INT);
    assert_eq!(free.wait().code(), Some(0));
}

#[test]
fn configuration_errors_are_one_line_and_exit_2() {
    let good = [("APP_LISTEN", "127.0.0.1:0"), ("APP_API_KEY", "apikey-v1"), ("DATABASE_URL", "sqlite:/nowhere/u.db")];
    let bad = [
        ("APP_LISTEN", None),
        ("APP_LISTEN", Some("sesame")),
        ("APP_API_KEY", None),
        ("APP_API_KEY", Some("")),
        ("APP_API_KEY", Some("sesame\nsesame")),
        ("APP_API_KEY", Some("s\u{e9}same")),
        ("DATABASE_URL", None),
        ("DATABASE_URL", Some("mysql://root:sesame@db/users")),
        ("APP_INSTANCE", Some("open sesame")),
        ("APP_API_KEY_EXPIRES", Some("sesame")),
        ("APP_RATE_LIMIT", Some("sesame")),
    ];
    for (name, value) in bad {
        let mut command = lab();
        command.arg("app").envs(good).env_remove(name).stdin(Stdio::null());
        if let Some(value) = value {
            command.env(name, value);
        }
        let output = crate::command::output(&mut command);
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{name}={value:?}: {error}");
        let problem = if value.is_none_or(str::is_empty) { "is not set" } else { "is malformed" };
        assert!(error.starts_with(&format!("error: {name} {problem}: expected ")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("same") && output.stdout.is_empty(), "{error}");
    }
}

#[test]
fn a_port_in_use_is_exit_3() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let env = [("APP_LISTEN", address.as_str()), ("APP_API_KEY", "k"), ("DATABASE_URL", "sqlite:/nowhere/u.db")];
    let output = crate::command::output(lab().arg("app").envs(env).stdin(Stdio::null()));
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3));
    assert!(error.starts_with(&format!("error: the app cannot listen on {address}: ")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn the_log_has_a_line_for_each_request_and_never_a_key() {
    let folder = folder();
    let mut app = Service::app(folder.path(), "i1");
    let ids: [&[u8]; 4] = [b"good-1", b"has a space", b"tab\tin", b"\xff\xfe"];
    for id in ids {
        let request = [
            b"GET /api/users?api_key=apikey-v1 HTTP/1.1\r\nHost: a\r\nX-API-Key: apikey-v1\r\nX-Request-Id: ",
            id,
            b"\r\n\r\n",
        ];
        assert_eq!(exchange(app.address, request.concat()).expect("a response").status, 200);
    }
    get(app.address, "/api/users", &[("X-API-Key", "apikey-wrong")]);
    let high: &[u8] = b"GET /api/\xc2\x85%0aforged HTTP/1.1\r\nHost: a\r\n\r\n";
    exchange(app.address, high);
    app.signal(Signal::TERM);
    app.wait();
    let log = app.whole_log();
    assert!(!log.contains("apikey"), "{log}");
    let users: Vec<_> = log.lines().filter(|line| line.contains(" method=GET path=/api/users status=")).collect();
    assert_eq!(users.len(), 5, "{log}");
    assert!(users[0].ends_with(" request_id=good-1") && users[0].contains(" instance=i1 "), "{}", users[0]);
    for line in log.lines() {
        let time = line.split(' ').next().unwrap_or_default();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok_and(|_| time.ends_with('Z')), "{line}");
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
    }
    for line in &users[1..] {
        let id = line.rsplit('=').next().unwrap_or_default();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    }
}

#[test]
fn a_closed_standard_output_does_not_stop_the_app() {
    let folder = folder();
    let database = format!("sqlite:{}", folder.path().join("users.db").display());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let listen = address.to_string();
    let env = [("APP_LISTEN", listen.as_str()), ("APP_API_KEY", "apikey-v1"), ("DATABASE_URL", &database)];
    let mut child = lab().arg("app").envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("lab starts");
    drop(child.stdout.take());
    until(|| std::net::TcpStream::connect(address).is_ok());
    until(|| get(address, "/health", &[]).status == 200);
    for _ in 0..20 {
        assert_eq!(get(address, "/api/users", &[KEY]).status, 200);
    }
    child.kill().and_then(|()| child.wait()).expect("it is running");
}
