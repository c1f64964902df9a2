//! The words of an expression: [`words`] cuts `PromQL` into [`Word`]s.

/// A word, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) kind: Kind,
    /// In characters, from 1, as Prometheus counts.
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A metric, a label, a function, or one of the operators that are words.
    Name(String),
    Number(f64),
    /// `30s`, in milliseconds.
    Duration(i64),
    Text(String),
    /// `(`, `>=`, `=~`, ….
    Sign(&'static str),
}

/// The longest first.
const SIGNS: [&str; 20] =
    ["=~", "!~", "==", "!=", "<=", ">=", "(", ")", "{", "}", "[", "]", ",", "=", "<", ">", "+", "-", "*", "/"];

/// The words of a text, or what is no word and where it stands.
pub(super) fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        // A comment goes on to the end of its line.
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let at = text[..text.len() - rest.len()].chars().count() + 1;
        let Some(first) = rest.chars().next() else { return Ok(words) };
        let (kind, length) = if first.is_ascii_digit() || first == '.' {
            number(rest).map_err(|error| format!("{error} at {at}"))?
        } else if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            let length =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            (Kind::Name(rest[..length].to_owned()), length)
        } else if first == '"' || first == '\'' {
            quoted(rest, first).ok_or_else(|| format!("a text without an end at {at}"))?
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("`{first}` at {at}, which lab does not know"))?;
            (Kind::Sign(sign), sign.len())
        };
        words.push(Word { kind, at });
        rest = &rest[length..];
    }
}

/// `0.5`, `1e-3`, or a duration such as `1m30s`.
fn number(text: &str) -> Result<(Kind, usize), String> {
    let plain = |c: char| c.is_ascii_digit() || c == '.';
    let digits = text.find(|c| !plain(c)).unwrap_or(text.len());
    let after = &text[digits..];
    if after.starts_with(|c: char| c.is_ascii_alphabetic() && !"eE".contains(c)) {
        let length = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let millis = duration(&text[..length]).ok_or_else(|| format!("`{}` is no duration", &text[..length]))?;
        return Ok((Kind::Duration(millis), length));
    }
    let exponent = after.strip_prefix(['e', 'E']).map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
    let length = exponent.map_or(digits, |power| {
        text.len() - power.len() + power.find(|c: char| !c.is_ascii_digit()).unwrap_or(power.len())
    });
    let value = text[..length].parse().map_err(|_| format!("`{}` is no number", &text[..length]))?;
    Ok((Kind::Number(value), length))
}

/// A duration as Prometheus writes it, in milliseconds: `1m30s`, `1500ms`.
pub(super) fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    let (mut rest, mut millis, mut last) = (text, 0_i64, i64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let amount: i64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |end| digits + end);
        let (_, unit_millis) = UNITS.iter().find(|(name, _)| *name == &rest[digits..unit])?;
        // The larger units come first, each once.
        if *unit_millis >= last {
            return None;
        }
        last = *unit_millis;
        millis = millis.checked_add(amount.checked_mul(*unit_millis)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(millis)
}

fn quoted(text: &str, quote: char) -> Option<(Kind, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, char)) = chars.next() {
        match char {
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            char if char == quote => return Some((Kind::Text(value), index + 1)),
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Kind, duration, words};

    #[test]
    fn durations_are_prometheus_own() {
        let cases = [("30s", Some(30_000)), ("1m30s", Some(90_000)), ("1500ms", Some(1_500)), ("0s", Some(0))];
        for (text, millis) in cases {
            assert_eq!(duration(text), millis, "{text}");
        }
        for wrong in ["", "30", "s", "1.5s", "30s1m", "1s1s", "-1s", "1 s", "99999999999999999999s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_expression_is_cut_into_its_words() {
        let kinds: Vec<Kind> = words("a:b{c=~\"5..\"}[1m] >= 1e-3 # why\n or .5")
            .expect("words")
            .into_iter()
            .map(|word| word.kind)
            .collect();
        let name = |text: &str| Kind::Name(text.to_owned());
        let expected = [
            name("a:b"),
            Kind::Sign("{"),
            name("c"),
            Kind::Sign("=~"),
            Kind::Text("5..".to_owned()),
            Kind::Sign("}"),
            Kind::Sign("["),
            Kind::Duration(60_000),
            Kind::Sign("]"),
            Kind::Sign(">="),
            Kind::Number(0.001),
            name("or"),
            Kind::Number(0.5),
        ];
        assert_eq!(kinds, expected);
        for (wrong, at) in [("a @ 5", "`@` at 3"), ("'x", "at 1"), ("1.2.3", "no number at 1"), ("é", "`é` at 1")] {
            let error = words(wrong).expect_err(wrong);
            assert!(error.contains(at), "{wrong}: {error}");
        }
    }
}
