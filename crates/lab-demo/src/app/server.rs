//! HTTP routes of the app, and the middleware of every request: authentication, metrics and access log.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;

use lab_core::PROBE_HEADER;

use crate::service::log::{Escaped, Log};
use crate::service::request_id::RequestIds;
use crate::service::serve::{self, Limits};
use crate::service::stop::Stop;

use super::auth::{Auth, KeyName, Rejection};
use super::config::Config;
use super::limit::Limiter;
use super::metrics::{self, Metrics};
use super::probes::Probes;
use super::store::{EXHAUSTED, Store, Unavailable};

/// Scopes required by path. Other paths accept any valid key.
const SCOPES: [(&str, &str); 2] = [("/api/users", "users:read"), ("/api/report", "reports:read")];

const HEALTH_PATH: &str = "/health";

/// Request heads over 32 KiB are rejected. The timeout exceeds the usual 60 s for which proxies keep idle connections: if the app
/// closed a connection first, its next request could be lost.
const LIMITS: Limits = Limits { header_size: 32 << 10, header_timeout: Duration::from_secs(75) };

/// State shared by all requests.
pub(super) struct App {
    pub(super) store: Store,
    auth: Auth,
    limiter: Option<Limiter>,
    delay: Option<Duration>,
    metrics: Metrics,
    metrics_path: String,
    probes: Probes,
    ids: RequestIds,
    instance: String,
    log: Log,
}

impl App {
    /// Creates the app. Connects to the database on first use.
    pub(super) fn new(config: Config, log: Log) -> prometheus::Result<Self> {
        let metrics = Metrics::new(&config.auth)?;
        Ok(Self {
            store: Store::new(config.store, metrics.pool.clone()),
            auth: config.auth,
            limiter: config.limiter,
            delay: config.delay,
            metrics,
            probes: Probes::new(HEALTH_PATH, &config.metrics_path),
            metrics_path: config.metrics_path,
            ids: RequestIds::new(),
            instance: config.instance,
            log,
        })
    }

    /// Serves until `stop`.
    pub(super) async fn serve(self: &Arc<Self>, listener: TcpListener, stop: &Stop) {
        let service = self.service();
        serve::serve(listener, LIMITS, stop, &self.log, |_: SocketAddr| service.clone()).await;
    }

