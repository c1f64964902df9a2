//! Client of a running host's control port.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protocol::ReconcileRequest;
use lab_core::engine::{
    DbError, DbQuery, DbResult, Description, EngineError, EngineErrorKind, LogLine, LogLines, LogRequest,
    Reconciliation, ServiceChange, UpRequest,
};
use lab_http::{Http, HttpError, Limit, Request};
use lab_tls::PublicKey;

/// Timeout of read-only calls. The host does not probe paused services, so they cannot delay it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of a change. The host has shorter limits for each part.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Additional size of a query's result as JSON, over the size of its values.
const RESULT_MARGIN: usize = 8 << 20;

/// Address of a host's control port, with what it takes to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// `host:port`.
    pub address: String,
    /// Bearer token, required in every call.
    pub token: String,
    /// Key of a host that is called over TLS.
    pub key: Option<PublicKey>,
}

impl HostAddress {
    fn request(&self, method: &str, path: &str) -> Request {
        let scheme = if self.key.is_some() { "https" } else { "http" };
        let request = Request::new(method, format!("{scheme}://{}{path}", self.address)).bearer(&self.token);
        Request { server_key: self.key.clone(), ..request }
    }
}

/// Finds the host of a lab.
#[async_trait]
pub trait Locate: Send + Sync {
    /// Address of the host. Waits for a host that is starting or stopping.
    async fn locate(&self) -> Result<HostAddress, EngineError>;

    /// Error for a call without a response: the host has terminated, is about to, or hangs.
    async fn lost(&self, error: &HttpError) -> EngineError;
}

/// Calls the host of one lab.
pub struct HostClient<L> {
    location: L,
    http: Http,
}

impl<L: Locate> HostClient<L> {
    /// Creates the client. Each call finds the host anew.
    pub fn new(location: L) -> Self {
        Self { location, http: Http::new() }
    }

    /// The lookup of the host.
    pub fn location(&self) -> &L {
        &self.location
    }

    /// Returns the state of the stack.
    pub async fn describe(&self) -> Result<Description, EngineError> {
        self.call("GET", "/describe", None, QUERY_TIMEOUT).await
    }

    /// Brings a service to its desired state.
    pub async fn reconcile(&self, service: &str, change: &ServiceChange) -> Result<Reconciliation, EngineError> {
        let request = ReconcileRequest { service: service.to_owned(), change: change.clone() };
        self.call("POST", "/ensure", Some(&json(&request)?), CHANGE_TIMEOUT).await
    }

    /// Replaces the data of the database by an empty one.
    pub async fn reset_data(&self) -> Result<(), EngineError> {
        self.call("POST", "/reset", None, CHANGE_TIMEOUT).await
    }

    /// Starts the services that are stopped or paused.
    pub async fn up(&self, request: &UpRequest) -> Result<Description, EngineError> {
        self.call("POST", "/up", Some(&json(request)?), CHANGE_TIMEOUT).await
    }

    /// Requests shutdown. The host acknowledges first and terminates afterwards.
    pub async fn down(&self) -> Result<(), EngineError> {
        self.text(&self.location.locate().await?, "POST", "/down", None, QUERY_TIMEOUT).await.map(drop)
    }

    /// Runs a statement in the app's database. The host cancels it when `stop` completes.
    pub async fn query(&self, query: &DbQuery, mut stop: BoxFuture<'static, ()>) -> Result<DbResult, DbError> {
        let host = self.location.locate().await?;
        let body = json(query)?;
        let request = host.request("POST", "/query").timeout(query.time + QUERY_TIMEOUT);
        let limit = query.bytes.saturating_mul(6).saturating_add(RESULT_MARGIN);
        let request = Request { body: Some(body), ..request }.limit(Limit::Fail(limit));
        let response = tokio::select! {
            response = self.http.request(&request) => response,
            // The host notices the closed connection.
            () = &mut stop => return Err(DbError::Canceled),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return Err(self.location.lost(&error).await.into()),
        };
        if response.status == 401 && host.key.is_some() {
            return Err(other_host().into());
        }
        if !response.is_success() {
            return Err(unexpected_response(&format!("/query returned status {}", response.status)).into());
        }
        let result: Result<DbResult, DbError> = parse(&response.body)?;
        result
    }

    /// Returns past log lines, and new ones if the request follows the logs.
    pub async fn logs(&self, request: &LogRequest) -> Result<LogLines, EngineError> {
        let host = self.location.locate().await?;
        let body = Some(json(request)?);
        let request = Request { body, ..host.request("POST", "/logs").timeout(QUERY_TIMEOUT) };
        let lines = match self.http.lines(&request).await {
            Ok(lines) => lines,
            Err(HttpError::Status { status: 409, body }) => return Err(parse(body.as_bytes())?),
            Err(HttpError::Status { status: 401, .. }) if host.key.is_some() => return Err(other_host()),
            Err(error) => return Err(self.location.lost(&error).await),
        };
        let parsed = lines.map(|line| {
            let lost = |detail: String| EngineError::new(EngineErrorKind::Lost, detail);
            let line = line.map_err(|error| lost(error.to_string()))?;
            serde_json::from_str::<Result<LogLine, EngineError>>(&line).map_err(|error| lost(error.to_string()))?
        });
        Ok(parsed.boxed())
    }

    /// Streams the log lines of the services, starting at the given byte offsets.
    pub async fn follow(
        &self,
        services: &[&str],
        from: &[usize],
    ) -> Result<BoxStream<'static, Result<LogLine, EngineError>>, EngineError> {
        let host = self.location.locate().await?;
        let offsets: Vec<String> = from.iter().map(ToString::to_string).collect();
        let path = format!("/logs?services={}&from={}", services.join(","), offsets.join(","));
        let lines = match self.http.lines(&host.request("GET", &path).timeout(QUERY_TIMEOUT)).await {
            Ok(lines) => lines,
            Err(error) => return Err(self.location.lost(&error).await),
        };
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
        let host = self.location.locate().await?;
        parse(self.text(&host, method, path, body, timeout).await?.as_bytes())
    }

    async fn text(
        &self,
        host: &HostAddress,
        method: &str,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<String, EngineError> {
        let request = Request { body: body.cloned(), ..host.request(method, path).timeout(timeout) };
        let response = match self.http.request(&request).await {
            Ok(response) => response,
            Err(error) => return Err(self.location.lost(&error).await),
        };
        match response.status {
            200..=299 => Ok(response.text()),
            // An engine error, serialised by the host.
            409 => Err(parse(&response.body)?),
            401 if host.key.is_some() => Err(other_host()),
            status => Err(unexpected_response(&format!("{path} returned status {status}"))),
        }
    }
}

/// Error for a host on a network that refuses the token: it has the key of the lab, but is another task.
fn other_host() -> EngineError {
    EngineError::new(EngineErrorKind::Lost, "its host was replaced by a new one").hint("lab up starts the lab again")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(body).map_err(|error| unexpected_response(&error.to_string()))
}

fn unexpected_response(detail: &str) -> EngineError {
    let error = EngineError::new(EngineErrorKind::System, format!("unexpected response from its host: {detail}"));
    error.hint("if lab was updated while this lab was running, run `lab down`, then `lab up`")
}

fn json(value: &impl Serialize) -> Result<Value, EngineError> {
    serde_json::to_value(value).map_err(|error| EngineError::new(EngineErrorKind::System, error.to_string()))
}
