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
mod tests;
