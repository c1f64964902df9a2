//! Request bodies that a service may leave unread. When an [`InboundBody`] is dropped, the rest of it is read and discarded,
//! so that a client that is still sending receives the response, and the connection stays usable.

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

/// Maximum time to drain an unread body.
const DISCARD: Duration = Duration::from_secs(30);
/// Maximum pause of the client while its body is drained.
const SILENCE: Duration = Duration::from_secs(5);

/// Request body that is drained in the background if it is dropped unread.
pub struct InboundBody<B: Unread = Incoming> {
    /// `None` after the end.
    incoming: Option<B>,
    expectation: Option<Expectation>,
}

/// Body that a background task can drain.
pub trait Unread: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static> Unread for B {}

/// Middleware for `axum::middleware::map_request` that lets handlers leave bodies unread. Must be the outermost layer.
#[expect(clippy::unused_async, reason = "axum takes an async function")]
pub async fn discard_unread(request: Request<axum::body::Body>) -> Request<axum::body::Body> {
    InboundBody::wrap(request).0.map(axum::body::Body::new)
}

/// `Expect: 100-continue` of a request. hyper sends `100 Continue` when the body is first read.
#[derive(Clone, Debug)]
pub struct Expectation(Arc<AtomicBool>);

impl Expectation {
    /// Returns `true` if the body was never read, so the client is still waiting to send it.
    pub fn is_open(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(EXPECT)?;
        value.as_bytes().eq_ignore_ascii_case(b"100-continue").then(|| Self(Arc::new(AtomicBool::new(false))))
    }
}

impl<B: Unread> InboundBody<B> {
    /// Wraps the body of a request. The expectation is present if the request has `Expect: 100-continue` and a body.
    pub fn wrap(request: Request<B>) -> (Request<Self>, Option<Expectation>) {
        let (parts, incoming) = request.into_parts();
        let incoming = Some(incoming).filter(|incoming| !incoming.is_end_stream());
        let expectation = incoming.as_ref().and_then(|_| Expectation::from_headers(&parts.headers));
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
        // A client waiting for `100 Continue` gets the final response instead, and the connection closes.
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
