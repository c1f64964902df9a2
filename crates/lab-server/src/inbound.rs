//! [`InboundBody`]: a request's body. A service may answer without reading it; the rest is then read and discarded, so that
//! the answer reaches a client that is still sending, and the connection stays usable.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::EXPECT;
use hyper::{HeaderMap, Request};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long the rest of a body is read after nobody wants it any more.
const DISCARD: Duration = Duration::from_secs(30);
/// How long a client may pause meanwhile.
const SILENCE: Duration = Duration::from_secs(5);

/// The body of a request as its client sends it.
pub struct InboundBody<B: Unread = Incoming> {
    /// None after the end.
    incoming: Option<B>,
    expectation: Option<Expectation>,
}

/// A body whose rest can be read by a task of its own.
pub trait Unread: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static> Unread for B {}

/// Lets the handlers of an axum router leave a body unread; for a layer around all others.
pub async fn discard_unread(request: Request<axum::body::Body>) -> Request<axum::body::Body> {
    InboundBody::wrap(request).0.map(axum::body::Body::new)
}

/// A client's wait for `100 Continue`, which is sent when the body is first read.
#[derive(Clone, Debug)]
pub struct Expectation(Arc<AtomicBool>);

impl Expectation {
    /// Returns true if the body was never read, so that the client has not sent it.
    pub fn is_open(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(EXPECT)?;
        value.as_bytes().eq_ignore_ascii_case(b"100-continue").then(|| Self(Arc::new(AtomicBool::new(false))))
    }
}

impl<B: Unread> InboundBody<B> {
    /// Wraps the body of a request.
    pub fn wrap(request: Request<B>) -> (Request<Self>, Option<Expectation>) {
        let (parts, incoming) = request.into_parts();
        let incoming = Some(incoming).filter(|incoming| !incoming.is_end_stream());
        let expectation = incoming.as_ref().and_then(|_| Expectation::of(&parts.headers));
        let body = Self { incoming, expectation: expectation.clone() };
        (Request::from_parts(parts, body), expectation)
    }
}

impl<B: Unread> Body for InboundBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(Expectation(read)) = &self.expectation {
            read.store(true, Ordering::Relaxed);
        }
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.incoming = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Unread> Drop for InboundBody<B> {
    fn drop(&mut self) {
        // A client that waits for `100 Continue` gets the answer instead, and the connection is closed.
        if self.expectation.as_ref().is_some_and(Expectation::is_open) {
            return;
        }
        if let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(DISCARD, discard(incoming)));
        }
    }
}

async fn discard(mut incoming: impl Unread) {
    while let Ok(Some(Ok(_))) = timeout(SILENCE, incoming.frame()).await {}
}
