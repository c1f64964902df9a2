//! Calls to a host that runs.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::launch;
use super::protocol::{EnsureRequest, HostFile};
use lab_core::engine::{Description, EngineError, EngineErrorKind, LogLine, Reconciliation, ServiceChange, UpRequest};
use lab_http::{Http, HttpError, Request};
use lab_system::files::{self, Folder};

/// How long a question may take. A service that is frozen is known to be so, and not asked.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a change may take; the host has shorter limits for each part of it.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long `host.json` of a host that lives is waited for, and how often it is looked at. The host looks at it more often.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);
const FILE_INTERVAL: Duration = Duration::from_millis(10);

const ENDED: &str = "its host ended without being asked to";

pub(super) struct Calls {
    folder: Folder,
    http: Http,
}

impl Calls {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { folder: folder.clone(), http: Http::new() }
    }

    pub(super) async fn describe(&self) -> Result<Description, EngineError> {
        self.call("GET", "/describe", None, ASK_TIMEOUT).await
    }

    pub(super) async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let request = EnsureRequest { service: service.to_owned(), change: change.clone() };
        self.call("POST", "/ensure", Some(&json(&request)?), CHANGE_TIMEOUT).await
    }

    pub(super) async fn up(&self, request: &UpRequest) -> Result<Description, EngineError> {
        self.call("POST", "/up", Some(&json(request)?), CHANGE_TIMEOUT).await
    }

    /// Asks the host to end; it does so after the answer.
    pub(super) async fn down(&self) -> Result<(), EngineError> {
        self.text("POST", "/down", None, ASK_TIMEOUT).await.map(drop)
    }

    /// What comes to the logs of these services from these offsets on.
    pub(super) async fn follow(
        &self,
        services: &[&str],
        from: &[usize],
    ) -> Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError> {
        let host = self.host().await?;
        let offsets: Vec<String> = from.iter().map(ToString::to_string).collect();
        let url = format!("http://{}/logs?services={}&from={}", host.address, services.join(","), offsets.join(","));
        let request = Request::get(url).bearer(&host.token).timeout(ASK_TIMEOUT);
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
        serde_json::from_str(&text).map_err(|error| strange(&error.to_string()))
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
            // The engine's own error, as the host says it.
            409 => Err(serde_json::from_slice(&response.body).unwrap_or_else(|error| strange(&error.to_string()))),
            status => Err(strange(&format!("it answers {status} to {path}"))),
        }
    }

    /// How the host is reached. A host that lives writes its file again if that was lost or damaged; one that is coming up or
    /// ending is waited for.
    async fn host(&self) -> Result<HostFile, EngineError> {
        let path = self.folder.path(super::HOST_FILE);
        let deadline = Instant::now() + FILE_TIMEOUT;
        loop {
            let text = files::read_state(&path, files::RECORD_LIMIT);
            let missing = text.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            let problem = match (text, launch::lives(&self.folder)) {
                (Err(_), false) if missing => return Err(EngineError::new(EngineErrorKind::NotUp, "")),
                // The content no longer matters once the host has ended.
                (_, false) => return Err(EngineError::new(EngineErrorKind::Lost, ENDED)),
                (Err(error), true) => unreadable(&path, &error),
                (Ok(text), true) => match serde_json::from_slice(&text) {
                    Ok(file) => return Ok(file),
                    Err(error) => {
                        let detail = format!("its host runs, and {} cannot be read: {error}", super::HOST_FILE);
                        EngineError::new(EngineErrorKind::System, detail).hint("lab down ends it")
                    }
                },
            };
            if Instant::now() > deadline {
                return Err(problem);
            }
            tokio::time::sleep(FILE_INTERVAL).await;
        }
    }

    /// The host did not answer: it has ended, or is about to, or it hangs.
    fn lost(&self, error: &HttpError) -> EngineError {
        // Its port is open before anybody can know of it, and closed when it begins to end.
        let gone = error.is_gone();
        let kind = if !gone && launch::lives(&self.folder) { EngineErrorKind::System } else { EngineErrorKind::Lost };
        if gone {
            return EngineError::new(kind, ENDED);
        }
        EngineError::new(kind, format!("its host does not answer: {error}")).hint("lab down ends it, even if it hangs")
    }
}

/// The error for a file of the lab that cannot be used.
pub(crate) fn unreadable(path: &std::path::Path, error: &std::io::Error) -> EngineError {
    let shown = EngineError::new(EngineErrorKind::System, format!("{}: {error}", path.display()));
    match files::Unusable::in_error(error) {
        Some(reason) => shown.hint(reason.hint()),
        None => shown,
    }
}

fn strange(detail: &str) -> EngineError {
    let error = EngineError::new(EngineErrorKind::System, format!("its host speaks another language: {detail}"));
    error.hint("if lab was updated while this lab ran: lab down, then lab up")
}

fn json(value: &impl Serialize) -> Result<Value, EngineError> {
    serde_json::to_value(value).map_err(|error| EngineError::new(EngineErrorKind::System, error.to_string()))
}
