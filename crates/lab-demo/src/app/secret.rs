//! Keys and passwords, compared in constant time.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use subtle::ConstantTimeEq;

/// Maximum length of a secret. Comparisons use buffers of this size, so that their time does not depend on the length.
const MAX_LENGTH: usize = 256;

/// Secret value. Does not implement `Debug`, so that it cannot be logged.
pub(super) struct Secret {
    bytes: [u8; MAX_LENGTH],
    length: u16,
}

impl Secret {
    /// Accepts 1 to 256 visible ASCII characters without spaces.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Self::padded(text.as_bytes())).flatten()
    }

    /// Pads bytes to the buffer size. Returns `None` if they are too long, which reveals only their length.
    fn padded(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_LENGTH];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, length: u16::try_from(text.len()).ok()? })
    }

    /// Compares in constant time.
    pub(super) fn equals(&self, other: &Self) -> bool {
        bool::from(self.bytes.ct_eq(&other.bytes) & self.length.ct_eq(&other.length))
    }
}

/// Value of a header that a request may send at most once.
pub(super) enum Presented<'a> {
    /// The header is missing or empty.
    Missing,
    /// The header was sent more than once.
    Several,
    Value(&'a [u8]),
}

impl<'a> Presented<'a> {
    pub(super) fn from_header(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Missing,
            (Some(value), _) if value.is_empty() => Self::Missing,
            (Some(value), None) => Self::Value(value.as_bytes()),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// Returns `true` if the header was sent once with this secret.
    pub(super) fn matches(&self, secret: &Secret) -> bool {
        matches!(self, Self::Value(value) if Secret::padded(value).is_some_and(|value| value.equals(secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_visible_ascii() {
        assert!(Secret::parse(&"k".repeat(256)).is_some());
        for bad in ["", "a b", "a\n", "\u{e9}", "a\0", &"k".repeat(257)] {
            assert!(Secret::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn padding_is_not_part_of_the_secret() {
        let secret = |text: &[u8]| Secret::padded(text).unwrap();
        assert!(secret(b"abc").equals(&secret(b"abc")));
        assert!(!secret(b"abc").equals(&secret(b"abc\0")));
        assert!(!secret(b"abc").equals(&secret(b"ab")));
    }
}
