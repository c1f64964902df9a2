//! Control port of the host: the engine's calls as HTTP with JSON, authorised by the token. Changes run in their own tasks, so
//! that they complete even if the caller disconnects.

use std::convert::Infallible;
use std::io::SeekFrom;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::supervisor::Supervisor;
use crate::log::Log;
use crate::protocol::ReconcileRequest;
use lab_core::engine::logs::time_in;
use lab_core::engine::{Description, EngineError, EngineErrorKind, LogLine, UpRequest};
use lab_server::Limits;
use lab_server::inbound;
use lab_system::files;

/// The two stages of a host's shutdown.
#[derive(Clone)]
pub(super) struct Shutdown {
    /// Shutdown was requested. The services stop next.
    pub(super) requested: CancellationToken,
    /// The services have stopped, and their logs are complete.
    pub(super) complete: CancellationToken,
}

#[derive(Clone)]
struct Control {
    supervisor: Arc<Supervisor>,
    shutdown: Shutdown,
}

/// Limits on connections, because the port is open to every user of this machine.
const CONNECTIONS: usize = 128;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the port until shutdown is complete. Only requests with the token protect their connection from eviction.
pub(super) async fn serve(listener: TcpListener, supervisor: Arc<Supervisor>, token: &str, shutdown: Shutdown) {
    let authority: Arc<str> = format!("Bearer {token}").into();
    let connections = lab_server::capacity(4, CONNECTIONS);
    let limits = Limits { connections, head: HEAD_TIMEOUT, stall: None };
    let complete = shutdown.complete.clone();
    let router = router(supervisor, authority.clone(), shutdown);
    let is_trusted = Arc::new(move |headers: &HeaderMap| is_authorized(headers, &authority));
    lab_server::serve(listener, router, limits, is_trusted, complete).await;
}

fn router(supervisor: Arc<Supervisor>, token: Arc<str>, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/describe", get(describe))
        .route("/ensure", post(reconcile))
        .route("/up", post(up))
        .route("/reset", post(reset_data))
        .route("/down", post(down))
        .route("/logs", get(follow))
        .layer(middleware::from_fn(move |request, next| authorize(token.clone(), request, next)))
        .layer(middleware::map_request(inbound::discard_unread))
        .with_state(Control { supervisor, shutdown })
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

#[derive(Deserialize)]
struct Follow {
    /// Comma-separated service names. Empty means all.
    services: String,
    /// Comma-separated byte offsets, one per service, from which to read.
    from: String,
}

/// Streams new log lines as JSON, one object per line, until the client disconnects or the host exits.
async fn follow(State(control): State<Control>, Query(query): Query<Follow>) -> Body {
    let services: Vec<String> = query.services.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut offsets = query.from.split(',').map(|offset| offset.parse().unwrap_or(0));
    let streams = control
        .supervisor
        .logs(&services)
        .into_iter()
        .map(|(name, log)| lines(name, log, offsets.next().unwrap_or(0)).boxed());
    let end = control.shutdown.complete.cancelled_owned();
    Body::from_stream(futures_util::stream::select_all(streams).take_until(end))
}

/// Streams the lines of a log from an offset on.
fn lines(
    service: &'static str,
    log: Arc<Log>,
    offset: u64,
) -> impl futures_util::Stream<Item = Result<String, Infallible>> {
    struct Reader {
        log: Arc<Log>,
        written: tokio::sync::watch::Receiver<u64>,
        offset: u64,
        rest: Vec<u8>,
    }
    let written = log.written();
    let reader = Reader { log, written, offset, rest: Vec::new() };
    futures_util::stream::unfold(reader, move |mut reader| async move {
        loop {
            reader.written.mark_unchanged();
            let fresh = read_from(&reader.log, &mut reader.offset).await;
            reader.rest.extend_from_slice(&fresh);
            if let Some(end) = reader.rest.iter().rposition(|byte| *byte == b'\n') {
                let complete: Vec<u8> = reader.rest.drain(..=end).collect();
                return Some((Ok(as_json_lines(service, &complete)), reader));
            }
            if reader.written.changed().await.is_err() {
                return None;
            }
        }
    })
}

/// Reads a log from `offset` to its end and advances the offset. Starts over if the file was rotated.
async fn read_from(log: &Log, offset: &mut u64) -> Vec<u8> {
    let mut fresh = Vec::new();
    let Ok(file) = files::open_state(log.path(), u64::MAX) else { return fresh };
    let mut file = tokio::fs::File::from_std(file);
    let length = file.metadata().await.map_or(0, |metadata| metadata.len());
    if length < *offset {
        *offset = 0;
    }
    if file.seek(SeekFrom::Start(*offset)).await.is_ok() && file.read_to_end(&mut fresh).await.is_ok() {
        *offset += fresh.len() as u64;
    }
    fresh
}

fn as_json_lines(service: &str, text: &[u8]) -> String {
    let mut out = String::new();
    for line in String::from_utf8_lossy(text).lines() {
        // A line without a timestamp has just been written.
        let time = time_in(line).or_else(|| Some(chrono::Utc::now()));
        let line = LogLine { service: service.to_owned(), time, text: line.to_owned() };
        if let Ok(json) = serde_json::to_string(&line) {
            out.push_str(&json);
            out.push('\n');
        }
    }
    out
}
