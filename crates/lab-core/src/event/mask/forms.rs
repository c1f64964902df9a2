//! Finds a secret in a text, plain or as programs write it: escaped for JSON, HTML, URLs, shells and source code, in
//! hex and in base64. Matching works character by character, so partly escaped and doubly escaped texts are found too.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Maximum number of backslashes before a character (three levels of escaping).
const BACKSLASHES: usize = 8;
/// Maximum nesting of escaped `%` or `&` signs.
const NESTED: usize = 3;
/// Shorter base64 fragments occur in any text by chance.
const LEAST_BASE64: usize = 4;
/// Separators between two hex bytes: `4b:33`, `4b 33`, `\x4b\x33`, `0x4b, 0x33`.
const SEPARATORS: [&str; 9] = [":", " ", "-", "\\x", "\\\\x", ", 0x", ",0x", " 0x", "0x"];

/// A secret prepared for searching.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Needle {
    pub(super) text: String,
    characters: Vec<char>,
    base64: Vec<Base64>,
}

/// Part of a secret's base64 form that does not depend on the surrounding text.
#[derive(Clone, PartialEq, Eq)]
struct Base64 {
    characters: Vec<char>,
    /// True if the character before, and the one after, also contain bits of the secret.
    shares: (bool, bool),
}

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let base64 = [text.as_bytes(), &utf16].into_iter().flat_map(in_base64).collect();
        Self { text: text.to_owned(), characters: text.chars().collect(), base64 }
    }

    /// Adds the ranges at which the secret occurs in a text.
    pub(super) fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        let starts = || text.char_indices().map(|(at, _)| at);
        for at in starts() {
            if let Some(end) = escaped(text, at, &self.characters).or_else(|| in_hex(text, at, self.text.as_bytes())) {
                found.push(at..end);
            }
        }
        let of_base64 = |c: char| c.is_ascii_alphanumeric() || "+/-_".contains(c);
        for form in &self.base64 {
            for at in starts() {
                let Some(mut end) = escaped(text, at, &form.characters) else { continue };
                let before = text[..at].chars().next_back().filter(|c| form.shares.0 && of_base64(*c));
                let after = text[end..].chars().next().filter(|c| form.shares.1 && of_base64(*c));
                end += after.map_or(0, char::len_utf8);
                end += text[end..].bytes().take(2).take_while(|byte| *byte == b'=').count();
                found.push(at - before.map_or(0, char::len_utf8)..end);
            }
        }
    }
}

