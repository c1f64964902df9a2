//! Conformance of the gateway with RFC 9110 and RFC 9112 for responses, as listed in docs/gateway.md.

use crate::gateway_rules::upstream_answering;
use crate::support::{Client, OK, Response, Service, TIMEOUT, exchange, get};

const BAD_GATEWAY: &str = r#"{"error":"bad gateway"}"#;

/// Sends a GET through the gateway to an upstream with this response.
fn forward(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Option<Response> {
    let gateway = Service::gateway(upstream_answering(bytes).0, &[]);
    exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn responses_without_a_body_have_none() {
    for (head, length) in [
        ("HTTP/1.1 204 No Content\r\n", None),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", None),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", Some("0")),
    ] {
        let gateway = Service::gateway(upstream_answering(format!("{head}\r\n")).0, &[]);
        let mut client = Client::connect(gateway.address);
        client.get("/", &[]);
        let head = client.head().expect("a head").to_lowercase();
        let given = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(given, length, "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        // No body is sent between this response and the next.
        client.get("/", &[]);
        assert!(client.head().is_some_and(|head| head.starts_with("HTTP/1.1 ")));
    }
    let gateway = Service::gateway(
        upstream_answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n").0,
        &[],
    );
    let mut client = Client::connect(gateway.address);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        let head = client.head().expect("a head").to_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 5\r\n"), "{head}");
    }
}

#[test]
fn ranges_and_dates_are_passed_through() {
    let (upstream, received) = upstream_answering(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Length: 2\r\n\r\nok",
    );
    let gateway = Service::gateway(upstream, &[]);
    let answer = get(gateway.address, "/", &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]);
    assert_eq!((answer.status, answer.text().as_str()), (206, "ok"));
    assert_eq!(answer.header("content-range"), Some("bytes 0-1/9"));
    assert_eq!(answer.header("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    let head = received.recv_timeout(TIMEOUT).expect("it arrives");
    assert!(head.contains("range: bytes=0-1\r\n") && head.contains("if-range: \"x\"\r\n"), "{head}");
    // `Date` is added if it is missing.
    let dated = forward(OK).expect("a response");
    assert!(dated.header("date").is_some_and(|date| date.ends_with("GMT")));
}

#[test]
fn folded_lines_and_space_before_a_colon_are_normalised() {
    let folded = forward("HTTP/1.1 200 OK\r\nX-Folded: one\r\n \ttwo\r\nX-Space : 1\r\nContent-Length: 2\r\n\r\nok");
    let folded = folded.expect("a response");
    assert_eq!((folded.header("x-folded"), folded.header("x-space")), (Some("one two"), Some("1")));
    assert_eq!(folded.text(), "ok");
}

#[test]
fn an_invalid_response_is_502() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(200));
    let large = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n", "x".repeat(100 << 10));
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Nul: \0\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "<html>",
        &many,
        &large,
    ] {
        let answer = forward(bytes.to_owned()).unwrap_or_else(|| panic!("no answer: {bytes:.80}"));
        assert_eq!((answer.status, answer.text().as_str()), (502, BAD_GATEWAY), "{bytes:.80}");
    }
}

#[test]
fn interim_responses_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let answer = forward(format!("{interim}{OK}")).expect("a response");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("link")), (200, "ok", None));
}

#[test]
fn a_body_without_a_valid_start_is_502_and_a_truncated_body_closes_the_connection() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (bytes, status) in [
        (format!("{chunked}zz\r\n"), 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned(), 200),
        (format!("{chunked}4\r\nhalf\r\nzz\r\n"), 200),
        (format!("{chunked}4\r\nhalf\r\n"), 200),
    ] {
        let gateway = Service::gateway(upstream_answering(bytes.clone()).0, &[]);
        let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a response");
        assert_eq!((answer.status, answer.broken), (status, status == 200), "{bytes:?}: {answer:?}");
        gateway.log_until(|log| {
            log.lines().any(|line| {
                line.contains(&format!(r#""status":{status},"#)) && line.contains(r#""error":"the body broke off"#)
            })
        });
    }
    // The upstream closes after the head, before the body: the client gets 502 or the head, but always something.
    let gateway = Service::gateway(upstream_answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").0, &[]);
    for _ in 0..20 {
        let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a response");
        assert!(answer.status == 502 || (answer.status == 200 && answer.broken), "{answer:?}");
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let answer = forward("HTTP/1.1 200 OK\r\n\r\nuntil the end").expect("a response");
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("until the end", Some("chunked")));
    let gateway = Service::gateway(upstream_answering("HTTP/1.0 200 OK\r\n\r\nuntil the end").0, &[]);
    let answer = exchange(gateway.address, "GET / HTTP/1.0\r\n\r\n").expect("a response");
    assert_eq!(
        (answer.text().as_str(), answer.header("transfer-encoding"), answer.broken),
        ("until the end", None, false)
    );
}

#[test]
fn equal_lengths_are_merged() {
    for length in ["2, 2", "2\r\nContent-Length: 2"] {
        let answer = forward(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok")).expect("a response");
        assert_eq!((answer.header("content-length"), answer.text().as_str()), (Some("2"), "ok"), "{length:?}");
    }
}

#[test]
fn bytes_after_a_response_are_not_used_for_another_request() {
    let (poisoned, _) = upstream_answering(format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"));
    let gateway = Service::gateway(poisoned, &[]);
    let mut client = Client::connect(gateway.address);
    for _ in 0..10 {
        client.get("/", &[]);
        assert_eq!(client.response().expect("a response").text(), "ok");
    }
}
