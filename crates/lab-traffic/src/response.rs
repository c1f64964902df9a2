//! Incremental parser that finds the end of an HTTP/1.1 response (RFC 9112) and keeps only its status code. It does no I/O,
//! so tests can feed it any split of any bytes.
//! Of each status code, the start of the first body is kept as a sample.
//!
//! hyper is not used because a load generator discards headers and bodies, and building them takes a fifth of the sender's
//! cost per request (docs/performance.md).

use super::chunked::Chunked;
use super::outcome::BodySample;

/// Maximum size of a response head in bytes.
const MAX_HEAD: usize = 64 << 10;
/// Maximum number of headers in a response.
const MAX_HEADERS: usize = 128;
/// Maximum number of interim responses (1xx) before the final one.
const MAX_INTERIM: u32 = 64;

/// Reads consecutive responses of a connection.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    /// Start of an incomplete head.
    head: Vec<u8>,
    /// The request was a HEAD, so the response has no body in spite of its headers.
    bodiless: bool,
    interim: u32,
    code: u16,
    /// Seconds of the `Retry-After` header, 0 without one.
    retry_after: u32,
    /// The connection can be used for another request.
    reusable: bool,
    /// Status codes of which this reader has a sample.
    sampled: Vec<u16>,
    /// Body of the current response, if it is the first one with its code.
    sample: Option<BodySample>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    /// Number of bytes still missing.
    Length(u64),
    Chunked(Chunked),
    /// The body ends with the connection.
    UntilClose,
}

/// Result of feeding bytes to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// The response is incomplete.
    More,
    /// The response is complete.
    Whole(Answer),
}

/// A complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Status code.
    pub(super) code: u16,
    /// Seconds of the `Retry-After` header, 0 without one.
    pub(super) retry_after: u32,
    /// The connection can be used for another request.
    pub(super) reusable: bool,
}

/// The bytes are not valid HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Reader {
    /// Prepares for the next response. `bodiless` is true for a HEAD request.
    pub(super) fn begin(&mut self, bodiless: bool) {
        self.head.clear();
        let (head, sampled) = (std::mem::take(&mut self.head), std::mem::take(&mut self.sampled));
        *self = Self { head, bodiless, sampled, ..Self::default() };
    }

    /// Parses the next bytes of the connection.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Fed, Malformed> {
        loop {
            match &mut self.state {
                State::Head => {
                    let Some(rest) = self.read_head(bytes)? else { return Ok(Fed::More) };
                    bytes = rest;
                }
                State::Length(left) => {
                    let taken = (*left).min(bytes.len() as u64);
                    *left -= taken;
                    if let Some(sample) = &mut self.sample {
                        sample.push(&bytes[..usize::try_from(taken).unwrap_or(bytes.len())]);
                    }
                    if *left > 0 {
                        return Ok(Fed::More);
                    }
                    return Ok(self.whole(bytes.len() as u64 == taken));
                }
                State::Chunked(chunked) => {
                    let sample = &mut self.sample;
                    let data = |data: &[u8]| {
                        if let Some(sample) = sample {
                            sample.push(data);
                        }
                    };
                    let Some(rest) = chunked.feed(bytes, data)? else { return Ok(Fed::More) };
                    return Ok(self.whole(rest.is_empty()));
                }
                State::UntilClose => {
                    if let Some(sample) = &mut self.sample {
                        sample.push(bytes);
                    }
                    return Ok(Fed::More);
                }
            }
        }
    }

    /// Handles the close of the connection, which completes a response without a length.
    pub(super) fn close(&self) -> Option<Answer> {
        let Self { code, retry_after, .. } = *self;
        matches!(self.state, State::UntilClose).then_some(Answer { code, retry_after, reusable: false })
    }

    /// Takes the sample of the response that was just completed, if there is one.
    pub(super) fn take_sample(&mut self) -> Option<BodySample> {
        let sample = self.sample.take()?;
        self.sampled.push(self.code);
        Some(sample)
    }

    /// Completes a response. Unexpected bytes after it make the connection unusable.
    fn whole(&self, exact: bool) -> Fed {
        let Self { code, retry_after, reusable, .. } = *self;
        Fed::Whole(Answer { code, retry_after, reusable: reusable && exact })
    }

    /// Reads a head, including its earlier bytes, and returns the bytes after it. Returns `None` if it is incomplete.
    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        if self.head.is_empty() {
            let Some(head) = parse(bytes)? else {
                self.head.extend_from_slice(bytes);
                return if bytes.len() > MAX_HEAD { Err(Malformed) } else { Ok(None) };
            };
            self.begin_body(&head)?;
            return Ok(Some(&bytes[head.length..]));
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(head) = parse(&self.head)? else {
            return if self.head.len() > MAX_HEAD { Err(Malformed) } else { Ok(None) };
        };
        self.head.clear();
        self.begin_body(&head)?;
        Ok(Some(&bytes[head.length.saturating_sub(before)..]))
    }

    /// Determines the body length (RFC 9112, section 6.3).
    fn begin_body(&mut self, head: &Head) -> Result<(), Malformed> {
        if head.code < 200 {
            self.interim += 1;
            // 101 is refused because the client never requests an upgrade.
            return if head.code == 101 || self.interim > MAX_INTERIM { Err(Malformed) } else { Ok(()) };
        }
        (self.code, self.retry_after, self.reusable) = (head.code, head.retry_after, head.keeps);
        self.sample = (!self.sampled.contains(&head.code)).then(BodySample::default);
        self.state = match head.body {
            _ if self.bodiless || matches!(head.code, 204 | 304) => State::Length(0),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::Length(length) => State::Length(length),
            Framing::None => State::UntilClose,
        };
        Ok(())
    }
}

/// The relevant parts of a response head.
struct Head {
    code: u16,
    /// Size in bytes, including the empty line.
    length: usize,
    body: Framing,
    keeps: bool,
    /// Seconds, 0 without such a header.
    retry_after: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Parses a head. Returns `None` if it is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // A folded line is one value with a space in place of the line break (RFC 9112, section 5.2), and space before a colon is
    // not part of the name (section 5.1). Values are trimmed below.
    config.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed),
    };
    let (code, keeps) = (response.code.ok_or(Malformed)?, response.version == Some(1));
    let mut head = Head { code, length, body: Framing::None, keeps, retry_after: 0 };
    if head.code < 100 {
        return Err(Malformed);
    }
    for header in response.headers.iter() {
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let length = number(header.value).ok_or(Malformed)?;
                match head.body {
                    Framing::Length(known) if known != length => return Err(Malformed),
                    // Chunked encoding overrides a length.
                    Framing::Chunked => {}
                    _ => head.body = Framing::Length(length),
                }
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                // If the last coding is not chunked, the body ends with the connection.
                let last = header.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                head.body = if chunked { Framing::Chunked } else { Framing::None };
                head.keeps &= chunked;
            }
            10 if header.name.eq_ignore_ascii_case("connection") => {
                for option in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        head.keeps = false;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        head.keeps = true;
                    }
                }
            }
            // A date instead of seconds is ignored.
            11 if header.name.eq_ignore_ascii_case("retry-after") => {
                head.retry_after = number(header.value).map_or(0, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
            }
            _ => {}
        }
    }
    Ok(Some(head))
}

/// Parses a length, which consists of digits only.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            answer("HTTP/1.1 503\r\ncontent-length: 0\r\nconnection: Close\r\n\r\n"),
            Ok(Some(whole(503, false)))
        );
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
            assert_eq!(
                answer(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nok")),
                Ok(Some(whole(200, reusable))),
                "{head:?}"
            );
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
}
