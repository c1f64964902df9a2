//! `${NAME}` in values, as the Compose Specification has it: `$NAME`, `${NAME}`, `${NAME:-default}` (unset or empty),
//! `${NAME-default}` (unset), `${NAME:?message}`, `${NAME?message}`, and `$$` for a dollar sign. Other than there, a variable
//! that is not set and has no default is an error: an empty password would do worse later.

use crate::variables::{NotUtf8, Variables};
use lab_yaml::node::{Node, NodeKind};
use lab_yaml::{Diagnostic, Diagnostics, Place, quote};

/// Defaults within defaults.
const DEEPEST: usize = 8;

/// Replaces the variables in all values of a document; keys stay as they are.
pub(super) fn document(node: &mut Node, env: &Variables, out: &mut Diagnostics) {
    match &mut node.kind {
        NodeKind::Null => {}
        NodeKind::Scalar(text) => match expand(text, env, 0) {
            Ok(expanded) => *text = expanded,
            Err(problem) => out.push(problem.at(&node.place)),
        },
        NodeKind::List(items) => items.iter_mut().for_each(|item| document(item, env, out)),
        NodeKind::Mapping(entries) => entries.iter_mut().for_each(|entry| document(&mut entry.value, env, out)),
    }
}

/// What is wrong with a variable in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    message: String,
    label: String,
    /// As it is written.
    part: String,
}

impl Problem {
    fn new(message: impl Into<String>, label: impl Into<String>, part: &str) -> Self {
        Self { message: message.into(), label: label.into(), part: part.to_owned() }
    }

    /// In the text at a place.
    pub(super) fn at(self, place: &Place) -> Diagnostic {
        Diagnostic::at(self.message, &place.narrow(&self.part)).label(self.label)
    }
}

/// A text with its variables replaced.
pub(super) fn text(text: &str, env: &Variables) -> Result<String, Problem> {
    expand(text, env, 0)
}

/// The value of a variable whose name alone is written, if it is set.
pub(super) fn variable(name: &str, env: &Variables) -> Result<Option<String>, Problem> {
    Ok(look_up(name, env, name)?.map(str::to_owned))
}

fn expand(text: &str, env: &Variables, depth: usize) -> Result<String, Problem> {
    if depth > DEEPEST {
        return Err(Problem::new("defaults nest too deep", format!("the limit is {DEEPEST}"), text));
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
                    Problem::new("`${` is not closed", "expected `${NAME}`, or `$$` for a dollar sign", rest)
                })?;
                let whole = &rest[..length];
                out.push_str(&braced(&whole[2..length - 1], whole, env, depth)?);
                length
            }
            _ => {
                let name = name_of(after);
                if name.is_empty() {
                    return Err(Problem::new(
                        "`$` stands alone",
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

/// The length of `${…}` at the start of a text, with braces within it.
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

/// The name of a variable at the start of a text; empty if there is none.
pub(super) fn name_of(text: &str) -> &str {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if starts { &text[..end] } else { "" }
}

fn look_up<'e>(name: &str, env: &'e Variables, whole: &str) -> Result<Option<&'e str>, Problem> {
    env.get(name).map_err(|NotUtf8| {
        let message = format!("the value of the variable {} is not UTF-8", quote(name));
        Problem::new(message, "set it to UTF-8 text, or unset it", whole)
    })
}

fn unset(name: &str, whole: &str) -> Problem {
    Problem::new(
        format!("the variable {} is not set", quote(name)),
        format!("set it, or give a default: `${{{name}:-…}}`"),
        whole,
    )
}

fn braced(inner: &str, whole: &str, env: &Variables, depth: usize) -> Result<String, Problem> {
    const FORMS: &str =
        "expected `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}` or `${NAME?message}`";
    let name = name_of(inner);
    if name.is_empty() {
        return Err(Problem::new(format!("{} has no name", quote(whole)), FORMS, whole));
    }
    let set = look_up(name, env, whole)?;
    let filled = set.filter(|value| !value.is_empty());
    let rest = &inner[name.len()..];
    let default = |default: &str| expand(default, env, depth + 1);
    let missing = |message: &str| {
        let told = if message.is_empty() { "it has to be set".to_owned() } else { message.to_owned() };
        Problem::new(format!("the variable {} is not set", quote(name)), told, whole)
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
        Err(Problem::new(format!("{} is not supported", quote(whole)), FORMS, whole))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Variables, expand};

    fn expanded(text: &str) -> Result<String, String> {
        let env = BTreeMap::from([("A", "1"), ("EMPTY", ""), ("_b2", "x y")]);
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        expand(text, &Variables::new(&env, []), 0)
            .map_err(|problem| format!("{} | {} | {}", problem.message, problem.label, problem.part))
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
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let bad = [
            ("a ${NONE} b", "the variable `NONE` is not set | set it, or give a default: `${NONE:-…}` | ${NONE}"),
            ("$NONE.x", "the variable `NONE` is not set | set it, or give a default: `${NONE:-…}` | $NONE"),
            ("${EMPTY:?set it}", "the variable `EMPTY` is not set | set it | ${EMPTY:?set it}"),
            ("${NONE?}", "the variable `NONE` is not set | it has to be set | ${NONE?}"),
        ];
        for (text, expected) in bad {
            assert_eq!(expanded(text).unwrap_err(), expected);
        }
        for bad in
            ["${", "${A", "$", "$ ", "$1", "${}", "${1A}", "${A:+b}", "${A/b/c}", "${NONE:-${B}", "${NONE:-${B}}"]
        {
            assert!(expanded(bad).is_err(), "{bad}");
        }
        let deep = format!("{}x{}", "${N:-".repeat(20), "}".repeat(20));
        assert!(expanded(&deep).unwrap_err().starts_with("defaults nest too deep"));
    }
}
