//! Words of a console's line: separated by spaces and quoted as in a shell, without any expansion.

/// Characters that mean something else to a shell, and what a participant may expect of them.
const OPERATORS: [char; 8] = ['|', '&', ';', '<', '>', '(', ')', '`'];

/// Splits a line into words.
///
/// # Errors
/// The text for the participant.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut rest = line.trim().chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => quoted(&mut rest, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut rest, '"', word.get_or_insert_default())?,
            '\\' => {
                let next = rest.next().ok_or("the line ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            c if OPERATORS.contains(&c) => {
                return Err(format!("this console is not a shell: put {c} into quotes if it belongs to a value"));
            }
            c if c.is_control() => return Err("the line has a control character".to_owned()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Adds the rest of a quoted part to a word. In double quotes, a backslash protects a quote and itself.
fn quoted(rest: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), String> {
    let open = || format!("a {quote} is missing at the end");
    loop {
        match rest.next().ok_or_else(open)? {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => match rest.next().ok_or_else(open)? {
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c if c.is_control() => return Err("the line has a control character".to_owned()),
            c => word.push(c),
        }
    }
}

/// Joins words to a line that [`split`] reads as the same words.
pub(super) fn join(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,~".contains(c);
    let quote = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_in_a_shell_and_nothing_is_expanded() {
        for (line, words) in [
            ("", &[][..]),
            ("  logs   app\t-n 5 ", &["logs", "app", "-n", "5"]),
            (r#"db query 'SELECT "a" FROM t' x"#, &["db", "query", r#"SELECT "a" FROM t"#, "x"]),
            (r#"a"b c"'d e'f"#, &["ab cd ef"]),
            (r#""a\"b\\c\n" \' \  '\'"#, &[r#"a"b\c\n"#, "'", " ", r"\"]),
            ("'' \"\"", &["", ""]),
            ("$HOME ~ *.rs '$(x)' a=$b", &["$HOME", "~", "*.rs", "$(x)", "a=$b"]),
        ] {
            assert_eq!(
                split(line).as_deref(),
                Ok(words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().as_slice()),
                "{line}"
            );
        }
        for wrong in
            ["status | cat", "status; ls", "a && b", "a > b", "$(ls)", "`ls`", "'a", "\"a", "a\\", "a\u{1b}b", "'a\nb'"]
        {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn joined_words_are_split_into_the_same(words in prop::collection::vec("[^\\p{Cc}]{0,12}", 0..5)) {
            prop_assert_eq!(split(&join(&words)).unwrap(), words);
        }

        #[test]
        fn no_line_panics(line in ".{0,40}") {
            let _ = split(&line);
        }
    }
}
