//! Positions of the words in an expression, for error messages: the tree of promql-parser has none. The scan also refuses
//! input that would make the parser panic or overflow the stack.

use super::duration::duration;
use super::error::ExprError;

/// Maximum number of words in an expression. Parsing and evaluation are recursive.
const MAX_WORDS: usize = 2_000;
/// Maximum nesting of parentheses.
const MAX_DEPTH: usize = 32;

/// The words of an expression outside of strings, comments and braces, each with its position.
pub(super) struct Places<'t> {
    /// Positions count characters from 1, as in Prometheus.
    words: Vec<(usize, &'t str)>,
}

impl<'t> Places<'t> {
    pub(super) fn scan(text: &'t str) -> Result<Self, ExprError> {
        let mut scan = Scan { text, rest: text, words: Vec::new(), depth: 0, in_braces: false };
        let mut count = 0;
        while scan.next()? {
            count += 1;
            if count > MAX_WORDS {
                return Err(ExprError::TooLong(MAX_WORDS));
            }
        }
        Ok(Self { words: scan.words })
    }

    /// ` at N` for the first position of a word, empty if the word does not occur.
    pub(super) fn at(&self, word: &str) -> String {
        let place = self.words.iter().find(|(_, known)| known.eq_ignore_ascii_case(word));
        place.map(|(at, _)| format!(" at {at}")).unwrap_or_default()
    }

    /// Adds the position of the quoted word to an error of the parser.
    pub(super) fn locate(&self, error: &str) -> ExprError {
        let place = error.split('\'').nth(1).map(|word| self.at(word)).unwrap_or_default();
        match error {
            "invalid promql query" => ExprError::Invalid,
            error => ExprError::Parser(format!("{error}{place}")),
        }
    }
}

struct Scan<'t> {
    text: &'t str,
    rest: &'t str,
    words: Vec<(usize, &'t str)>,
    depth: usize,
    in_braces: bool,
}

impl Scan<'_> {
    /// Reads one word. Returns false at the end.
    fn next(&mut self) -> Result<bool, ExprError> {
        self.rest = self.rest.trim_start();
        let at = self.text[..self.text.len() - self.rest.len()].chars().count() + 1;
        let Some(first) = self.rest.chars().next() else { return Ok(false) };
        let length = match first {
            '#' => self.rest.find('\n').unwrap_or(self.rest.len()),
            '"' | '\'' | '`' => text_length(self.rest, first).ok_or(ExprError::OpenString(at))?,
            '[' => {
                self.words.push((at, "["));
                let (inner, _) = self.rest[1..].split_once(']').ok_or(ExprError::OpenRange(at))?;
                if !is_duration(inner.trim()) {
                    return Err(ExprError::Range { range: inner.to_owned(), at });
                }
                inner.len() + 2
            }
            first if is_word(first) => self.word(at)?,
            _ => self.sign(at, first)?,
        };
        self.rest = &self.rest[length..];
        Ok(true)
    }

    fn word(&mut self, at: usize) -> Result<usize, ExprError> {
        let mut length = self.rest.find(|char| !is_word(char)).unwrap_or(self.rest.len());
        let word = &self.rest[..length];
        let is_number = word.starts_with(|char: char| char.is_ascii_digit());
        if is_number && word.ends_with(['e', 'E']) && self.rest[length..].starts_with(['+', '-']) {
            // The sign belongs to the exponent.
            let digits = &self.rest[length + 1..];
            length += 1 + digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
        }
        let is_signless = |word: &str| !["+", "-"].contains(&word);
        let follows_offset = !self.in_braces
            && self.words.iter().rev().map(|(_, word)| *word).find(|word| is_signless(word)).is_some_and(is_offset);
        let whole = &self.rest[..length];
        // The parser panics on amounts that do not fit its duration type.
        if follows_offset && is_bare_number(whole) && !is_duration(whole) {
            return Err(ExprError::Offset { word: whole.to_owned(), at });
        }
        let is_span = is_number && !word.starts_with("0x") && word.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
        if is_span && !is_duration(word) {
            return Err(ExprError::Duration { word: word.to_owned(), at });
        }
        if !self.in_braces {
            self.words.push((at, &self.rest[..length]));
        }
        Ok(length)
    }

    fn sign(&mut self, at: usize, first: char) -> Result<usize, ExprError> {
        match first {
            '{' => self.in_braces = true,
            '}' => self.in_braces = false,
            '(' => self.depth += 1,
            ')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > MAX_DEPTH {
            return Err(ExprError::Parentheses { max: MAX_DEPTH, at });
        }
        let length = ["==", "!=", "<=", ">="]
            .into_iter()
            .find(|sign| self.rest.starts_with(sign))
            .map_or(first.len_utf8(), str::len);
        if !self.in_braces {
            self.words.push((at, &self.rest[..length]));
        }
        Ok(length)
    }
}

