//! What identifies a person: a [`Code`] that is typed once to join, and a [`Token`] in a cookie afterwards. On disk, a
//! participant's token is only a [`TokenHash`]. [`Guesses`] limits how often codes can be tried.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::Hash;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// First words of codes: short, common, easy to spell, and not mistaken for one another.
const WORDS: [&str; 64] = [
    "badger", "bear", "beaver", "bison", "camel", "cat", "cobra", "condor", "coyote", "crab", "crane", "cricket",
    "crow", "deer", "dingo", "dolphin", "donkey", "duck", "eagle", "falcon", "ferret", "finch", "fox", "frog", "gecko",
    "giraffe", "goat", "goose", "hamster", "hawk", "hedgehog", "heron", "hippo", "horse", "hyena", "iguana", "jaguar",
    "koala", "lemur", "lion", "lizard", "llama", "lobster", "lynx", "magpie", "mole", "moose", "mouse", "ocelot",
    "otter", "owl", "panda", "parrot", "pelican", "penguin", "rabbit", "raven", "robin", "salmon", "seal", "sparrow",
    "tiger", "turtle", "walrus",
];
/// Wrong codes after which an address has to wait, and the time in which they count.
const GUESSES: u32 = 10;
/// Wrong codes after which all addresses have to wait, so that many addresses cannot share the work.
const ALL_GUESSES: u32 = 200;
const GUESS_WINDOW: Duration = Duration::from_mins(1);
/// Most addresses that are remembered.
const ADDRESSES: usize = 4096;

/// Code of a seat, such as `otter-4182`. There are 576,000.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(String);

impl Code {
    /// Random codes, all of them different.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn random(count: usize) -> Result<Vec<Self>, getrandom::Error> {
        let mut codes: Vec<Self> = Vec::new();
        while codes.len() < count {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes)?;
            let number = u64::from_le_bytes(bytes);
            let word = usize::try_from(number % 64).ok().and_then(|index| WORDS.get(index)).unwrap_or(&WORDS[0]);
            let code = Self(format!("{word}-{}", 1000 + (number >> 8) % 9000));
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        Ok(codes)
    }

    /// A code as a person types it: in any case, with spaces around it, and with a space or nothing instead of the hyphen.
    pub fn typed(text: &str) -> Self {
        let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        Self(format!("{}-{digits}", letters.to_ascii_lowercase()))
    }

    /// The code in its usual form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Logs do not contain codes.
impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Code(***)")
    }
}

/// 128 random bits as 22 characters of URL-safe base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// A new token.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its hash.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// Compares in constant time.
    pub fn matches(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// Logs do not contain tokens.
impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(***)")
    }
}

/// SHA-256 of a token, as 64 hexadecimal digits. A token has too many bits to be guessed, so it needs no salt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(String);

impl TokenHash {
    /// Hash of the text of a token.
    pub fn of(text: &str) -> Self {
        let mut hash = String::new();
        for byte in Sha256::digest(text.as_bytes()) {
            let _ = write!(hash, "{byte:02x}");
        }
        Self(hash)
    }
}

/// Limits how often each of many callers may be wrong: [`GUESSES`] times a minute, and all of them together
/// [`ALL_GUESSES`] times.
#[derive(Debug)]
pub struct Guesses<K> {
    wrong: HashMap<K, Count>,
    all: Count,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    since: Instant,
    wrong: u32,
}

impl Count {
    fn new(since: Instant) -> Self {
        Self { since, wrong: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= GUESS_WINDOW
    }

    fn add(&mut self, now: Instant) {
        if self.is_over(now) {
            *self = Self::new(now);
        }
        self.wrong += 1;
    }

    /// Time until the next attempt, if the limit is reached.
    fn wait(&self, limit: u32, now: Instant) -> Option<Duration> {
        let reached = self.wrong >= limit && !self.is_over(now);
        reached.then(|| GUESS_WINDOW.saturating_sub(now.saturating_duration_since(self.since)))
    }
}

impl<K: Eq + Hash> Guesses<K> {
    /// No wrong attempts yet.
    pub fn new(now: Instant) -> Self {
        Self { wrong: HashMap::new(), all: Count::new(now) }
    }

    /// Time that a caller has to wait before the next attempt.
    pub fn wait(&self, caller: &K, now: Instant) -> Option<Duration> {
        let own = self.wrong.get(caller).and_then(|count| count.wait(GUESSES, now));
        own.max(self.all.wait(ALL_GUESSES, now))
    }

    /// Counts a wrong attempt.
    pub fn add(&mut self, caller: K, now: Instant) {
        if self.wrong.len() >= ADDRESSES {
            self.wrong.retain(|_, count| !count.is_over(now));
        }
        if self.wrong.len() < ADDRESSES || self.wrong.contains_key(&caller) {
            self.wrong.entry(caller).or_insert_with(|| Count::new(now)).add(now);
        }
        self.all.add(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_are_read_as_people_type_them() {
        let codes = Code::random(300).unwrap();
        let mut sorted = codes.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 300);
        for code in codes {
            let (word, digits) = code.as_str().split_once('-').unwrap();
            assert!(WORDS.contains(&word) && digits.len() == 4, "{}", code.as_str());
            for typed in [format!(" {word} {digits}"), format!("{}{digits}", word.to_uppercase())] {
                assert!(Code::typed(&typed).matches(&code), "{typed}");
            }
        }
        assert!(!Code::typed("").matches(&Code("otter-4182".to_owned())));
    }

    #[test]
    fn the_words_differ() {
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
    }

    #[test]
    fn tokens_have_128_bits_and_are_not_in_logs() {
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(URL_SAFE_NO_PAD.decode(token.as_str()).unwrap().len(), 16);
        assert!(token.matches(token.as_str()) && !token.matches(other.as_str()));
        assert_eq!(token.hash(), TokenHash::of(token.as_str()));
        assert!(!format!("{token:?} {:?}", token.hash()).contains(token.as_str()));
    }

    #[test]
    fn guesses_are_limited_for_each_address_and_for_all() {
        let now = Instant::now();
        let later = now + Duration::from_secs(20);
        let mut guesses = Guesses::new(now);
        (0..GUESSES).for_each(|_| guesses.add(1, now));
        assert_eq!(guesses.wait(&1, later), Some(Duration::from_secs(40)));
        assert_eq!((guesses.wait(&2, later), guesses.wait(&1, now + GUESS_WINDOW)), (None, None));
        (0..ALL_GUESSES - GUESSES).for_each(|address| guesses.add(address + 10, now));
        assert_eq!(guesses.wait(&2, later), Some(Duration::from_secs(40)));
    }
}
