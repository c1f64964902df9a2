//! Replaces `${NAME}` in values as in the Compose Specification: `$NAME`, `${NAME}`, `${NAME:-default}` (unset or empty),
//! `${NAME-default}` (unset), `${NAME:?message}`, `${NAME?message}`, and `$$` for a dollar sign. Unlike in Compose, an unset
//! variable without a default is an error, because for example an empty password fails later and less clearly.

use crate::variables::{NotUtf8, Variables};
use lab_yaml::node::{Node, NodeKind};
use lab_yaml::{Diagnostic, Diagnostics, Place, quote};

/// Maximum nesting of defaults.
const MAX_DEPTH: usize = 8;

/// Replaces the variables in all values of a document. Keys are not changed.
pub(super) fn document(node: &mut Node, env: &Variables, out: &mut Diagnostics) {
    match &mut node.kind {
        NodeKind::Null => {}
        NodeKind::Scalar(text) => match expand(text, env, 0) {
            Ok(expanded) => *text = expanded,
            Err(error) => out.push(error.at(&node.place)),
        },
        NodeKind::List(items) => items.iter_mut().for_each(|item| document(item, env, out)),
        NodeKind::Mapping(entries) => entries.iter_mut().for_each(|entry| document(&mut entry.value, env, out)),
    }
}

/// An invalid variable in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VariableError {
    message: String,
    label: String,
    /// The variable as written.
    part: String,
}

impl VariableError {
    fn new(message: impl Into<String>, label: impl Into<String>, part: &str) -> Self {
        Self { message: message.into(), label: label.into(), part: part.to_owned() }
    }

    /// Places the error inside the text at `place`.
    pub(super) fn at(self, place: &Place) -> Diagnostic {
        Diagnostic::at(self.message, &place.narrow(&self.part)).label(self.label)
    }
}

/// Replaces the variables in a text.
pub(super) fn text(text: &str, env: &Variables) -> Result<String, VariableError> {
    expand(text, env, 0)
}

/// Looks up a variable of which only the name is written.
pub(super) fn variable(name: &str, env: &Variables) -> Result<Option<String>, VariableError> {
    Ok(look_up(name, env, name)?.map(str::to_owned))
}

