//! Choices by a secret. Everything that a drill leaves to chance is drawn from a secret by HMAC-SHA-256 (RFC 2104). Its
//! SHA-256 is published at the start and the secret at the end, so that anyone can verify that nothing was changed
//! in between.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Seconds from the start to the injection.
pub const QUIET: RangeInclusive<u64> = 30..=180;

/// Secret of a drill: 32 bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret([u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 64 hexadecimal digits")]
pub struct NotASecret;

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// Random secret.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Secret that follows from a number, for drills that can be repeated.
    pub fn from_seed(seed: u64) -> Self {
        Self(Sha256::digest(format!("lab drill seed {seed}")).into())
    }

    /// The secret as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// SHA-256 of the 32 bytes, as 64 hexadecimal digits.
    pub fn commitment(&self) -> String {
        hex(&Sha256::digest(self.0))
    }

    /// Key that seals the log.
    pub(crate) fn sealing_key(&self) -> [u8; 32] {
        self.mac("seal")
    }

    /// Another secret for one purpose, such as a seat of a room. It does not reveal this one.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        Self(self.mac(purpose))
    }

    /// 64 bits for one purpose, such as `incident` or `quiet`. The same purpose always gives the same bits.
    pub fn draw(&self, purpose: &str) -> u64 {
        self.mac(purpose).iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }

    /// Index below `count`, evenly distributed. `None` if `count` is 0.
    pub fn index(&self, purpose: &str, count: usize) -> Option<usize> {
        // The bias of the remainder is below 2^-32 for any list that fits a terminal.
        usize::try_from(self.draw(purpose).checked_rem(count as u64)?).ok()
    }

    /// The incident among candidates. Their order and repetitions have no influence.
    pub fn incident<'a>(&self, candidates: &[&'a str]) -> Option<&'a str> {
        let sorted: BTreeSet<&str> = candidates.iter().copied().collect();
        let index = self.index("incident", sorted.len())?;
        sorted.into_iter().nth(index)
    }

    /// Time from the start to the injection: whole seconds within [`QUIET`].
    pub fn quiet(&self) -> Duration {
        let choices = QUIET.end() - QUIET.start() + 1;
        Duration::from_secs(QUIET.start() + self.draw("quiet") % choices)
    }

    /// Whether the fault is injected: in nine of ten drills.
    pub fn has_fault(&self) -> bool {
        !self.draw("fault").is_multiple_of(10)
    }

    /// One of some items for one purpose, such as a decoy. Their order matters.
    pub fn pick<'a, T>(&self, purpose: &str, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(purpose, items.len())?)
    }

    /// Whether a commitment that was published belongs to this secret.
    pub fn matches(&self, commitment: &str) -> bool {
        self.commitment() == commitment
    }

    fn mac(&self, purpose: &str) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl TryFrom<String> for Secret {
    type Error = NotASecret;

    fn try_from(text: String) -> Result<Self, NotASecret> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotASecret);
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| NotASecret)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotASecret)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.hex()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf 'lab drill seed 7' | sha256sum`, and with `openssl dgst -sha256` of these 32 bytes.
    #[test]
    fn a_seed_gives_a_secret_and_its_commitment() {
        let secret = Secret::from_seed(7);
        assert_eq!(secret.hex(), "d8e6d4f504be7968c0819b43b3298fac497b906290934fa24eab084830841abb");
        assert_eq!(secret.commitment(), "8576ce26810db7dce610cd677898da38589c5138aef4cce0f923bf4556710a09");
        assert_eq!(secret.draw("incident"), 0x3fb4_20c5_89b3_e580);
    }

    #[test]
    fn a_secret_can_be_written_and_read() {
        let secret = Secret::random().unwrap();
        assert_ne!(secret, Secret::random().unwrap());
        let text = serde_json::to_string(&secret).unwrap();
        assert_eq!(serde_json::from_str::<Secret>(&text).unwrap(), secret);
        assert!(!format!("{secret:?}").contains(&secret.hex()));
        for wrong in ["", "00", &"zz".repeat(32), &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(Secret::try_from(wrong.to_owned()), Err(NotASecret), "{wrong}");
        }
    }

    #[test]
    fn an_index_is_below_the_count_and_differs_by_purpose() {
        let secret = Secret::from_seed(1);
        assert_eq!((secret.index("any", 0), secret.index("any", 1)), (None, Some(0)));
        let drawn: BTreeSet<_> = (0..200).filter_map(|i| secret.index(&i.to_string(), 7)).collect();
        assert_eq!(drawn.len(), 7);
    }

    /// Computed independently: the first 8 bytes of the HMAC of the purpose, as a big-endian number, modulo the choices.
    #[test]
    fn choices_follow_from_the_secret() {
        let drawn = |seed| {
            let secret = Secret::from_seed(seed);
            let incident = secret.incident(&["db-down", "app-down", "stale-caller"]).unwrap();
            (
                incident,
                secret.quiet().as_secs(),
                secret.has_fault(),
                *secret.pick("decoy", &["a", "b", "c", "d"]).unwrap(),
            )
        };
        assert_eq!(drawn(1), ("app-down", 83, true, "a"));
        assert_eq!(drawn(7), ("stale-caller", 173, true, "b"));
        assert_eq!(drawn(42), ("app-down", 87, true, "c"));
        assert!(!Secret::from_seed(17).has_fault());
    }

    #[test]
    fn the_order_of_the_candidates_has_no_influence() {
        let secret = Secret::from_seed(3);
        let chosen = secret.incident(&["a", "b", "c"]);
        assert!(chosen.is_some());
        assert_eq!(secret.incident(&["c", "a", "b", "a"]), chosen);
        assert_eq!((secret.incident(&[]), secret.pick::<u8>("decoy", &[])), (None, None));
    }

    #[test]
    fn quiet_times_are_in_range_and_one_drill_in_ten_has_no_fault() {
        let secrets: Vec<Secret> = (0..2000).map(Secret::from_seed).collect();
        let quiet: BTreeSet<u64> = secrets.iter().map(|secret| secret.quiet().as_secs()).collect();
        assert_eq!((quiet.first(), quiet.last(), quiet.len()), (Some(&30), Some(&180), 151));
        let without = secrets.iter().filter(|secret| !secret.has_fault()).count();
        assert!((150..=250).contains(&without), "{without}");
    }

    /// Computed with `printf 'seat 3' | openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY`.
    #[test]
    fn a_derived_secret_depends_on_its_purpose() {
        let secret = Secret::from_seed(7);
        let seat = secret.derive("seat 3");
        assert_eq!(seat.hex(), "d3e0286bf20c6b0f11d05bb70d6d1ff0bf3e76c6c3accb36484922736848eb60");
        assert_ne!(seat, secret.derive("seat 4"));
        assert_ne!(seat, Secret::from_seed(8).derive("seat 3"));
    }

    #[test]
    fn a_commitment_can_be_verified() {
        let secret = Secret::from_seed(7);
        assert!(secret.matches(&secret.commitment()));
        assert!(!Secret::from_seed(8).matches(&secret.commitment()));
    }
}
