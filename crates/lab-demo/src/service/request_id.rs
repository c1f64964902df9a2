//! The id of a request, by which its lines in several logs are found: the caller's where it is sane, else a new one.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The header that carries it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken over from a caller.
const LONGEST: usize = 64;

/// Makes ids: unique within the process by a counter, and beyond it by a random start.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// With a random start.
    pub(crate) fn new() -> Self {
        Self { start: random(), next: AtomicU64::new(0) }
    }

    /// The id that came with the request, where it is one, at most 64 visible ASCII characters; else a new one, 32
    /// hexadecimal digits.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if sane(id.as_bytes()) => id.clone(),
            _ => self.fresh(),
        }
    }

    fn fresh(&self) -> HeaderValue {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 32];
        for (digit, place) in text.iter_mut().zip((0..32).rev()) {
            let word = if place < 16 { next } else { self.start };
            *digit = b"0123456789abcdef"[(word >> (4 * (place % 16)) & 0xf) as usize];
        }
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

fn sane(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Eight hexadecimal digits that tell one instance of a service from another.
pub(crate) fn fresh_instance() -> String {
    format!("{:08x}", random() >> 32)
}

/// Not for secrets: where the system has no randomness to give, the time and the process's id do.
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
    fn a_sane_id_is_kept_and_another_replaced() {
        let ids = RequestIds::new();
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
            ids.of(&headers)
        };
        assert_eq!(with(b"abc-123"), "abc-123");
        assert_eq!(with(&[b'a'; 64]), "a".repeat(64).as_str());
        for insane in [&[b'a'; 65][..], b"a b", b"", b"\xc3\xa9"] {
            assert_eq!(with(insane).len(), 32);
        }
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }

    #[test]
    fn two_ids_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("a"));
        headers.append(HEADER, HeaderValue::from_static("b"));
        assert_eq!(RequestIds::new().of(&headers).len(), 32);
    }
}
