//! HTTP client for scrapes, probes and engine calls. [`Http`] uses no proxy, follows no redirects, does not retry, opens a
//! new connection for every request, and limits the duration and size of every response.

#![warn(missing_docs)]

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, redirect, retry};
use serde_json::Value;

use lab_system::deadline::timeout;
use lab_tls::PublicKey;
mod cause;
mod exchange;
mod secure;

pub use cause::Cause;
pub use exchange::Exchange;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_LIMIT: usize = 8 << 20;
/// Longest line of a followed stream, in bytes. Longer lines are split.
const MAX_LINE: usize = 1 << 20;

/// HTTP client. Cheap to create and to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
}

/// One request with the limits on its response: 10 s and 8 MiB by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// HTTP method, such as `GET`. Checked when the request is sent.
    pub method: String,
    /// Absolute `http` URL; `https` with [`Request::server_key`].
    pub url: String,
    /// Names and values, in the order of sending. A name may occur more than once.
    pub headers: Vec<(String, String)>,
    /// Sent as JSON.
    pub body: Option<Value>,
    /// Covers connecting and reading the whole response. For a stream of lines, only the response head.
    pub timeout: Duration,
    /// Maximum size of the response body. Does not apply to a stream of lines.
    pub limit: Limit,
    /// Key of a server of lab's own, which is then called over TLS. Other servers are not supported over TLS.
    pub server_key: Option<PublicKey>,
}

/// Handling of a response body that exceeds a size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Return [`HttpError::TooLarge`].
    Fail(usize),
    /// Keep the first bytes and do not read the rest.
    Truncate(usize),
}

impl Limit {
    /// Applies the limit to the body so far. Returns true if the rest is not to be read.
    fn apply(self, body: &mut Vec<u8>) -> Result<bool, HttpError> {
        match self {
            Self::Fail(limit) if body.len() > limit => Err(HttpError::TooLarge { limit }),
            Self::Truncate(limit) if body.len() >= limit => {
                body.truncate(limit);
                Ok(true)
            }
            Self::Fail(_) | Self::Truncate(_) => Ok(false),
        }
    }
}

impl Request {
    /// Creates a `GET` request without headers or body.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// Creates a `POST` request with a JSON body.
    pub fn post(url: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new("POST", url) }
    }

    /// Creates a request without headers or body. The method is checked when the request is sent.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout: DEFAULT_TIMEOUT,
            limit: Limit::Fail(DEFAULT_LIMIT),
            server_key: None,
        }
    }

    /// Appends a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an `Authorization: Bearer` header.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sets [`Request::timeout`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Method, URL and headers in the types of the HTTP library. `scheme` is the only supported one.
    fn parts(&self, scheme: &str) -> Result<(Method, reqwest::Url, HeaderMap), HttpError> {
        let invalid = |detail: String| HttpError::Invalid { detail };
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| invalid(format!("{:?} is not a method", self.method)))?;
        let url = reqwest::Url::parse(&self.url).map_err(|error| invalid(error.to_string()))?;
        if url.scheme() != scheme {
            return Err(invalid(format!("only {scheme} addresses are supported")));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            // The value is not shown: it may be a key.
            let bad = || invalid(format!("the header {name:?} cannot be sent"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            headers.append(key, HeaderValue::from_str(value).map_err(|_| bad())?);
        }
        Ok((method, url, headers))
    }

    /// Sets [`Request::limit`].
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }
}

/// A response, read completely or up to [`Limit::Truncate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// `Content-Type` header. `None` if it is missing.
    pub content_type: Option<String>,
    /// Body as received, without decoding.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the body as text, with invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns `true` for a 2xx status.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Reason why there is no usable response. Messages are a few words long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Transport failure.
    #[error("{}", cause.name())]
    Failed {
        /// Never [`Cause::Other`], which is reported as [`HttpError::Other`].
        cause: Cause,
    },
    /// Unclassified transport failure.
    #[error("{detail}")]
    Other {
        /// Message of the innermost error.
        detail: String,
    },
    /// The body exceeds [`Limit::Fail`].
    #[error("response larger than {limit} bytes")]
    TooLarge {
        /// Limit in bytes.
        limit: usize,
    },
    /// The request cannot be sent.
    #[error("invalid request: {detail}")]
    Invalid {
        /// The invalid part of the request.
        detail: String,
    },
    /// The server answered a stream request with a status other than 2xx.
    #[error("status {status}")]
    Status {
        /// HTTP status code.
        status: u16,
        /// Up to 64 KiB of the response body.
        body: String,
    },
}

