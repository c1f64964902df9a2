//! nginx as the gateway: callers get the same responses as from `lab gateway`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lab_core::engine::Engine;
use libtest_mimic::Trial;

use crate::conformance_suite::{no_progress, request};
use crate::support::TestLab;

/// Time limit of a read.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    trials![nginx_refuses_as_lab_gateway_does]
}

/// Sends bytes and reads the response until it ends, or until the end of its JSON body.
fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout can be set");
    stream.write_all(bytes).expect("the peer reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"}") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn assert_response(answer: &str, status: u16, error: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.to_lowercase().contains("\r\ncontent-type: application/json\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{{\"error\":\"{error}\"}}")), "{answer}");
}

async fn nginx_refuses_as_lab_gateway_does() {
    let lab = TestLab::new("gateway-rules");
    let up = lab.engine.up(&request(), no_progress()).await.unwrap();
    let address = up.endpoints.gateway.trim_start_matches("http://").to_owned();
    let check = move || {
        for (line, headers) in [
            ("GET /../../c HTTP/1.1", "Host: a"),
            ("get /c HTTP/1.1", "Host: a"),
            ("GET /%zz HTTP/1.1", "Host: a"),
            ("GET nothing HTTP/1.1", "Host: a"),
            ("GET * HTTP/1.1", "Host: a"),
            ("GET / HTTP/9.9", "Host: a"),
            ("GET http://user@a/ HTTP/1.1", "Host: a"),
            ("GET / HTTP/1.1", "X: no host"),
            ("GET / HTTP/1.1", "Host: a b"),
            ("GET / HTTP/1.1", "Host: a/b"),
            ("GET / HTTP/1.1", "Host: user@a"),
            ("GET / HTTP/1.1", "Host: a\r\nHost: a"),
            ("GET / HTTP/1.1", "Host: a\r\nno header"),
            ("POST / HTTP/1.1", "Host: a\r\nContent-Length: x"),
        ] {
            assert_response(&exchange(&address, format!("{line}\r\n{headers}\r\n\r\n").as_bytes()), 400, "bad request");
        }
        let trace = exchange(&address, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_response(&trace, 405, "method not allowed");
        let coded = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        assert_response(&exchange(&address, coded), 501, "not implemented");
        let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(33 << 10));
        assert_response(&exchange(&address, large.as_bytes()), 431, "request header too large");
        // The internal location for refusals cannot be requested.
        let inner = exchange(&address, b"GET //bad-request HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_response(&inner, 404, "not found");
        // The app responds before it has read the body.
        for size in [300_000, 900_000] {
            let head = "POST /api/users HTTP/1.1\r\nHost: a\r\nX-API-Key: wrong\r\n";
            let post = [format!("{head}Content-Length: {size}\r\n\r\n").into_bytes(), vec![b'x'; size]].concat();
            for _ in 0..20 {
                assert_response(&exchange(&address, &post), 401, "unauthorized");
            }
        }
    };
    tokio::task::spawn_blocking(check).await.unwrap();
    lab.finish().await;
}
