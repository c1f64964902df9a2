//! Regular expressions of `PromQL`. Their syntax is Go's; constructs that the `regex` crate treats differently are rewritten
//! or refused.

use regex::Regex;

use super::error::{PatternError, PatternReason};

/// Compiles a pattern, anchored at both ends. The error names the unsupported construct.
pub(super) fn pattern(text: &str) -> Result<Regex, PatternError> {
    let refuse = |reason| PatternError { pattern: text.to_owned(), reason };
    let rewritten = rewrite(text).map_err(refuse)?;
    // Compiled alone first, so that the parentheses of the anchored form cannot balance it.
    Regex::new(&rewritten)
        .and_then(|_| Regex::new(&format!("^(?s:{rewritten})$")))
        .map_err(|error| refuse(PatternReason::Regex(error.to_string().lines().last().unwrap_or_default().to_owned())))
}

fn rewrite(text: &str) -> Result<String, PatternReason> {
    let mut translated = String::new();
    let mut rest = text;
    // Go refuses a repetition of a repetition.
    let mut is_repeated = false;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        let was_repeated = std::mem::take(&mut is_repeated);
        let most = if char == '{' { repeat(rest) } else { None };
        match char {
            '\\' => rest = escape(rest, false, &mut translated)?,
            '[' => rest = class(rest, &mut translated)?,
            '(' if rest.starts_with('?') => {
                let flags = rest[1..].find(|char: char| !"imsU-".contains(char)).unwrap_or_default();
                let is_named = ["?P<", "?<"].iter().any(|name| rest.starts_with(name));
                if !is_named && !rest[1 + flags..].starts_with([':', ')']) {
                    return Err(PatternReason::Group);
                }
                translated.push_str("(?");
                rest = &rest[1..];
            }
            // A brace that is not a repetition is literal.
            '{' if most.is_none() => translated.push_str("\\{"),
            '*' | '+' | '?' | '{' => {
                if was_repeated || most.is_some_and(|most| most > 1_000) {
                    return Err(PatternReason::Repetition);
                }
                let length = if most.is_some() { rest.find('}').map_or(0, |end| end + 1) } else { 0 };
                let length = length + usize::from(rest[length..].starts_with('?'));
                translated.push(char);
                translated.push_str(&rest[..length]);
                rest = &rest[length..];
                is_repeated = true;
            }
            char => translated.push(char),
        }
    }
    Ok(translated)
}

/// Rewrites a class after its `[` and returns the rest.
fn class<'t>(text: &'t str, translated: &mut String) -> Result<&'t str, PatternReason> {
    let negated = text.starts_with('^');
    translated.push_str(if negated { "[^" } else { "[" });
    let mut rest = &text[usize::from(negated)..];
    let mut is_first = true;
    loop {
        let char = rest.chars().next().ok_or(PatternReason::OpenClass)?;
        rest = &rest[char.len_utf8()..];
        match char {
            ']' if !is_first => {
                translated.push(']');
                return Ok(rest);
            }
            '\\' => rest = escape(rest, true, translated)?,
            '[' if rest.starts_with(':') => {
                let (name, after) = rest.split_once(":]").ok_or(PatternReason::OpenClassName)?;
                translated.extend(["[", name, ":]"]);
                rest = after;
            }
            '-' if rest.starts_with('-') => return Err(PatternReason::Difference),
            '[' | ']' | '&' | '~' => translated.extend(['\\', char]),
            char => translated.push(char),
        }
        is_first = false;
    }
}

/// Rewrites the escape after a `\` and returns the rest. Go's classes are ASCII only.
fn escape<'t>(text: &'t str, in_class: bool, translated: &mut String) -> Result<&'t str, PatternReason> {
    let char = text.chars().next().ok_or(PatternReason::Backslash)?;
    match char {
        'd' => translated.push_str("[0-9]"),
        'D' => translated.push_str("[^0-9]"),
        'w' => translated.push_str("[0-9A-Za-z_]"),
        'W' => translated.push_str("[^0-9A-Za-z_]"),
        's' => translated.push_str(r"[\t\n\x0c\r ]"),
        'S' => translated.push_str(r"[^\t\n\x0c\r ]"),
        'b' if !in_class => translated.push_str(r"(?-u:\b)"),
        'A' | 'z' if !in_class => translated.extend(['\\', char]),
        'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'x' | 'p' | 'P' => translated.extend(['\\', char]),
        char if char.is_ascii_punctuation() => translated.extend(['\\', char]),
        char => return Err(PatternReason::Escape(char)),
    }
    Ok(&text[char.len_utf8()..])
}

/// Largest number in `2}`, `2,}` or `2,3}`. `None` for anything else.
fn repeat(text: &str) -> Option<u32> {
    let (inner, _) = text.split_once('}')?;
    let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
    let number = |text: &str| text.parse().ok().filter(|_| text.chars().all(|char| char.is_ascii_digit()));
    let least = number(least)?;
    if most.is_empty() { Some(least) } else { number(most).map(|most: u32| most.max(least)) }
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn patterns_match_as_in_go() {
        let cases = [
            ("5..", "503", true),
            ("5..", "5030", false),
            ("a|b", "ab", false),
            ("a.b", "a\nb", true),
            (r"\d+", "\u{664}", false),
            (r"\w", "\u{e9}", false),
            (r"[\d_]+", "1_2", true),
            ("a{b}", "a{b}", true),
            ("a{,2}", "a{,2}", true),
            ("a{2}", "aa", true),
            ("[[a]", "[", true),
            ("[a&&b]", "&", true),
            ("[]a]+", "]a", true),
            ("[^]a]", "]", false),
            ("[[:alpha:]]+", "ab", true),
            (r"a\.b", "a.b", true),
            ("(?i)AB", "ab", true),
            ("(?P<n>a)", "a", true),
            ("", "", true),
        ];
        for (text, value, expected) in cases {
            assert_eq!(
                pattern(text).unwrap_or_else(|error| panic!("{error}")).is_match(value),
                expected,
                "{text} {value}"
            );
        }
        for wrong in ["(", "a)|(b", "(?x)a", r"\h", r"\Qa\E", r"\1", "a{1001}", "[a--b]", "*", "a**", "\\"] {
            assert!(pattern(wrong).is_err(), "{wrong}");
        }
    }
}
