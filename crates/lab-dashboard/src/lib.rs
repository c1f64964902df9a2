//! The dashboard: one page on a port of its own, where no Grafana runs. It shows what Grafana's dashboard shows, live, with the
//! steps of runs as marks; and it answers as Prometheus would what the alerts are. It reads and changes nothing, and answers this
//! machine alone unless asked: other sites' pages are refused, and so are names that only lead here (DNS rebinding). Where its
//! data come from is a [`Source`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use lab_http::{Http, Limit, Request as HttpRequest};
use lab_server::Limits;
use lab_server::inbound;
use lab_telemetry::alerts::{self, Answer, Monitor};
use lab_telemetry::live::{Alerts, Feed, Runs};
use lab_telemetry::metrics::{Exposition, Moment};

mod marks;

use marks::Marks;

/// The port of the lab that has the gateway's usual one.
pub const USUAL: (u16, u16) = (8080, 3000);
/// How often the app is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer may take, below the interval.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a look at the lab may take. An engine that hangs keeps nobody from asking the app.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
/// The most connections at once: a room of browsers with a few each.
const CONNECTIONS: usize = 256;
/// How long a request's head may take, and idle connections are kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may be on its way before its connection makes room for others.
const STALL: Duration = Duration::from_secs(10);
/// How large a page of metrics may be.
const LARGEST: usize = 4 << 20;
/// What a browser may do with the page: nothing but what comes from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Where the page's data come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// How the lab is now. Asked once a second.
    async fn look(&self) -> Look;
}

/// How a lab is at a time.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The gateway's base URL; empty where it is not known.
    pub gateway: String,
    /// The services' states, by their names.
    pub services: BTreeMap<String, String>,
    /// The instance of the app that serves, and where it shows its metrics; none where it does not run, or is frozen.
    pub metrics: Option<(String, String)>,
    /// The base URL of the lab's own Prometheus, without a slash at the end: it says what the alerts are. None where there is
    /// none, and the rules are evaluated here.
    pub prometheus: Option<String>,
}

/// What the page is made from.
struct Board {
    lab: String,
    /// When it began, in milliseconds since the epoch: points are numbered from then on.
    since: i64,
    source: Arc<dyn Source>,
    now: Mutex<Look>,
    feed: Mutex<Feed>,
    marks: Mutex<Marks>,
    /// What was said of the alerts last, and by whom; none where nobody says it.
    rules: Mutex<Option<Answer>>,
    alerts: Mutex<Alerts>,
}

impl Board {
    fn new(folder: &Path, source: Arc<dyn Source>) -> Self {
        Self {
            lab: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            since: chrono::Utc::now().timestamp_millis(),
            source,
            now: Mutex::default(),
            feed: Mutex::default(),
            marks: Mutex::default(),
            rules: Mutex::default(),
            alerts: Mutex::default(),
        }
    }
}

/// Listens on the port of this machine alone, or on any where that is taken; none where there is none at all.
pub async fn listen(port: u16) -> Option<TcpListener> {
    match TcpListener::bind(("127.0.0.1", port)).await {
        Ok(listener) => Some(listener),
        Err(_) => TcpListener::bind(("127.0.0.1", 0)).await.ok(),
    }
}

/// Serves the dashboard of the lab in `folder` until the end.
pub async fn serve(listener: TcpListener, folder: &Path, source: Arc<dyn Source>, end: CancellationToken) {
    let Ok(address) = listener.local_addr() else { return };
    let board = Arc::new(Board::new(folder, source));
    let router = router(board.clone(), address);
    let limits = Limits { connections: lab_server::capacity(4, CONNECTIONS), head: HEAD_TIMEOUT, stall: Some(STALL) };
    tokio::select! {
        () = lab_server::serve(listener, router, limits, Arc::new(|_: &HeaderMap| true), end.clone()) => {}
        () = watch(&board, Runs::of(folder, chrono::Utc::now())) => {}
        () = end.cancelled() => {}
    }
}

