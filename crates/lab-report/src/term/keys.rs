//! Keys, parsed from the bytes that a terminal sends
//! (<https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>, "PC-Style Function Keys").

/// Key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Character.
    Char(char),
    /// Letter with Ctrl.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

/// Parses the result of one read. Unknown sequences are skipped. A terminal sends the bytes of a key
/// together, so an escape at the end is the key itself.
pub(super) fn parse(bytes: &[u8]) -> Vec<Key> {
    let text = String::from_utf8_lossy(bytes);
    let mut keys = Vec::new();
    let mut rest = text.as_ref();
    while let Some(first) = rest.chars().next() {
        let (key, length) = match first {
            '\u{1b}' => escape(rest),
            '\r' | '\n' => (Some(Key::Enter), 1),
            '\t' => (Some(Key::Tab), 1),
            '\u{1}'..='\u{1a}' => (char::from_u32(u32::from(first) + 0x60).map(Key::Ctrl), 1),
            c if c.is_control() => (None, c.len_utf8()),
            c => (Some(Key::Char(c)), c.len_utf8()),
        };
        keys.extend(key);
        rest = &rest[length..];
    }
    keys
}

/// Parses an escape sequence. Returns the key and the length in bytes.
fn escape(text: &str) -> (Option<Key>, usize) {
    let after = &text[1..];
    match after.chars().next() {
        Some('[') => {
            // Parameter and intermediate bytes, then one final byte.
            let end = after[1..].find(|c: char| ('\u{40}'..='\u{7e}').contains(&c));
            let Some(end) = end else { return (None, text.len()) };
            let body = &after[1..=end + 1];
            (control(body), 2 + body.len())
        }
        Some('O') => {
            let Some(last) = after[1..].chars().next() else { return (None, text.len()) };
            (final_byte(last), 2 + last.len_utf8())
        }
        Some('\u{1b}') | None => (Some(Key::Escape), 1),
        // Alt with a key.
        Some(c) => (None, 1 + c.len_utf8()),
    }
}

/// Key for the text after `ESC [`.
fn control(body: &str) -> Option<Key> {
    match body {
        "1~" | "7~" => Some(Key::Home),
        "4~" | "8~" => Some(Key::End),
        "5~" => Some(Key::PageUp),
        "6~" => Some(Key::PageDown),
        "Z" => Some(Key::BackTab),
        _ if body.len() == 1 => body.chars().next().and_then(final_byte),
        _ => None,
    }
}

fn final_byte(last: char) -> Option<Key> {
    match last {
        'A' => Some(Key::Up),
        'B' => Some(Key::Down),
        'C' => Some(Key::Right),
        'D' => Some(Key::Left),
        'H' => Some(Key::Home),
        'F' => Some(Key::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Key, parse};

    #[test]
    fn keys_are_recognized_by_their_bytes() {
        assert_eq!(parse(b"qP?"), [Key::Char('q'), Key::Char('P'), Key::Char('?')]);
        assert_eq!(parse(b"\t\x1b[Z\r\x03\x1a"), [Key::Tab, Key::BackTab, Key::Enter, Key::Ctrl('c'), Key::Ctrl('z')]);
        assert_eq!(parse(b"\x1b[A\x1bOB\x1b[5~\x1b[6~"), [Key::Up, Key::Down, Key::PageUp, Key::PageDown]);
        assert_eq!(parse(b"\x1b[H\x1b[4~"), [Key::Home, Key::End]);
        assert_eq!(parse(b"\x1b"), [Key::Escape]);
        assert_eq!(parse("é日".as_bytes()), [Key::Char('é'), Key::Char('日')]);
    }

    #[test]
    fn unknown_sequences_are_skipped_completely() {
        // Ctrl and an arrow, a report of the cursor position, a mouse event, Alt and a letter.
        assert_eq!(parse(b"\x1b[1;5Aq"), [Key::Char('q')]);
        assert_eq!(parse(b"\x1b[24;80Rq"), [Key::Char('q')]);
        assert_eq!(parse(b"\x1b[<0;3;4Mq"), [Key::Char('q')]);
        assert_eq!(parse(b"\x1bxq"), [Key::Char('q')]);
        assert_eq!(parse(b"\x1b[1;"), []);
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            parse(&bytes);
        }
    }
}
