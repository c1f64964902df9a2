//! The gateway against the rules of RFC 9110 and RFC 9112 for the responses that it passes back, as docs/gateway.md lists them.

use crate::gateway_rules::answers;
use crate::support::{Client, OK, PATIENCE, Response, Service, exchange, get};

const BAD_GATEWAY: &str = r#"{"error":"bad gateway"}"#;

/// Response to a GET through the gateway.
fn passed_back(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Option<Response> {
    let gateway = Service::gateway(answers(bytes).0, &[]);
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
        let gateway = Service::gateway(answers(format!("{head}\r\n")).0, &[]);
        let mut client = Client::connect(gateway.address);
        client.get("/", &[]);
        let head = client.head().expect("a head").to_lowercase();
        let given = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(given, length, "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        // Nothing stands between this response and the next.
        client.get("/", &[]);
        assert!(client.head().is_some_and(|head| head.starts_with("HTTP/1.1 ")));
    }
    let gateway = Service::gateway(answers("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n").0, &[]);
    let mut client = Client::connect(gateway.address);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        let head = client.head().expect("a head").to_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 5\r\n"), "{head}");
    }
}

#[test]
fn ranges_and_dates_are_passed_through() {
    let (upstream, seen) = answers(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Length: 2\r\n\r\nok",
    );
    let gateway = Service::gateway(upstream, &[]);
    let answer = get(gateway.address, "/", &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]);
    assert_eq!((answer.status, answer.text().as_str()), (206, "ok"));
    assert_eq!(answer.header("content-range"), Some("bytes 0-1/9"));
    assert_eq!(answer.header("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    let head = seen.recv_timeout(PATIENCE).expect("it arrives");
    assert!(head.contains("range: bytes=0-1\r\n") && head.contains("if-range: \"x\"\r\n"), "{head}");
    // One is added to a response without it.
    let dated = passed_back(OK).expect("an answer");
    assert!(dated.header("date").is_some_and(|date| date.ends_with("GMT")));
}

#[test]
fn folded_lines_and_space_before_a_colon_are_put_right() {
    let folded =
        passed_back("HTTP/1.1 200 OK\r\nX-Folded: one\r\n \ttwo\r\nX-Space : 1\r\nContent-Length: 2\r\n\r\nok");
    let folded = folded.expect("an answer");
    assert_eq!((folded.header("x-folded"), folded.header("x-space")), (Some("one two"), Some("1")));
    assert_eq!(folded.text(), "ok");
}

#[test]
fn a_response_that_cannot_be_passed_back_is_502() {
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
        let answer = passed_back(bytes.to_owned()).unwrap_or_else(|| panic!("no answer: {bytes:.80}"));
        assert_eq!((answer.status, answer.text().as_str()), (502, BAD_GATEWAY), "{bytes:.80}");
    }
}

#[test]
fn interim_responses_are_not_taken_for_the_answer() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let answer = passed_back(format!("{interim}{OK}")).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("link")), (200, "ok", None));
}

#[test]
fn a_body_that_breaks_off_at_once_is_502_and_one_that_breaks_off_later_shows_its_head() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (bytes, status) in [
        (format!("{chunked}zz\r\n"), 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned(), 200),
        (format!("{chunked}4\r\nhalf\r\nzz\r\n"), 200),
        (format!("{chunked}4\r\nhalf\r\n"), 200),
    ] {
        let gateway = Service::gateway(answers(bytes.clone()).0, &[]);
        let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("an answer");
        assert_eq!((answer.status, answer.broken), (status, status == 200), "{bytes:?}: {answer:?}");
        gateway.log_until(|log| {
            log.lines().any(|line| {
                line.contains(&format!(r#""status":{status},"#)) && line.contains(r#""error":"the body broke off"#)
            })
        });
    }
    // The connection is closed after the head, before a byte of the body: 502 or a head alone, but never nothing.
    let gateway = Service::gateway(answers("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").0, &[]);
    for _ in 0..20 {
        let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("an answer");
        assert!(answer.status == 502 || (answer.status == 200 && answer.broken), "{answer:?}");
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let answer = passed_back("HTTP/1.1 200 OK\r\n\r\nuntil the end").expect("an answer");
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("until the end", Some("chunked")));
    let gateway = Service::gateway(answers("HTTP/1.0 200 OK\r\n\r\nuntil the end").0, &[]);
    let answer = exchange(gateway.address, "GET / HTTP/1.0\r\n\r\n").expect("an answer");
    assert_eq!(
        (answer.text().as_str(), answer.header("transfer-encoding"), answer.broken),
        ("until the end", None, false)
    );
}

#[test]
fn lengths_that_are_the_same_become_one() {
    for length in ["2, 2", "2\r\nContent-Length: 2"] {
        let answer = passed_back(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok")).expect("an answer");
        assert_eq!((answer.header("content-length"), answer.text().as_str()), (Some("2"), "ok"), "{length:?}");
    }
}

#[test]
fn bytes_after_a_response_answer_no_other_request() {
    let (poisoned, _) = answers(format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"));
    let gateway = Service::gateway(poisoned, &[]);
    let mut client = Client::connect(gateway.address);
    for _ in 0..10 {
        client.get("/", &[]);
        assert_eq!(client.response().expect("an answer").text(), "ok");
    }
}
