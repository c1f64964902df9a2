//! One request with its whole response, for people: status line, head and body.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use lab_system::deadline::sleep;

use super::{Http, HttpError, Limit, Request};

/// A response as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Such as `HTTP/1.1`.
    pub version: String,
    /// Status code.
    pub status: u16,
    /// Usual reason phrase of the status code; empty if it has none.
    pub reason: &'static str,
    /// Names in lower case. Invalid UTF-8 in values is replaced.
    pub headers: Vec<(String, String)>,
    /// Body up to [`Request::limit`].
    pub body: Vec<u8>,
    /// The body is longer than the limit.
    pub truncated: bool,
    /// Reason why the body is incomplete.
    pub incomplete: Option<HttpError>,
    /// Time until the last byte.
    pub elapsed: Duration,
}

impl Http {
    /// Sends a request with this body and reads the response, which is returned even if its body is incomplete.
    pub async fn exchange(&self, request: &Request, content: Vec<u8>) -> Result<Exchange, HttpError> {
        let start = Instant::now();
        let mut expired = pin!(sleep(request.timeout));
        let mut builder = self.builder(request)?;
        if !content.is_empty() {
            builder = builder.body(content);
        }
        let mut response = before(&mut expired, builder.send()).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let status = response.status();
        let mut exchange = Exchange {
            version: format!("{:?}", response.version()),
            status: status.as_u16(),
            reason: status.canonical_reason().unwrap_or_default(),
            headers,
            body: Vec::new(),
            truncated: false,
            incomplete: None,
            elapsed: Duration::ZERO,
        };
        let (Limit::Fail(limit) | Limit::Truncate(limit)) = request.limit;
        while !exchange.truncated {
            match before(&mut expired, response.chunk()).await {
                Ok(Some(chunk)) => {
                    let room = limit - exchange.body.len();
                    exchange.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    exchange.truncated = chunk.len() > room;
                }
                Ok(None) => break,
                Err(error) => {
                    exchange.incomplete = Some(error);
                    break;
                }
            }
        }
        exchange.elapsed = start.elapsed();
        Ok(exchange)
    }
}

/// Returns the result of the work, or a timeout if `expired` ends first.
async fn before<T>(
    expired: &mut Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = reqwest::Result<T>>,
) -> Result<T, HttpError> {
    match select(pin!(work), expired).await {
        Either::Left((result, _)) => result.map_err(|error| HttpError::from_reqwest(&error)),
        Either::Right(((), _)) => Err(HttpError::timeout()),
    }
}
