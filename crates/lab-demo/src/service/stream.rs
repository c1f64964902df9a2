//! Server side of a TCP connection, with two additions to hyper:
//!
//! - Closing loses no response. Closing a socket with unread input resets the connection, and the client may lose what it has
//!   not read yet. So after the last response, input is discarded until the client closes its side.
//! - hyper's own error responses, to requests that it cannot parse, get the JSON body that all other errors have.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::stop::Stop;
use lab_server::Busy;

/// Time to wait for the client to close its side.
const LINGER: Duration = Duration::from_secs(5);

/// No request is in progress: anything hyper writes is its own error response.
const IDLE: u8 = 0;
/// The service is handling a request, or its response body is being read.
const SERVING: u8 = 1;
/// The response is complete but not fully written.
const WRITING: u8 = 2;

/// State of the current request of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange(Arc<AtomicU8>);

impl Exchange {
    /// Marks the start of a request.
    pub(super) fn begin(&self) {
        self.0.store(SERVING, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(WRITING, Ordering::Relaxed);
    }

    fn flushed(&self) {
        if self.0.load(Ordering::Relaxed) == WRITING {
            self.0.store(IDLE, Ordering::Relaxed);
        }
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == IDLE
    }
}

/// Response body. Dropping it marks the response as complete.
pub(super) struct OutboundBody<B> {
    body: B,
    _end: End,
    /// Protects the connection from eviction.
    _busy: Option<Busy>,
}

struct End(Exchange);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<B> OutboundBody<B> {
    pub(super) fn new(body: B, exchange: Exchange, busy: Option<Busy>) -> Self {
        Self { body, _end: End(exchange), _busy: busy }
    }
}

impl<B: Body + Unpin> Body for OutboundBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// TCP stream to a client.
pub(super) struct ClientStream {
    stream: TcpStream,
    exchange: Exchange,
    stop: Stop,
    /// The client has closed its side.
    ended: bool,
    /// Unwritten rest of an error response.
    error_response: Vec<u8>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, exchange: Exchange, stop: Stop) -> Self {
        Self { stream, exchange, stop, ended: false, error_response: Vec::new(), linger: None }
    }

    fn poll_error_response(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.error_response.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.error_response))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.error_response.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Discards input until the client closes, for a limited time. Does not wait during shutdown.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut discarded = [0; 8 << 10];
        while !self.ended {
            let mut buffer = ReadBuf::new(&mut discarded);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => self.ended = buffer.filled().is_empty(),
                Poll::Ready(Err(_)) => self.ended = true,
                Poll::Pending if self.stop.is_draining() => return Poll::Ready(()),
                Poll::Pending => {
                    let timer = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                    return timer.as_mut().poll(cx);
                }
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.ended |= buffer.filled().len() == before && buffer.remaining() > 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.exchange.is_idle() {
            ready!(self.poll_error_response(cx))?;
            self.error_response = with_json_body(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.exchange.is_idle() {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            return self.poll_write(cx, &bytes);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_error_response(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_error_response(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.poll_linger(cx).map(Ok)
    }
}

/// Adds a JSON body to an error response of hyper, which has none.
fn with_json_body(head: &[u8]) -> Vec<u8> {
    let error = match head.get(..12) {
        Some(b"HTTP/1.1 400") => r#"{"error":"bad request"}"#,
        Some(b"HTTP/1.1 431") => r#"{"error":"request header too large"}"#,
        _ => return head.to_vec(),
    };
    let Some((before, after)) =
        std::str::from_utf8(head).ok().and_then(|head| head.split_once("content-length: 0\r\n"))
    else {
        return head.to_vec();
    };
    let length = error.len();
    format!("{before}content-type: application/json\r\ncontent-length: {length}\r\n{after}{error}").into_bytes()
}