/// Asks the app, and looks for runs, once a second.
async fn watch(board: &Board, runs: Runs) {
    let http = Http::new();
    let runs = Arc::new(Mutex::new(runs));
    // Rules that cannot be evaluated are none; a test keeps that from happening.
    let mut monitor = alerts::own().ok().map(Monitor::new);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let look = match timeout(LOOK_PATIENCE, board.source.look()).await {
            Ok(look) => look,
            // Where everything was is the best that is known; what the services are is not known.
            Err(_) => Look { services: BTreeMap::new(), ..lock(&board.now).clone() },
        };
        let said = said(&http, look.metrics.as_ref()).await;
        let now = Moment::now();
        let answer = match (&look.prometheus, &mut monitor) {
            (Some(prometheus), _) => ask_rules(&http, prometheus).await,
            (None, Some(monitor)) => {
                monitor.take(now, said.as_ref().map(|(_, said)| said));
                Some(monitor.answer())
            }
            (None, None) => None,
        };
        if let Some(answer) = &answer {
            let changed = lock(&board.alerts).take(now, answer);
            lock(&board.marks).take_alerts(changed);
        }
        *lock(&board.rules) = answer;
        *lock(&board.now) = look;
        lock(&board.feed).take(now, said);
        let runs = runs.clone();
        // Files of runs are read here, which may take its time.
        if let Ok(told) = tokio::task::spawn_blocking(move || lock(&runs).look()).await {
            lock(&board.marks).take(told);
        }
    }
}

/// What the app says of itself; none where it does not, or not in time.
async fn said(http: &Http, metrics: Option<&(String, String)>) -> Option<(String, Exposition)> {
    let (instance, url) = metrics?;
    let request = HttpRequest::get(url).timeout(PATIENCE).limit(Limit::Fail(LARGEST));
    let page = http.request(&request).await.ok().filter(|page| page.status == 200)?;
    Some((instance.clone(), Exposition::parse(&page.text(), None).ok()?))
}

/// What the lab's Prometheus says of its alerts; none where it does not, or not in time.
async fn ask_rules(http: &Http, prometheus: &str) -> Option<Answer> {
    let request =
        HttpRequest::get(format!("{prometheus}{}", alerts::PATH)).timeout(PATIENCE).limit(Limit::Fail(LARGEST));
    alerts::read(&http.request(&request).await.ok()?.text()).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn router(board: Arc<Board>, address: SocketAddr) -> Router {
    let file =
        |kind: &'static str, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], text) });
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/board.css", file("text/css; charset=utf-8", include_str!("page/board.css")))
        .route("/board.js", file("text/javascript; charset=utf-8", include_str!("page/board.js")))
        .route("/data", get(data))
        .route("/api/v1/rules", get(rules))
        .layer(middleware::from_fn(move |request, next| guard(address, request, next)))
        .layer(middleware::map_request(inbound::discard_unread))
        .with_state(board)
}

/// Lets through what this machine's own browser asks for, and says with each answer what may be done with it.
async fn guard(address: SocketAddr, request: Request, next: Next) -> Response {
    let mut response = match refusal(address, request.method(), request.headers(), request.uri().path()) {
        Some((status, why)) => (status, why).into_response(),
        None => next.run(request).await,
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a request is not answered.
fn refusal(
    address: SocketAddr,
    method: &Method,
    headers: &HeaderMap,
    path: &str,
) -> Option<(StatusCode, &'static str)> {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if method != Method::GET && method != Method::HEAD {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "this page is for reading\n"));
    }
    let host = text(header::HOST).unwrap_or_default();
    if !is_own(host, address) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "this page is reached by an address, or as localhost\n"));
    }
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    let follows_a_link = path == "/" && text(header::HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    let foreign = site.is_some_and(|site| site != "same-origin" && site != "none") && !follows_a_link;
    let foreign = foreign
        || text(header::ORIGIN).is_some_and(|origin| origin.strip_prefix("http://").map(parts) != Some(parts(host)));
    foreign.then_some((StatusCode::FORBIDDEN, "another site asks for this page\n"))
}

/// A name or an address, and its port: 80 where it names none, as browsers write it.
fn parts(host: &str) -> (&str, &str) {
    // What ends with a bracket is an address alone, whose colons part no port.
    host.rsplit_once(':').filter(|_| !host.ends_with(']')).unwrap_or((host, "80"))
}

/// Whether a `host:port` is this page's. A name that somebody made to lead here is not: behind `localhost` and behind an
/// address stands nobody else.
fn is_own(host: &str, address: SocketAddr) -> bool {
    let (name, port) = parts(host);
    if port != address.port().to_string() {
        return false;
    }
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip == address.ip() || !address.ip().is_loopback())
}

