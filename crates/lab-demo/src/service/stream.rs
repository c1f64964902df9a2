//! [`ClientStream`]: the server's side of a TCP connection, with two things that hyper leaves to its transport. It closes
//! without losing an answer: closing a socket that holds unread input resets the connection, and the client may lose what it
//! has not read yet; so after the last answer, input is discarded until the client closes too. And it gives hyper's own
//! refusals of requests that cannot be parsed the JSON body that every other error has.

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

/// How long the client's own close is awaited.
const LINGER: Duration = Duration::from_secs(5);

/// No request is being served: what hyper writes now is its own.
const IDLE: u8 = 0;
/// The service is asked, or its answer's body is being read.
const SERVING: u8 = 1;
/// The answer is complete, but not all of it is written.
const WRITING: u8 = 2;

/// Progress of the requests of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange(Arc<AtomicU8>);

impl Exchange {
    /// The service is asked.
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

/// A response's body; dropping it ends the service's part of the exchange.
pub(super) struct OutboundBody<B> {
    body: B,
    _end: End,
    /// Protects the connection from making room for others.
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

/// A connection of a client.
pub(super) struct ClientStream {
    stream: TcpStream,
    exchange: Exchange,
    stop: Stop,
    /// The client has closed its side.
    ended: bool,
    /// What is left to write of a refusal.
    refusal: Vec<u8>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, exchange: Exchange, stop: Stop) -> Self {
        Self { stream, exchange, stop, ended: false, refusal: Vec::new(), linger: None }
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.refusal))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Discards what the client still sends, until it closes, for a limited time. A service that stops waits for nothing.
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
            ready!(self.poll_refusal(cx))?;
            self.refusal = explained(bytes);
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
        ready!(self.poll_refusal(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.poll_linger(cx).map(Ok)
    }
}

/// A refusal of hyper's, which has no body, with one that says what is wrong.
fn explained(head: &[u8]) -> Vec<u8> {
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
