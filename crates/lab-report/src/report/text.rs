//! Text for a terminal: sanitised, measured in columns, wrapped.

use console::measure_text_width;

use crate::term::masked;

pub use crate::term::clean;

/// Quotes a word for a shell, if necessary.
pub fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let text = clean(text);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Width on a terminal, in columns.
pub(super) fn columns(text: &str) -> usize {
    measure_text_width(text)
}

/// Wraps text to at most `width` columns, between words if possible. Line ends in the text are kept.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    // Masked first, because a line end could split a secret.
    let text = masked(text);
    let lines: Vec<String> = text.lines().flat_map(|line| wrap_line(&clean(line), width)).collect();
    if lines.is_empty() { vec![String::new()] } else { lines }
}

/// Shortens a text to one line of at most `width` columns; an ellipsis marks what is missing.
pub fn cut(text: &str, width: usize) -> String {
    // Masked first, because the end could split a secret.
    let text = clean(&masked(text));
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if columns(&line) <= width {
        return line;
    }
    let fits = prefix(&line, width.saturating_sub(1));
    format!("{}…", &line[..fits])
}

fn wrap_line(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        for piece in pieces(word, width, &[]) {
            let gap = usize::from(!line.is_empty());
            if columns(&line) + gap + columns(piece) > width {
                lines.push(std::mem::take(&mut line));
            } else if gap > 0 {
                line.push(' ');
            }
            line.push_str(piece);
        }
    }
    lines.push(line);
    lines
}

/// Splits a word into pieces of at most `width` columns, after one of the characters `after` if one is in the second half.
pub(super) fn pieces<'a>(word: &'a str, width: usize, after: &[char]) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut rest = word;
    while columns(rest) > width {
        let fits = prefix(rest, width);
        let good = rest[..fits].rfind(after).map(|at| at + 1).filter(|at| *at * 2 >= fits);
        let (piece, tail) = rest.split_at(good.unwrap_or(fits));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// Number of bytes that fit into `width` columns; at least one character, so that splitting ends.
fn prefix(text: &str, width: usize) -> usize {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let first = text.chars().next().map_or(0, char::len_utf8);
    ends.take_while(|end| columns(&text[..*end]) <= width).last().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{columns, cut, pieces, shell_quote, wrap};

    #[test]
    fn words_stay_whole_where_they_can() {
        assert_eq!(wrap("the app is unhealthy", 10), ["the app is", "unhealthy"]);
        assert_eq!(wrap("one\ntwo", 10), ["one", "two"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("abcdefghijkl mn", 5), ["abcde", "fghij", "kl mn"]);
        assert_eq!(wrap("日本語テキスト", 6), ["日本語", "テキス", "ト"]);
    }

    #[test]
    fn a_long_text_is_cut_to_one_line() {
        assert_eq!(cut("{\n  \"a\": 1\n}\n", 20), "{ \"a\": 1 }");
        assert_eq!(cut("abcdefgh", 5), "abcd…");
        assert_eq!(cut("日本語", 5), "日本…");
    }

    #[test]
    fn names_break_after_a_hyphen() {
        assert_eq!(pieces("rotate-the-key-now", 15, &['-']), ["rotate-the-key-", "now"]);
        assert_eq!(pieces("abcdefgh", 3, &['-']), ["abc", "def", "gh"]);
    }

    #[test]
    fn shell_metacharacters_are_quoted() {
        assert_eq!(shell_quote("new_key=apikey-v2"), "new_key=apikey-v2");
        assert_eq!(shell_quote("key=a b$(rm)'"), r"'key=a b$(rm)'\'''");
        assert_eq!(shell_quote(""), "''");
    }

    proptest! {
        #[test]
        fn wrapped_text_is_complete_and_within_the_width(text in "[a-z日é ]{0,80}", width in 2_usize..40) {
            let lines = wrap(&text, width);
            for line in &lines {
                prop_assert!(columns(line) <= width);
            }
            let bare = |text: &str| text.replace(' ', "");
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
        }
    }
}
