//! Scrapes, probes and the HTTP client, against real sockets.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt;
use lab_http::{Http, HttpError, Limit, Request};
use lab_telemetry::wire::{NetWire, Probe, Wire};
use lab_traffic::{Amount, Cause, Load, Retry};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::http_server::{OK, Reply, refusing, serve};

fn answer(status: &str, content_type: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Send(format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"))
}

fn probe(url: &str) -> Probe {
    let headers = BTreeMap::from([("X-API-Key".to_owned(), "apikey-v1".to_owned())]);
    Probe { url: url.to_owned(), method: "GET".to_owned(), headers, timeout: Duration::from_secs(10) }
}

const METRICS: &str = "# TYPE app_requests_total counter\napp_requests_total 3\napp_auth_success_total 2\n\
                       app_auth_failures_total 1\nprocess_start_time_seconds 1.5\n";

#[tokio::test]
async fn a_scrape_accepts_only_metrics() {
    let wire = NetWire::new();
    let server = serve(|_, head| match head.split_whitespace().nth(1) {
        Some("/metrics") => answer("200 OK", "text/plain; version=0.0.4", METRICS),
        Some("/other") => answer("200 OK", "text/plain", "up 1\n"),
        Some("/page") => answer("200 OK", "text/html", "<html>hello</html>"),
        Some("/moved") => {
            Reply::Send("HTTP/1.1 302 Found\r\nlocation: /metrics\r\ncontent-length: 0\r\n\r\n".to_owned())
        }
        Some("/huge") => answer("200 OK", "text/plain", &"# filler\n".repeat(1 << 20)),
        _ => answer("404 Not Found", "text/plain", "no"),
    })
    .await;
    let url = |path: &str| format!("{}{path}", server.url);
    let scraped = wire.scrape(&url("/metrics")).await.expect("it is metrics");
    assert_eq!(scraped.value("app_requests_total"), Some(3.0));
    for (path, message) in [
        ("/page", "is a web page, not metrics"),
        ("/moved", "answers 302, not metrics"),
        ("/huge", "is larger than 8 MiB"),
        ("/nothing", "answers 404, not metrics"),
        (
            "/other",
            "has metrics, but lacks app_requests_total, app_auth_success_total, app_auth_failures_total, \
             process_start_time_seconds",
        ),
    ] {
        let error = wire.scrape(&url(path)).await.expect_err(path);
        assert_eq!(error.to_string(), format!("{} {message}", url(path)));
    }
    assert_eq!(wire.page(&url("/page")).await.expect("a page").body, "<html>hello</html>");
}

#[tokio::test]
async fn a_failed_connection_has_its_cause() {
    let wire = NetWire::new();
    let detail = async |url: &str| {
        let probe = Probe { timeout: Duration::from_millis(300), ..probe(url) };
        let error = wire.probe(&probe).await.expect_err("it fails");
        assert!(error.to_string().starts_with(&format!("{url} does not answer: ")), "{error}");
        error.detail
    };
    let (_held, refused) = refusing();
    assert_eq!(detail(&refused).await, "refused");
    let silent = serve(|_, _| Reply::Silence).await;
    assert_eq!(detail(&silent.url).await, "timeout");
    let closing = serve(|_, _| Reply::Last(String::new())).await;
    assert_eq!(detail(&closing.url).await, "reset");
    let half = serve(|_, _| Reply::Last("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned())).await;
    assert_eq!(detail(&half.url).await, "reset");
    let garbage = serve(|_, _| Reply::Last("220 mail ready\r\n".to_owned())).await;
    assert_eq!(detail(&garbage.url).await, "protocol");
    assert_eq!(detail(&format!("http://{}.test", "a".repeat(64))).await, "dns");
    assert_eq!(
        wire.scrape(&refused).await.expect_err("it fails").to_string(),
        format!("{refused} does not answer: refused")
    );
}

#[tokio::test]
async fn a_probe_returns_the_status_and_the_start_of_the_body() {
    let server = serve(|_, head| {
        assert!(head.to_lowercase().contains("x-api-key: apikey-v1\r\n"), "{head}");
        answer("503 Service Unavailable", "text/plain", &"x".repeat(100_000))
    })
    .await;
    let response = NetWire::new().probe(&probe(&server.url)).await.expect("a response");
    assert_eq!((response.status, response.body), (503, "x".repeat(65_536)));
}

#[tokio::test]
async fn folded_headers_are_unfolded() {
    let folded = "HTTP/1.1 200 OK\r\ncontent-type: text/plain;\r\n charset=x\r\ncontent-length : 2\r\n\r\nok";
    let server = serve(move |_, _| Reply::Send(folded.to_owned())).await;
    let response = Http::new().request(&Request::get(&server.url)).await.expect("a response");
    assert_eq!((response.content_type.as_deref(), response.text().as_str()), (Some("text/plain; charset=x"), "ok"));
}

#[tokio::test]
async fn a_response_before_the_body_was_read_counts() {
    // The largest body that is sent to an engine or to Grafana; it is written at once.
    let server = crate::support::upstream(|mut client| {
        client.head();
        client.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno");
    });
    let request = Request::post(format!("http://{server}/"), json!("x".repeat(16 << 10)));
    for _ in 0..30 {
        assert_eq!(Http::new().request(&request).await.map(|response| response.status), Ok(401));
    }
}

#[tokio::test]
async fn json_is_sent_with_a_token_and_limits_are_enforced() {
    let server = serve(|_, request| answer("200 OK", "text/plain", request)).await;
    let http = Http::new();
    let request = Request::post(&server.url, json!({ "run": "paused" })).bearer("t0k3n");
    let response = http.request(&request).await.expect("a response");
    assert!(response.is_success());
    assert_eq!(response.content_type.as_deref(), Some("text/plain"));
    let echo = response.text();
    assert!(echo.starts_with("POST / HTTP/1.1\r\n") && echo.ends_with("\r\n\r\n{\"run\":\"paused\"}"), "{echo}");
    assert!(echo.contains("authorization: Bearer t0k3n\r\n"), "{echo}");
    let small = http.request(&request.clone().limit(Limit::Fail(9))).await;
    assert_eq!(small, Err(HttpError::TooLarge { limit: 9 }));
    let cut = http.request(&request.limit(Limit::Truncate(4))).await.expect("a response");
    assert_eq!(cut.body, b"POST");
}

#[tokio::test]
async fn lines_arrive_as_they_are_sent_and_a_truncated_stream_is_an_error() {
    let server = serve(|_, head| match head.split_whitespace().nth(1) {
        // The response is never complete, but its lines arrive.
        Some("/follow") => Reply::Send("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\none\ntwo\nthr".to_owned()),
        Some("/cut") => Reply::Last("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\none\n".to_owned()),
        Some("/silent") => Reply::Silence,
        _ => answer("403 Forbidden", "text/plain", "wrong token"),
    })
    .await;
    let http = Http::new();
    let get = |path: &str| Request::get(format!("{}{path}", server.url)).timeout(Duration::from_millis(500));
    let lines = http.lines(&get("/follow")).await.expect("a response");
    let two: Vec<_> = lines.take(2).collect().await;
    assert_eq!(two, [Ok("one".to_owned()), Ok("two".to_owned())]);
    let cut: Vec<_> = http.lines(&get("/cut")).await.expect("a response").collect().await;
    assert_eq!(cut, [Ok("one".to_owned()), Err(HttpError::Failed { cause: Cause::Reset })]);
    let refused = http.lines(&get("/")).await.err();
    assert_eq!(refused, Some(HttpError::Status { status: 403, body: "wrong token".to_owned() }));
    let silent = http.lines(&get("/silent")).await.err();
    assert_eq!(silent, Some(HttpError::Failed { cause: Cause::Timeout }));
}

/// Runs itself again with unreachable proxies in the environment.
#[test]
fn a_proxy_in_the_environment_is_ignored() {
    const INNER: &str = "LAB_TEST_INSIDE_A_PROXY";
    if std::env::var_os(INNER).is_none() {
        let (_held, proxy) = refusing();
        let mut again = Command::new(std::env::current_exe().expect("a path"));
        again.args(["--exact", "wire::a_proxy_in_the_environment_is_ignored"]).env(INNER, "1");
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            again.env(name, &proxy);
        }
        let output = crate::command::output(again.env_remove("NO_PROXY").env_remove("no_proxy"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let server = serve(|_, _| Reply::Send(OK.to_owned())).await;
        let wire = NetWire::new();
        assert_eq!(wire.probe(&probe(&server.url)).await.expect("a response").status, 200);
        let load = Load {
            url: server.url.clone(),
            method: "GET".to_owned(),
            headers: Vec::new(),
            amount: Amount::Requests(1),
            rate: 1.0,
            connections: 1,
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
        };
        let summary = wire.traffic(&load, std::sync::Arc::new(|_| {}), &CancellationToken::new()).await;
        assert_eq!(summary.codes.get(&200), Some(&1));
    });
}
