//! [`Secret`]: a key or a password, compared in a time that tells nothing of it.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use subtle::ConstantTimeEq;

/// The longest secret. They are compared in buffers of this size, so that the time does not depend on their lengths either.
const LONGEST: usize = 256;

/// What a caller must know. Has no `Debug`, so that it cannot get into a log.
pub(super) struct Secret {
    bytes: [u8; LONGEST],
    length: u16,
}

impl Secret {
    /// 1 to 256 visible ASCII characters without spaces.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let sane = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        sane.then(|| Self::padded(text.as_bytes())).flatten()
    }

    /// Of any bytes; none where they are too long. That tells their length alone.
    fn padded(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, length: u16::try_from(text.len()).ok()? })
    }

    /// Whether the two are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        bool::from(self.bytes.ct_eq(&other.bytes) & self.length.ct_eq(&other.length))
    }
}

/// What a request says in a header that it may say once.
pub(super) enum Given<'a> {
    /// Nothing, or nothing in it.
    Nothing,
    /// Several values.
    Several,
    /// This.
    Value(&'a [u8]),
}

impl<'a> Given<'a> {
    /// In this header.
    pub(super) fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), _) if value.is_empty() => Self::Nothing,
            (Some(value), None) => Self::Value(value.as_bytes()),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// Whether it is this secret and nothing else.
    pub(super) fn is(&self, secret: &Secret) -> bool {
        matches!(self, Self::Value(given) if Secret::padded(given).is_some_and(|given| given.is(secret)))
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
    fn padding_is_no_part_of_it() {
        let secret = |text: &[u8]| Secret::padded(text).unwrap();
        assert!(secret(b"abc").is(&secret(b"abc")));
        assert!(!secret(b"abc").is(&secret(b"abc\0")));
        assert!(!secret(b"abc").is(&secret(b"ab")));
    }
}
