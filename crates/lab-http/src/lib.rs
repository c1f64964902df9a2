//! [`Http`]: the one HTTP client for scrapes, probes and the calls to an engine: no proxy, no redirects, no retries, a
//! fresh connection for each request, and a limit on the time and the size of each answer.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, redirect, retry};
use serde_json::Value;

use lab_system::deadline::timeout;
mod cause;

pub use cause::Cause;

/// How long an answer may take where nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How large an answer may be where nothing else is said.
const DEFAULT_LIMIT: usize = 8 << 20;
/// A longer line of a followed stream is given in pieces.
const MAX_LINE: usize = 1 << 20;

/// The client. Cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
}

/// One request, and the limits on its answer: 10 s and 8 MiB unless told otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `GET`, ….
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Sent as JSON.
    pub body: Option<Value>,
    /// For the connection and the whole answer; of a stream of lines, until its first byte may come.
    pub timeout: Duration,
    /// How large the answer may be.
    pub limit: Limit,
}

/// What happens to an answer that is larger than so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It is an error.
    Fail(usize),
    /// Its beginning is taken, and the rest is not read.
    Cut(usize),
}

impl Request {
    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST` of JSON.
    pub fn post(url: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new("POST", url) }
    }

    /// Any method, without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout: DEFAULT_TIMEOUT,
            limit: Limit::Fail(DEFAULT_LIMIT),
        }
    }

    /// One header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a token in `Authorization`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With this timeout.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With this limit on the answer's size.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, whatever it is.
    pub status: u16,
    /// The header `Content-Type`, where there is one.
    pub content_type: Option<String>,
    /// The body, within the limit.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// On the way there or back.
    #[error("{}", cause.name())]
    Failed {
        /// Why; [`Cause::Other`] is given as [`HttpError::Other`].
        cause: Cause,
    },
    /// Something rare.
    #[error("{detail}")]
    Other {
        /// As the system says it.
        detail: String,
    },
    /// It exceeds the limit.
    #[error("answer larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request cannot be made.
    #[error("cannot be asked: {detail}")]
    Invalid {
        /// Which part of it is wrong.
        detail: String,
    },
    /// A stream was asked for, and refused.
    #[error("status {status}")]
    Status {
        /// The status code.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
}

impl HttpError {
    /// Nobody listens there, or who listened has ended.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Failed { cause: Cause::Refused | Cause::Reset })
    }

    fn of(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::Invalid { detail: deepest(error) };
        }
        let cause = match Cause::of(error) {
            _ if error.is_timeout() => Cause::Timeout,
            _ if says(error, "dns error") => Cause::Dns,
            Cause::Other => return Self::Other { detail: deepest(error) },
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

fn says(error: &dyn std::error::Error, text: &str) -> bool {
    sources(error).any(|error| error.to_string().contains(text))
}

fn deepest(error: &dyn std::error::Error) -> String {
    sources(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// A client; takes no proxy from the environment.
    pub fn new() -> Self {
        let client = ClientBuilder::new()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // A connection kept from before a fault would tell of the time before it.
            .pool_max_idle_per_host(0)
            // As RFC 9112 asks of who reads a response (5.1, 5.2).
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .user_agent(concat!("lab/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("without TLS, a proxy or a resolver of its own, no part of it can fail");
        Self { client }
    }

    /// One request and its answer, whatever its status.
    pub async fn request(&self, request: &Request) -> Result<Response, HttpError> {
        timeout(request.timeout, self.answer(request)).await.unwrap_or_else(|_| Err(HttpError::timeout()))
    }

    async fn answer(&self, request: &Request) -> Result<Response, HttpError> {
        let mut response = self.builder(request)?.send().await.map_err(|error| HttpError::of(&error))?;
        let (status, content_type) = (response.status().as_u16(), content_type(&response));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| HttpError::of(&error))? {
            body.extend_from_slice(&chunk);
            match request.limit {
                Limit::Fail(limit) if body.len() > limit => return Err(HttpError::TooLarge { limit }),
                Limit::Cut(limit) if body.len() >= limit => {
                    body.truncate(limit);
                    break;
                }
                _ => {}
            }
        }
        Ok(Response { status, content_type, body })
    }

    /// One request whose answer comes line by line, for as long as it takes; the timeout is for its head. Lines come
    /// without their ends; one that is longer than 1 MiB comes in pieces. A status that is not 2xx is an error.
    pub async fn lines(&self, request: &Request) -> Result<BoxStream<'static, Result<String, HttpError>>, HttpError> {
        let sending = self.builder(request)?.send();
        let Ok(response) = timeout(request.timeout, sending).await else {
            return Err(HttpError::timeout());
        };
        let response = response.map_err(|error| HttpError::of(&error))?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let body = timeout(request.timeout, beginning(response)).await.unwrap_or_default();
            return Err(HttpError::Status { status, body });
        }
        let chunks = response.bytes_stream().map(|chunk| chunk.map_err(|error| HttpError::of(&error)));
        Ok(split_lines(chunks.boxed()).boxed())
    }

    fn builder(&self, request: &Request) -> Result<reqwest::RequestBuilder, HttpError> {
        let invalid = |detail: String| HttpError::Invalid { detail };
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| invalid(format!("{:?} is not a method", request.method)))?;
        let url = reqwest::Url::parse(&request.url).map_err(|error| invalid(error.to_string()))?;
        if url.scheme() != "http" {
            return Err(invalid("only http addresses are supported".to_owned()));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            // The value is not shown: it may be a key.
            let bad = || invalid(format!("the header {name:?} cannot be sent"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            headers.append(key, HeaderValue::from_str(value).map_err(|_| bad())?);
        }
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

/// Up to 64 KiB of what a refusal says.
async fn beginning(mut response: reqwest::Response) -> String {
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

/// Where a stream of lines stands.
struct Lines<S> {
    chunks: S,
    ready: VecDeque<String>,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    over: bool,
}

impl<S> Lines<S> {
    fn take(&mut self, chunk: &[u8]) {
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
                Some(Ok(chunk)) => lines.take(chunk.as_ref()),
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
mod tests {
    use super::*;

    async fn lines(chunks: &[&str]) -> Vec<String> {
        lines_of_bytes(&chunks.iter().map(|chunk| chunk.as_bytes()).collect::<Vec<_>>()).await
    }

    async fn lines_of_bytes(chunks: &[&[u8]]) -> Vec<String> {
        let chunks: Vec<Result<Vec<u8>, HttpError>> = chunks.iter().map(|chunk| Ok(chunk.to_vec())).collect();
        split_lines(stream::iter(chunks)).map(|line| line.expect("no error was put in")).collect().await
    }

    #[tokio::test]
    async fn lines_are_put_together_across_chunks() {
        assert_eq!(lines(&["a\nb", "c\r\n\nd", "", "e"]).await, ["a", "bc", "", "de"]);
        assert_eq!(lines_of_bytes(&[b"\xc3", b"\xa4\n", b"\xff"]).await, ["ä", "\u{fffd}"]);
        assert!(lines(&[]).await.is_empty());
        let long = "x".repeat(MAX_LINE);
        assert_eq!(lines(&[&long, "y\n"]).await, [long.as_str(), "y"]);
    }

    #[tokio::test]
    async fn an_error_comes_after_the_lines_before_it() {
        let chunks = [Ok("a\nb".to_owned()), Err(HttpError::timeout())];
        let lines: Vec<_> = split_lines(stream::iter(chunks)).collect().await;
        assert_eq!(lines, [Ok("a".to_owned()), Err(HttpError::timeout())]);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_says_why_and_shows_no_value() {
        let http = Http::new();
        let get = Request::get("http://127.0.0.1:1/");
        for (request, detail) in [
            (Request::get("https://127.0.0.1/"), "only http addresses are supported"),
            (Request::get("nonsense"), "relative URL without a base"),
            (Request::new("GE T", "http://127.0.0.1/"), "\"GE T\" is not a method"),
            (get.header("x-key", "secret\n"), "the header \"x-key\" cannot be sent"),
        ] {
            assert_eq!(http.request(&request).await, Err(HttpError::Invalid { detail: detail.to_owned() }));
        }
    }
}
