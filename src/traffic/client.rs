//! [`Client`]: one HTTP/1.1 connection that is kept alive and made anew after an error or a close. A request that was
//! written to a connection is never sent again: that would hide the outage and falsify the counts.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};

use super::Cause;
use super::target::{Host, Target};

type Body = Empty<Bytes>;

/// One connection's worth of client. Dropping [`Client::send`] half way closes the connection.
pub(super) struct Client {
    target: Arc<Target>,
    link: Option<Link>,
}

/// A connection: its two ends in hyper, both driven by the one task that uses it.
struct Link {
    sender: SendRequest<Body>,
    driver: Option<Connection<TokioIo<TcpStream>, Body>>,
}

/// How an exchange ended without a response.
enum Failure {
    /// The connection was closed before a byte of the request was written.
    Unwritten,
    /// Anything later.
    Failed(Cause),
}

impl Client {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, link: None }
    }

    /// Waits for something else, meanwhile minding the idle connection: so a close by the server is known before the
    /// next request.
    pub(super) async fn idle<F: Future>(&mut self, event: F) -> F::Output {
        match &mut self.link {
            Some(link) => link.drive(event).await.1,
            None => event.await,
        }
    }

    /// Sends the target's request and reads the whole response; gives its status code.
    pub(super) async fn send(&mut self) -> Result<u16, Cause> {
        // Taken out, so that a link is put back only where it is fit for another request.
        if let Some(mut link) = self.link.take()
            && link.ready().await
        {
            match link.exchange(self.target.request()).await {
                Ok(status) => return Ok(self.keep(link, status)),
                Err(Failure::Failed(cause)) => return Err(cause),
                Err(Failure::Unwritten) => {}
            }
        }
        let mut link = Link::open(&self.target).await?;
        match link.exchange(self.target.request()).await {
            Ok(status) => Ok(self.keep(link, status)),
            Err(Failure::Failed(cause)) => Err(cause),
            Err(Failure::Unwritten) => Err(Cause::Reset),
        }
    }

    fn keep(&mut self, link: Link, status: u16) -> u16 {
        self.link = Some(link);
        status
    }
}

impl Link {
    /// Connects, with one look-up of the host's name.
    async fn open(target: &Target) -> Result<Self, Cause> {
        let stream = connect(target).await?;
        stream.set_nodelay(true).map_err(|error| Cause::of(&error))?;
        let (sender, driver) =
            Builder::new().handshake(TokioIo::new(stream)).await.map_err(|error| Cause::of(&error))?;
        Ok(Self { sender, driver: Some(driver) })
    }

    /// Whether another request can be written. A server that closed the connection by now is seen here.
    async fn ready(&mut self) -> bool {
        // Lets the runtime look at its sockets once, else a close that has arrived may go unnoticed under full load.
        self.drive(tokio::task::yield_now()).await;
        if self.driver.is_none() || self.sender.is_closed() {
            return false;
        }
        let Self { sender, driver } = self;
        drive(driver, sender.ready()).await.1.is_ok()
    }

    async fn exchange(&mut self, request: Request<Body>) -> Result<u16, Failure> {
        let Self { sender, driver } = self;
        let answer = sender.try_send_request(request);
        let (failure, answer) = drive(driver, answer).await;
        let response = answer.map_err(|mut refused| match refused.take_message() {
            Some(_) => Failure::Unwritten,
            None => Failure::Failed(worst(failure, Cause::of(refused.error()))),
        })?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        loop {
            match drive(driver, body.frame()).await {
                (_, Some(Ok(_))) => {}
                (_, None) => return Ok(status),
                (failure, Some(Err(error))) => return Err(Failure::Failed(worst(failure, Cause::of(&error)))),
            }
        }
    }

    async fn drive<F: Future>(&mut self, event: F) -> (Option<Cause>, F::Output) {
        drive(&mut self.driver, event).await
    }
}

/// What the connection's own error says, where the request's says nothing of use.
fn worst(connection: Option<Cause>, request: Cause) -> Cause {
    if request == Cause::Other { connection.unwrap_or(request) } else { request }
}

/// Runs the connection until `event` happens; gives what ended the connection meanwhile, where it was an error.
async fn drive<F: Future>(
    driver: &mut Option<Connection<TokioIo<TcpStream>, Body>>,
    event: F,
) -> (Option<Cause>, F::Output) {
    let mut event = pin!(event);
    let mut failure = None;
    let output = poll_fn(|context| {
        // The connection first: what it reads may be what is waited for.
        if let Some(connection) = driver
            && let Poll::Ready(end) = Pin::new(connection).poll(context)
        {
            failure = end.err().map(|error| Cause::of(&error));
            *driver = None;
        }
        event.as_mut().poll(context)
    })
    .await;
    (failure, output)
}

async fn connect(target: &Target) -> Result<TcpStream, Cause> {
    let name = match &target.host {
        Host::Address(address) => {
            let address = SocketAddr::new(*address, target.port);
            return TcpStream::connect(address).await.map_err(|error| Cause::of(&error));
        }
        Host::Name(name) => name,
    };
    let addresses: Vec<SocketAddr> = match lookup_host((name.as_str(), target.port)).await {
        Ok(addresses) => addresses.collect(),
        Err(_) => return Err(Cause::Dns),
    };
    if addresses.is_empty() {
        return Err(Cause::Dns);
    }
    // Tries one after the other, and gives the last one's error.
    TcpStream::connect(&*addresses).await.map_err(|error: io::Error| Cause::of(&error))
}
