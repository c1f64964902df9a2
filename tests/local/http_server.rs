//! HTTP servers with scripted responses and failures, for tests of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A complete 200 response.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server on a free port. Stops when it is dropped.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`, without a path.
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// Reaction of a server to a request.
pub(crate) enum Reply {
    /// Sends a response and waits for the next request.
    Send(String),
    /// Sends a response and closes the connection.
    Last(String),
    /// Sends a response after a delay in milliseconds.
    Late(u64, String),
    /// Never answers.
    Silence,
}

impl Server {
    /// Number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server. `reply` gets the number of the request, from 0, and its head.
pub(crate) async fn serve(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Server {
    serve_on(TcpListener::bind("127.0.0.1:0").await.expect("a free port"), reply)
}

/// Starts a server on a listener.
pub(crate) fn serve_on(listener: TcpListener, reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Server {
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (reply, requests) = (Arc::new(reply), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&requests);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle_connection(stream, Arc::clone(&reply), Arc::clone(&counter)));
        }
    });
    Server { url, requests, task }
}

/// URL that refuses connections as long as the socket is held: it is bound, but does not listen.
pub(crate) fn refusing() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    let address = socket.local_addr().expect("it is bound").as_socket().expect("an IP address");
    (socket, format!("http://{address}"))
}

async fn handle_connection<F: Fn(usize, &str) -> Reply>(
    mut stream: TcpStream,
    reply: Arc<F>,
    requests: Arc<AtomicUsize>,
) {
    while let Some(head) = read_request(&mut stream).await {
        let (text, last) = match reply(requests.fetch_add(1, Ordering::SeqCst), &head) {
            Reply::Send(text) => (text, false),
            Reply::Last(text) => (text, true),
            Reply::Late(millis, text) => {
                tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
                (text, false)
            }
            Reply::Silence => std::future::pending().await,
        };
        if stream.write_all(text.as_bytes()).await.is_err() || last {
            return;
        }
    }
}

/// Reads the head and body of a request as text. `None` if the connection was closed.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&buffer[..count]);
        let read = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = read.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().expect("a number") {
                return Some(read);
            }
        }
    }
}
