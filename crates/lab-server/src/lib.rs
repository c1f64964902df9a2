//! HTTP/1 server for lab's own ports, such as the host's control port and the dashboard. [`Connections`] bounds the number of
//! connections and [`Limits`] the time for a request head, so that neither another server of the process nor a silent
//! client can exhaust the descriptors.

#![warn(missing_docs)]

use std::convert::Infallible;
use std::net::SocketAddr;
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
use lab_tls::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod compression;
mod connections;
pub mod inbound;
pub mod site;

pub use connections::{Admission, Busy, Connections, capacity};

/// Pause after a failed accept, usually because no descriptor is left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Decides by the headers whether a request protects its connection from eviction.
pub type IsTrusted = Arc<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// Address of the client, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Resource limits of a server.
pub struct Limits {
    /// Maximum number of concurrent connections.
    pub connections: usize,
    /// Timeout for reading a request head. Also limits how long idle connections are kept.
    pub head: Duration,
    /// Time for which a request protects its connection from eviction. `None` means until it ends.
    pub stall: Option<Duration>,
}

/// Serves until `end` is cancelled, then finishes the requests in progress.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    is_trusted: IsTrusted,
    end: CancellationToken,
) {
    let handle = move |(stream, peer), admission, end| {
        connection(stream, peer, admission, router.clone(), limits.head, is_trusted.clone(), end)
    };
    accept_all(listener, limits.connections, limits.stall, handle, end).await;
}

/// Like [`serve`], over TLS. The handshake has the time limit of a request head.
pub async fn serve_tls(
    listener: TcpListener,
    tls: Acceptor,
    router: Router,
    limits: Limits,
    is_trusted: IsTrusted,
    end: CancellationToken,
) {
    let handle = move |(stream, peer), admission: Admission, end| {
        let (tls, router, is_trusted) = (tls.clone(), router.clone(), is_trusted.clone());
        async move {
            let handshake = tokio::select! {
                handshake = tokio::time::timeout(limits.head, tls.accept(stream)) => handshake,
                () = admission.evicted() => return,
            };
            if let Ok(Ok(stream)) = handshake {
                connection(stream, peer, admission, router, limits.head, is_trusted, end).await;
            }
        }
    };
    accept_all(listener, limits.connections, limits.stall, handle, end).await;
}

/// Handles each accepted connection in a task of its own.
async fn accept_all<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    connections: usize,
    stall: Option<Duration>,
    handle: impl Fn((TcpStream, Peer), Admission, CancellationToken) -> F,
    end: CancellationToken,
) {
    let connections = Connections::new(connections, stall);
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        if let Some((client, admission)) = accepted {
            tasks.spawn(handle(client, admission, end.clone()));
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Accepts and admits one connection. Returns `None` after a pause if accepting failed.
async fn accept(listener: &TcpListener, connections: &Connections) -> Option<((TcpStream, Peer), Admission)> {
    if let Ok((stream, peer)) = listener.accept().await {
        Some(((stream, Peer(peer)), connections.admit().await))
    } else {
        tokio::time::sleep(ACCEPT_BACKOFF).await;
        None
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    admission: Admission,
    router: Router,
    head: Duration,
    is_trusted: IsTrusted,
    end: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let busy = is_trusted(request.headers()).then(|| admission.busy());
        let response = router.call(request);
        async move {
            let response: Response<Body> = response.await?;
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, busy)))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    // Errors of a connection concern only its client.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = admission.evicted() => return,
        () = end.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Response body that keeps its connection busy until it is dropped.
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
