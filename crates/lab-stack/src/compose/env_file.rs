//! Reads the variables of a stack from `.env`, in Compose's syntax: one `NAME=value` per line, optionally after `export`, with
//! literal `'value'`, `"value"` with escapes, and comments. `${NAME}` refers to the host's variables and to earlier lines.

use std::sync::Arc;

use crate::variables::Variables;
use lab_yaml::{Diagnostic, Diagnostics, Place, SourceFile, quote};

use super::interpolate;

/// Adds the variables of a file to `env`. Reports every invalid line.
pub(super) fn read(file: &Arc<SourceFile>, env: &mut Variables, out: &mut Diagnostics) {
    for number in 1..=file.line_count() {
        let (start, line) = file.line(number);
        let place = Place::new(file, start..start + line.len());
        match entry(line, env) {
            Ok(Some((name, value))) => drop(env.file.insert(name, value)),
            Ok(None) => {}
            Err(LineError::Line(message, label)) => out.push(Diagnostic::at(message, &place).label(label)),
            Err(LineError::Variable(error)) => out.push(error.at(&place)),
        }
    }
}

enum LineError {
    /// The message and the expected syntax.
    Line(String, &'static str),
    Variable(interpolate::VariableError),
}

/// Parses the variable of a line, if it has one.
fn entry(line: &str, env: &Variables) -> Result<Option<(String, String)>, LineError> {
    const EXPECTED: &str = "expected `NAME=value`, or a comment: `# …`";
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let name = interpolate::name_of(line);
    let rest = line[name.len()..].trim_start();
    if name.is_empty() || !(rest.is_empty() || rest.starts_with('=')) {
        return Err(LineError::Line(format!("{} is not a variable", quote(line)), EXPECTED));
    }
    // A name without a value means the host's variable, which has precedence anyway.
    let Some(value) = rest.strip_prefix('=') else { return Ok(None) };
    let text = match unquoted(value.trim_start())? {
        Value::Literal(text) => text,
        Value::Text(text) => interpolate::text(&text, env).map_err(LineError::Variable)?,
    };
    Ok(Some((name.to_owned(), text)))
}

enum Value {
    Literal(String),
    /// With variables to replace.
    Text(String),
}

/// Strips quotes and a comment from a value.
fn unquoted(value: &str) -> Result<Value, LineError> {
    let open = value.chars().next().filter(|mark| ['\'', '"'].contains(mark));
    let Some(mark) = open else {
        let comment =
            value.char_indices().find(|(at, c)| *c == '#' && (*at == 0 || value[..*at].ends_with(char::is_whitespace)));
        return Ok(Value::Text(value[..comment.map_or(value.len(), |(at, _)| at)].trim_end().to_owned()));
    };
    let mut text = String::new();
    let mut chars = value.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if mark == '"' => match chars.next().map(|(_, next)| next) {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('$') => text.push_str("$$"),
                Some(next @ ('"' | '\\')) => text.push(next),
                Some(next) => text.extend(['\\', next]),
                None => break,
            },
            c if c == mark => {
                let rest = value[at + 1..].trim();
                if !rest.is_empty() && !rest.starts_with('#') {
                    let message = format!("{} follows the value", quote(rest));
                    return Err(LineError::Line(message, "expected nothing or a comment"));
                }
                return Ok(if mark == '"' { Value::Text(text) } else { Value::Literal(text) });
            }
            c => text.push(c),
        }
    }
    Err(LineError::Line("a mark is not closed on its line".to_owned(), "write line breaks as `\\n` in double quotes"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn variables(text: &str) -> Result<BTreeMap<String, String>, Diagnostics> {
        let host = [("HOST".into(), "h".into())];
        let mut env = Variables::new(&BTreeMap::new(), host);
        let mut out = Diagnostics::default();
        read(&SourceFile::new(".env", text), &mut env, &mut out);
        if out.is_empty() { Ok(env.file) } else { Err(out) }
    }

    #[test]
    fn every_form_of_compose_is_read() {
        let text = "# comment\n\nA=1\r\nexport B = two words # comment\nC='$A # \"x\"' # comment\n\
            D=\"a\\n\\\"b\\\" \\$A $A\"\nE=${HOST}-${A}\nF=\nG=a#b\nHOST\nI=${NONE:-d}\nJ=\"\"\nK=#x\nA=3\n";
        let expected = [
            ("A", "3"),
            ("B", "two words"),
            ("C", "$A # \"x\""),
            ("D", "a\n\"b\" $A 1"),
            ("E", "h-1"),
            ("F", ""),
            ("G", "a#b"),
            ("I", "d"),
            ("J", ""),
            ("K", ""),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables(text).unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn errors_name_their_line() {
        for (line, message) in [
            ("1A=b", "`1A=b` is not a variable"),
            ("A: b", "`A: b` is not a variable"),
            ("A='b", "a mark is not closed on its line"),
            ("A=\"b\\\"", "a mark is not closed on its line"),
            ("A='b' c", "`c` follows the value"),
            ("A=${NONE}", "the variable `NONE` is not set"),
        ] {
            let error = variables(&format!("X=1\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains(".env:2:"), "{error}");
        }
    }
}
