//! Request ids, which correlate the log entries of a request. A caller's id is kept if it is valid, else a new one is generated.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of a caller's id.
const MAX_LENGTH: usize = 64;

/// Generator of ids. A counter makes them unique within the process, a random prefix across processes.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self { prefix: random(), next: AtomicU64::new(0) }
    }

    /// Returns the caller's id if it sent exactly one of at most 64 visible ASCII characters, else a new id of 32 hexadecimal
    /// digits.
    pub(crate) fn for_request(&self, headers: &HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_valid(id.as_bytes()) => id.clone(),
            _ => self.fresh(),
        }
    }

    fn fresh(&self) -> HeaderValue {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 32];
        for (digit, place) in text.iter_mut().zip((0..32).rev()) {
            let word = if place < 16 { next } else { self.prefix };
            *digit = b"0123456789abcdef"[(word >> (4 * (place % 16)) & 0xf) as usize];
        }
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

fn is_valid(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Generates an instance id of eight hexadecimal digits.
pub(crate) fn fresh_instance() -> String {
    format!("{:08x}", random() >> 32)
}

/// Random number, not for secrets: falls back to the time and the process id.
fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        (since.as_secs() << 32 | u64::from(since.subsec_nanos())) ^ u64::from(std::process::id()).rotate_left(40)
    })
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    use super::{HEADER, RequestIds};

    #[test]
    fn valid_ids_are_kept_and_others_replaced() {
        let ids = RequestIds::new();
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
            ids.for_request(&headers)
        };
        assert_eq!(with(b"abc-123"), "abc-123");
        assert_eq!(with(&[b'a'; 64]), "a".repeat(64).as_str());
        for invalid in [&[b'a'; 65][..], b"a b", b"", b"\xc3\xa9"] {
            assert_eq!(with(invalid).len(), 32);
        }
        assert_ne!(ids.for_request(&HeaderMap::new()), ids.for_request(&HeaderMap::new()));
    }

    #[test]
    fn several_ids_are_replaced() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("a"));
        headers.append(HEADER, HeaderValue::from_static("b"));
        assert_eq!(RequestIds::new().for_request(&headers).len(), 32);
    }
}
