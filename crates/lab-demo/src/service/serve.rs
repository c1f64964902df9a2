//! [`serve`]: accepts HTTP/1.1 connections until the service is to stop, and ends so that no request is lost: connections
//! that wait in the backlog are served, what is in flight is finished, and a request that crosses the stop on a
//! connection kept alive is still answered, with `Connection: close`.

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

/// For this long a connection that is idle when the stop comes is kept, for a request that may be on its way. Callers who
/// know of the stop close theirs at once, so it is seldom waited for.
const LINGER: Duration = Duration::from_millis(150);
/// After this long the service ends, whatever is in flight. Below one second, with time left to end the process.
const DRAIN: Duration = Duration::from_millis(850);
/// How long to let be when no connection can be accepted, since no descriptor is left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// The most connections at once, if the process may have as many descriptors.
const CONNECTIONS: usize = 16 << 10;

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The size of a request's head in bytes; beyond it 431.
    pub(crate) header_size: usize,
    /// How long a head may take from its connection's last response on, so it is how long idle connections are kept, too.
    pub(crate) header_timeout: Duration,
}

/// Listens on `host:port`. With `reuse_port` another process may listen there beside us.
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
    // Else connections of an earlier process that linger in TIME_WAIT would keep us from the port.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves each connection with what `service` makes for its peer, until `stop`; returns within a second of it.
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
            () = stop.begun() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Also at the stop: what was accepted is served.
                let place = tokio::select! {
                    biased;
                    place = places.admit() => Some(place),
                    () = stop.begun() => None,
                };
                server.spawn(stream, service(peer), place);
            }
            // The one client is gone; the next is as good as any.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                log.note(format_args!("cannot accept a connection: {error}"));
                tokio::select! {
                    () = stop.begun() => break,
                    () = sleep(EXHAUSTED) => {}
                }
            }
        }
    }
    tokio::select! {
        () = stop.immediate() => {}
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

/// Waits until the connection is to make room for another one.
async fn evicted(place: Option<&Admission>) {
    match place {
        Some(place) => place.closed().await,
        None => std::future::pending().await,
    }
}

struct Server {
    limits: Limits,
    stop: Stop,
    connections: TaskTracker,
    /// Tells the connections to close as soon as they are idle.
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
        // Small responses must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(self.limits.header_size)
            // Room for a head that is just beyond the limit, so that it is answered.
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
                    // A client that still waits for `100 Continue` may send the body or not: the connection cannot go on.
                    if stop.is_draining() || expectation.is_some_and(|expectation| expectation.is_open()) {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response.map(|body| OutboundBody::new(body, exchange.clone(), busy)))
                }
            });
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
            // How a connection ended, badly or not, is the client's matter: its requests are in the log.
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
        let begun = Instant::now();
        if timeout_at(begun + LINGER, self.connections.wait()).await.is_err() {
            self.close.cancel();
            let _ = timeout_at(begun + DRAIN, self.connections.wait()).await;
        }
    }
}
