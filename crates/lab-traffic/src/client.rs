//! HTTP/1.1 client with a persistent connection, which reconnects after an error or a close. A request is resent only if it
//! is idempotent and its idle connection was closed by the server (RFC 9112, section 9.3.1), as HTTP libraries do. If the
//! server is gone, the second attempt fails too; any further retry would hide the outage. The retries of a caller are not
//! made here, but by its request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Cause;
use super::outcome::BodySample;
use super::resolver::Resolver;
use super::response::{Answer, Fed, Reader};
use super::target::Prepared;
use super::worker::locked;

/// Size of the read buffer in bytes.
const BUFFER_SIZE: usize = 64 << 10;

thread_local! {
    /// Responses are read into this buffer and parsed in place. Their content is not kept.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_SIZE]);
}

/// Holds at most one connection to each endpoint. Dropping the future of [`Client::send`] closes the connection in use.
pub(super) struct Client {
    net: Arc<Net>,
    links: Vec<Option<TcpStream>>,
    reader: Reader,
    /// Number of requests that were sent again.
    pub(super) resent: u64,
}

/// Settings and resolvers shared by all clients.
pub(super) struct Net {
    /// One for each endpoint.
    pub(super) resolvers: Vec<Resolver>,
    pub(super) connect_timeout: Duration,
    pub(super) keepalive: bool,
    /// One response body for each status code.
    pub(super) samples: Mutex<BTreeMap<u16, BodySample>>,
}

/// Status code and size of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) code: u16,
    pub(super) bytes: u64,
    /// Seconds of the `Retry-After` header, 0 without one.
    pub(super) retry_after: u32,
}

/// Reason for an exchange without a response.
enum Failure {
    /// The idle connection was closed before a byte of the request was written.
    Unwritten,
    /// The connection was closed before a byte of the response arrived.
    Unanswered,
    Failed(Cause),
}

impl Client {
    pub(super) fn new(net: Arc<Net>) -> Self {
        let links = net.resolvers.iter().map(|_| None).collect();
        Self { net, links, reader: Reader::default(), resent: 0 }
    }

    /// Waits for an event while watching the idle connections, so a close by the server is noticed before the next request.
    pub(super) async fn idle<F: Future>(&mut self, event: F) -> F::Output {
        let mut event = pin!(event);
        poll_fn(|context| {
            for link in &mut self.links {
                if link.as_ref().is_some_and(|stream| has_activity(stream, context)) {
                    *link = None;
                }
            }
            event.as_mut().poll(context)
        })
        .await
    }

    /// Sends a request and reads the whole response.
    pub(super) async fn send(&mut self, request: &Prepared) -> Result<Received, Cause> {
        let Self { net, links, reader, resent } = self;
        let link = &mut links[request.endpoint];
        // Taken out of its slot, and returned only if it can be reused.
        let mut reused = link.take().filter(is_quiet);
        loop {
            let fresh = reused.is_none();
            let mut stream = match reused.take() {
                Some(stream) => stream,
                None => connect(&net.resolvers[request.endpoint], net.connect_timeout).await?,
            };
            match exchange(&mut stream, fresh, request, reader).await {
                Ok((answer, bytes)) => {
                    *link = (answer.reusable && net.keepalive).then_some(stream);
                    if let Some(sample) = reader.take_sample() {
                        locked(&net.samples).entry(answer.code).or_insert(sample);
                    }
                    return Ok(Received { code: answer.code, bytes, retry_after: answer.retry_after });
                }
                Err(Failure::Failed(cause)) => return Err(cause),
                Err(Failure::Unwritten) if !fresh => {}
                // The server closed the idle connection while the request was in transit, without processing it.
                Err(Failure::Unanswered) if !fresh && request.repeatable => *resent += 1,
                Err(Failure::Unwritten | Failure::Unanswered) => return Err(Cause::Reset),
            }
        }
    }
}

/// Returns true if nothing has arrived since the last response. Anything that does arrive announces a close.
fn is_quiet(stream: &TcpStream) -> bool {
    // This makes no system call if nothing has arrived.
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Returns true if an idle connection was closed or received data. Otherwise registers for a wake-up.
fn has_activity(stream: &TcpStream, context: &mut Context<'_>) -> bool {
    while stream.poll_read_ready(context).is_ready() {
        if !is_quiet(stream) {
            return true;
        }
    }
    false
}

async fn connect(resolver: &Resolver, patience: Duration) -> Result<TcpStream, Cause> {
    let attempt = async {
        let mut last = Cause::Dns;
        for address in resolver.addresses().await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(|error| Cause::from_error(&error))?;
                    return Ok(stream);
                }
                Err(error) => last = Cause::from_error(&error),
            }
        }
        Err(last)
    };
    timeout(patience, attempt).await.unwrap_or(Err(Cause::Connect))
}

/// Writes a request and reads its response concurrently, since a server may respond before it has read the whole request. A
/// failed write does not end the exchange, because the server may already have responded: only the read ends it.
async fn exchange(
    stream: &mut TcpStream,
    fresh: bool,
    request: &Prepared,
    reader: &mut Reader,
) -> Result<(Answer, u64), Failure> {
    reader.begin(request.bodiless);
    let (mut unsent, mut received, mut broken) = (request.bytes.as_slice(), 0, None);
    poll_fn(|context| {
        if broken.is_none()
            && let Err(cause) = write(stream, &mut unsent, context)
        {
            if !fresh && unsent.len() == request.bytes.len() {
                return Poll::Ready(Err(Failure::Unwritten));
            }
            broken = Some(cause);
        }
        read(stream, reader, &mut received, context).map(|answer| match answer {
            Ok(answer) => {
                let reusable = answer.reusable && broken.is_none() && unsent.is_empty();
                Ok((Answer { reusable, ..answer }, received))
            }
            Err(cause) => Err(failure(broken.unwrap_or(cause), received)),
        })
    })
    .await
}

fn failure(cause: Cause, received: u64) -> Failure {
    if cause == Cause::Reset && received == 0 { Failure::Unanswered } else { Failure::Failed(cause) }
}

/// Writes as much as possible without blocking.
fn write(stream: &TcpStream, unsent: &mut &[u8], context: &mut Context<'_>) -> Result<(), Cause> {
    while !unsent.is_empty() {
        match stream.try_write(unsent) {
            Ok(count) => *unsent = &unsent[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stream.poll_write_ready(context).is_pending() {
                    break;
                }
            }
            Err(error) => return Err(Cause::from_error(&error)),
        }
    }
    Ok(())
}

/// Reads as much as possible without blocking. Uses `poll_read`, which treats a read that does not fill the buffer as the
/// last one. `try_read` would cost one more system call per response.
fn read(
    stream: &mut TcpStream,
    reader: &mut Reader,
    received: &mut u64,
    context: &mut Context<'_>,
) -> Poll<Result<Answer, Cause>> {
    INPUT.with_borrow_mut(|input| {
        loop {
            let mut buffer = ReadBuf::new(input);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Cause::from_error(&error))),
                Poll::Ready(Ok(())) => {}
            }
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(reader.close().ok_or(Cause::Reset));
            }
            *received += bytes.len() as u64;
            match reader.feed(bytes) {
                Ok(Fed::More) => {}
                Ok(Fed::Whole(answer)) => return Poll::Ready(Ok(answer)),
                Err(_) => return Poll::Ready(Err(Cause::Protocol)),
            }
        }
    })
}