fn expand(text: &str, env: &Variables, depth: usize) -> Result<String, VariableError> {
    if depth > MAX_DEPTH {
        return Err(VariableError::new("defaults are nested too deeply", format!("the limit is {MAX_DEPTH}"), text));
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let after = &rest[1..];
        let length = match after.chars().next() {
            Some('$') => {
                out.push('$');
                2
            }
            Some('{') => {
                let length = closing(rest).ok_or_else(|| {
                    VariableError::new("`${` is not closed", "expected `${NAME}`, or `$$` for a dollar sign", rest)
                })?;
                let whole = &rest[..length];
                out.push_str(&braced(&whole[2..length - 1], whole, env, depth)?);
                length
            }
            _ => {
                let name = name_of(after);
                if name.is_empty() {
                    return Err(VariableError::new(
                        "`$` without a name",
                        "expected `${NAME}`, or `$$` for a dollar sign",
                        rest,
                    ));
                }
                let whole = &rest[..=name.len()];
                out.push_str(look_up(name, env, whole)?.ok_or_else(|| unset(name, whole))?);
                whole.len()
            }
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns the length of the `${…}` at the start of a text, including nested braces.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Returns the variable name at the start of a text, or an empty string.
pub(super) fn name_of(text: &str) -> &str {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if starts { &text[..end] } else { "" }
}

fn look_up<'e>(name: &str, env: &'e Variables, whole: &str) -> Result<Option<&'e str>, VariableError> {
    env.get(name).map_err(|NotUtf8| {
        let message = format!("the value of the variable {} is not UTF-8", quote(name));
        VariableError::new(message, "set it to UTF-8 text, or unset it", whole)
    })
}

fn unset(name: &str, whole: &str) -> VariableError {
    VariableError::new(
        format!("the variable {} is not set", quote(name)),
        format!("set it, or give a default: `${{{name}:-…}}`"),
        whole,
    )
}

fn braced(inner: &str, whole: &str, env: &Variables, depth: usize) -> Result<String, VariableError> {
    const FORMS: &str =
        "expected `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}` or `${NAME?message}`";
    let name = name_of(inner);
    if name.is_empty() {
        return Err(VariableError::new(format!("{} has no name", quote(whole)), FORMS, whole));
    }
    let set = look_up(name, env, whole)?;
    let filled = set.filter(|value| !value.is_empty());
    let rest = &inner[name.len()..];
    let default = |default: &str| expand(default, env, depth + 1);
    let missing = |message: &str| {
        let label = if message.is_empty() { "it must be set".to_owned() } else { message.to_owned() };
        VariableError::new(format!("the variable {} is not set", quote(name)), label, whole)
    };
    if rest.is_empty() {
        set.map(str::to_owned).ok_or_else(|| unset(name, whole))
    } else if let Some(text) = rest.strip_prefix(":-") {
        filled.map_or_else(|| default(text), |value| Ok(value.to_owned()))
    } else if let Some(text) = rest.strip_prefix('-') {
        set.map_or_else(|| default(text), |value| Ok(value.to_owned()))
    } else if let Some(message) = rest.strip_prefix(":?") {
        filled.map(str::to_owned).ok_or_else(|| missing(message))
    } else if let Some(message) = rest.strip_prefix('?') {
        set.map(str::to_owned).ok_or_else(|| missing(message))
    } else {
        Err(VariableError::new(format!("{} is not supported", quote(whole)), FORMS, whole))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{VariableError, Variables, expand};

    fn expanded(text: &str) -> Result<String, VariableError> {
        let env = BTreeMap::from([("A", "1"), ("EMPTY", ""), ("_b2", "x y")]);
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        expand(text, &Variables::new(&env, []), 0)
    }

    #[test]
    fn every_form_of_the_specification_that_is_supported() {
        let good = [
            ("", ""),
            ("no variable: 5€", "no variable: 5€"),
            ("$A${A}$$A", "11$A"),
            ("$_b2.", "x y."),
            ("${NONE:-d}${NONE-e}", "de"),
            ("${EMPTY:-d}[${EMPTY-e}]", "d[]"),
            ("${A:-d}${A-e}${A:?f}${A?g}", "1111"),
            ("${NONE:-${A}0${NONE:-}}é", "10é"),
            ("${NONE:-a:b-c}", "a:b-c"),
        ];
        for (text, expected) in good {
            assert_eq!(expanded(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn errors_name_the_variable() {
        let bad = [
            ("a ${NONE} b", "the variable `NONE` is not set | set it, or give a default: `${NONE:-…}` | ${NONE}"),
            ("$NONE.x", "the variable `NONE` is not set | set it, or give a default: `${NONE:-…}` | $NONE"),
            ("${EMPTY:?set it}", "the variable `EMPTY` is not set | set it | ${EMPTY:?set it}"),
            ("${NONE?}", "the variable `NONE` is not set | it must be set | ${NONE?}"),
        ];
        for (text, expected) in bad {
            let VariableError { message, label, part } = expanded(text).unwrap_err();
            assert_eq!(format!("{message} | {label} | {part}"), expected);
        }
        for bad in
            ["${", "${A", "$", "$ ", "$1", "${}", "${1A}", "${A:+b}", "${A/b/c}", "${NONE:-${B}", "${NONE:-${B}}"]
        {
            assert!(expanded(bad).is_err(), "{bad}");
        }
        let deep = format!("{}x{}", "${N:-".repeat(20), "}".repeat(20));
        assert!(expanded(&deep).unwrap_err().message.starts_with("defaults are nested too deeply"));
    }
}