    pub(super) fn service(self: &Arc<Self>) -> TowerToHyperService<Router> {
        TowerToHyperService::new(self.router())
    }

    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/api/users", get(users))
            .route("/api/report", get(report))
            .route(HEALTH_PATH, get(health))
            .route(&self.metrics_path, get(metrics))
            .fallback(async || error(StatusCode::NOT_FOUND, r#"{"error":"not found"}"#))
            .method_not_allowed_fallback(async || {
                error(StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method not allowed"}"#)
            })
            .layer(middleware::from_fn_with_state(Arc::clone(self), observe))
            .with_state(Arc::clone(self))
    }
}

/// Middleware of every request. Authenticates and counts requests under `/api/`.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_probe = is_probe(request.headers());
    let mut access = Access::new(Arc::clone(&app), &request);
    let path = request.uri().path();
    if !path.starts_with("/api/") {
        return access.record(next.run(request).await);
    }
    let _in_flight = (!is_probe).then(|| app.metrics.in_flight());
    let scope = SCOPES.iter().find(|(known, _)| *known == path).map(|(_, scope)| *scope);
    let auth = app.auth.check(request.headers(), scope, SystemTime::now());
    if !is_probe {
        app.metrics.request(auth);
    }
    let response = match auth {
        Ok(key) => match app.rate_limited(key) {
            None => app.after_delay(next.run(request)).await,
            Some(refusal) => refusal,
        },
        Err(rejection) => rejected(rejection, scope),
    };
    if !is_probe {
        app.metrics.response(response.status(), access.started.elapsed());
    }
    access.record(response)
}

/// Whether a request is one of lab's own, which are neither counted nor logged.
fn is_probe(headers: &HeaderMap) -> bool {
    headers.contains_key(PROBE_HEADER)
}

impl App {
    /// Returns the response if the key has exceeded its rate.
    fn rate_limited(&self, key: KeyName) -> Option<Response> {
        // Use the runtime's clock, which tests can pause.
        let now = tokio::time::Instant::now().into_std();
        let limiter = self.limiter.as_ref()?;
        let wait = limiter.try_acquire(key, now).err()?;
        let refusal = error(StatusCode::TOO_MANY_REQUESTS, r#"{"error":"rate limit exceeded"}"#);
        Some(with_reason("rate", ([(RETRY_AFTER, HeaderValue::from(wait))], refusal).into_response()))
    }

    async fn after_delay(&self, response: impl Future<Output = Response>) -> Response {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        response.await
    }
}

fn rejected(rejection: Rejection, scope: Option<&str>) -> Response {
    let response = match rejection {
        Rejection::Missing | Rejection::Invalid | Rejection::Expired => {
            error(StatusCode::UNAUTHORIZED, r#"{"error":"unauthorized"}"#)
        }
        // The error code of OAuth 2.0 (RFC 6749, 5.2): the client failed, not the caller's key.
        Rejection::Client => error(StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#),
        Rejection::Scope => {
            let needs = scope.unwrap_or_default();
            json(StatusCode::FORBIDDEN, format!(r#"{{"error":"forbidden","needs":"{needs}"}}"#))
        }
    };
    with_reason(rejection.name(), response)
}

async fn users(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    answer(app.store.users(!is_probe(&headers)).await)
}

/// Creates a report. Continues even if the caller disconnects, as many servers do.
async fn report(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let is_counted = !is_probe(&headers);
    match tokio::spawn(async move { app.store.report(is_counted).await }).await {
        Ok(report) => answer(report),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"internal error"}"#),
    }
}

fn answer(found: Result<impl Serialize, Unavailable>) -> Response {
    match found.map(|found| serde_json::to_vec(&found)) {
        Ok(Ok(found)) => json(StatusCode::OK, found),
        Err(EXHAUSTED) => {
            with_reason("pool", error(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"database pool exhausted"}"#))
        }
        Ok(Err(_)) | Err(Unavailable(_)) => {
            with_reason("database", error(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"database unavailable"}"#))
        }
    }
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let (code, status, database) = match app.store.health().await {
        Ok(()) => (StatusCode::OK, "ok", "ok"),
        Err(Unavailable(why)) => (StatusCode::SERVICE_UNAVAILABLE, "unwell", why),
    };
    let instance = &app.instance;
    // None of the three needs escaping; instance ids are restricted to safe characters.
    json(code, format!(r#"{{"status":"{status}","instance":"{instance}","checks":{{"database":"{database}"}}}}"#))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.metrics.exposition() {
        Ok(page) => ([(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], page).into_response(),
        Err(failure) => {
            app.log.note(format_args!("cannot write the metrics: {failure}"));
            error(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"internal error"}"#)
        }
    }
}

fn error(code: StatusCode, body: &'static str) -> Response {
    json(code, body)
}

fn json(code: StatusCode, body: impl Into<Body>) -> Response {
    (code, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.into()).into_response()
}

/// Reason for an error response, for the access log.
#[derive(Clone, Copy)]
struct Reason(&'static str);

fn with_reason(reason: &'static str, mut response: Response) -> Response {
    response.extensions_mut().insert(Reason(reason));
    response
}

/// Access log entry, written when the request ends. The status is 499, as in nginx, if the caller disconnected before the
/// response. Probes whose status did not change are left out. Headers and the query are never logged, so an entry contains no
/// key.
struct Access {
    app: Arc<App>,
    started: Instant,
    method: Method,
    uri: Uri,
    id: HeaderValue,
    status: u16,
    reason: Option<Reason>,
    is_probe: bool,
}

impl Access {
    fn new(app: Arc<App>, request: &Request) -> Self {
        let id = app.ids.for_request(request.headers());
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let is_probe = is_probe(request.headers());
        Self { app, started: Instant::now(), method, uri, id, status: 499, reason: None, is_probe }
    }

    fn record(&mut self, response: Response) -> Response {
        self.status = response.status().as_u16();
        self.reason = response.extensions().get().copied();
        response
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if self.is_probe || !self.app.probes.should_log(self.uri.path(), self.status) {
            return;
        }
        self.app.log.line(|line, now| {
            let (instance, method, path, status) = (&self.app.instance, &self.method, self.uri.path(), self.status);
            let took = self.started.elapsed().as_secs_f64() * 1000.0;
            let id = self.id.to_str().unwrap_or_default();
            let _ = write!(
                line,
                "{now} access instance={instance} method={} path={} status={status} duration_ms={took:.3}",
                Escaped(method.as_str()),
                Escaped(path),
            );
            if let Some(Reason(reason)) = self.reason {
                let _ = write!(line, " reason={reason}");
            }
            let _ = write!(line, " request_id={id}");
        });
    }
}
