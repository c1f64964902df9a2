//! [`App`]: the routes, and around them what every request goes through: the key, the counters, the access log.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::service::log::{Escaped, Log};
use crate::service::request_id::RequestIds;
use crate::service::serve::{self, Limits};
use crate::service::stop::Stop;

use super::auth::ApiKey;
use super::config::Config;
use super::metrics::{self, Metrics};
use super::store::{Store, Unwell};

/// Heads of more than 32 KiB are refused. The time is above that for which proxies usually keep idle connections (60 s):
/// where we close one first, its next request is lost.
const LIMITS: Limits = Limits { header_size: 32 << 10, header_timeout: Duration::from_secs(75) };

/// What the requests share.
pub(super) struct App {
    /// Where the users are.
    pub(super) store: Store,
    key: ApiKey,
    metrics: Metrics,
    ids: RequestIds,
    instance: String,
    log: Log,
}

impl App {
    /// Nothing is connected yet.
    pub(super) fn new(config: Config, log: Log) -> prometheus::Result<Self> {
        Ok(Self {
            store: Store::new(config.database),
            key: config.key,
            metrics: Metrics::new()?,
            ids: RequestIds::new(),
            instance: config.instance,
            log,
        })
    }

    /// Serves until `stop`.
    pub(super) async fn serve(self: &Arc<Self>, listener: TcpListener, stop: &Stop) {
        let service = TowerToHyperService::new(self.router());
        serve::serve(listener, LIMITS, stop, &self.log, |_: SocketAddr| service.clone()).await;
    }

    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/api/users", get(users))
            .route("/health", get(health))
            .route("/metrics", get(metrics))
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
    if !request.uri().path().starts_with("/api/") {
        return access.answered(next.run(request).await);
    }
    let _in_flight = app.metrics.in_flight();
    let auth = app.key.check(request.headers());
    app.metrics.request(auth);
    let response = match auth {
        Ok(()) => next.run(request).await,
        Err(_) => error(StatusCode::UNAUTHORIZED, r#"{"error":"unauthorized"}"#),
    };
    app.metrics.response(response.status(), access.begun.elapsed());
    access.answered(response)
}

async fn users(State(app): State<Arc<App>>) -> Response {
    match app.store.users().await.map(|users| serde_json::to_vec(&users)) {
        Ok(Ok(users)) => json(StatusCode::OK, users),
        Ok(Err(_)) | Err(Unwell(_)) => error(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"database unavailable"}"#),
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

/// One line of the access log, written when the request is answered, or when its caller went away before (then with
/// nginx's code for that, 499). Never holds a key: neither headers nor the query are in it.
struct Access {
    app: Arc<App>,
    begun: Instant,
    method: Method,
    uri: Uri,
    id: HeaderValue,
    status: u16,
}

impl Access {
    fn new(app: Arc<App>, request: &Request) -> Self {
        let id = app.ids.of(request.headers());
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { app, begun: Instant::now(), method, uri, id, status: 499 }
    }

    fn answered(&mut self, response: Response) -> Response {
        self.status = response.status().as_u16();
        response
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.app.log.line(|line, now| {
            let (instance, method, path, status) = (&self.app.instance, &self.method, self.uri.path(), self.status);
            let took = self.begun.elapsed().as_secs_f64() * 1000.0;
            let id = self.id.to_str().unwrap_or_default();
            let _ = write!(
                line,
                "{now} access instance={instance} method={} path={} status={status} duration_ms={took:.3} request_id={id}",
                Escaped(method.as_str()),
                Escaped(path),
            );
        });
    }
}
