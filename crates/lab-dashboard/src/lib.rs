//! Live dashboard of one lab, for labs without Grafana. A single page on its own port shows what callers get, a map of the request
//! path and the panels of the Grafana dashboard, with the steps of runs and alert transitions as marks, and `/api/v1/rules` reports alerts in Prometheus's format.
//!
//! The server is read-only and listens on the loopback address unless configured otherwise. It rejects requests from other
//! sites and from host names that merely resolve to it (DNS rebinding). Engines provide the data through [`Source`].

#![warn(missing_docs)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use lab_core::engine::Roles;
use lab_http::{Http, Limit, Request as HttpRequest};
use lab_server::Limits;
use lab_server::{compression, inbound, site};
use lab_telemetry::alerts::{self, Monitor, RulesResponse};
use lab_telemetry::live::{Alerts, Feed, PathState, Point, Runs};
use lab_telemetry::metrics::{Exposition, Moment};

mod marks;

use marks::Marks;

/// Default ports `(gateway, dashboard)`: a lab on the default gateway port gets the default dashboard port.
pub const USUAL: (u16, u16) = (8080, 3000);
/// Interval between two scrapes.
const INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of a scrape. Shorter than the interval.
const SCRAPE_TIMEOUT: Duration = Duration::from_millis(800);
/// Timeout of [`Source::snapshot`]. The app is scraped even if the engine hangs.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of connections: enough for a classroom of browsers with a few connections each.
const CONNECTIONS: usize = 256;
/// Timeout for reading a request head. Also limits how long idle connections are kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which an unfinished response no longer protects its connection from eviction.
const STALL: Duration = Duration::from_secs(10);
/// Maximum size of a metrics page or of Prometheus's rules, in bytes.
const MAX_RESPONSE: usize = 4 << 20;
/// Content security policy: the page may only load and connect to this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Source of the page's data, implemented by the engines.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns the current state of the lab. Called once a second.
    async fn snapshot(&self) -> Snapshot;
}

/// Observed state of a lab at one time.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Base URL of the gateway. Empty if unknown.
    pub gateway: String,
    /// State of each service, such as `running`, by service name.
    pub services: BTreeMap<String, String>,
    /// Services behind the roles of the request path.
    pub roles: Roles,
    /// Instance id and metrics URL of the active app. `None` if the app is stopped or paused.
    pub metrics: Option<(String, String)>,
    /// Instance id and metrics URL of the edge, which counts what callers get at the gateway. `None` if the lab has none, or if
    /// it does not run.
    pub edge: Option<(String, String)>,
    /// Base URL of the lab's Prometheus without a trailing slash, used as the source of alerts. If `None`, the dashboard
    /// evaluates the alert rules itself.
    pub prometheus: Option<String>,
}

/// State shared by the collector and the request handlers.
struct Dashboard {
    lab: String,
    /// Start time in milliseconds since the epoch. A changed value signals the page that point numbers restarted.
    since: i64,
    source: Arc<dyn Source>,
    snapshot: Mutex<Snapshot>,
    feed: Mutex<Feed>,
    marks: Mutex<Marks>,
    /// Latest state of the alert rules. `None` if it is unknown.
    rules: Mutex<Option<RulesResponse>>,
    alerts: Mutex<Alerts>,
}

impl Dashboard {
    fn new(folder: &Path, source: Arc<dyn Source>) -> Self {
        Self {
            lab: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            since: chrono::Utc::now().timestamp_millis(),
            source,
            snapshot: Mutex::default(),
            feed: Mutex::default(),
            marks: Mutex::default(),
            rules: Mutex::default(),
            alerts: Mutex::default(),
        }
    }
}

/// Listens on the port of 127.0.0.1, or on a free one if it is taken. Returns `None` if no port is available.
pub async fn listen(port: u16) -> Option<TcpListener> {
    match TcpListener::bind(("127.0.0.1", port)).await {
        Ok(listener) => Some(listener),
        Err(_) => TcpListener::bind(("127.0.0.1", 0)).await.ok(),
    }
}

/// Serves the dashboard of the lab in `folder` until `end` is cancelled.
pub async fn serve(listener: TcpListener, folder: &Path, source: Arc<dyn Source>, end: CancellationToken) {
    let Ok(address) = listener.local_addr() else { return };
    let dashboard = Arc::new(Dashboard::new(folder, source));
    let router = router(dashboard.clone(), address);
    let limits = Limits { connections: lab_server::capacity(4, CONNECTIONS), head: HEAD_TIMEOUT, stall: Some(STALL) };
    tokio::select! {
        () = lab_server::serve(listener, router, limits, Arc::new(|_: &HeaderMap| true), end.clone()) => {}
        () = collect(&dashboard, Runs::new(folder, chrono::Utc::now())) => {}
        () = end.cancelled() => {}
    }
}

