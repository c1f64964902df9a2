//! The bodies that stream through: [`RequestBody`] counts against the limit and remembers whose turn it is, so that
//! silence is blamed on the right side; [`ResponseBody`] gives its connection back when it ends.

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

/// Why a body breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The limit is exceeded.
    #[error("the request's body is too large")]
    TooLarge,
    /// The other side did.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The upstream is silent.
    #[error("the upstream sent nothing for too long")]
    TimedOut,
}

/// What the request's body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The client's next piece.
    Client,
    /// The upstream, to take the next piece or to answer.
    Upstream,
    /// Nothing: it exceeded the limit.
    TooLarge,
    /// Nothing: the client broke off.
    ClientBroke,
}

/// How far the upload is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// What it waits for.
    pub(super) waiting: Waiting,
    /// Since when.
    pub(super) since: Instant,
    /// All has been handed to the connection.
    pub(super) complete: bool,
}

/// The upload as those see it who do not hold the body.
#[derive(Clone, Debug)]
pub(super) struct Upload(Arc<watch::Sender<Progress>>);

impl Upload {
    fn new() -> Self {
        let progress = Progress { waiting: Waiting::Upstream, since: Instant::now(), complete: false };
        Self(Arc::new(watch::Sender::new(progress)))
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        *self.0.borrow()
    }

    /// Tells when it is another's turn.
    pub(super) fn turns(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    fn set(&self, waiting: Waiting, complete: bool) {
        self.0.send_if_modified(|progress| {
            let turned = progress.waiting != waiting;
            // Being asked again does not give the client more time.
            if turned || waiting != Waiting::Client {
                *progress = Progress { waiting, since: Instant::now(), complete };
            }
            turned
        });
    }
}

/// A request's body, on its way to the upstream.
pub(super) struct RequestBody {
    incoming: InboundBody,
    left: u64,
    /// None where there is no body.
    upload: Option<Upload>,
}

impl RequestBody {
    /// At most `limit` bytes.
    pub(super) fn new(incoming: InboundBody, limit: u64) -> Self {
        let upload = (!incoming.is_end_stream()).then(Upload::new);
        Self { incoming, left: limit, upload }
    }

    /// How far it is; None where there is no body.
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

/// A response's body, on its way to the client. Dropping it ends the request: its line is logged, and its connection
/// given back where the body was read to its end.
pub(super) struct ResponseBody {
    content: Content,
    access: Access,
    /// Why the body breaks off, once all before that is with the client's connection.
    broken: Option<BodyError>,
}

enum Content {
    Text(Option<&'static str>),
    Streamed(Box<Streamed>),
}

/// A body that an upstream sends.
pub(super) struct Streamed {
    incoming: Incoming,
    /// What came with the head.
    first: Option<Frame<Bytes>>,
    ended: bool,
    /// Given back at the end.
    lease: Option<(Lease, RequestSender)>,
    upload: Option<Upload>,
    silence: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    /// One of our own.
    pub(super) fn text(text: &'static str, access: Access) -> Self {
        Self { content: Content::Text(Some(text)), access, broken: None }
    }

    /// The upstream's.
    pub(super) fn streamed(streamed: Streamed, access: Access) -> Self {
        Self { content: Content::Streamed(Box::new(streamed)), access, broken: None }
    }
}

impl Streamed {
    /// `silence` is how long the upstream may pause; `upload` is what of the request is still being sent.
    pub(super) fn new(
        incoming: Incoming,
        lease: (Lease, RequestSender),
        upload: Option<Upload>,
        silence: Duration,
    ) -> Self {
        Self { incoming, first: None, ended: false, lease: Some(lease), upload, silence, timer: None }
    }

    /// Takes what of the body came with the head, without waiting. If it breaks off before any of it came, there is nothing to
    /// pass on.
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
        let silence = self.silence;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(silence)));
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
            lease.give_back(sender);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match &mut self.content {
            Content::Text(text) => text.take().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))),
            Content::Streamed(streamed) => ready!(streamed.poll_frame(cx)),
        };
        match frame {
            Some(Err(error)) => {
                // hyper drops what it has not written when a body fails, be it the head: it writes that first.
                self.access.upstream.error = Some(error.to_string());
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => {
                self.access.sent(frame.data_ref().map_or(0, Bytes::len));
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
