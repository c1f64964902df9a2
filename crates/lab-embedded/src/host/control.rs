//! The host's control port: the engine's calls as HTTP with JSON. Each needs the token. A change runs as a task of its own,
//! so that a caller who goes away leaves no half of it.

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
use crate::protocol::EnsureRequest;
use lab_core::engine::logs::time_in;
use lab_core::engine::{Description, EngineError, EngineErrorKind, LogLine, UpRequest};
use lab_server::Limits;
use lab_server::inbound;
use lab_system::files;

/// The two steps of a host's end.
#[derive(Clone)]
pub(super) struct End {
    /// The host is to end; its services end next.
    pub(super) asked: CancellationToken,
    /// Its services have ended, and nothing more comes to their logs.
    pub(super) over: CancellationToken,
}

#[derive(Clone)]
struct Control {
    supervisor: Arc<Supervisor>,
    end: End,
}

/// The most connections at once, and how long a head may take: the port is open to every user of this machine.
const CONNECTIONS: usize = 128;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the port until the end is over. A request with the token protects its connection, any other one makes room.
pub(super) async fn serve(listener: TcpListener, supervisor: Arc<Supervisor>, token: &str, end: End) {
    let authority: Arc<str> = format!("Bearer {token}").into();
    let connections = lab_server::capacity(4, CONNECTIONS);
    let limits = Limits { connections, head: HEAD_TIMEOUT, stall: None };
    let over = end.over.clone();
    let router = router(supervisor, authority.clone(), end);
    let trusts = Arc::new(move |headers: &HeaderMap| is_authorized(headers, &authority));
    lab_server::serve(listener, router, limits, trusts, over).await;
}

fn router(supervisor: Arc<Supervisor>, token: Arc<str>, end: End) -> Router {
    Router::new()
        .route("/describe", get(describe))
        .route("/ensure", post(reconcile))
        .route("/up", post(up))
        .route("/down", post(down))
        .route("/logs", get(follow))
        .layer(middleware::from_fn(move |request, next| authorize(token.clone(), request, next)))
        .layer(middleware::map_request(inbound::discard_unread))
        .with_state(Control { supervisor, end })
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

/// An answer: what was asked for, or the engine's error, with a status that says which.
fn answer<T: Serialize>(result: Result<T, EngineError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::CONFLICT, Json(error)).into_response(),
    }
}

async fn describe(State(control): State<Control>) -> Json<Description> {
    Json(control.supervisor.describe().await)
}

async fn reconcile(State(control): State<Control>, Json(request): Json<EnsureRequest>) -> Response {
    let supervisor = control.supervisor;
    answer(apart(async move { supervisor.reconcile(&request.service, &request.change).await }).await)
}

async fn up(State(control): State<Control>, Json(request): Json<UpRequest>) -> Response {
    let supervisor = control.supervisor;
    let up = async move {
        supervisor.up(&request).await?;
        Ok(supervisor.describe().await)
    };
    answer(apart(up).await)
}

/// Runs to its end, whatever becomes of the connection.
async fn apart<T: Send + 'static>(
    change: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        Err(error) => Err(EngineError::new(EngineErrorKind::System, format!("the host: {error}"))),
    }
}

/// The host ends as at a signal, whatever becomes of the caller: who wants to see the end of it waits for its lock.
async fn down(State(control): State<Control>) -> StatusCode {
    control.end.asked.cancel();
    StatusCode::ACCEPTED
}

#[derive(Deserialize)]
struct Follow {
    /// Names with commas between; empty: all.
    services: String,
    /// Where the reader has got to in each of them, in bytes, with commas between.
    from: String,
}

/// What is written to the logs from now on, one JSON object a line, until the reader goes or the host ends.
async fn follow(State(control): State<Control>, Query(query): Query<Follow>) -> Body {
    let services: Vec<String> = query.services.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut offsets = query.from.split(',').map(|offset| offset.parse().unwrap_or(0));
    let streams = control
        .supervisor
        .logs(&services)
        .into_iter()
        .map(|(name, log)| lines(name, log, offsets.next().unwrap_or(0)).boxed());
    let end = control.end.over.cancelled_owned();
    Body::from_stream(futures_util::stream::select_all(streams).take_until(end))
}

/// The lines of a log from an offset on, as they come.
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
                let whole: Vec<u8> = reader.rest.drain(..=end).collect();
                return Some((Ok(as_json_lines(service, &whole)), reader));
            }
            if reader.written.changed().await.is_err() {
                return None;
            }
        }
    })
}

/// What stands in a log behind `offset`, which moves on; from the start where the file is a new one.
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
        // It has just come: where it does not say when it was written, that was now.
        let time = time_in(line).or_else(|| Some(chrono::Utc::now()));
        let line = LogLine { service: service.to_owned(), time, text: line.to_owned() };
        if let Ok(json) = serde_json::to_string(&line) {
            out.push_str(&json);
            out.push('\n');
        }
    }
    out
}
