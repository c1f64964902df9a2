//! Log lines over the control port: past ones, and new ones as they are written.

use std::convert::Infallible;
use std::io::SeekFrom;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::control::Control;
use crate::log::Log;
use crate::logs::past_lines;
use lab_core::engine::logs::time_in;
use lab_core::engine::{EngineError, LogLine, LogRequest};
use lab_system::files;

#[derive(Deserialize)]
pub(super) struct Follow {
    /// Comma-separated service names. Empty means all.
    services: String,
    /// Comma-separated byte offsets, one per service, from which to read.
    from: String,
}

/// Streams new log lines as JSON, one object per line, until the client disconnects or the host exits.
pub(super) async fn follow(State(control): State<Control>, Query(query): Query<Follow>) -> Body {
    let services: Vec<String> = query.services.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let offsets = query.from.split(',').map(|offset| offset.parse().unwrap_or(0)).collect();
    Body::from_stream(
        new_lines(&control, &services, offsets)
            .map(|lines| Ok::<_, Infallible>(lines.iter().map(as_json).collect::<String>())),
    )
}

/// Streams past log lines and, if requested, new ones. Each line is the JSON of a `Result` with a line or an error.
pub(super) async fn past_and_new(State(control): State<Control>, Json(request): Json<LogRequest>) -> Response {
    let folder = control.supervisor.folder().clone();
    let wanted = request.clone();
    let read = tokio::task::spawn_blocking(move || past_lines(&folder, &wanted)).await;
    let past = match read {
        Ok(Ok(past)) => past,
        Ok(Err(error)) => return (StatusCode::CONFLICT, Json(error)).into_response(),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let lines = stream::iter(past.lines).map(|line| Ok::<_, Infallible>(as_json(&line)));
    if !request.follow {
        return Body::from_stream(lines).into_response();
    }
    let services: Vec<String> = past.services.iter().map(|name| (*name).to_owned()).collect();
    let offsets = past.offsets.into_iter().map(|offset| offset as u64).collect();
    let new = new_lines(&control, &services, offsets).map(|lines| {
        let lines = lines.into_iter().map(Ok::<LogLine, EngineError>);
        Ok(lines.map(|line| as_json(&line)).collect::<String>())
    });
    Body::from_stream(lines.chain(new)).into_response()
}

/// New lines of the services from these offsets on, until the host exits.
fn new_lines(control: &Control, services: &[String], offsets: Vec<u64>) -> BoxStream<'static, Vec<LogLine>> {
    let mut offsets = offsets.into_iter();
    let logs = control.supervisor.logs(services).into_iter();
    let streams = logs.map(|(name, log)| lines(name, log, offsets.next().unwrap_or(0)).boxed());
    let end = control.shutdown.complete.clone().cancelled_owned();
    stream::select_all(streams).take_until(end).boxed()
}

/// Streams the lines of a log from an offset on.
fn lines(service: &'static str, log: Arc<Log>, offset: u64) -> impl Stream<Item = Vec<LogLine>> {
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
                return Some((parse(service, &complete), reader));
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

fn parse(service: &str, text: &[u8]) -> Vec<LogLine> {
    let line = |line: &str| {
        // A line without a timestamp has just been written.
        let time = time_in(line).or_else(|| Some(chrono::Utc::now()));
        LogLine { service: service.to_owned(), time, text: line.to_owned() }
    };
    String::from_utf8_lossy(text).lines().map(line).collect()
}

/// One line of JSON with its line end. Empty if the value has no form in JSON.
fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).map(|json| json + "\n").unwrap_or_default()
}
