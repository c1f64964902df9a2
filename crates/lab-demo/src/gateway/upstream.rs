//! Connections to the upstream, with a pool of idle ones. Requests are never retried. A redeploy loses no request because
//! changing the route closes the idle connections to the old address at once.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::body::RequestBody;
use super::upstream_stream::UpstreamStream;

/// Sender of requests over one connection.
pub(super) type RequestSender = http1::SendRequest<RequestBody>;

/// Maximum age of an idle connection. Shorter than the app's own limit (75 s): if the app closed a connection while a request
/// is being sent, the request would be lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of idle connections.
const MAX_IDLE: usize = 256;
/// Time for a connection to become ready for its next request.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum size of a response head in bytes.
const HEADER_SIZE: usize = 64 << 10;

/// Reason why no connection is available.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Name resolution failed or timed out.
    #[error("cannot resolve: {0}")]
    Unresolved(io::Error),
    /// Connecting failed.
    #[error("cannot connect to {0}: {1}")]
    Refused(SocketAddr, io::Error),
    /// According to the route, the app is not running, or not on this port.
    #[error("cannot connect to {0}: nothing listens there")]
    Nowhere(String),

    #[error("cannot connect to {0} in time")]
    TimedOut(SocketAddr),
}

/// The gateway's upstream. Clones share the route and the pool.
#[derive(Clone)]
pub(super) struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    /// `name:port`.
    name: String,
    connect_timeout: Duration,
    state: Mutex<State>,
}

/// Route that replaces name resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    At(SocketAddr),
    /// Nothing listens there.
    Nowhere,
}

#[derive(Default)]
struct State {
    /// `None` means that the name is resolved.
    route: Option<Route>,
    /// Incremented by every change of the route. Connections of older generations are not reused.
    generation: u64,
    idle: Vec<Idle>,
}

struct Idle {
    sender: RequestSender,
    link: Link,
    address: SocketAddr,
    since: Instant,
}

/// Open connection. Dropping it closes the connection, even in the middle of a request.
struct Link {
    _connection: AbortOnDropHandle<hyper::Result<()>>,
    /// The upstream has stopped reading, so no further request may be sent.
    broken: Arc<AtomicBool>,
}

impl Link {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// Loan of a connection, to return it to the pool.
pub(super) struct Lease {
    shared: Arc<Shared>,
    generation: u64,
    link: Link,
    pub(super) address: SocketAddr,
}

impl Upstream {
    /// Creates an upstream by name, `name:port`, without a route.
    pub(super) fn new(name: String, connect_timeout: Duration) -> Self {
        Self { shared: Arc::new(Shared { name, connect_timeout, state: Mutex::default() }) }
    }

    /// Routes `name` to `address`, or nowhere. Returns `false` if the name is not this upstream's. If the name differs only in
    /// its port, the upstream becomes unreachable, as it would be if the host had that name on a real network. Without any
    /// route the name is resolved.
    pub(super) fn route(&self, name: &str, address: Option<SocketAddr>) -> bool {
        let route = match &self.shared.name {
            ours if name == ours => address.map_or(Route::Nowhere, Route::At),
            ours if host(name) == host(ours) => Route::Nowhere,
            _ => return false,
        };
        let mut state = self.shared.lock();
        if state.route != Some(route) {
            state.route = Some(route);
            state.generation += 1;
            let retired = std::mem::take(&mut state.idle);
            drop(state);
            // Dropping idle connections closes them.
            drop(retired);
        }
        true
    }

    /// Returns an idle connection, or opens a new one.
    pub(super) async fn connect(&self) -> Result<(Lease, RequestSender), ConnectError> {
        let deadline = Instant::now() + self.shared.connect_timeout;
        loop {
            let (route, generation) = match self.shared.take_idle() {
                Ok(taken) => return Ok(taken),
                Err(place) => place,
            };
            let opened = self.shared.open(route, deadline).await;
            // Retry if the route changed meanwhile, because the old instance may be shutting down. Nothing has been sent yet.
            if self.shared.lock().generation == generation || Instant::now() >= deadline {
                let (address, (sender, link)) = opened?;
                return Ok((Lease { shared: Arc::clone(&self.shared), generation, link, address }, sender));
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the most recently used idle connection. If there is none, returns the route and its generation.
    fn take_idle(self: &Arc<Self>) -> Result<(Lease, RequestSender), (Option<Route>, u64)> {
        let mut state = self.lock();
        while let Some(Idle { sender, link, address, since }) = state.idle.pop() {
            if since.elapsed() > IDLE_TIMEOUT {
                // The remaining ones are even older.
                state.idle.clear();
            } else if sender.is_ready() && !link.is_broken() {
                let lease = Lease { shared: Arc::clone(self), generation: state.generation, link, address };
                return Ok((lease, sender));
            }
        }
        Err((state.route, state.generation))
    }

    async fn open(
        &self,
        route: Option<Route>,
        deadline: Instant,
    ) -> Result<(SocketAddr, (RequestSender, Link)), ConnectError> {
        let addresses = match route {
            Some(Route::At(address)) => vec![address],
            Some(Route::Nowhere) => return Err(ConnectError::Nowhere(self.name.clone())),
            None => self.resolve(deadline).await?,
        };
        let mut failed = ConnectError::Unresolved(io::ErrorKind::NotFound.into());
        for address in addresses {
            match timeout_at(deadline, handshake(address)).await {
                Ok(Ok(opened)) => return Ok((address, opened)),
                Ok(Err(error)) => failed = ConnectError::Refused(address, error),
                Err(_) => return Err(ConnectError::TimedOut(address)),
            }
        }
        Err(failed)
    }

    async fn resolve(&self, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
        match timeout_at(deadline, lookup_host(&self.name)).await {
            Ok(Ok(addresses)) => Ok(addresses.collect()),
            Ok(Err(error)) => Err(ConnectError::Unresolved(error)),
            Err(_) => Err(ConnectError::Unresolved(io::ErrorKind::TimedOut.into())),
        }
    }

    fn keep(&self, idle: Idle, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation && state.idle.len() < MAX_IDLE {
            state.idle.push(idle);
        }
    }
}

/// Host part of `host:port`.
fn host(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(host, _)| host)
}

async fn handshake(address: SocketAddr) -> io::Result<(RequestSender, Link)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut http = http1::Builder::new();
    http.max_header_size(HEADER_SIZE).max_buf_size(8 * HEADER_SIZE);
    // Folds are forwarded as a space (RFC 9112, 5.2), and the space before a colon is removed (5.1).
    http.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
    let broken = Arc::new(AtomicBool::new(false));
    let stream = UpstreamStream::new(stream, Arc::clone(&broken));
    let (sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Errors of the connection are reported to its requests.
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    Ok((sender, Link { _connection: connection, broken }))
}

impl Lease {
    /// Returns the connection to the pool, unless the route has changed.
    pub(super) fn release(self, mut sender: RequestSender) {
        let Self { shared, generation, link, address } = self;
        if link.is_broken() {
            return;
        }
        if sender.is_ready() {
            shared.keep(Idle { sender, link, address, since: Instant::now() }, generation);
        } else if !sender.is_closed()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                if let Ok(Ok(())) = timeout(READY_TIMEOUT, sender.ready()).await {
                    shared.keep(Idle { sender, link, address, since: Instant::now() }, generation);
                }
            });
        }
    }
}
