//! [`Upstream`]: where the app is reached, and the connections kept alive to it. Nothing is ever sent twice; what keeps a
//! redeploy from losing a request is that a change of the route drops the idle connections to the old place at once.

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

/// What sends a request over a connection.
pub(super) type RequestSender = http1::SendRequest<RequestBody>;

/// Idle connections are not used after this time. Shorter than the app keeps them (75 s): where it closes one as we send,
/// the request is lost.
const IDLE: Duration = Duration::from_secs(30);
/// So many idle connections are kept.
const KEPT: usize = 256;
/// How long a connection may take to become ready for its next request.
const SETTLE: Duration = Duration::from_secs(1);
/// The largest head of a response.
const HEADER_SIZE: usize = 64 << 10;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The name is unknown.
    #[error("cannot resolve: {0}")]
    Unresolved(io::Error),
    /// It cannot be connected.
    #[error("cannot connect to {0}: {1}")]
    Refused(SocketAddr, io::Error),
    /// The app does not run, or not at this port.
    #[error("cannot connect to {0}: nothing listens there")]
    Nowhere(String),
    /// Not in time.
    #[error("cannot connect to {0} in time")]
    TimedOut(SocketAddr),
}

/// The one upstream.
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

/// Where a name leads that is not looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    At(SocketAddr),
    /// Nothing listens there.
    Nowhere,
}

#[derive(Default)]
struct State {
    /// Instead of what the name resolves to.
    route: Option<Route>,
    /// Grows with every change of the route: a connection of an older one is not used again.
    generation: u64,
    idle: Vec<Idle>,
}

struct Idle {
    sender: RequestSender,
    link: Link,
    address: SocketAddr,
    since: Instant,
}

/// A connection that is open. Dropping it closes the connection, also in the middle of a request.
struct Link {
    _connection: AbortOnDropHandle<hyper::Result<()>>,
    /// The upstream has stopped reading.
    broken: Arc<AtomicBool>,
}

impl Link {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// What a connection is given back with.
pub(super) struct Lease {
    shared: Arc<Shared>,
    generation: u64,
    link: Link,
    /// Where it leads.
    pub(super) address: SocketAddr,
}

impl Upstream {
    /// Of this name, `name:port`, without a route.
    pub(super) fn new(name: String, connect_timeout: Duration) -> Self {
        Self { shared: Arc::new(Shared { name, connect_timeout, state: Mutex::default() }) }
    }

    /// From now on `name` is reached at `address`, or nowhere. Says whether it is our name, or another port of our host: that
    /// refuses, as it would on a network where the host has its name. What was never told of is looked up.
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
            // Closes them.
            drop(retired);
        }
        true
    }

    /// A connection that is ready: an idle one, or a new one.
    pub(super) async fn connect(&self) -> Result<(Lease, RequestSender), ConnectError> {
        let deadline = Instant::now() + self.shared.connect_timeout;
        loop {
            let (route, generation) = match self.shared.take_idle() {
                Ok(taken) => return Ok(taken),
                Err(place) => place,
            };
            let opened = self.shared.open(route, deadline).await;
            // Where the route changed meanwhile, the old place may be about to go: nothing has been sent there yet.
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

    /// The idle connection used last, else where to connect.
    fn take_idle(self: &Arc<Self>) -> Result<(Lease, RequestSender), (Option<Route>, u64)> {
        let mut state = self.lock();
        while let Some(Idle { sender, link, address, since }) = state.idle.pop() {
            if since.elapsed() > IDLE {
                // The others are older still.
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
        if state.generation == generation && state.idle.len() < KEPT {
            state.idle.push(idle);
        }
    }
}

/// Of `host:port`.
fn host(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(host, _)| host)
}

async fn handshake(address: SocketAddr) -> io::Result<(RequestSender, Link)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut http = http1::Builder::new();
    http.max_header_size(HEADER_SIZE).max_buf_size(8 * HEADER_SIZE);
    // Passed on with a space in place of each fold (RFC 9112, 5.2), and without the space before a colon (5.1).
    http.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
    let broken = Arc::new(AtomicBool::new(false));
    let stream = UpstreamStream::new(stream, Arc::clone(&broken));
    let (sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Its errors are those of its requests.
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    Ok((sender, Link { _connection: connection, broken }))
}

impl Lease {
    /// Keeps the connection for the next request, unless the route has changed.
    pub(super) fn give_back(self, mut sender: RequestSender) {
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
                if let Ok(Ok(())) = timeout(SETTLE, sender.ready()).await {
                    shared.keep(Idle { sender, link, address, since: Instant::now() }, generation);
                }
            });
        }
    }
}
