//! The one place that decides what of a text reaches a terminal. [`clean`] makes one line of a text from outside; [`shown`] is what
//! every stream of lab applies to all that is written for people: no control characters, no escape sequences but lab's own
//! colours, no marks that change the direction of writing, nothing invisible.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Replaces what is not to be read in a text.
type Mask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What is masked in all that is written for people, by who knows of it.
static MASKS: RwLock<BTreeMap<&str, Mask>> = RwLock::new(BTreeMap::new());

/// One line of a text that a service, a file or a user wrote: control characters are spaces, what is invisible is left out.
pub fn clean(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).map(|c| if is_control(c) { ' ' } else { c }).collect()
}

/// Lines of such a text, as [`clean`] has each.
pub fn clean_lines(text: &str) -> String {
    shown(text, false).into_owned()
}

/// From now on these are masked in all that is written for people. `who`: the one who knows them, whose earlier ones they replace.
pub fn mask_with(who: &'static str, mask: impl Fn(&str) -> String + Send + Sync + 'static) {
    MASKS.write().unwrap_or_else(PoisonError::into_inner).insert(who, Arc::new(mask));
}

/// A text without what [`mask_with`] was given.
pub fn masked(text: &str) -> Cow<'_, str> {
    let masks = MASKS.read().unwrap_or_else(PoisonError::into_inner);
    masks.values().fold(Cow::Borrowed(text), |text, mask| match mask(&text) {
        same if same == text => text,
        masked => Cow::Owned(masked),
    })
}

/// A text as a terminal may get it, line ends and tabs kept; lab's own colours too if they are `coloured`.
pub(super) fn shown(text: &str, coloured: bool) -> Cow<'_, str> {
    let harmless = |c: char| c == '\n' || c == '\t' || !(is_control(c) || is_invisible(c));
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        match first {
            '\n' | '\t' => shown.push(first),
            '\r' if rest[1..].starts_with('\n') => {}
            '\u{1b}' if coloured && let Some(length) = colour(rest) => {
                shown.push_str(&rest[..length]);
                taken = length;
            }
            c if is_invisible(c) => {}
            c if is_control(c) => shown.push(' '),
            c => shown.push(c),
        }
        rest = &rest[taken..];
    }
    Cow::Owned(shown)
}

/// The length of one of the colours that lab uses, if a text begins with it (ECMA-48, SGR). Those that hide text are none.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    if !codes[end..].starts_with('m') {
        return None;
    }
    // An empty number is 0.
    let value = |number: &str| if number.is_empty() { 0 } else { number.parse::<u8>().unwrap_or(u8::MAX) };
    let mut numbers = codes[..end].split(';').map(value);
    while let Some(number) = numbers.next() {
        let known = match number {
            // Plain, bold, dim, underlined, and the ends of these; the usual colours.
            0 | 1 | 2 | 4 | 22 | 24 | 31..=36 | 39 | 91..=96 => true,
            // One of the same colours by its number in the palette.
            38 => numbers.next() == Some(5) && numbers.next().is_some_and(|colour| matches!(colour, 1..=6 | 9..=14)),
            _ => false,
        };
        if !known {
            return None;
        }
    }
    Some("\u{1b}[".len() + end + 1)
}

/// What a terminal obeys, C0 and C1, and what ends a line there.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// What no terminal shows and what changes how the text around it is shown: marks of direction, characters of no width, tags.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{clean, clean_lines, colour, is_control, is_invisible, shown};

    #[test]
    fn what_a_terminal_would_obey_is_gone() {
        assert_eq!(clean("a\u{1b}[2Jb\tc\u{202e}d"), "a [2Jb cd");
        assert_eq!(clean("\u{9b}31m \u{90}q\u{9c} \u{7f}\0\r\n"), " 31m  q      ");
        let marks =
            "\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202d}\u{2060}\u{2066}\u{2069}\u{feff}\u{ad}\u{61c}";
        assert_eq!(clean(&format!("a{marks}b\u{e0041}c")), "abc");
        assert_eq!(clean("日本 é ü 🎉 Ω"), "日本 é ü 🎉 Ω");
        assert_eq!(clean_lines("a\r\nb\tc\rd\u{1b}]0;title\u{7}e\n"), "a\nb\tc d ]0;title e\n");
    }

    #[test]
    fn only_labs_own_colours_are_let_through() {
        for own in ["\u{1b}[0m", "\u{1b}[m", "\u{1b}[32m", "\u{1b}[1;31m", "\u{1b}[38;5;9m", "\u{1b}[0;1;94m"] {
            assert_eq!(colour(&format!("{own}text")), Some(own.len()), "{own:?}");
            assert_eq!(shown(own, true), own);
            assert!(!shown(own, false).contains('\u{1b}'), "{own:?}");
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
            let kept = shown(foreign, true);
            assert!(!kept.contains('\u{1b}') || foreign.ends_with("\u{1b}\\"), "{foreign:?} > {kept:?}");
            assert!(!kept.starts_with('\u{1b}'), "{foreign:?} > {kept:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_is_obeyed(text in any::<String>()) {
            let kept = clean_lines(&text);
            prop_assert!(kept.chars().all(|c| c == '\n' || c == '\t' || !(is_control(c) || is_invisible(c))));
            prop_assert_eq!(clean_lines(&kept), kept.clone());
            prop_assert!(clean(&text).chars().all(|c| !is_control(c) && !is_invisible(c)));
        }
    }
}
