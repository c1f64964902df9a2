//! Conformance of the gateway with RFC 9110 and RFC 9112 for requests, as listed in docs/gateway.md.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

use crate::support::{Client, OK, Response, Service, TIMEOUT, exchange, get, mirror, upstream};

const BAD_REQUEST: &str = r#"{"error":"bad request"}"#;

/// Starts an upstream that answers the first request of each connection with these bytes and closes it. Returns its address
/// and the heads of the requests.
pub(crate) fn upstream_answering(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> (SocketAddr, Receiver<String>) {
    let (sender, received) = mpsc::channel();
    let sender = Mutex::new(sender);
    let address = upstream(move |mut client| {
        if let Some(head) = client.head() {
            // The test may have ended.
            let _ = sender.lock().unwrap().send(head.to_lowercase());
            client.send(&bytes);
        }
    });
    (address, received)
}

#[track_caller]
fn assert_json(answer: &Response, status: u16, body: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, body), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
}

#[test]
fn a_request_that_is_malformed_or_ambiguous_is_400() {
    let gateway = Service::gateway(mirror(), &[]);
    let host = "Host: a\r\n";
    for (line, headers) in [
        // Method.
        ("get / HTTP/1.1", host),
        ("G(T / HTTP/1.1", host),
        // Target.
        ("GET /../../c HTTP/1.1", host),
        ("GET /%2e%2e/c HTTP/1.1", host),
        ("GET /%zz HTTP/1.1", host),
        ("GET /%00 HTTP/1.1", host),
        ("GET a.test:80 HTTP/1.1", host),
        ("GET nothing HTTP/1.1", host),
        ("GET * HTTP/1.1", host),
        ("GET  / HTTP/1.1", host),
        ("GET / HTTP/9.9", host),
        ("GET /", host),
        // Host.
        ("GET / HTTP/1.1", ""),
        ("GET / HTTP/1.1", "Host:\r\n"),
        ("GET / HTTP/1.1", "Host: a b\r\n"),
        ("GET / HTTP/1.1", "Host: a/b\r\n"),
        ("GET / HTTP/1.1", "Host: user@a\r\n"),
        ("GET / HTTP/1.1", "Host: a:port\r\n"),
        ("GET / HTTP/1.1", "Host: a\r\nHost: a\r\n"),
        ("GET http://user@a/ HTTP/1.1", host),
        ("GET http://a/ HTTP/1.1", ""),
        // Headers.
        ("GET / HTTP/1.1", "Host: a\r\nX-Space : 1\r\n"),
        ("GET / HTTP/1.1", "Host: a\r\nX-Folded: 1\r\n 2\r\n"),
        ("GET / HTTP/1.1", "Host: a\r\nno header\r\n"),
        ("GET / HTTP/1.1", "Host: a\r\nX-Nul: \0\r\n"),
        ("OPTIONS / HTTP/1.1", "Host: a\r\nMax-Forwards: x\r\n"),
        // Framing.
        ("POST / HTTP/1.1", "Host: a\r\nContent-Length: x\r\n"),
        ("POST / HTTP/1.1", "Host: a\r\nContent-Length: +1\r\n"),
        ("POST / HTTP/1.1", "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n"),
        ("POST / HTTP/1.1", "Host: a\r\nContent-Length: 1, 1\r\n"),
        ("POST / HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("POST / HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked, gzip\r\n"),
        ("POST / HTTP/1.0", "Host: a\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        let answer = exchange(gateway.address, format!("{line}\r\n{headers}\r\n"));
        let answer = answer.unwrap_or_else(|| panic!("{line} {headers:?} gets no response"));
        assert_json(&answer, 400, BAD_REQUEST);
    }
}

#[test]
fn unsupported_requests_are_refused() {
    let gateway = Service::gateway(mirror(), &[]);
    let send = |request: &str| exchange(gateway.address, request).expect("a response");
    assert_eq!(send("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
    assert_eq!(send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n").status, 405);
    let coded = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    assert_json(&send(coded), 501, r#"{"error":"not implemented"}"#);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(33 << 10));
    assert_json(&send(&large), 431, r#"{"error":"request header too large"}"#);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(33 << 10));
    assert_eq!(send(&long).status, 431);
}

#[test]
fn a_refusal_closes_the_connection_after_complete_earlier_responses() {
    let gateway = Service::gateway(mirror(), &[]);
    let mut client = Client::connect(gateway.address);
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET  / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let first = client.response().expect("a response");
    assert!(first.status == 200 && first.text().starts_with("GET /first HTTP/1.1\r\n"), "{first:?}");
    assert_json(&client.response().expect("a response"), 400, BAD_REQUEST);
    assert!(client.ended());
}

#[test]
fn the_body_is_forwarded_with_every_method() {
    let (sender, received) = mpsc::channel();
    let sender = Mutex::new(sender);
    let upstream = upstream(move |mut client| {
        while let Some(head) = client.head() {
            let mut body = Vec::new();
            if head.contains("transfer-encoding: chunked\r\n") {
                while let Some(chunk) = client.chunk().filter(|chunk| !chunk.is_empty()) {
                    body.extend(chunk);
                }
            } else if head.contains("content-length: 4\r\n") {
                client.bytes(4);
                body.extend(b"body");
            }
            sender.lock().unwrap().send((head.to_lowercase(), String::from_utf8(body).unwrap())).unwrap();
            client.send("HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    let gateway = Service::gateway(upstream, &[]);
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PURGE"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nTrailer: X-T\r\n");
        for body in
            ["Transfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nX-T: 1\r\n\r\n", "Content-Length: 4\r\n\r\nbody"]
        {
            let mut client = Client::connect(gateway.address);
            client.send(format!("{head}{body}"));
            assert!(client.head().is_some_and(|head| head.starts_with("HTTP/1.1 204 ")));
            let (head, body) = received.recv_timeout(TIMEOUT).expect("it arrives");
            assert_eq!(body, "body", "{head}");
            assert!(!head.contains("trailer"), "{head}");
        }
        // A request without a body gets no framing headers.
        let mut client = Client::connect(gateway.address);
        client.send(format!("{head}\r\n"));
        assert!(client.head().is_some_and(|head| head.starts_with("HTTP/1.1 204 ")));
        let (head, _) = received.recv_timeout(TIMEOUT).expect("it arrives");
        assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    }
}

#[test]
fn content_length_is_removed_from_chunked_requests() {
    let (upstream, received) = upstream_answering(OK);
    let gateway = Service::gateway(upstream, &[]);
    let mut client = Client::connect(gateway.address);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled",
    );
    let answer = client.response().expect("a response");
    let head = received.recv_timeout(TIMEOUT).expect("it arrives");
    assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
    // The bytes that follow are not parsed as a request.
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(client.ended() && received.try_recv().is_err());
}

#[test]
fn a_response_before_the_body_was_read_is_forwarded() {
    const SIZE: usize = 300_000;
    // The upstream closes without reading the body, so that writing fails while its response can be read.
    let (upstream, _) =
        upstream_answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    let gateway = Service::gateway(upstream, &[]);
    for number in 0..30 {
        let framing = if number % 2 == 0 { "Content-Length: 300000" } else { "Transfer-Encoding: chunked" };
        let body =
            if number % 2 == 0 { "x".repeat(SIZE) } else { format!("{SIZE:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(SIZE)) };
        let mut client = Client::connect(gateway.address);
        for _ in 0..2 {
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}"));
            let answer = client.response().expect("a response");
            assert_eq!((answer.status, answer.text().as_str(), answer.broken), (401, "no", false), "{number}");
        }
    }
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    const SIZE: usize = 8 << 20;
    let gateway = Service::gateway(mirror(), &[("GATEWAY_MAX_BODY", "1k")]);
    let mut client = Client::connect(gateway.address);
    // The whole request is sent before the response is read, and the connection is reusable.
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    client.send(vec![b'x'; SIZE]);
    assert_eq!(client.response().expect("a response").status, 413);
    client.get("/", &[]);
    assert_eq!(client.response().expect("a response").status, 200);
    // The gateway does not read the rest of this head.
    let mut client = Client::connect(gateway.address);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(1 << 20)));
    assert_eq!(client.response().expect("a response").status, 431);
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_header() {
    let gateway = Service::gateway(mirror(), &[]);
    let send = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        exchange(gateway.address, request).expect("a response").text().to_lowercase()
    };
    let received = send("http://lab.test:8080/path?q");
    assert!(
        received.starts_with("get /path?q http/1.1\r\n") && received.contains("host: lab.test:8080\r\n"),
        "{received}"
    );
    assert!(send("http://lab.test").starts_with("get / http/1.1\r\n"));
}

#[test]
fn the_gateway_names_itself_in_via() {
    let gateway = Service::gateway(mirror(), &[]);
    let received = get(gateway.address, "/", &[("Via", "1.0 fred, 1.1 p.example")]).text().to_lowercase();
    assert!(received.contains("via: 1.0 fred, 1.1 p.example\r\nvia: 1.1 gateway\r\n"), "{received}");
    let received = exchange(gateway.address, "GET / HTTP/1.0\r\n\r\n").expect("a response").text().to_lowercase();
    assert!(received.contains("via: 1.0 gateway\r\n"), "{received}");
}

#[test]
fn max_forwards_of_options_is_decremented() {
    let gateway = Service::gateway(mirror(), &[]);
    let send = |left: u32| {
        let request = format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\n\r\n");
        exchange(gateway.address, request).expect("a response")
    };
    assert!(send(2).text().contains("max-forwards: 1\r\n"));
    assert_json(&send(0), 200, "{}");
}

#[test]
fn a_client_that_expects_100_gets_it() {
    let upstream = upstream(|mut client| {
        let head = client.head().expect("a head");
        assert!(!head.contains("expect"), "{head}");
        client.bytes(4);
        client.send(OK);
    });
    let gateway = Service::gateway(upstream, &[]);
    let mut client = Client::connect(gateway.address);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.head().as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
    client.send("body");
    assert_eq!(client.response().expect("a response").status, 200);
    // A refused request gets the final response at once.
    let gateway = Service::gateway(mirror(), &[("GATEWAY_MAX_BODY", "1k")]);
    let mut client = Client::connect(gateway.address);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n");
    let answer = client.response().expect("a response");
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert!(client.ended());
}