/// Scrapes the app and the edge, evaluates alerts and reads the events of runs, once a second.
async fn collect(dashboard: &Dashboard, runs: Runs) {
    let http = Http::new();
    let runs = Arc::new(Mutex::new(runs));
    // Built-in rules always parse; a test ensures that.
    let mut monitor = alerts::built_in_rules().ok().map(Monitor::new);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = match timeout(SNAPSHOT_TIMEOUT, dashboard.source.snapshot()).await {
            Ok(snapshot) => snapshot,
            // Keep the last known addresses, but report no service states.
            Err(_) => Snapshot { services: BTreeMap::new(), ..lock(&dashboard.snapshot).clone() },
        };
        let (sample, edge) =
            tokio::join!(scrape(&http, snapshot.metrics.as_ref()), scrape(&http, snapshot.edge.as_ref()));
        let now = Moment::now();
        let answer = match (&snapshot.prometheus, &mut monitor) {
            (Some(prometheus), _) => fetch_rules(&http, prometheus).await,
            (None, Some(monitor)) => {
                monitor.add_scrapes(now, page(sample.as_ref()), page(edge.as_ref()));
                Some(monitor.response())
            }
            (None, None) => None,
        };
        if let Some(answer) = &answer {
            let changed = lock(&dashboard.alerts).update(now, answer);
            lock(&dashboard.marks).add_alerts(changed);
        }
        *lock(&dashboard.rules) = answer;
        *lock(&dashboard.snapshot) = snapshot;
        lock(&dashboard.feed).add_scrapes(now, sample, edge);
        let runs = runs.clone();
        // Reads the run journals from disk.
        if let Ok(events) = tokio::task::spawn_blocking(move || lock(&runs).poll()).await {
            lock(&dashboard.marks).add_events(events);
        }
    }
}

/// The metrics page of a sample.
fn page(sample: Option<&(String, Exposition)>) -> Option<&Exposition> {
    sample.map(|(_, exposition)| exposition)
}

/// Scrapes a metrics page. Returns the instance id with the metrics, or `None` if the scrape failed.
async fn scrape(http: &Http, metrics: Option<&(String, String)>) -> Option<(String, Exposition)> {
    let (instance, url) = metrics?;
    let request = HttpRequest::get(url).timeout(SCRAPE_TIMEOUT).limit(Limit::Fail(MAX_RESPONSE));
    let page = http.request(&request).await.ok().filter(|page| page.status == 200)?;
    Some((instance.clone(), Exposition::parse(&page.text(), None).ok()?))
}

/// Reads the alert rules from the lab's Prometheus.
async fn fetch_rules(http: &Http, prometheus: &str) -> Option<RulesResponse> {
    let request = HttpRequest::get(format!("{prometheus}{}", alerts::PATH))
        .timeout(SCRAPE_TIMEOUT)
        .limit(Limit::Fail(MAX_RESPONSE));
    RulesResponse::parse(&http.request(&request).await.ok()?.text()).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn router(dashboard: Arc<Dashboard>, address: SocketAddr) -> Router {
    let file =
        |kind: &'static str, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], text) });
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/dashboard.css", file("text/css; charset=utf-8", include_str!("page/dashboard.css")))
        .route("/dashboard.js", file("text/javascript; charset=utf-8", include_str!("page/dashboard.js")))
        .route("/data", get(data))
        .route("/api/v1/rules", get(rules))
        .layer(middleware::from_fn(move |request, next| guard(address, request, next)))
        .layer(middleware::map_request(inbound::discard_unread))
        .with_state(dashboard)
}

/// Rejects foreign requests and adds the security headers to every response.
async fn guard(address: SocketAddr, request: Request, next: Next) -> Response {
    let mut response = match refusal(address, request.method(), request.headers(), request.uri().path()) {
        Some((status, why)) => (status, why).into_response(),
        None => next.run(request).await,
    };
    site::secure(response.headers_mut(), POLICY, "no-referrer");
    response
}

/// Returns the status and message if a request must be rejected.
fn refusal(
    address: SocketAddr,
    method: &Method,
    headers: &HeaderMap,
    path: &str,
) -> Option<(StatusCode, &'static str)> {
    if method != Method::GET && method != Method::HEAD {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "this server is read-only\n"));
    }
    if !site::is_own(site::host(headers), address) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "open this page by IP address or as localhost\n"));
    }
    site::is_foreign(headers, path == "/").then_some((StatusCode::FORBIDDEN, "cross-site requests are not allowed\n"))
}

/// Alert rules in Prometheus's format.
async fn rules(State(dashboard): State<Arc<Dashboard>>) -> Result<Json<RulesResponse>, StatusCode> {
    lock(&dashboard.rules).clone().map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// Position of the page in the data.
#[derive(Deserialize)]
struct Position {
    /// Number of the last point received.
    #[serde(default)]
    after: u64,
    /// Version of the marks received.
    #[serde(default)]
    marks: u64,
}

/// Data that is newer than the page's position.
async fn data(
    State(dashboard): State<Arc<Dashboard>>,
    Query(position): Query<Position>,
    headers: HeaderMap,
) -> Response {
    let snapshot = lock(&dashboard.snapshot).clone();
    let (points, now) = {
        let feed = lock(&dashboard.feed);
        (feed.after(position.after), summary(&snapshot, feed.points().next_back()))
    };
    // Without current rules the known alerts may be outdated.
    let alerts = lock(&dashboard.rules).is_some().then(|| lock(&dashboard.alerts).list());
    let marks = lock(&dashboard.marks).newer_than(position.marks);
    let document = serde_json::json!({
        "lab": dashboard.lab,
        "since": dashboard.since,
        "gateway": snapshot.gateway,
        "services": snapshot.services,
        "now": now,
        "points": points,
        "marks": marks,
        "alerts": alerts,
    });
    // An hour of points has about a megabyte.
    compression::respond(&headers, "application/json", document.to_string().into_bytes())
}

/// State of the request path in one sentence and hop by hop.
fn summary(snapshot: &Snapshot, point: Option<&Point>) -> serde_json::Value {
    let state = |name: &str| snapshot.services.get(name).map(String::as_str);
    let Roles { gateway, app, db, .. } = &snapshot.roles;
    let path = PathState { point, gateway: state(gateway), app: state(app), db: state(db) };
    serde_json::json!({ "headline": path.headline(), "hops": path.hops() })
}

#[cfg(test)]
mod tests;
