//! Sealed lines: XChaCha20-Poly1305 with a random nonce per line, and the number of the line as associated data, so that
//! lines can be neither changed nor reordered unnoticed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const NONCE: usize = 24;

/// Seals and opens the lines of one log.
#[derive(Clone)]
pub(crate) struct Sealer(XChaCha20Poly1305);

/// Why a line cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// No random numbers.
    #[error("no random numbers are available")]
    Random,
    /// It was not sealed with this key, for this line.
    #[error("it was changed, or sealed with another secret")]
    Wrong,
}

impl Sealer {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// Base64 text of nonce and ciphertext, without a line ending.
    pub(crate) fn seal(&self, line: u64, plain: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let payload = Payload { msg: plain, aad: &line.to_be_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Wrong)?;
        Ok(STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    pub(crate) fn open(&self, line: u64, text: &[u8]) -> Result<Vec<u8>, SealError> {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| SealError::Wrong)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or(SealError::Wrong)?;
        let payload = Payload { msg: sealed, aad: &line.to_be_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_opens_only_with_its_key_and_number_and_unchanged() {
        let sealer = Sealer::new([1; 32]);
        let line = sealer.seal(3, b"plain").unwrap();
        assert!(!line.contains("plain"));
        assert_ne!(line, sealer.seal(3, b"plain").unwrap(), "two equal lines look different");
        assert_eq!(sealer.open(3, line.as_bytes()).unwrap(), b"plain");
        assert_eq!(sealer.open(4, line.as_bytes()), Err(SealError::Wrong));
        assert_eq!(Sealer::new([2; 32]).open(3, line.as_bytes()), Err(SealError::Wrong));
        let last = if line.ends_with('A') { "B" } else { "A" };
        let changed = format!("{}{last}", &line[..line.len() - 1]);
        for wrong in [changed.as_str(), "", "AAAA", "%"] {
            assert_eq!(sealer.open(3, wrong.as_bytes()), Err(SealError::Wrong), "{wrong}");
        }
    }
}
