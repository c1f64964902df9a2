//! [`App`]: the routes, and around them what every request goes through: the key, the counters, the access log.

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
use hyper::{Method, StatusCode, Uri};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::service::log::{Escaped, Log};
use crate::service::request_id::RequestIds;
use crate::service::serve::{self, Limits};
use crate::service::stop::Stop;

use super::auth::{Auth, KeyName, Rejection};
use super::config::Config;
use super::limit::Limiter;
use super::metrics::{self, Metrics};
use super::probes::Probes;
use super::store::{EXHAUSTED, Store, Unwell};

/// The paths that need a scope of the key, and which. Elsewhere any key will do.
const SCOPES: [(&str, &str); 2] = [("/api/users", "users:read"), ("/api/report", "reports:read")];

/// Where probes ask whether it is well.
const HEALTH_PATH: &str = "/health";

/// Heads of more than 32 KiB are refused. The time is above that for which proxies usually keep idle connections (60 s):
/// where we close one first, its next request is lost.
const LIMITS: Limits = Limits { header_size: 32 << 10, header_timeout: Duration::from_secs(75) };

/// What the requests share.
pub(super) struct App {
    /// Where the users are.
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
    /// Nothing is connected yet.
    pub(super) fn new(config: Config, log: Log) -> prometheus::Result<Self> {
        let metrics = Metrics::new(config.auth.ends())?;
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

    /// What answers requests.
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

/// Around every request: under `/api/` its key is looked at before anything else, and it is counted.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut access = Access::new(Arc::clone(&app), &request);
    let path = request.uri().path();
    if !path.starts_with("/api/") {
        return access.answered(next.run(request).await);
    }
    let _in_flight = app.metrics.in_flight();
    let scope = SCOPES.iter().find(|(known, _)| *known == path).map(|(_, scope)| *scope);
    let auth = app.auth.check(request.headers(), scope, SystemTime::now());
    app.metrics.request(auth);
    let response = match auth {
        Ok(key) => match app.limited(key) {
            None => app.after_delay(next.run(request)).await,
            Some(refusal) => refusal,
        },
        Err(rejection) => rejected(rejection, scope),
    };
    app.metrics.response(response.status(), access.begun.elapsed());
    access.answered(response)
}

impl App {
    /// What a request of this key is answered that comes too soon.
    fn limited(&self, key: KeyName) -> Option<Response> {
        // Of the runtime's clock: a test may hold that.
        let now = tokio::time::Instant::now().into_std();
        let wait = self.limiter.as_ref()?.take(key, now).err()?;
        let refusal = error(StatusCode::TOO_MANY_REQUESTS, r#"{"error":"rate limit exceeded"}"#);
        Some(because("rate", ([(RETRY_AFTER, HeaderValue::from(wait))], refusal).into_response()))
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
        // As an OAuth 2.0 server would say it (RFC 6749, 5.2): it is not the caller's key.
        Rejection::Client => error(StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#),
        Rejection::Scope => {
            let needs = scope.unwrap_or_default();
            json(StatusCode::FORBIDDEN, format!(r#"{{"error":"forbidden","needs":"{needs}"}}"#))
        }
    };
    because(rejection.name(), response)
}

async fn users(State(app): State<Arc<App>>) -> Response {
    answer(app.store.users().await)
}

/// A report is made to its end whether or not its caller still waits: it is not cancelled, as in many a server.
async fn report(State(app): State<Arc<App>>) -> Response {
    match tokio::spawn(async move { app.store.report().await }).await {
        Ok(report) => answer(report),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"internal error"}"#),
    }
}

fn answer(found: Result<impl Serialize, Unwell>) -> Response {
    match found.map(|found| serde_json::to_vec(&found)) {
        Ok(Ok(found)) => json(StatusCode::OK, found),
        Err(EXHAUSTED) => {
            because("pool", error(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"database pool exhausted"}"#))
        }
        Ok(Err(_)) | Err(Unwell(_)) => {
            because("database", error(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"database unavailable"}"#))
        }
    }
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let (code, status, database) = match app.store.health().await {
        Ok(()) => (StatusCode::OK, "ok", "ok"),
        Err(Unwell(why)) => (StatusCode::SERVICE_UNAVAILABLE, "unwell", why),
    };
    let instance = &app.instance;
    // None of the three needs escaping: an instance's id is made so.
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

/// Why a request was not answered as it asked, for the log.
#[derive(Clone, Copy)]
struct Reason(&'static str);

fn because(reason: &'static str, mut response: Response) -> Response {
    response.extensions_mut().insert(Reason(reason));
    response
}

/// One line of the access log, unless it is a probe's and says nothing new; written when the request is answered, or when its
/// caller went away before (then with nginx's code for that, 499). Never holds a key: neither headers nor the query are in it.
struct Access {
    app: Arc<App>,
    begun: Instant,
    method: Method,
    uri: Uri,
    id: HeaderValue,
    status: u16,
    reason: Option<Reason>,
}

impl Access {
    fn new(app: Arc<App>, request: &Request) -> Self {
        let id = app.ids.of(request.headers());
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { app, begun: Instant::now(), method, uri, id, status: 499, reason: None }
    }

    fn answered(&mut self, response: Response) -> Response {
        self.status = response.status().as_u16();
        self.reason = response.extensions().get().copied();
        response
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if !self.app.probes.is_news(self.uri.path(), self.status) {
            return;
        }
        self.app.log.line(|line, now| {
            let (instance, method, path, status) = (&self.app.instance, &self.method, self.uri.path(), self.status);
            let took = self.begun.elapsed().as_secs_f64() * 1000.0;
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