fn is_offset(word: &str) -> bool {
    word.eq_ignore_ascii_case("offset")
}

fn is_bare_number(word: &str) -> bool {
    word.starts_with(|char: char| char.is_ascii_digit() || char == '.')
        || ["inf", "nan"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// Returns true for a positive duration whose amounts fit the parser, which silently drops larger ones.
fn is_duration(text: &str) -> bool {
    let is_small = |digits: &str| digits.is_empty() || digits.parse::<u32>().is_ok();
    duration(text).is_some_and(|millis| millis > 0) && text.split(|char: char| !char.is_ascii_digit()).all(is_small)
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_:.".contains(char)
}

/// The length of a quoted string, with its quotes.
fn text_length(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((index, char)) = chars.next() {
        match char {
            '\\' if quote != '`' => drop(chars.next()?),
            char if char == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn words_have_positions() {
        let text = "a{b=~\"offset\",offset=\"1\"}[1m] >= 1e-3 # offset\n or é offset";
        let places = Places::scan(text).expect("words");
        let words: Vec<&str> = places.words.iter().map(|(_, word)| *word).collect();
        assert_eq!(words, ["a", "}", "[", ">=", "1e-3", "or", "é", "offset"]);
        assert_eq!((places.at("offset"), places.at("none")), (" at 54".to_owned(), String::new()));
        let error = places.locate("unknown function with name 'or'");
        assert_eq!(error.to_string(), "unknown function with name 'or' at 49");
    }

    #[test]
    fn input_that_would_crash_the_parser_is_refused() {
        let (deep, long) = ("(".repeat(100_000), "-".repeat(100_000) + "1");
        let wrong = [
            (deep.as_str(), "nested more than 32 times"),
            (long.as_str(), "more than 2000 words"),
            ("a[1e300]", "`[1e300]` at 2"),
            ("rate(a[5m:1m])", "`[5m:1m]` at 7"),
            ("a[0s]", "at 2 is not a supported range"),
            ("a[1h99999999999999s]", "at 2"),
            ("a[1h4294967296ms]", "at 2"),
            ("a > 1h99999999999999999999s", "`1h99999999999999999999s` at 5 is not a duration"),
            ("a offset 1e300", "`offset` needs a duration such as `5m`, got `1e300` at 10"),
            ("a offset 5", "got `5` at 10"),
            ("a offset - 1e+300", "got `1e+300` at 12"),
            ("a OFFSET # comment\n NaN", "got `NaN` at 21"),
            ("rate(a[1m] offset +inf)", "got `inf` at 20"),
            ("a offset .5", "got `.5` at 10"),
            ("'x", "unterminated string at 1"),
            ("a[", "no matching `]`"),
        ];
        for (text, expected) in wrong {
            let error = Places::scan(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        for right in [
            "a offset 5m",
            "a offset -1h30m",
            "sum by (offset) (a) > 1",
            "offset or 1",
            "offset > 1",
            "a{offset=\"1\"} + 1",
        ] {
            assert!(Places::scan(right).is_ok(), "{right}");
        }
    }
}