/// What the alerts are, as Prometheus says it.
async fn rules(State(board): State<Arc<Board>>) -> Result<Json<Answer>, StatusCode> {
    lock(&board.rules).clone().map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// What the page has already.
#[derive(Deserialize)]
struct Have {
    /// The number of the last point.
    #[serde(default)]
    after: u64,
    /// The version of the marks.
    #[serde(default)]
    marks: u64,
}

/// What the page lacks.
async fn data(State(board): State<Arc<Board>>, Query(have): Query<Have>) -> Json<serde_json::Value> {
    let points = lock(&board.feed).after(have.after);
    let now = lock(&board.now).clone();
    // What was said once is no longer so where nobody says it.
    let alerts = lock(&board.rules).is_some().then(|| lock(&board.alerts).list());
    let marks = lock(&board.marks).newer(have.marks);
    Json(serde_json::json!({
        "lab": board.lab,
        "since": board.since,
        "gateway": now.gateway,
        "services": now.services,
        "points": points,
        "marks": marks,
        "alerts": alerts,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3000);

    fn refused(headers: &[(&'static str, &str)], path: &str) -> Option<StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header"));
        }
        refusal(LOOPBACK, &Method::GET, &map, path).map(|(status, _)| status)
    }

    /// An engine that answers once, and then hangs.
    struct Hangs {
        metrics: String,
        asked: std::sync::atomic::AtomicBool,
    }

    #[async_trait]
    impl Source for Hangs {
        async fn look(&self) -> Look {
            if self.asked.swap(true, std::sync::atomic::Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let services = BTreeMap::from([("app".to_owned(), "running".to_owned())]);
            Look { services, metrics: Some(("app-1".to_owned(), self.metrics.clone())), ..Look::default() }
        }
    }

    #[tokio::test]
    async fn an_engine_that_hangs_keeps_nobody_from_asking_the_app() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let metrics = format!("http://{}/metrics", listener.local_addr().expect("bound"));
        let page = "# TYPE app_requests_total counter\napp_requests_total 1\n";
        let app = Router::new().route("/metrics", get(move || async move { page }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().expect("a folder");
        let source = Arc::new(Hangs { metrics, asked: false.into() });
        let board = Board::new(folder.path(), source);
        let seen = async {
            while lock(&board.feed).points().count() < 2 || !lock(&board.now).services.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = watch(&board, Runs::of(folder.path(), chrono::Utc::now())) => {}
            seen = timeout(Duration::from_secs(30), seen) => seen.expect("it is asked again"),
        }
        assert!(lock(&board.feed).points().all(|point| point.up));
    }

    #[test]
    fn this_machines_own_browser_is_answered() {
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
    fn names_that_lead_here_and_other_sites_are_not() {
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
    fn on_port_80_browsers_leave_the_port_out() {
        let own: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        let answered = |host: &str, origin: &str| {
            let headers = [(header::HOST, host), (header::ORIGIN, origin)];
            let headers = headers.map(|(name, value)| (name, value.parse().expect("a header"))).into_iter().collect();
            refusal(own, &Method::GET, &headers, "/data").is_none()
        };
        assert!(answered("127.0.0.1", "http://127.0.0.1") && answered("localhost:80", "http://localhost"));
        assert!(!answered("localhost", "http://localhost:3000") && !answered("localhost:3000", "http://localhost"));
        assert!(!answered("evil.example", "http://evil.example"));
        assert!(is_own("[::1]", "[::]:80".parse().expect("an address")));
    }

    #[test]
    fn a_page_for_a_room_is_reached_by_address_and_by_no_name() {
        let room: SocketAddr = "0.0.0.0:3000".parse().expect("an address");
        for host in ["192.168.1.5:3000", "127.0.0.1:3000", "localhost:3000", "[::1]:3000"] {
            assert!(is_own(host, room), "{host}");
        }
        for host in ["evil.example:3000", "192.168.1.5:3001", "192.168.1.5", "1.2.3.4.evil.example:3000"] {
            assert!(!is_own(host, room), "{host}");
        }
        assert!(!is_own("192.168.1.5:3000", LOOPBACK));
    }
}
