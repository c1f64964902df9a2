//! [`UpstreamStream`]: the gateway's side of a TCP connection to the upstream. An upstream may answer before it has read the
//! whole request, and close: then a write fails while the answer waits to be read. So a failed write ends nothing. Whatever
//! else is written is dropped, and what can still be read decides.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection to the upstream.
pub(super) struct UpstreamStream {
    stream: TcpStream,
    /// Why a write failed.
    failed: Option<io::ErrorKind>,
    /// The same for the owner of the connection, who must not send another request on it.
    broken: Arc<AtomicBool>,
}

impl UpstreamStream {
    pub(super) fn new(stream: TcpStream, broken: Arc<AtomicBool>) -> Self {
        Self { stream, failed: None, broken }
    }

    /// The outcome of a write of so many bytes.
    fn written(&mut self, outcome: io::Result<usize>, length: usize) -> usize {
        outcome.unwrap_or_else(|error| {
            self.failed = Some(error.kind());
            self.broken.store(true, Ordering::Relaxed);
            length
        })
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        // The write has taken the error with it. An end without one would make a body whole that breaks off here.
        match self.failed {
            Some(kind) if buffer.filled().len() == before && buffer.remaining() > 0 => Poll::Ready(Err(kind.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(Ok(self.written(outcome, bytes.len())))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.failed.is_some() {
            return Poll::Ready(Ok(length));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        Poll::Ready(Ok(self.written(outcome, length)))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TCP has no buffer of its own to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
