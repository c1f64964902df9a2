use super::*;
use proptest::prelude::*;

/// Feeds the bytes of a connection, split at these offsets.
fn read(bytes: &[u8], ends: &[usize], bodiless: bool) -> Result<Option<Answer>, Malformed> {
    let mut reader = Reader::default();
    reader.begin(bodiless);
    let mut from = 0;
    for end in ends.iter().copied().chain([bytes.len()]) {
        let end = end.clamp(from, bytes.len());
        // The client never feeds an empty slice.
        if end > from
            && let Fed::Whole(answer) = reader.feed(&bytes[from..end])?
        {
            return Ok(Some(answer));
        }
        from = end;
    }
    Ok(reader.close())
}

fn answer(text: &str) -> Result<Option<Answer>, Malformed> {
    read(text.as_bytes(), &[], false)
}

fn whole(code: u16, reusable: bool) -> Answer {
    Answer { code, retry_after: 0, reusable }
}

#[test]
fn retry_after_is_read_in_seconds() {
    for (header, seconds) in [
        ("retry-after: 7", 7),
        ("Retry-After:0", 0),
        ("retry-after: 99999999999", u32::MAX),
        ("retry-after: Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("x-other: 7", 0),
    ] {
        let found = answer(&format!("HTTP/1.1 429 x\r\ncontent-length: 0\r\n{header}\r\n\r\n"));
        assert_eq!(found, Ok(Some(Answer { retry_after: seconds, ..whole(429, true) })), "{header}");
    }
}

#[test]
fn the_first_body_of_a_code_is_sampled() {
    let mut reader = Reader::default();
    let mut sample = |parts: &[&str]| {
        reader.begin(false);
        for part in parts {
            reader.feed(part.as_bytes()).unwrap();
        }
        reader.take_sample().map(|sample| String::from_utf8(sample.bytes).unwrap())
    };
    assert_eq!(sample(&["HTTP/1.1 403 F\r\ncontent-length: 5\r\n\r\nno", "ne"]), Some("none".to_owned()));
    assert_eq!(sample(&["HTTP/1.1 403 F\r\ncontent-length: 2\r\n\r\nno"]), None, "one for each code");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
    assert_eq!(sample(&[chunked, "1\r\n!\r\n0\r\n\r\n"]), Some("ok!".to_owned()));
    assert_eq!(sample(&["HTTP/1.1 500 E\r\n\r\nup to the ", "close"]), Some("up to the close".to_owned()));
}

#[test]
fn a_response_ends_where_its_head_says() {
    assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Ok(Some(whole(200, true))));
    assert_eq!(
        answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"),
        Ok(Some(whole(200, true)))
    );
    assert_eq!(answer("HTTP/1.1 204 No Content\r\n\r\n"), Ok(Some(whole(204, true))));
    assert_eq!(answer("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"), Ok(Some(whole(304, true))));
    assert_eq!(
        answer("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        Ok(Some(whole(200, true)))
    );
    assert_eq!(answer("HTTP/1.1 503\r\ncontent-length: 0\r\nconnection: Close\r\n\r\n"), Ok(Some(whole(503, false))));
    assert_eq!(answer("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"), Ok(Some(whole(200, false))));
    assert_eq!(
        answer("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n"),
        Ok(Some(whole(200, true)))
    );
    assert_eq!(answer("HTTP/1.1 200 OK\r\n\r\nuntil the end"), Ok(Some(whole(200, false))));
    assert_eq!(read(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", &[], true), Ok(Some(whole(200, true))));
}

#[test]
fn folded_lines_and_space_before_a_colon_are_accepted() {
    for (head, reusable) in [
        ("x-folded: one\r\n two\r\n\tthree\r\ncontent-length: 2", true),
        ("content-length:\r\n 2", true),
        ("content-length: 2\r\n ", true),
        ("content-length : 2\r\nconnection\t: close", false),
        ("content-length: 2\r\nconnection: x,\r\n close", false),
    ] {
        assert_eq!(answer(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nok")), Ok(Some(whole(200, reusable))), "{head:?}");
    }
    assert_eq!(
        answer("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip,\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        Ok(Some(whole(200, true)))
    );
    // "1 2" is not a number.
    assert_eq!(answer("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n 2\r\n\r\n"), Err(Malformed));
}

#[test]
fn interim_responses_do_not_count() {
    assert_eq!(
        answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 204 x\r\n\r\n"),
        Ok(Some(whole(204, true)))
    );
    assert_eq!(answer("HTTP/1.1 100 Continue\r\n\r\n"), Ok(None));
    assert_eq!(answer(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(65)), Err(Malformed));
    assert_eq!(answer("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Err(Malformed));
}

#[test]
fn unexpected_bytes_close_the_connection() {
    assert_eq!(
        answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"),
        Ok(Some(whole(200, false)))
    );
    assert_eq!(answer("HTTP/1.1 204 x\r\n\r\nbody"), Ok(Some(whole(204, false))));
}

#[test]
fn truncated_responses_are_incomplete() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
    ] {
        assert_eq!(answer(text), Ok(None), "{text:?}");
    }
}

#[test]
fn invalid_http_is_malformed() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        assert_eq!(answer(text), Err(Malformed), "{text:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nx-endless: {}", "a".repeat(MAX_HEAD + 1));
    assert_eq!(answer(&endless), Err(Malformed));
    assert_eq!(read(endless.as_bytes(), &[10, 1000, 20_000], false), Err(Malformed));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS + 1));
    assert_eq!(answer(&many), Err(Malformed));
}

proptest! {
    #[test]
    fn the_split_makes_no_difference(
        body in 0usize..4000, kind in 0u8..3, extra in 0usize..3, mut ends in prop::collection::vec(0usize..6000, 0..12),
    ) {
        let mut text = match kind {
            0 => format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n{}", "x".repeat(body)),
            1 => {
                let (one, other) = (body / 3 + 1, body - body / 3);
                let tail = if other == 0 { String::new() } else { format!("{other:x}\r\n{}\r\n", "y".repeat(other)) };
                format!(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{one:X};a=b\r\n{}\r\n{tail}0\r\nx: y\r\n\r\n",
                    "x".repeat(one)
                )
            }
            _ => format!("HTTP/1.1 200 OK\r\nserver: x\r\n\r\n{}", "x".repeat(body)),
        };
        let exact = text.len();
        text.push_str(&"z".repeat(extra));
        ends.sort_unstable();
        let whole = read(text.as_bytes(), &[], false);
        prop_assert_eq!(whole.map(|answer| answer.map(|answer| answer.code)), Ok(Some(200)));
        // Extra bytes are noticed only if they arrive together with the end.
        let last = ends.iter().copied().find(|end| *end >= exact).unwrap_or(text.len()).min(text.len());
        let reusable = kind < 2 && last == exact;
        prop_assert_eq!(read(text.as_bytes(), &ends, false), Ok(Some(self::whole(200, reusable))));
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), ends in prop::collection::vec(0usize..300, 0..5)) {
        let _ = read(&bytes, &ends, false);
        let mut text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        text.extend(bytes);
        let _ = read(&text, &ends, false);
    }
}
