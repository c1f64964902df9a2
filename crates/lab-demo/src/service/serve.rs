//! HTTP/1.1 server with a graceful shutdown that loses no request: connections in the backlog are served, requests in flight
//! are finished, and a request that arrives on a kept-alive connection during shutdown is still answered, with
//! `Connection: close`.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::log::Log;
use super::stop::Stop;
use super::stream::{ClientStream, Exchange, OutboundBody};
use lab_server::inbound::InboundBody;
use lab_server::{Admission, Connections};

/// Time for which idle connections are kept during shutdown, because a request may be on its way. Rarely used up, because
/// callers that know of the shutdown close their connections at once.
const LINGER: Duration = Duration::from_millis(150);
/// Time limit of the shutdown, regardless of the requests in flight. Leaves time to exit within one second.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(850);
/// Pause after a failed accept, usually because no descriptor is left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Maximum number of connections, if the descriptor limit permits.
const CONNECTIONS: usize = 16 << 10;

/// Resource limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum size of a request head in bytes. Larger heads are rejected with 431.
    pub(crate) header_size: usize,
    /// Time from the last response to the end of the next request head. Also limits how long idle connections are kept.
    pub(crate) header_timeout: Duration,
}

/// Listens on `host:port`. With `reuse_port` another process may listen on the same port.
pub(crate) async fn listen(address: &str, reuse_port: bool) -> io::Result<TcpListener> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host(address).await? {
        match bind(address, reuse_port) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Allows binding while connections of an earlier process are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves until `stop`, and returns within a second of it. `service` creates a service for each peer.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    limits: Limits,
    stop: &Stop,
    log: &Log,
    service: impl Fn(SocketAddr) -> S,
) where
    S: Service<Request<InboundBody>, Response = Response<B>, Error = Infallible, Future: Send> + Send + Sync + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + Send + 'static,
{
    // A connection to the gateway needs one to the app as well.
    let places = Connections::new(lab_server::capacity(3, CONNECTIONS), None);
    let server =
        Server { limits, stop: stop.clone(), connections: TaskTracker::new(), close: CancellationToken::new() };
    loop {
        let accepted = tokio::select! {
            () = stop.requested() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // An accepted connection is served even during shutdown.
                let place = tokio::select! {
                    biased;
                    place = places.admit() => Some(place),
                    () = stop.requested() => None,
                };
                server.spawn(stream, service(peer), place);
            }
            // Only this client is affected.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                log.note(format_args!("cannot accept a connection: {error}"));
                tokio::select! {
                    () = stop.requested() => break,
                    () = sleep(ACCEPT_BACKOFF) => {}
                }
            }
        }
    }
    tokio::select! {
        () = stop.forced() => {}
        () = async {
            if let Ok(listener) = listener.into_std() {
                while let Ok((stream, peer)) = listener.accept() {
                    if stream.set_nonblocking(true).is_ok() && let Ok(stream) = TcpStream::from_std(stream) {
                        server.spawn(stream, service(peer), None);
                    }
                }
            }
            server.drain().await;
        } => {}
    }
}

/// Completes when the connection must make room for another one.
async fn evicted(place: Option<&Admission>) {
    match place {
        Some(place) => place.evicted().await,
        None => std::future::pending().await,
    }
}

struct Server {
    limits: Limits,
    stop: Stop,
    connections: TaskTracker,
    /// Requests connections to close as soon as they are idle.
    close: CancellationToken,
}

impl Server {
    fn spawn<S, B>(&self, stream: TcpStream, service: S, place: Option<Admission>)
    where
        S: Service<Request<InboundBody>, Response = Response<B>, Error = Infallible, Future: Send>
            + Send
            + Sync
            + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + Send + 'static,
    {
        // Do not delay small responses until the previous one is acknowledged.
        let _ = stream.set_nodelay(true);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(self.limits.header_size)
            // Leaves room to read a head just over the limit and to answer it.
            .max_buf_size((2 * self.limits.header_size).max(64 << 10));
        let (stop, close) = (self.stop.clone(), self.close.clone());
        self.connections.spawn(async move {
            let exchange = Exchange::default();
            let stream = ClientStream::new(stream, exchange.clone(), stop.clone());
            let service = service_fn(|request| {
                exchange.begin();
                let busy = place.as_ref().map(Admission::busy);
                let (request, expectation) = InboundBody::wrap(request);
                let response = service.call(request);
                let (stop, exchange) = (&stop, &exchange);
                async move {
                    let mut response = response.await?;
                    // A client waiting for `100 Continue` may or may not send the body, so the connection cannot be reused.
                    if stop.is_draining() || expectation.is_some_and(|expectation| expectation.is_open()) {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response.map(|body| OutboundBody::new(body, exchange.clone(), busy)))
                }
            });
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
            // Ignore connection errors: the requests are in the log.
            tokio::select! {
                biased;
                _ = connection.as_mut() => {}
                () = evicted(place.as_ref()) => {}
                () = close.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }

    async fn drain(self) {
        self.connections.close();
        let started = Instant::now();
        if timeout_at(started + LINGER, self.connections.wait()).await.is_err() {
            self.close.cancel();
            let _ = timeout_at(started + DRAIN_TIMEOUT, self.connections.wait()).await;
        }
    }
}
