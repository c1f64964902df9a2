//! [`ApiKey`]: the key that callers must send in `X-API-Key`, compared in a time that tells nothing of it.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use subtle::ConstantTimeEq;

/// The header that carries the key.
const HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// The longest key. Keys are compared in buffers of this size, so that the time does not depend on their lengths either.
const LONGEST: usize = 256;

/// The expected key. Has no `Debug`, so that it cannot get into a log.
pub(super) struct ApiKey {
    bytes: [u8; LONGEST],
    length: u16,
}

/// Why a request is turned away: the label `reason` of `app_auth_rejections_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It has no key.
    Missing,
    /// It has another key, or several.
    Invalid,
}

impl ApiKey {
    /// A key of 1 to 256 visible ASCII characters without spaces.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let sane = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        sane.then(|| Self::padded(text.as_bytes())).flatten()
    }

    /// Whether the request's key is this one.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let mut given = headers.get_all(HEADER).iter();
        let Some(key) = given.next() else { return Err(Rejection::Missing) };
        if key.is_empty() {
            return Err(Rejection::Missing);
        }
        // One that is longer than any key may be tells its own length alone.
        let Some(key) = Self::padded(key.as_bytes()) else { return Err(Rejection::Invalid) };
        let same = self.bytes.ct_eq(&key.bytes) & self.length.ct_eq(&key.length);
        if bool::from(same) && given.next().is_none() { Ok(()) } else { Err(Rejection::Invalid) }
    }

    fn padded(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { bytes, length: u16::try_from(key.len()).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    use super::{ApiKey, HEADER, Rejection};

    fn check(keys: &[&[u8]]) -> Result<(), Rejection> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(HEADER, HeaderValue::from_bytes(key).unwrap());
        }
        ApiKey::parse("apikey-v1").unwrap().check(&headers)
    }

    #[test]
    fn the_key_alone_is_accepted() {
        assert_eq!(check(&[b"apikey-v1"]), Ok(()));
        assert_eq!(check(&[]), Err(Rejection::Missing));
        assert_eq!(check(&[b""]), Err(Rejection::Missing));
        let others: [&[u8]; 6] = [b"apikey-v2", b"apikey-v", b"apikey-v10", b"APIKEY-V1", b"\xff", &[b'a'; 4000]];
        for other in others {
            assert_eq!(check(&[other]), Err(Rejection::Invalid));
        }
    }

    #[test]
    fn two_keys_are_none() {
        assert_eq!(check(&[b"apikey-v1", b"apikey-v1"]), Err(Rejection::Invalid));
        assert_eq!(check(&[b"apikey-v2", b"apikey-v1"]), Err(Rejection::Invalid));
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert!(ApiKey::parse(&"k".repeat(256)).is_some());
        for bad in ["", "a b", "a\n", "\u{e9}", "a\0", &"k".repeat(257)] {
            assert!(ApiKey::parse(bad).is_none(), "{bad:?}");
        }
    }
}
