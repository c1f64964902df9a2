//! [`Places`]: where the words of an expression stand. The tree that promql-parser makes has no places in it, so errors look
//! them up here. What the parser or the evaluator could not bear is refused before either sees it.

use super::duration::duration;

/// The most words of an expression: both the parser's tree and its evaluation are recursive.
const MOST: usize = 2_000;
/// The deepest parentheses.
const DEEPEST: usize = 32;

/// The words of an expression that are outside of texts, comments and braces, each with its place.
pub(super) struct Places<'t> {
    /// In characters, from 1, as Prometheus counts.
    words: Vec<(usize, &'t str)>,
}

impl<'t> Places<'t> {
    pub(super) fn scan(text: &'t str) -> Result<Self, String> {
        let mut scan = Scan { text, rest: text, words: Vec::new(), depth: 0, in_braces: false };
        let mut count = 0;
        while scan.next()? {
            count += 1;
            if count > MOST {
                return Err(format!("it has more than {MOST} words"));
            }
        }
        Ok(Self { words: scan.words })
    }

    /// ` at N` for the first place of a word; nothing if it is not there.
    pub(super) fn at(&self, word: &str) -> String {
        let place = self.words.iter().find(|(_, known)| known.eq_ignore_ascii_case(word));
        place.map(|(at, _)| format!(" at {at}")).unwrap_or_default()
    }

    /// The parser's error, with the place of the word that it quotes.
    pub(super) fn locate(&self, error: &str) -> String {
        let place = error.split('\'').nth(1).map(|word| self.at(word)).unwrap_or_default();
        match error {
            "invalid promql query" => "it is not valid PromQL".to_owned(),
            error => format!("{error}{place}"),
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

impl<'t> Scan<'t> {
    /// Takes one word; false at the end.
    fn next(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        let at = self.text[..self.text.len() - self.rest.len()].chars().count() + 1;
        let Some(first) = self.rest.chars().next() else { return Ok(false) };
        let length = match first {
            '#' => self.rest.find('\n').unwrap_or(self.rest.len()),
            '"' | '\'' | '`' => {
                text_length(self.rest, first).ok_or_else(|| format!("a text without an end at {at}"))?
            }
            '[' => {
                self.words.push((at, "["));
                let (inner, _) =
                    self.rest[1..].split_once(']').ok_or_else(|| format!("a `[` without its `]` at {at}"))?;
                if !is_duration(inner.trim()) {
                    return Err(format!("`[{inner}]` at {at} is not a range that lab knows, such as `[30s]`"));
                }
                inner.len() + 2
            }
            first if is_word(first) => self.word(at)?,
            _ => self.sign(at, first)?,
        };
        self.rest = &self.rest[length..];
        Ok(true)
    }

    fn word(&mut self, at: usize) -> Result<usize, String> {
        let mut length = self.rest.find(|char| !is_word(char)).unwrap_or(self.rest.len());
        let word = &self.rest[..length];
        let is_number = word.starts_with(|char: char| char.is_ascii_digit());
        if is_number && word.ends_with(['e', 'E']) && self.rest[length..].starts_with(['+', '-']) {
            // The sign belongs to the exponent.
            let digits = &self.rest[length + 1..];
            length += 1 + digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
        }
        let is_span = is_number && !word.starts_with("0x") && word.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
        if is_span && !is_duration(word) {
            return Err(format!("`{word}` at {at} is not a duration"));
        }
        if !self.in_braces {
            self.words.push((at, &self.rest[..length]));
        }
        Ok(length)
    }

    fn sign(&mut self, at: usize, first: char) -> Result<usize, String> {
        match first {
            '{' => self.in_braces = true,
            '}' => self.in_braces = false,
            '(' => self.depth += 1,
            ')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} times at {at}"));
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

/// The parser passes over amounts that are too large for it.
fn is_duration(text: &str) -> bool {
    let is_small = |digits: &str| digits.is_empty() || digits.parse::<u32>().is_ok();
    duration(text).is_some_and(|millis| millis > 0) && text.split(|char: char| !char.is_ascii_digit()).all(is_small)
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_:.".contains(char)
}

/// The length of a text in quotes.
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
    fn words_have_their_places() {
        let text = "a{b=~\"offset\",offset=\"1\"}[1m] >= 1e-3 # offset\n or é offset";
        let places = Places::scan(text).expect("words");
        let words: Vec<&str> = places.words.iter().map(|(_, word)| *word).collect();
        assert_eq!(words, ["a", "}", "[", ">=", "1e-3", "or", "é", "offset"]);
        assert_eq!((places.at("offset"), places.at("none")), (" at 54".to_owned(), String::new()));
        assert_eq!(places.locate("unknown function with name 'or'"), "unknown function with name 'or' at 49");
    }

    #[test]
    fn what_the_parser_could_not_bear_is_refused_before_it() {
        let (deep, long) = ("(".repeat(100_000), "-".repeat(100_000) + "1");
        let wrong = [
            (deep.as_str(), "nested more than 32 times"),
            (long.as_str(), "more than 2000 words"),
            ("a[1e300]", "`[1e300]` at 2"),
            ("rate(a[5m:1m])", "`[5m:1m]` at 7"),
            ("a[0s]", "at 2 is not a range"),
            ("a[1h99999999999999s]", "at 2"),
            ("a[1h4294967296ms]", "at 2"),
            ("a > 1h99999999999999999999s", "`1h99999999999999999999s` at 5 is not a duration"),
            ("'x", "a text without an end at 1"),
            ("a[", "without its `]`"),
        ];
        for (text, expected) in wrong {
            let error = Places::scan(text).err().unwrap_or_default();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