impl HttpError {
    /// Returns `true` if nothing listens at the address, or the server went away.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Failed { cause: Cause::Refused | Cause::Reset })
    }

    fn from_reqwest(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::Invalid { detail: innermost_message(error) };
        }
        let cause = match Cause::from_error(error) {
            _ if error.is_timeout() => Cause::Timeout,
            _ if mentions(error, "dns error") => Cause::Dns,
            Cause::Other => return Self::Other { detail: innermost_message(error) },
            cause => cause,
        };
        Self::Failed { cause }
    }

    fn timeout() -> Self {
        Self::Failed { cause: Cause::Timeout }
    }
}

fn sources(error: &dyn std::error::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| error.source())
}

fn mentions(error: &dyn std::error::Error, text: &str) -> bool {
    sources(error).any(|error| error.to_string().contains(text))
}

fn innermost_message(error: &dyn std::error::Error) -> String {
    sources(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// Creates a client that ignores proxy settings in the environment.
    pub fn new() -> Self {
        let client = ClientBuilder::new()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // A connection kept alive across a fault would hide the fault.
            .pool_max_idle_per_host(0)
            // Required of recipients of responses by RFC 9112, 5.1 and 5.2.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .user_agent(concat!("lab/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("building a client without TLS, proxy and custom resolver cannot fail");
        Self { client }
    }

    /// Sends a request and reads its response. Any status counts as success.
    pub async fn request(&self, request: &Request) -> Result<Response, HttpError> {
        timeout(request.timeout, self.send(request)).await.unwrap_or_else(|_| Err(HttpError::timeout()))
    }

    async fn send(&self, request: &Request) -> Result<Response, HttpError> {
        if let Some(key) = &request.server_key {
            // Boxed, because its future is much larger than that of a plain request.
            return Box::pin(secure::send(request, key)).await;
        }
        let mut response = self.builder(request)?.send().await.map_err(|error| HttpError::from_reqwest(&error))?;
        let (status, content_type) = (response.status().as_u16(), content_type(&response));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| HttpError::from_reqwest(&error))? {
            body.extend_from_slice(&chunk);
            if request.limit.apply(&mut body)? {
                break;
            }
        }
        Ok(Response { status, content_type, body })
    }

    /// Sends a request and streams the lines of its response without their line ends. The timeout applies to the response
    /// head only. Lines longer than 1 MiB are split. A status other than 2xx is an error.
    pub async fn lines(&self, request: &Request) -> Result<BoxStream<'static, Result<String, HttpError>>, HttpError> {
        if let Some(key) = &request.server_key {
            return Box::pin(secure::lines(request, key)).await;
        }
        let sending = self.builder(request)?.send();
        let Ok(response) = timeout(request.timeout, sending).await else {
            return Err(HttpError::timeout());
        };
        let response = response.map_err(|error| HttpError::from_reqwest(&error))?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let body = timeout(request.timeout, read_error_body(response)).await.unwrap_or_default();
            return Err(HttpError::Status { status, body });
        }
        let chunks = response.bytes_stream().map(|chunk| chunk.map_err(|error| HttpError::from_reqwest(&error)));
        Ok(split_lines(chunks.boxed()).boxed())
    }

    fn builder(&self, request: &Request) -> Result<reqwest::RequestBuilder, HttpError> {
        let (method, url, headers) = request.parts("http")?;
        let builder = self.client.request(method, url).headers(headers);
        Ok(match &request.body {
            Some(body) => builder.json(body),
            None => builder,
        })
    }
}

fn content_type(response: &reqwest::Response) -> Option<String> {
    let value = response.headers().get(CONTENT_TYPE)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Returns up to 64 KiB of an error response's body.
async fn read_error_body(mut response: reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > 64 << 10 {
            break;
        }
    }
    body.truncate(64 << 10);
    String::from_utf8_lossy(&body).into_owned()
}

struct Lines<S> {
    chunks: S,
    ready: VecDeque<String>,
    /// Incomplete last line.
    rest: Vec<u8>,
    over: bool,
}

impl<S> Lines<S> {
    fn push(&mut self, chunk: &[u8]) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() >= MAX_LINE {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let line = self.rest.strip_suffix(b"\n").unwrap_or(&self.rest);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.ready.push_back(String::from_utf8_lossy(line).into_owned());
        self.rest.clear();
    }
}

fn split_lines<B: AsRef<[u8]>>(
    chunks: impl Stream<Item = Result<B, HttpError>> + Unpin,
) -> impl Stream<Item = Result<String, HttpError>> {
    let lines = Lines { chunks, ready: VecDeque::new(), rest: Vec::new(), over: false };
    stream::unfold(lines, |mut lines| async move {
        loop {
            if let Some(line) = lines.ready.pop_front() {
                return Some((Ok(line), lines));
            }
            if lines.over {
                return None;
            }
            match lines.chunks.next().await {
                Some(Ok(chunk)) => lines.push(chunk.as_ref()),
                Some(Err(error)) => {
                    lines.over = true;
                    return Some((Err(error), lines));
                }
                None => {
                    lines.over = true;
                    if !lines.rest.is_empty() {
                        lines.flush();
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests;
