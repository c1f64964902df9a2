//! Brackets and quoted scalars of a text, for the explanation of syntax errors. Comments are skipped; block scalars are
//! not recognized.

use std::ops::Range;

/// A bracket or a quoted scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lexeme {
    /// `[` or `{`.
    Open(char),
    /// `]` or `}`.
    Close(char),
    Quoted {
        /// False if the text ends before the quote is closed.
        closed: bool,
    },
}

/// Lexemes from the byte offset `from` on, with their bytes.
pub(crate) fn lexemes(text: &str, from: usize) -> Lexemes<'_> {
    Lexemes { text, at: from, scalar_may_start: true, indicator: false, blank: true }
}

/// Iterator over the [`Lexeme`]s of a text.
pub(crate) struct Lexemes<'t> {
    text: &'t str,
    at: usize,
    /// A quote at this position opens a scalar. Within a plain scalar, it is a character like any other.
    scalar_may_start: bool,
    /// The last character was `:`, `-` or `?`.
    indicator: bool,
    /// The last character was whitespace.
    blank: bool,
}

impl Iterator for Lexemes<'_> {
    type Item = (Range<usize>, Lexeme);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(c) = self.text[self.at..].chars().next() {
            let (start, blank) = (self.at, self.blank);
            self.at += c.len_utf8();
            self.blank = c.is_whitespace();
            let lexeme = match c {
                '"' | '\'' if self.scalar_may_start => {
                    let end = end_of_quoted(self.text, start);
                    self.at = end.unwrap_or(self.text.len());
                    Some(Lexeme::Quoted { closed: end.is_some() })
                }
                '#' if blank => {
                    let rest = &self.text[start..];
                    self.at = start + rest.find('\n').unwrap_or(rest.len());
                    self.blank = true;
                    continue;
                }
                '[' | '{' => Some(Lexeme::Open(c)),
                ']' | '}' => Some(Lexeme::Close(c)),
                _ => None,
            };
            self.scalar_may_start = match c {
                '\n' | '[' | '{' | ',' => true,
                _ if c.is_whitespace() => self.scalar_may_start || self.indicator,
                _ => false,
            };
            self.indicator = matches!(c, ':' | '-' | '?') && lexeme.is_none();
            if let Some(lexeme) = lexeme {
                return Some((start..self.at, lexeme));
            }
        }
        None
    }
}

/// Byte offset after the closing quote of the scalar whose opening quote is at `start`.
pub(crate) fn end_of_quoted(text: &str, start: usize) -> Option<usize> {
    let mut chars = text[start..].char_indices();
    let (_, quote) = chars.next()?;
    let mut chars = chars.peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            if quote == '\'' && chars.next_if(|(_, next)| *next == quote).is_some() {
                continue;
            }
            return Some(start + at + 1);
        }
    }
    None
}

/// Byte offset and text of the first invalid escape sequence of a double-quoted scalar.
pub(crate) fn invalid_escape(text: &str, quoted: &Range<usize>) -> Option<(usize, String)> {
    const ESCAPES: &str = "0abt\tnvfre \"/\\N_LP\n\r";
    let mut chars = text[quoted.clone()].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let Some((_, escaped)) = (if c == '\\' { chars.next() } else { None }) else { continue };
        let digits = match escaped {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ if ESCAPES.contains(escaped) => continue,
            _ => 0,
        };
        let code: String =
            (0..digits).map_while(|_| chars.next_if(|(_, c)| c.is_ascii_hexdigit())).map(|(_, c)| c).collect();
        let value = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
        if code.len() < digits || value.is_none() {
            return Some((quoted.start + at, format!("\\{escaped}{code}")));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Lexeme, end_of_quoted, invalid_escape, lexemes};

    #[test]
    fn brackets_in_quotes_and_comments_do_not_count() {
        let text = "a: [ '{', \"]\\\"}\", it's ] # {\nb-'c': { 'x'";
        let found: Vec<(&str, Lexeme)> = lexemes(text, 0).map(|(span, lexeme)| (&text[span], lexeme)).collect();
        let quoted = Lexeme::Quoted { closed: true };
        assert_eq!(
            found,
            [
                ("[", Lexeme::Open('[')),
                ("'{'", quoted),
                ("\"]\\\"}\"", quoted),
                ("]", Lexeme::Close(']')),
                ("{", Lexeme::Open('{')),
                ("'x'", quoted),
            ]
        );
    }

    #[test]
    fn quotes_end_at_their_closing_quote() {
        assert_eq!(end_of_quoted("x: 'it''s' y", 3), Some(10));
        assert_eq!(end_of_quoted(r#""a\"b" c"#, 0), Some(6));
        assert_eq!(end_of_quoted("'open", 0), None);
    }

    #[test]
    fn invalid_escapes_are_found() {
        let find = |text: &str| invalid_escape(text, &(0..text.len()));
        assert_eq!(find(r#""a\n\x41\u00e9\\d""#), None);
        assert_eq!(find(r#""a\d+""#), Some((2, r"\d".to_owned())));
        assert_eq!(find(r#""\u12""#), Some((1, r"\u12".to_owned())));
    }
}
