//! [`Parameter`]: a declaration of a parameter, as written.

use crate::schema;
use crate::template;
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, quote, quote_list};

/// A parameter declaration.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: Text,
    pub(crate) default: Option<Text>,
    /// Masked in all output.
    pub(crate) secret: bool,
    /// Replaces the default in a proof, which has to be quick.
    pub(crate) short: Option<Text>,
    /// How its value varies between drills.
    pub(crate) vary: Option<VaryFile>,
    /// True if the declaration is wrong, which has been reported.
    pub(crate) broken: bool,
}

/// Variation of a parameter, as written.
#[derive(Debug)]
pub(crate) enum VaryFile {
    /// A new key.
    Key,
    /// One of these values. `with` names the parameter that decides which one.
    OneOf { values: Vec<Text>, with: Option<Text> },
}

pub(super) fn parameters(entry: &Entry, out: &mut Diagnostics) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for entry in fields::entries(&entry.value, &entry.key, out).unwrap_or_default() {
        if template::is_name(&entry.key.text) {
            parameters.push(parameter(entry, out));
        } else {
            out.push(
                Diagnostic::at(format!("{} is not a valid parameter name", quote(&entry.key.text)), &entry.key.place)
                    .label("expected letters, digits, `_` and `-`, not starting with a digit"),
            );
        }
    }
    check_companions(&mut parameters, out);
    parameters
}

fn parameter(entry: &Entry, out: &mut Diagnostics) -> Parameter {
    let before = out.len();
    let name = entry.key.clone();
    let mut parameter = Parameter { name, default: None, secret: false, short: None, vary: None, broken: false };
    match &entry.value.kind {
        NodeKind::Mapping(inner) => {
            let fields = Fields::read(inner, schema::PARAMETER.label, &schema::PARAMETER.key_names(), &[], out);
            let _ = fields.text("description", out);
            parameter.secret = fields.text("secret", out).is_some_and(|text| flag("secret", &text, out));
            parameter.default = fields.text("default", out);
            parameter.short = fields.text("short", out);
            parameter.vary = vary(&fields, out);
        }
        NodeKind::Null => {}
        NodeKind::Scalar(_) | NodeKind::List(_) => {
            let expected = format!("a mapping: `{{ default: {} }}`", entry.value.describe().trim_matches('`'));
            out.push(fields::wrong_kind(&parameter.name.text, &entry.value, &expected));
        }
    }
    let values = match &parameter.vary {
        Some(VaryFile::OneOf { values, .. }) => values.as_slice(),
        Some(VaryFile::Key) | None => &[],
    };
    let values = values.iter().map(|text| ("value in `vary`", text));
    let defaults = parameter.default.iter().map(|text| ("default", text));
    for (which, text) in defaults.chain(parameter.short.iter().map(|text| ("short value", text))).chain(values) {
        if text.text.replace("$${", "").contains("${") {
            let message = format!("the {which} of `{}` refers to a parameter", parameter.name.text);
            out.push(Diagnostic::at(message, &text.place).label("expected a plain value"));
        }
    }
    Parameter { broken: out.len() > before, ..parameter }
}

/// Parses `true` or `false`. Parameters are not allowed here.
fn flag(key: &str, text: &Text, out: &mut Diagnostics) -> bool {
    if !matches!(text.text.as_str(), "true" | "false") {
        let message = format!("`{key}` is {}", quote(&text.text));
        out.push(Diagnostic::at(message, &text.place).label("expected `true` or `false`"));
    }
    text.text == "true"
}

/// Reads `vary` and `vary_with`.
fn vary(fields: &Fields<'_>, out: &mut Diagnostics) -> Option<VaryFile> {
    const EXPECTED: &str = "`key`, or a list of values";
    let with = fields.text("vary_with", out);
    let Some(entry) = fields.get("vary") else {
        if let Some(with) = with {
            let label = format!("expected `vary: [...]` with as many values as `{}` has", with.text);
            out.push(Diagnostic::at("`vary_with` without `vary`", &with.place).label(label));
        }
        return None;
    };
    match (&entry.value.kind, with) {
        (NodeKind::Scalar(text), None) if text == "key" => Some(VaryFile::Key),
        (NodeKind::Scalar(text), Some(with)) if text == "key" => {
            let label = "expected a list in `vary`, because a new key has no position";
            out.push(Diagnostic::at("`vary_with` next to `vary: key`", &with.place).label(label));
            None
        }
        (NodeKind::Scalar(text), _) => {
            let message = format!("`vary` is {}", quote(text));
            out.push(Diagnostic::at(message, &entry.value.place).label(format!("expected {EXPECTED}")));
            None
        }
        (NodeKind::List(_), with) => {
            let values = super::scalars(entry, EXPECTED, "a value", out);
            if values.is_empty() {
                let message = "`vary` has no values to choose from";
                out.push(Diagnostic::at(message, &entry.value.place).label("expected at least one value"));
            }
            Some(VaryFile::OneOf { values, with })
        }
        (NodeKind::Null, _) => {
            out.push(fields::missing_value(&entry.key, EXPECTED));
            None
        }
        (NodeKind::Mapping(_), _) => {
            out.push(fields::wrong_kind("vary", &entry.value, EXPECTED));
            None
        }
    }
}

/// Checks that the parameter named by `vary_with` has a list of the same length and decides for itself.
fn check_companions(parameters: &mut [Parameter], out: &mut Diagnostics) {
    let lengths: Vec<(String, usize)> = parameters
        .iter()
        .filter_map(|parameter| match &parameter.vary {
            Some(VaryFile::OneOf { values, with: None }) => Some((parameter.name.text.clone(), values.len())),
            _ => None,
        })
        .collect();
    for parameter in parameters {
        let Some(VaryFile::OneOf { values, with: Some(with) }) = &parameter.vary else { continue };
        let problem = match lengths.iter().find(|(name, _)| *name == with.text) {
            Some((_, length)) if *length == values.len() => continue,
            Some((name, length)) => Diagnostic::at(format!("`vary` has {} values", values.len()), &with.place)
                .label(format!("expected {length}, as many as `{name}` has")),
            None => {
                let message = format!("`vary_with` is {}", quote(&with.text));
                let names = quote_list(lengths.iter().map(|(name, _)| name.as_str()));
                Diagnostic::at(message, &with.place).label(match lengths.len() {
                    0 => "expected a parameter with a list in `vary` and no `vary_with`".to_owned(),
                    _ => format!("expected a parameter with a list in `vary` and no `vary_with`: {names}"),
                })
            }
        };
        out.push(problem);
        parameter.broken = true;
    }
}