/// Encodes the bytes at each of the three possible alignments, in both alphabets.
fn in_base64(bytes: &[u8]) -> Vec<Base64> {
    let mut forms: Vec<Base64> = Vec::new();
    for offset in 0..3_usize {
        let padded = [&vec![0; offset][..], bytes].concat();
        let (first, last) = ((8 * offset).div_ceil(6), 8 * padded.len() / 6);
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            let characters: Vec<char> = encoded[first..last].chars().collect();
            let form = Base64 { characters, shares: (offset > 0, (8 * padded.len()) % 6 != 0) };
            if form.characters.len() >= LEAST_BASE64 && !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

/// Returns the end of these characters in a text if they start at `at`, each plain or escaped.
fn escaped(text: &str, at: usize, characters: &[char]) -> Option<usize> {
    // Fast path: most positions are rejected here.
    let first = characters.first()?;
    if !text[at..].starts_with(|c: char| c == *first || "\\%=&+'\"$".contains(c)) {
        return None;
    }
    let mut places = vec![at];
    let mut next = Vec::new();
    for character in characters {
        for place in places.drain(..) {
            ends_of(text, place, *character, &mut next);
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut places, &mut next);
        if places.is_empty() {
            return None;
        }
    }
    places.last().copied().filter(|end| *end > at)
}

/// Adds each position at which one character, in any notation, can end.
fn ends_of(text: &str, at: usize, character: char, ends: &mut Vec<usize>) {
    let rest = &text[at..];
    if rest.starts_with(character) {
        ends.push(at + character.len_utf8());
    }
    let Some(first) = rest.bytes().next() else { return };
    match first {
        b'\\' => ends.extend(behind_backslash(rest, character).into_iter().map(|length| at + length)),
        b'%' | b'=' => ends.extend(percent(rest, character, first).map(|length| at + length)),
        b'&' => ends.extend(entity(rest, character).map(|length| at + length)),
        b'+' if character == ' ' => ends.push(at + 1),
        _ => {}
    }
    let quoted: &[&str] = match character {
        '\'' => &["'\\''", "'\"'\"'", "''"],
        '"' => &["\"'\"'\"", "\"\""],
        '$' => &["$$"],
        '%' => &["%%"],
        '{' => &["{{"],
        '}' => &["}}"],
        _ => &[],
    };
    ends.extend(quoted.iter().filter(|form| rest.starts_with(**form)).map(|form| at + form.len()));
}

/// `\c`, `\\\c`, `\u0063`, `\u{63}`, `\U00000063`, `\x63`, `\143`, `\t`.
fn behind_backslash(rest: &str, character: char) -> Vec<usize> {
    let slashes = rest.bytes().take(BACKSLASHES).take_while(|byte| *byte == b'\\').count();
    if character == '\\' {
        return (1..=slashes).collect();
    }
    let mut ends = Vec::new();
    let after = &rest[slashes..];
    let letter = match character {
        '\t' => Some('t'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\u{1b}' => Some('e'),
        _ => None,
    };
    if after.starts_with(character) || letter.is_some_and(|letter| after.starts_with(letter)) {
        ends.push(slashes + after.chars().next().map_or(0, char::len_utf8));
    }
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units);
    // One escape per UTF-16 unit: `\ud83d\ude00`.
    let mut length = slashes;
    for (index, unit) in units.iter().enumerate() {
        let more = rest[length..].bytes().take_while(|byte| *byte == b'\\').count();
        let from = length + if index == 0 { 0 } else { more };
        match rest[from..].strip_prefix(['u', 'U']).and_then(|digits| hex(digits, 4)) {
            Some(value) if value == u32::from(*unit) => length = from + 5,
            _ => {
                length = 0;
                break;
            }
        }
    }
    ends.extend((length > 0).then_some(length));
    let code = u32::from(character);
    if slashes > 0 && after.strip_prefix('x').and_then(|digits| hex(digits, 2)) == Some(code) {
        ends.push(slashes + 3);
    }
    if after.starts_with('U') && hex(&after[1..], 8) == Some(code) {
        ends.push(slashes + 9);
    }
    let braced = after.strip_prefix("u{").or_else(|| after.strip_prefix("x{")).and_then(|rest| rest.split_once('}'));
    if let Some((digits, _)) = braced
        && u32::from_str_radix(digits, 16) == Ok(code)
    {
        ends.push(slashes + 3 + digits.len());
    }
    ends.extend(bytes(rest, character, |rest| {
        let slashes = rest.bytes().take(BACKSLASHES).take_while(|byte| *byte == b'\\').count();
        let after = rest[slashes..].strip_prefix(['x', 'X']).filter(|_| slashes > 0)?;
        Some((hex(after, 2)?, slashes + 3))
    }));
    ends.extend(bytes(rest, character, |rest| {
        let slashes = rest.bytes().take(BACKSLASHES).take_while(|byte| *byte == b'\\').count();
        let digits = rest.get(slashes..slashes + 3).filter(|_| slashes > 0)?;
        Some((u32::from_str_radix(digits, 8).ok()?, slashes + 3))
    }));
    ends
}

/// `%63`, `%2563` (escaped twice) or `=63` (quoted-printable).
fn percent(rest: &str, character: char, sign: u8) -> impl Iterator<Item = usize> {
    (0..=NESTED).filter_map(move |depth| {
        let prefix = char::from(sign).to_string() + &"25".repeat(depth);
        bytes(rest, character, |rest| Some((hex(rest.strip_prefix(prefix.as_str())?, 2)?, prefix.len() + 2)))
    })
}

/// Matches all bytes of a character with the notation parsed by `read` and returns the matched length.
fn bytes(rest: &str, character: char, read: impl Fn(&str) -> Option<(u32, usize)>) -> Option<usize> {
    let mut buffer = [0; 4];
    let mut length = 0;
    for byte in character.encode_utf8(&mut buffer).bytes() {
        let (value, taken) = read(rest.get(length..)?)?;
        if value != u32::from(byte) {
            return None;
        }
        length += taken;
    }
    Some(length)
}

fn hex(text: &str, digits: usize) -> Option<u32> {
    let digits = text.get(..digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// HTML entity names of ASCII characters.
const NAMES: [(&str, char); 36] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("hyphen", '-'),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
];

/// `&lt;`, `&#60;`, `&#x3C;` or `&amp;lt;` (escaped twice).
fn entity(rest: &str, character: char) -> impl Iterator<Item = usize> {
    (0..=NESTED).filter_map(move |depth| {
        let prefix = "&".to_owned() + &"amp;".repeat(depth);
        let (found, length) = value_of(rest.strip_prefix(prefix.as_str())?)?;
        (found == character).then_some(prefix.len() + length)
    })
}

/// Character of an HTML reference and the length of the reference without the `&`.
fn value_of(text: &str) -> Option<(char, usize)> {
    if let Some(number) = text.strip_prefix('#') {
        let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |digits| (digits, 16));
        let length = digits.bytes().take(8).take_while(|byte| char::from(*byte).is_digit(radix)).count();
        let found = char::from_u32(u32::from_str_radix(&digits[..length], radix).ok()?)?;
        let end = text.len() - digits.len() + length;
        return Some((found, end + usize::from(text[end..].starts_with(';'))));
    }
    let length = text.bytes().take(8).take_while(u8::is_ascii_alphabetic).count();
    let (name, found) = NAMES.iter().find(|(name, _)| *name == &text[..length])?;
    Some((*found, name.len() + usize::from(text[name.len()..].starts_with(';'))))
}

/// Returns the end of these bytes in a text if they start at `at` in hex.
fn in_hex(text: &str, at: usize, bytes: &[u8]) -> Option<usize> {
    let mut end = at;
    for (index, byte) in bytes.iter().enumerate() {
        let is_here = |from: usize| text.get(from..).and_then(|rest| hex(rest, 2)) == Some(u32::from(*byte));
        if !is_here(end) {
            let rest = text.get(end..).filter(|_| index > 0)?;
            let separator = SEPARATORS.iter().find(|it| rest.starts_with(**it) && is_here(end + it.len()))?;
            end += separator.len();
        }
        end += 2;
    }
    Some(end)
}
