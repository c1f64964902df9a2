//! HTTP servers of lab's own: the host's control port, and the dashboard. Each has a limit on its connections ([`Connections`])
//! and on the time that a request's head may take, so that neither can starve the other, and a client that says nothing
//! starves nobody.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod connections;
pub mod inbound;

pub use connections::{Admission, Busy, Connections, capacity};

/// How long to wait when no connection can be accepted, since the system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Whose requests protect their connection from making room for others.
pub type Trusts = Arc<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// What the clients of a server may cost.
pub struct Limits {
    /// The most connections at once.
    pub connections: usize,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a request protects its connection; none: for as long as it takes.
    pub stall: Option<Duration>,
}

/// Serves until `end`, then finishes the requests that are being answered.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, trusts: Trusts, end: CancellationToken) {
    let connections = Connections::new(limits.connections, limits.stall);
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        if let Some((stream, admission)) = accepted {
            tasks.spawn(connection(stream, admission, router.clone(), limits.head, trusts.clone(), end.clone()));
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// A connection that was let in; none if it failed, after a pause if that was for want of descriptors.
async fn accept(listener: &TcpListener, connections: &Connections) -> Option<(TcpStream, Admission)> {
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, connections.admit().await)),
        Err(_) => {
            tokio::time::sleep(EXHAUSTED).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    admission: Admission,
    router: Router,
    head: Duration,
    trusts: Trusts,
    end: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        let busy = trusts(request.headers()).then(|| admission.busy());
        let response = router.call(request);
        async move {
            let response: Response<Body> = response.await?;
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, busy)))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    // How a connection ends is its client's matter.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = admission.closed() => return,
        () = end.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A body whose request is being answered until its end.
struct Guarded<B> {
    body: B,
    _busy: Option<Busy>,
}

impl<B> Guarded<B> {
    fn new(body: B, busy: Option<Busy>) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Guarded<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
