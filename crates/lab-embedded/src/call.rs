//! Client of a running host's control port.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::launch;
use super::protocol::{HostFile, ReconcileRequest};
use lab_core::engine::{Description, EngineError, EngineErrorKind, LogLine, Reconciliation, ServiceChange, UpRequest};
use lab_http::{Http, HttpError, Request};
use lab_system::files::{self, Folder};

/// Timeout of read-only calls. The host does not probe paused services, so they cannot delay it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of a change. The host has shorter limits for each part.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time to wait for the `host.json` of a live host. Longer than the interval at which the host restores a lost file.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);
const FILE_INTERVAL: Duration = Duration::from_millis(10);

const TERMINATED: &str = "its host terminated unexpectedly";

pub(super) struct Calls {
    folder: Folder,
    http: Http,
}

impl Calls {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { folder: folder.clone(), http: Http::new() }
    }

    pub(super) async fn describe(&self) -> Result<Description, EngineError> {
        self.call("GET", "/describe", None, QUERY_TIMEOUT).await
    }

    pub(super) async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let request = ReconcileRequest { service: service.to_owned(), change: change.clone() };
        self.call("POST", "/ensure", Some(&json(&request)?), CHANGE_TIMEOUT).await
    }

    pub(super) async fn reset_data(&self) -> Result<(), EngineError> {
        self.call("POST", "/reset", None, CHANGE_TIMEOUT).await
    }

    pub(super) async fn up(&self, request: &UpRequest) -> Result<Description, EngineError> {
        self.call("POST", "/up", Some(&json(request)?), CHANGE_TIMEOUT).await
    }

    /// Requests shutdown. The host acknowledges first and terminates afterwards.
    pub(super) async fn down(&self) -> Result<(), EngineError> {
        self.text("POST", "/down", None, QUERY_TIMEOUT).await.map(drop)
    }

    /// Streams the log lines of the services, starting at the given byte offsets.
    pub(super) async fn follow(
        &self,
        services: &[&str],
        from: &[usize],
    ) -> Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError> {
        let host = self.host().await?;
        let offsets: Vec<String> = from.iter().map(ToString::to_string).collect();
        let url = format!("http://{}/logs?services={}&from={}", host.address, services.join(","), offsets.join(","));
        let request = Request::get(url).bearer(&host.token).timeout(QUERY_TIMEOUT);
        let lines = self.http.lines(&request).await.map_err(|error| self.lost(&error))?;
        let parsed = lines.map(|line| {
            let lost = |detail: String| EngineError::new(EngineErrorKind::Lost, detail);
            let line = line.map_err(|error| lost(error.to_string()))?;
            serde_json::from_str(&line).map_err(|error| lost(error.to_string()))
        });
        Ok(parsed.boxed())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<T, EngineError> {
        let text = self.text(method, path, body, timeout).await?;
        serde_json::from_str(&text).map_err(|error| unexpected_response(&error.to_string()))
    }

    async fn text(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<String, EngineError> {
        let host = self.host().await?;
        let url = format!("http://{}{path}", host.address);
        let request = Request { body: body.cloned(), ..Request::new(method, url) };
        let request = request.bearer(&host.token).timeout(timeout);
        let response = self.http.request(&request).await.map_err(|error| self.lost(&error))?;
        match response.status {
            200..=299 => Ok(response.text()),
            // An engine error, serialised by the host.
            409 => {
                Err(serde_json::from_slice(&response.body)
                    .unwrap_or_else(|error| unexpected_response(&error.to_string())))
            }
            status => Err(unexpected_response(&format!("{path} returned status {status}"))),
        }
    }

    /// Reads the host's address and token. Waits for a host that is starting or stopping; a live host rewrites a lost or
    /// damaged file.
    async fn host(&self) -> Result<HostFile, EngineError> {
        let path = self.folder.path(super::HOST_FILE);
        let deadline = Instant::now() + FILE_TIMEOUT;
        loop {
            let text = files::read_state(&path, files::RECORD_LIMIT);
            let missing = text.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            let problem = match (text, launch::lives(&self.folder)) {
                (Err(_), false) if missing => return Err(EngineError::new(EngineErrorKind::NotUp, "")),
                // The content does not matter once the host has terminated.
                (_, false) => return Err(EngineError::new(EngineErrorKind::Lost, TERMINATED)),
                (Err(error), true) => unreadable(&path, &error),
                (Ok(text), true) => match serde_json::from_slice(&text) {
                    Ok(file) => return Ok(file),
                    Err(error) => {
                        let detail = format!("its host is running, but {} is invalid: {error}", super::HOST_FILE);
                        EngineError::new(EngineErrorKind::System, detail).hint("run `lab down` to stop it")
                    }
                },
            };
            if Instant::now() > deadline {
                return Err(problem);
            }
            tokio::time::sleep(FILE_INTERVAL).await;
        }
    }

    /// Error for a failed call: the host has terminated, is about to, or hangs.
    fn lost(&self, error: &HttpError) -> EngineError {
        // The port opens before the address is published and closes when shutdown begins, so a refused connection means that
        // the host is gone.
        let gone = error.is_gone();
        let kind = if !gone && launch::lives(&self.folder) { EngineErrorKind::System } else { EngineErrorKind::Lost };
        if gone {
            return EngineError::new(kind, TERMINATED);
        }
        EngineError::new(kind, format!("its host does not answer: {error}"))
            .hint("run `lab down` to stop it, even if it hangs")
    }
}

/// Error for a state file that cannot be used.
pub(crate) fn unreadable(path: &std::path::Path, error: &std::io::Error) -> EngineError {
    let shown = EngineError::new(EngineErrorKind::System, format!("{}: {error}", path.display()));
    match files::Unusable::in_error(error) {
        Some(reason) => shown.hint(reason.hint()),
        None => shown,
    }
}

fn unexpected_response(detail: &str) -> EngineError {
    let error = EngineError::new(EngineErrorKind::System, format!("unexpected response from its host: {detail}"));
    error.hint("if lab was updated while this lab was running, run `lab down`, then `lab up`")
}

fn json(value: &impl Serialize) -> Result<Value, EngineError> {
    serde_json::to_value(value).map_err(|error| EngineError::new(EngineErrorKind::System, error.to_string()))
}
