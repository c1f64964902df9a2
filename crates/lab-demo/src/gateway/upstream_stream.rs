//! TCP stream to the upstream that survives failed writes. An upstream may respond and close before it has read the whole request,
//! so that a write fails while the response is waiting to be read. Therefore a failed write is not an error: further writes
//! are discarded, and the outcome depends on what can still be read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(super) struct UpstreamStream {
    stream: TcpStream,
    /// Error of the first failed write.
    failed: Option<io::ErrorKind>,
    /// Signals a failed write to the pool, which must not reuse the connection.
    broken: Arc<AtomicBool>,
}

impl UpstreamStream {
    pub(super) fn new(stream: TcpStream, broken: Arc<AtomicBool>) -> Self {
        Self { stream, failed: None, broken }
    }

    /// Number of bytes to report as written. After a failure, claims that all `length` bytes were written.
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
        // The failed write has consumed the socket error. Report it here: a clean end would make a truncated body look
        // complete.
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
        // TCP streams have nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
