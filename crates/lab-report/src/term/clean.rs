//! Sanitising of all text for a terminal. [`clean`] turns foreign text into one line; [`sanitize`] is applied to
//! everything that lab writes for people. Both remove control characters, escape sequences other than lab's own
//! colours, bidirectional marks and invisible characters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Function that masks secrets in a text.
type Mask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Masks for all output for people, by the name of their owner.
static MASKS: RwLock<BTreeMap<&str, Mask>> = RwLock::new(BTreeMap::new());

/// Turns foreign text into one line. Control characters become spaces, and invisible characters are removed.
pub fn clean(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).map(|c| if is_control(c) { ' ' } else { c }).collect()
}

/// Sanitises foreign text but keeps its line ends and tabs.
pub fn clean_lines(text: &str) -> String {
    sanitize(text, false).into_owned()
}

/// Masks secrets in all further output for people. Replaces the earlier mask of the same owner `who`.
pub fn mask_with(who: &'static str, mask: impl Fn(&str) -> String + Send + Sync + 'static) {
    MASKS.write().unwrap_or_else(PoisonError::into_inner).insert(who, Arc::new(mask));
}

/// Masks a text with all functions passed to [`mask_with`].
pub fn masked(text: &str) -> Cow<'_, str> {
    let masks = MASKS.read().unwrap_or_else(PoisonError::into_inner);
    masks.values().fold(Cow::Borrowed(text), |text, mask| match mask(&text) {
        same if same == text => text,
        masked => Cow::Owned(masked),
    })
}

/// Sanitises a text but keeps line ends and tabs, and lab's own colours if `coloured` is set.
pub(super) fn sanitize(text: &str, coloured: bool) -> Cow<'_, str> {
    let harmless = |c: char| c == '\n' || c == '\t' || !(is_control(c) || is_invisible(c));
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut used = first.len_utf8();
        match first {
            '\n' | '\t' => shown.push(first),
            '\r' if rest[1..].starts_with('\n') => {}
            '\u{1b}' if coloured && let Some(length) = colour(rest) => {
                shown.push_str(&rest[..length]);
                used = length;
            }
            c if is_invisible(c) => {}
            c if is_control(c) => shown.push(' '),
            c => shown.push(c),
        }
        rest = &rest[used..];
    }
    Cow::Owned(shown)
}

/// Length of the SGR sequence (ECMA-48) at the start of a text, if lab uses it. Sequences that can hide text are not allowed.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    if !codes[end..].starts_with('m') {
        return None;
    }
    // ECMA-48: an empty number is 0.
    let value = |number: &str| if number.is_empty() { 0 } else { number.parse::<u8>().unwrap_or(u8::MAX) };
    let mut numbers = codes[..end].split(';').map(value);
    while let Some(number) = numbers.next() {
        let known = match number {
            // Reset, bold, dim, underline and their ends; the named colours.
            0 | 1 | 2 | 4 | 22 | 24 | 31..=36 | 39 | 91..=96 => true,
            // The same colours by their palette number.
            38 => numbers.next() == Some(5) && numbers.next().is_some_and(|colour| matches!(colour, 1..=6 | 9..=14)),
            _ => false,
        };
        if !known {
            return None;
        }
    }
    Some("\u{1b}[".len() + end + 1)
}

/// Returns true for C0 and C1 control characters and Unicode line separators.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns true for characters that are invisible or change the display of others: bidirectional marks, zero-width characters, tags.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{clean, clean_lines, colour, is_control, is_invisible, sanitize};

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(clean("a\u{1b}[2Jb\tc\u{202e}d"), "a [2Jb cd");
        assert_eq!(clean("\u{9b}31m \u{90}q\u{9c} \u{7f}\0\r\n"), " 31m  q      ");
        let marks =
            "\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202d}\u{2060}\u{2066}\u{2069}\u{feff}\u{ad}\u{61c}";
        assert_eq!(clean(&format!("a{marks}b\u{e0041}c")), "abc");
        assert_eq!(clean("日本 é ü 🎉 Ω"), "日本 é ü 🎉 Ω");
        assert_eq!(clean_lines("a\r\nb\tc\rd\u{1b}]0;title\u{7}e\n"), "a\nb\tc d ]0;title e\n");
    }

    #[test]
    fn only_labs_own_colours_are_kept() {
        for own in ["\u{1b}[0m", "\u{1b}[m", "\u{1b}[32m", "\u{1b}[1;31m", "\u{1b}[38;5;9m", "\u{1b}[0;1;94m"] {
            assert_eq!(colour(&format!("{own}text")), Some(own.len()), "{own:?}");
            assert_eq!(sanitize(own, true), own);
            assert!(!sanitize(own, false).contains('\u{1b}'), "{own:?}");
        }
        for foreign in [
            "\u{1b}[8m",
            "\u{1b}[30m",
            "\u{1b}[40m",
            "\u{1b}[7m",
            "\u{1b}[38;5;0m",
            "\u{1b}[38;2;0;0;0m",
            "\u{1b}[31;8m",
            "\u{1b}[2J",
            "\u{1b}]0;x\u{7}",
            "\u{1b}]8;;http://x\u{1b}\\",
            "\u{1b}P",
            "\u{1b}c",
            "\u{1b}(0",
            "\u{1b}[31",
            "\u{1b}[?25l",
            "\u{1b}[300m",
            "\u{1b}",
        ] {
            let kept = sanitize(foreign, true);
            assert!(!kept.contains('\u{1b}') || foreign.ends_with("\u{1b}\\"), "{foreign:?} > {kept:?}");
            assert!(!kept.starts_with('\u{1b}'), "{foreign:?} > {kept:?}");
        }
    }

    proptest! {
        #[test]
        fn cleaned_text_contains_no_control_characters(text in any::<String>()) {
            let kept = clean_lines(&text);
            prop_assert!(kept.chars().all(|c| c == '\n' || c == '\t' || !(is_control(c) || is_invisible(c))));
            prop_assert_eq!(clean_lines(&kept), kept.clone());
            prop_assert!(clean(&text).chars().all(|c| !is_control(c) && !is_invisible(c)));
        }
    }
}
