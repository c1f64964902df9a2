//! Requests to servers of lab's own over TLS. reqwest is built without TLS, so they use hyper's connection.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::{BodyDataStream, BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Cause, HttpError, Request, Response, innermost_message, split_lines};
use lab_system::deadline::timeout;
use lab_tls::PublicKey;

/// Maximum size of an error response of a stream.
const ERROR_LIMIT: usize = 64 << 10;

/// Sends a request and reads its response. The caller limits the time.
pub(super) async fn send(request: &Request, key: &PublicKey) -> Result<Response, HttpError> {
    let response = open(request, key).await?;
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut chunks = BodyDataStream::new(response.into_body());
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(|error| failed(&error))?);
        if request.limit.apply(&mut body)? {
            break;
        }
    }
    Ok(Response { status, content_type, body })
}

/// Sends a request and streams the lines of its response. The timeout applies to the response head.
pub(super) async fn lines(
    request: &Request,
    key: &PublicKey,
) -> Result<BoxStream<'static, Result<String, HttpError>>, HttpError> {
    let opening = timeout(request.timeout, open(request, key)).await;
    let response = opening.unwrap_or_else(|_| Err(HttpError::timeout()))?;
    let status = response.status();
    if !status.is_success() {
        let body = timeout(request.timeout, response.into_body().collect()).await;
        let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body = String::from_utf8_lossy(&body[..body.len().min(ERROR_LIMIT)]).into_owned();
        return Err(HttpError::Status { status: status.as_u16(), body });
    }
    let chunks = BodyDataStream::new(response.into_body()).map(|chunk| chunk.map_err(|error| failed(&error)));
    Ok(split_lines(chunks.boxed()).boxed())
}

/// Opens a connection, sends the request and reads the response head.
async fn open(request: &Request, key: &PublicKey) -> Result<hyper::Response<Incoming>, HttpError> {
    let invalid = |detail: &str| HttpError::Invalid { detail: detail.to_owned() };
    let (method, url, mut headers) = request.parts("https")?;
    let host = url.host_str().ok_or_else(|| invalid("the address has no host"))?;
    let port = url.port_or_known_default().ok_or_else(|| invalid("the address has no port"))?;
    let authority = format!("{host}:{port}");
    let stream = TcpStream::connect(&authority).await.map_err(|error| failed(&error))?;
    // Requests are small and wait for their response.
    let _ = stream.set_nodelay(true);
    let stream = key.connect(stream).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // It ends with the response body, or when the response is dropped.
    tokio::spawn(connection);
    headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|_| invalid("the host cannot be sent"))?);
    let content = match &request.body {
        Some(body) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut message = hyper::Request::new(Full::new(content));
    *message.method_mut() = method;
    *message.uri_mut() = path.parse().map_err(|_| invalid("the path cannot be sent"))?;
    *message.headers_mut() = headers;
    sender.send_request(message).await.map_err(|error| failed(&error))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> HttpError {
    match Cause::from_error(error) {
        Cause::Other => HttpError::Other { detail: innermost_message(error) },
        cause => HttpError::Failed { cause },
    }
}
