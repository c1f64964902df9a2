//! Processing of one request by the real gateway process, with correct and faulty upstreams.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rustix::process::Signal;

use crate::support::{Client, OK, Response, Service, TIMEOUT, exchange, get, mirror, upstream};

/// Starts an upstream that sends these bytes to each request and closes the connection. Returns its address and the number
/// of requests.
fn upstream_sending(bytes: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let requests = Arc::clone(&count);
    let address = upstream(move |mut client| {
        if client.head().is_some() {
            requests.fetch_add(1, Ordering::SeqCst);
            client.send(bytes);
        }
    });
    (address, count)
}

fn assert_error(answer: &Response, status: u16, error: &str) {
    assert_eq!((answer.status, answer.text()), (status, format!(r#"{{"error":"{error}"}}"#)));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{answer:?}");
}

#[test]
fn a_request_is_forwarded_without_hop_by_hop_headers() {
    let gateway = Service::gateway(mirror(), &[]);
    let request = "GET /api/users?page=2 HTTP/1.1\r\nHost: lab.test\r\nX-API-Key: k1\r\nX-Request-Id: id-7\r\n\
        X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
        Keep-Alive: timeout=5\r\nProxy-Authorization: Basic x\r\nTE: trailers\r\nTrailer: X-T\r\nUpgrade: h2c\r\n\r\n";
    let answer = exchange(gateway.address, request).expect("a response");
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("id-7")));
    let received = answer.text().to_lowercase();
    assert!(received.starts_with("get /api/users?page=2 http/1.1\r\n"), "{received}");
    let mut fields: Vec<&str> = received.lines().skip(1).filter(|line| !line.is_empty()).collect();
    fields.sort_unstable();
    let expected = [
        "host: lab.test",
        "via: 1.1 gateway",
        "x-api-key: k1",
        "x-forwarded-for: 192.0.2.7, 127.0.0.1",
        "x-forwarded-proto: http",
        "x-request-id: id-7",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_request_id_is_generated_if_it_is_missing_or_invalid() {
    let gateway = Service::gateway(mirror(), &[]);
    for headers in [&[][..], &[("X-Request-Id", "a b")], &[("X-Request-Id", &"x".repeat(65))]] {
        let answer = get(gateway.address, "/", headers);
        let id = answer.header("x-request-id").expect("an id");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(answer.text().contains(id), "{answer:?}");
    }
}

#[test]
fn the_host_header_is_set_from_the_request() {
    let gateway = Service::gateway(mirror(), &[]);
    let whole = exchange(gateway.address, "GET http://lab.test/path HTTP/1.1\r\nHost: other\r\n\r\n").unwrap().text();
    assert!(whole.starts_with("GET /path HTTP/1.1\r\n") && whole.contains("host: lab.test\r\n"), "{whole}");
    let old = exchange(gateway.address, "GET /path HTTP/1.0\r\n\r\n").unwrap().text();
    assert!(old.starts_with("GET /path HTTP/1.1\r\n") && old.contains("host: app:8000\r\n"), "{old}");
    for bad in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        assert_eq!(exchange(gateway.address, bad).unwrap().status, 400);
    }
    let connect = exchange(gateway.address, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").unwrap();
    assert_error(&connect, 405, "method not allowed");
}

#[test]
fn the_key_can_be_removed_and_is_never_logged() {
    let mut gateway = Service::gateway(mirror(), &[("GATEWAY_FORWARD_API_KEY", "off")]);
    let answer = get(gateway.address, "/api/users?key=sesame", &[("X-API-Key", "sesame")]);
    assert!(!answer.text().to_lowercase().contains("x-api-key"), "{}", answer.text());
    gateway.signal(Signal::TERM);
    gateway.wait();
    assert!(!gateway.whole_log().contains("sesame"));
}

#[test]
fn the_access_log_is_json_with_the_names_of_nginx() {
    let upstream = mirror();
    let mut gateway = Service::gateway(upstream, &[("GATEWAY_INSTANCE", "g1")]);
    get(gateway.address, "/a?b=c", &[("X-Request-Id", "id-1")]);
    let high: &[u8] = b"GET /\xc2\x85\"q HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-\"2\r\n\r\n";
    exchange(gateway.address, high);
    gateway.signal(Signal::TERM);
    gateway.wait();
    let log = gateway.whole_log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let line = lines.iter().find(|line| line["request_id"] == "id-1").expect("a line");
    for (name, value) in [("method", "GET"), ("path", "/a"), ("instance", "g1"), ("remote_addr", "127.0.0.1")] {
        assert_eq!(line[name], value);
    }
    assert_eq!(line["upstream_addr"], upstream.to_string());
    assert!(line["status"] == 200 && line["upstream_status"] == 200 && line["body_bytes_sent"].as_u64() > Some(0));
    assert!(line["request_time"].as_f64() >= line["upstream_response_time"].as_f64());
    assert!(lines.iter().any(|line| line["request_id"] == "id-\"2"), "{log}");
    for line in lines {
        assert!(chrono::DateTime::parse_from_rfc3339(line["time"].as_str().expect("a time")).is_ok());
    }
}

#[test]
fn a_response_is_forwarded_without_hop_by_hop_headers() {
    let (upstream, _) = upstream_sending(
        b"HTTP/1.1 203 Fine\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTrailer: X-T\r\n\
          Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-End: stays\r\nX-Request-Id: other\r\nTransfer-Encoding: chunked\r\n\
          Content-Length: 99\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let gateway = Service::gateway(upstream, &[]);
    let mut client = Client::connect(gateway.address);
    client.get("/", &[("X-Request-Id", "mine")]);
    let answer = client.response().expect("a response");
    assert_eq!((answer.status, answer.text().as_str(), answer.broken), (203, "abc", false));
    assert_eq!((answer.header("x-end"), answer.header("x-request-id")), (Some("stays"), Some("mine")));
    let removed = ["connection", "x-hop", "keep-alive", "trailer", "proxy-authenticate", "upgrade", "content-length"];
    for name in removed {
        assert_eq!(answer.header(name), None, "{name}");
    }
    // The connection of the client stays open after that of the upstream.
    client.get("/", &[]);
    assert_eq!(client.response().expect("a response").status, 203);
}

#[test]
fn an_unreachable_upstream_is_502() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let mut gateway = Service::gateway(free, &[]);
    assert_error(&get(gateway.address, "/", &[]), 502, "bad gateway");
    gateway.route(mirror());
    assert_eq!(get(gateway.address, "/", &[]).status, 200);

    let unknown =
        Service::start("gateway", &[("GATEWAY_LISTEN", "127.0.0.1:0"), ("GATEWAY_UPSTREAM", "app.invalid:80")]);
    assert_error(&get(unknown.address, "/", &[]), 502, "bad gateway");
}

#[test]
fn another_port_of_the_app_is_502_without_a_dns_lookup() {
    let mut gateway = Service::start("gateway", &[("GATEWAY_LISTEN", "127.0.0.1:0"), ("GATEWAY_UPSTREAM", "app:8001")]);
    gateway.route(mirror());
    assert_error(&get(gateway.address, "/", &[]), 502, "bad gateway");
    gateway.log_until(|log| log.contains(r#""error":"cannot connect to app:8001: nothing listens there""#));
}

#[test]
fn a_broken_upstream_is_502_without_a_retry() {
    let broken: [&'static [u8]; 5] = [
        b"",
        b"what?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 99999 No\r\n\r\n",
        b"HTTP/1.1 101 Sure\r\n\r\n",
    ];
    for bytes in broken {
        let (upstream, requests) = upstream_sending(bytes);
        let gateway = Service::gateway(upstream, &[]);
        assert_error(&get(gateway.address, "/", &[]), 502, "bad gateway");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{bytes:?}");
    }
}

#[test]
fn a_truncated_body_does_not_look_complete() {
    let broken: [&'static [u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ];
    for bytes in broken {
        let (upstream, _) = upstream_sending(bytes);
        let gateway = Service::gateway(upstream, &[]);
        // The connection may be closed before the head is sent.
        let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.is_none_or(|answer| answer.broken || answer.status == 502), "{bytes:?}");
        assert_eq!(
            exchange(gateway.address, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
                .expect("the gateway still serves")
                .status,
            405
        );
    }
}

#[test]
fn a_silent_upstream_is_504() {
    let silent = upstream(|mut client| while client.head().is_some() {});
    let gateway = Service::gateway(silent, &[("GATEWAY_READ_TIMEOUT", "100ms")]);
    assert_error(&get(gateway.address, "/", &[]), 504, "gateway timeout");
    let posted = exchange(gateway.address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    assert_error(&posted, 504, "gateway timeout");

    // A timeout within the body can only be reported by closing the connection.
    let pauses = upstream(|mut client| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        client.ended();
    });
    let gateway = Service::gateway(pauses, &[("GATEWAY_READ_TIMEOUT", "100ms")]);
    let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a head");
    assert!(answer.broken, "{answer:?}");
}

#[test]
fn an_upstream_that_does_not_accept_is_502() {
    // With a full backlog, further connections are not answered.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).and_then(|()| full.listen(0)).expect("a free port");
    let address = full.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let timeout = std::time::Duration::from_millis(300);
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, timeout) {
        held.push(stream);
        assert!(held.len() < 64, "the backlog has no end");
    }
    let gateway = Service::gateway(address, &[("GATEWAY_CONNECT_TIMEOUT", "100ms")]);
    assert_error(&get(gateway.address, "/", &[]), 502, "bad gateway");
    gateway.log_until(|log| log.contains(&format!(r#""error":"cannot connect to {address} in time""#)));
}

#[test]
fn a_body_beyond_the_limit_is_413() {
    let takes = upstream(|mut client| {
        while let Some(head) = client.head() {
            if head.contains("chunked") {
                while client.chunk().is_some_and(|chunk| !chunk.is_empty()) {}
            } else {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                client.bytes(length.expect("a length"));
            }
            client.send(OK);
        }
    });
    let gateway = Service::gateway(takes, &[("GATEWAY_MAX_BODY", "1k")]);
    let sized = |size: usize| {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        exchange(gateway.address, [head.into_bytes(), vec![b'x'; size]].concat()).expect("a response")
    };
    assert_eq!(sized(1024).status, 200);
    assert_error(&sized(1025), 413, "request body too large");
    let chunked = |chunks: usize| {
        let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
        let body = chunk.repeat(chunks);
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n");
        exchange(gateway.address, request).expect("a response")
    };
    assert_eq!(chunked(2).status, 200);
    assert_error(&chunked(3), 413, "request body too large");
}

#[test]
fn bodies_are_streamed_in_both_directions() {
    const PIECE: usize = 1 << 20;
    let (received_by_client, continue_response) = mpsc::channel::<()>();
    let (received_by_upstream, continue_request) = mpsc::channel::<()>();
    let (continue_response, received_by_upstream) =
        (std::sync::Mutex::new(continue_response), std::sync::Mutex::new(received_by_upstream));
    let upstream = upstream(move |mut client| {
        client.head();
        // The first piece arrives before the client sends the second.
        client.bytes(PIECE);
        received_by_upstream.lock().unwrap().send(()).unwrap();
        client.bytes(7 * PIECE);
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        // The client has received the first piece before the second is sent.
        continue_response.lock().unwrap().recv_timeout(TIMEOUT).unwrap();
        let rest = "y".repeat(8 * PIECE);
        client.send(format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()));
    });
    let gateway = Service::gateway(upstream, &[("GATEWAY_MAX_BODY", "16m")]);
    let mut client = Client::connect(gateway.address);
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 8 * PIECE));
    client.send(vec![b'x'; PIECE]);
    continue_request.recv_timeout(TIMEOUT).expect("the first piece arrives before the second is sent");
    client.send(vec![b'x'; 7 * PIECE]);
    let head = client.head().expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(client.chunk().as_deref(), Some(&b"first"[..]));
    received_by_client.send(()).unwrap();
    let mut rest = 0;
    while let Some(chunk) = client.chunk().filter(|chunk| !chunk.is_empty()) {
        rest += chunk.len();
    }
    assert_eq!(rest, 8 * PIECE);
}

#[test]
fn a_stalled_client_is_408_and_not_504() {
    let takes = upstream(|mut client| {
        client.head();
        client.bytes("half".len());
        client.ended();
    });
    let env = [("GATEWAY_READ_TIMEOUT", "1h"), ("GATEWAY_HEADER_TIMEOUT", "200ms")];
    let gateway = Service::gateway(takes, &env);
    let stalled = exchange(gateway.address, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    assert_error(&stalled, 408, "request timeout");
    assert_eq!(stalled.header("connection"), Some("close"));
    // An incomplete head gets no response.
    let mut slow = Client::connect(gateway.address);
    slow.send("GET / HTTP/1.1\r\nHost:");
    assert!(slow.response().is_none());
}

#[test]
fn an_upstream_without_response_after_a_slow_client_is_504() {
    let (saw, received) = mpsc::channel();
    let saw = std::sync::Mutex::new(saw);
    let silent = upstream(move |mut client| {
        client.head();
        client.bytes("half".len());
        saw.lock().unwrap().send(()).unwrap();
        client.bytes("whole".len());
        client.ended();
    });
    let env = [("GATEWAY_READ_TIMEOUT", "200ms"), ("GATEWAY_HEADER_TIMEOUT", "1h")];
    let gateway = Service::gateway(silent, &env);
    let mut client = Client::connect(gateway.address);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    received.recv_timeout(TIMEOUT).expect("the first half arrives");
    client.send("whole");
    assert_error(&client.response().expect("a response"), 504, "gateway timeout");
}

#[test]
fn a_too_large_head_is_431() {
    let gateway = Service::gateway(mirror(), &[]);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(33 << 10));
    assert_eq!(exchange(gateway.address, large).expect("a response").status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(200));
    assert_eq!(exchange(gateway.address, many).expect("a response").status, 431);
    assert_eq!(exchange(gateway.address, "no\r\n\r\n").expect("a response").status, 400);
}

#[test]
fn a_disconnected_client_cancels_its_request() {
    let (removed, left) = mpsc::channel();
    let removed = std::sync::Mutex::new(removed);
    let upstream = upstream(move |mut client| {
        if client.head().is_some_and(|head| head.starts_with("GET /slow")) {
            removed.lock().unwrap().send("arrived").unwrap();
            client.ended();
            removed.lock().unwrap().send("closed").unwrap();
        } else {
            client.send(OK);
        }
    });
    let gateway = Service::gateway(upstream, &[("GATEWAY_READ_TIMEOUT", "1m")]);
    let mut client = Client::connect(gateway.address);
    client.get("/slow", &[]);
    assert_eq!(left.recv_timeout(TIMEOUT), Ok("arrived"));
    drop(client);
    assert_eq!(left.recv_timeout(TIMEOUT), Ok("closed"));
    gateway.log_until(|log| log.contains(r#""path":"/slow","status":499"#));
    assert_eq!(get(gateway.address, "/", &[]).status, 200);
}
