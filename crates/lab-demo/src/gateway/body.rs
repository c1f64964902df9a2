//! Streamed bodies. [`RequestBody`] enforces the size limit and tracks which side it is waiting for, so that a timeout is
//! attributed to the right side. [`ResponseBody`] returns its connection to the pool when it ends.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use lab_server::inbound::InboundBody;

use super::access::Access;
use super::upstream::{Lease, RequestSender};

/// Reason why a body is incomplete.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the request body is too large")]
    TooLarge,
    /// The connection failed.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The upstream exceeded the read timeout.
    #[error("the upstream sent nothing for too long")]
    TimedOut,
}

/// Side that an upload is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The client must send the next chunk.
    Client,
    /// The upstream must accept the next chunk or respond.
    Upstream,
    /// Neither: the body exceeded the limit.
    TooLarge,
    /// Neither: the client aborted.
    ClientBroke,
}

/// Progress of an upload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) waiting: Waiting,
    /// Start of the wait.
    pub(super) since: Instant,
    /// The whole body has been handed to the upstream connection.
    pub(super) complete: bool,
}

/// Handle to observe an upload without owning its body.
#[derive(Clone, Debug)]
pub(super) struct Upload(Arc<watch::Sender<Progress>>);

impl Upload {
    fn new() -> Self {
        let progress = Progress { waiting: Waiting::Upstream, since: Instant::now(), complete: false };
        Self(Arc::new(watch::Sender::new(progress)))
    }

    pub(super) fn progress(&self) -> Progress {
        *self.0.borrow()
    }

    /// Notifies when the upload waits for another side.
    pub(super) fn changes(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    fn set(&self, waiting: Waiting, complete: bool) {
        self.0.send_if_modified(|progress| {
            let turned = progress.waiting != waiting;
            // Polling again must not extend the client's time.
            if turned || waiting != Waiting::Client {
                *progress = Progress { waiting, since: Instant::now(), complete };
            }
            turned
        });
    }
}

/// Request body on its way to the upstream.
pub(super) struct RequestBody {
    incoming: InboundBody,
    left: u64,
    /// `None` if the request has no body.
    upload: Option<Upload>,
}

impl RequestBody {
    /// Wraps a body of at most `limit` bytes.
    pub(super) fn new(incoming: InboundBody, limit: u64) -> Self {
        let upload = (!incoming.is_end_stream()).then(Upload::new);
        Self { incoming, left: limit, upload }
    }

    /// Handle to observe the upload. `None` if the request has no body.
    pub(super) fn upload(&self) -> Option<Upload> {
        self.upload.clone()
    }

    fn mark(&self, waiting: Waiting, complete: bool) {
        if let Some(upload) = &self.upload {
            upload.set(waiting, complete);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            self.mark(Waiting::Client, false);
            return Poll::Pending;
        };
        match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(left) = self.left.checked_sub(length) else {
                    self.mark(Waiting::TooLarge, false);
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                };
                self.left = left;
                self.mark(Waiting::Upstream, self.incoming.is_end_stream());
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.mark(Waiting::ClientBroke, false);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.mark(Waiting::Upstream, true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Response body on its way to the client. Dropping it ends the request: the access log entry is written, and the connection
/// returns to the pool if the body was read to its end.
pub(super) struct ResponseBody {
    content: Content,
    access: Access,
    /// Error to report after everything before it has been handed to the client's connection.
    pending_error: Option<BodyError>,
}

enum Content {
    Text(Option<&'static str>),
    Streamed(Box<Streamed>),
}

/// Body received from the upstream.
pub(super) struct Streamed {
    incoming: Incoming,
    /// Frame that arrived with the head.
    first: Option<Frame<Bytes>>,
    ended: bool,
    /// Released at the end of the body.
    lease: Option<(Lease, RequestSender)>,
    upload: Option<Upload>,
    read_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    /// Creates a body of the gateway's own responses.
    pub(super) fn text(text: &'static str, access: Access) -> Self {
        Self { content: Content::Text(Some(text)), access, pending_error: None }
    }

    /// Creates a body that streams from the upstream.
    pub(super) fn streamed(streamed: Streamed, access: Access) -> Self {
        Self { content: Content::Streamed(Box::new(streamed)), access, pending_error: None }
    }
}

impl Streamed {
    /// `upload` observes the request body, which may still be in progress. `read_timeout` limits the upstream's pauses.
    pub(super) fn new(
        incoming: Incoming,
        lease: (Lease, RequestSender),
        upload: Option<Upload>,
        read_timeout: Duration,
    ) -> Self {
        Self { incoming, first: None, ended: false, lease: Some(lease), upload, read_timeout, timer: None }
    }

    /// Reads the frame that arrived with the head, without waiting. Fails if the body breaks off before its first frame,
    /// while an error response is still possible.
    pub(super) async fn begin(mut self) -> Result<Self, BodyError> {
        match poll_fn(|cx| Poll::Ready(self.poll_frame(cx))).await {
            Poll::Ready(Some(Err(error))) => return Err(error),
            Poll::Ready(Some(Ok(frame))) => self.first = Some(frame),
            Poll::Ready(None) | Poll::Pending => {}
        }
        Ok(self)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        let rest = self.incoming.size_hint();
        rest.exact().map_or(rest, |rest| SizeHint::with_exact(first + rest))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.ended || self.incoming.is_end_stream())
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.first.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.timer = None;
            self.ended = frame.is_none();
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        let read_timeout = self.read_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(read_timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyError::TimedOut)))
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let sent = self.upload.as_ref().is_none_or(|upload| upload.progress().complete);
        if sent
            && self.is_end_stream()
            && let Some((lease, sender)) = self.lease.take()
        {
            lease.release(sender);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.pending_error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match &mut self.content {
            Content::Text(text) => text.take().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))),
            Content::Streamed(streamed) => ready!(streamed.poll_frame(cx)),
        };
        match frame {
            Some(Err(error)) => {
                // On a body error hyper drops everything unwritten, even the head. Report the error on the next poll, after hyper has
                // written that.
                self.access.upstream.error = Some(error.to_string());
                self.pending_error = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => {
                self.access.add_sent(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Streamed(streamed) => streamed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.map_or(0, str::len) as u64),
            Content::Streamed(streamed) => streamed.size_hint(),
        }
    }
}
