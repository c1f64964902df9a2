//! Control port of the host: the engine's calls as HTTP with JSON, authorised by the token. Changes run in their own tasks, so
//! that they complete even if the caller disconnects.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::logs;
use super::supervisor::Supervisor;
use crate::protocol::ReconcileRequest;
use crate::{DATABASE_FILE, query};
use lab_core::engine::{DbError, DbQuery, DbResult, Description, EngineError, EngineErrorKind, UpRequest};
use lab_server::Limits;
use lab_server::inbound;
use lab_tls::Acceptor;

/// The two stages of a host's shutdown.
#[derive(Clone)]
pub(super) struct Shutdown {
    /// Shutdown was requested. The services stop next.
    pub(super) requested: CancellationToken,
    /// The services have stopped, and their logs are complete.
    pub(super) complete: CancellationToken,
}

#[derive(Clone)]
pub(super) struct Control {
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) shutdown: Shutdown,
}

/// Open control port.
pub(super) struct Port {
    pub(super) listener: TcpListener,
    pub(super) token: String,
    /// Acceptor of a port on a network.
    pub(super) tls: Option<Acceptor>,
}

/// Limits on connections, because the port is open to every user of this machine, or to a network.
const CONNECTIONS: usize = 128;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the port until shutdown is complete. Only requests with the token protect their connection from eviction.
pub(super) async fn serve(port: Port, control: Control) {
    let Port { listener, token, tls } = port;
    let authority: Arc<str> = format!("Bearer {token}").into();
    let connections = lab_server::capacity(4, CONNECTIONS);
    let limits = Limits { connections, head: HEAD_TIMEOUT, stall: None };
    let complete = control.shutdown.complete.clone();
    let router = router(control, authority.clone());
    let is_trusted = Arc::new(move |headers: &HeaderMap| is_authorized(headers, &authority));
    match tls {
        Some(tls) => lab_server::serve_tls(listener, tls, router, limits, is_trusted, complete).await,
        None => lab_server::serve(listener, router, limits, is_trusted, complete).await,
    }
}

fn router(control: Control, token: Arc<str>) -> Router {
    Router::new()
        .route("/describe", get(describe))
        .route("/ensure", post(reconcile))
        .route("/up", post(up))
        .route("/reset", post(reset_data))
        .route("/down", post(down))
        .route("/logs", get(logs::follow).post(logs::past_and_new))
        .route("/query", post(run_query))
        .layer(middleware::from_fn(move |request, next| authorize(token.clone(), request, next)))
        .layer(middleware::map_request(inbound::discard_unread))
        .with_state(control)
}

async fn authorize(token: Arc<str>, request: Request, next: Next) -> Response {
    if is_authorized(request.headers(), &token) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

fn is_authorized(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    bool::from(given.ct_eq(token.as_bytes()))
}

/// Serialises a result: 200 with the value, or 409 with the engine error.
fn respond<T: Serialize>(result: Result<T, EngineError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::CONFLICT, Json(error)).into_response(),
    }
}

async fn describe(State(control): State<Control>) -> Json<Description> {
    Json(control.supervisor.describe().await)
}

async fn reconcile(State(control): State<Control>, Json(request): Json<ReconcileRequest>) -> Response {
    let supervisor = control.supervisor;
    respond(run_detached(async move { supervisor.reconcile(&request.service, &request.change).await }).await)
}

async fn reset_data(State(control): State<Control>) -> Response {
    let supervisor = control.supervisor;
    respond(run_detached(async move { supervisor.reset_data().await }).await)
}

async fn up(State(control): State<Control>, Json(request): Json<UpRequest>) -> Response {
    let supervisor = control.supervisor;
    let up = async move {
        supervisor.up(&request).await?;
        Ok(supervisor.describe().await)
    };
    respond(run_detached(up).await)
}

/// Runs a change to completion, independently of the connection.
async fn run_detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        Err(error) => Err(EngineError::new(EngineErrorKind::System, format!("the change failed in the host: {error}"))),
    }
}

/// Requests shutdown, like SIGTERM. Callers that need its completion wait for the host's lock.
async fn down(State(control): State<Control>) -> StatusCode {
    control.shutdown.requested.cancel();
    StatusCode::ACCEPTED
}

/// Runs a statement in the app's database. It is cancelled if the client disconnects, which drops this future.
async fn run_query(State(control): State<Control>, Json(query): Json<DbQuery>) -> Json<Result<DbResult, DbError>> {
    let stop = CancellationToken::new();
    let _stop_on_drop = stop.clone().drop_guard();
    let path = control.supervisor.folder().path(DATABASE_FILE);
    let running = tokio::spawn(async move { query::run(&path, &query, Box::pin(stop.cancelled_owned())).await });
    Json(running.await.unwrap_or_else(|error| {
        let detail = format!("the query failed in the host: {error}");
        Err(EngineError::new(EngineErrorKind::System, detail).into())
    }))
}
