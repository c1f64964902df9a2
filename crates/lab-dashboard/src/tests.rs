use super::*;
use axum::http::HeaderValue;
use lab_telemetry::live::EdgePoint;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3000);

fn refused(headers: &[(&'static str, &str)], path: &str) -> Option<StatusCode> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().expect("a header"));
    }
    refusal(LOOPBACK, &Method::GET, &map, path).map(|(status, _)| status)
}

/// Source that answers once and then hangs.
struct HangingSource {
    metrics: String,
    called: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Source for HangingSource {
    async fn snapshot(&self) -> Snapshot {
        if self.called.swap(true, std::sync::atomic::Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let services = BTreeMap::from([("app".to_owned(), "running".to_owned())]);
        Snapshot { services, metrics: Some(("app-1".to_owned(), self.metrics.clone())), ..Snapshot::default() }
    }
}

#[tokio::test]
async fn the_app_is_scraped_even_if_the_engine_hangs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let metrics = format!("http://{}/metrics", listener.local_addr().expect("bound"));
    let page = "# TYPE app_requests_total counter\napp_requests_total 1\n";
    let app = Router::new().route("/metrics", get(move || async move { page }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let folder = tempfile::tempdir().expect("a folder");
    let source = Arc::new(HangingSource { metrics, called: false.into() });
    let dashboard = Dashboard::new(folder.path(), source);
    let scraped_twice = async {
        while lock(&dashboard.feed).points().count() < 2 || !lock(&dashboard.snapshot).services.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = collect(&dashboard, Runs::new(folder.path(), chrono::Utc::now())) => {}
        done = timeout(Duration::from_secs(30), scraped_twice) => done.expect("scraped again"),
    }
    assert!(lock(&dashboard.feed).points().all(|point| point.up));
}

#[test]
fn local_browsers_are_allowed() {
    assert_eq!(refused(&[("host", "127.0.0.1:3000")], "/"), None);
    assert_eq!(refused(&[("host", "LocalHost:3000"), ("sec-fetch-site", "none")], "/"), None);
    let own = [("host", "localhost:3000"), ("sec-fetch-site", "same-origin"), ("origin", "http://localhost:3000")];
    assert_eq!(refused(&own, "/data"), None);
    // A link in a chat or a document.
    let link = [("host", "localhost:3000"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(refused(&link, "/"), None);
    assert_eq!(refused(&link, "/data"), Some(StatusCode::FORBIDDEN));
}

#[test]
fn foreign_host_names_and_other_sites_are_rejected() {
    for host in ["evil.example:3000", "127.0.0.1", "127.0.0.1:3001", "localhost.evil.example:3000", ""] {
        assert_eq!(refused(&[("host", host)], "/"), Some(StatusCode::MISDIRECTED_REQUEST), "{host}");
    }
    assert_eq!(refused(&[], "/"), Some(StatusCode::MISDIRECTED_REQUEST));
    for foreign in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "http://evil.example")]
    {
        assert_eq!(refused(&[("host", "127.0.0.1:3000"), foreign], "/data"), Some(StatusCode::FORBIDDEN));
    }
    let post = refusal(LOOPBACK, &Method::POST, &HeaderMap::new(), "/data").map(|(status, _)| status);
    assert_eq!(post, Some(StatusCode::METHOD_NOT_ALLOWED));
}

#[test]
fn browsers_omit_port_80() {
    let own: SocketAddr = "127.0.0.1:80".parse().expect("an address");
    let answered = |host: &str, origin: &str| {
        let headers = [(header::HOST, host), (header::ORIGIN, origin)];
        let headers = headers.map(|(name, value)| (name, value.parse().expect("a header"))).into_iter().collect();
        refusal(own, &Method::GET, &headers, "/data").is_none()
    };
    assert!(answered("127.0.0.1", "http://127.0.0.1") && answered("localhost:80", "http://localhost"));
    assert!(!answered("localhost", "http://localhost:3000") && !answered("localhost:3000", "http://localhost"));
    assert!(!answered("evil.example", "http://evil.example"));
    assert!(site::is_own("[::1]", "[::]:80".parse().expect("an address")));
}

#[test]
fn a_page_on_all_interfaces_is_reached_by_address_only() {
    let room: SocketAddr = "0.0.0.0:3000".parse().expect("an address");
    for host in ["192.168.1.5:3000", "127.0.0.1:3000", "localhost:3000", "[::1]:3000"] {
        assert!(site::is_own(host, room), "{host}");
    }
    for host in ["evil.example:3000", "192.168.1.5:3001", "192.168.1.5", "1.2.3.4.evil.example:3000"] {
        assert!(!site::is_own(host, room), "{host}");
    }
    assert!(!site::is_own("192.168.1.5:3000", LOOPBACK));
}

#[tokio::test]
async fn an_hour_of_points_is_sent_in_half_a_megabyte() {
    let points = (1..=3600_i32).map(|n| {
        // Different digits in each number, as in a real lab.
        let value = |factor: f64| Some((f64::from(n) * factor).sin().abs() * 50.0);
        let rates = |factor| BTreeMap::from([("200".to_owned(), value(factor).unwrap_or_default())]);
        let edge = EdgePoint { codes: rates(1.1), p50: value(1.2), p99: value(1.3), ..EdgePoint::default() };
        Point {
            n: u64::from(n.unsigned_abs()),
            t: 1_796_040_000_000 + i64::from(n) * 1001,
            edge: Some(edge),
            requests: value(1.4),
            accepted: value(1.5),
            codes: rates(1.6),
            p50: value(1.7),
            p99: value(1.8),
            ..Point::default()
        }
    });
    let document = serde_json::json!({ "points": points.collect::<Vec<_>>() });
    let accept = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
    let response = compression::respond(&accept, "application/json", document.to_string().into_bytes());
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    assert!((100_000..500_000).contains(&body.len()), "{} bytes", body.len());
}
