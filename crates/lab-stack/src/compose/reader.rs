//! Shared readers for scalars, lists, commands and mappings in the forms that Compose allows, and for keys that lab does not
//! support.

use std::collections::BTreeMap;

use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, quote};

use super::value_error::ValueError;
use super::values;

/// Unsupported keys of Compose, each with the reason.
pub(super) type Refused = &'static [(&'static str, &'static str)];

/// Checks the entries of a mapping against the known keys. Keys in `refused` are reported with their reason, unknown ones with a
/// suggestion.
pub(super) fn known<'n>(
    node: &'n Node,
    key: &Text,
    what: &str,
    keys: &[&'static str],
    refused: Refused,
    out: &mut Diagnostics,
) -> Option<Fields<'n>> {
    let NodeKind::Mapping(all) = &node.kind else {
        fields::entries(node, key, out);
        return None;
    };
    Some(Fields::read(all, what, keys, refused, out))
}

/// Reads the mapping under a key, with the keys that it may contain.
pub(super) fn inner<'n>(
    fields: &Fields<'n>,
    key: &str,
    keys: &[&'static str],
    refused: Refused,
    out: &mut Diagnostics,
) -> Option<Fields<'n>> {
    let entry = fields.get(key)?;
    known(&entry.value, &entry.key, &format!("`{key}`"), keys, refused, out)
}

/// Parses a scalar with `read` and reports its error.
pub(super) fn parse<T>(
    text: &Text,
    what: &str,
    read: impl FnOnce(&str) -> Result<T, ValueError>,
    out: &mut Diagnostics,
) -> Option<T> {
    read(&text.text)
        .map_err(|error| {
            out.push(
                Diagnostic::at(format!("`{what}` is {}", quote(&text.text)), &text.place).label(error.to_string()),
            );
        })
        .ok()
}

/// Parses the scalar under a key with `read`.
pub(super) fn value<T>(
    fields: &Fields,
    key: &str,
    read: impl FnOnce(&str) -> Result<T, ValueError>,
    out: &mut Diagnostics,
) -> Option<T> {
    let text = fields.text(key, out)?;
    parse(&text, key, read, out)
}

/// Parses the scalar under a required key.
pub(super) fn required<T>(
    fields: &Fields,
    key: &str,
    (of, what): (&Text, &str),
    read: impl FnOnce(&str) -> Result<T, ValueError>,
    out: &mut Diagnostics,
) -> Option<T> {
    if fields.lacks(key) {
        out.push(Diagnostic::at(format!("{what} has no `{key}`"), &of.place).label(format!("expected `{key}` here")));
    }
    value(fields, key, read, out)
}

/// Reads a list of scalars.
pub(super) fn scalars(key: &str, node: &Node, out: &mut Diagnostics) -> Vec<Text> {
    let NodeKind::List(items) = &node.kind else {
        out.push(fields::wrong_kind(key, node, "a list: `[one, two]`"));
        return Vec::new();
    };
    let mut texts = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::Scalar(text) => texts.push(Text { text: text.clone(), place: item.place.clone() }),
            _ => out.push(
                Diagnostic::at(format!("an item of `{key}` is {}", item.describe()), &item.place)
                    .label("expected one value"),
            ),
        }
    }
    texts
}

/// Parses each scalar of a list with `read`.
pub(super) fn list<T>(
    fields: &Fields,
    key: &str,
    read: impl Fn(&str) -> Result<T, ValueError>,
    out: &mut Diagnostics,
) -> Vec<T> {
    let Some(entry) = fields.get(key) else { return Vec::new() };
    let texts = scalars(key, &entry.value, out);
    texts.iter().filter_map(|text| parse(text, key, &read, out)).collect()
}

/// Reads a command: a list of words, or a line that is split as in a shell.
pub(super) fn command(fields: &Fields, key: &str, out: &mut Diagnostics) -> Option<Vec<String>> {
    let entry = fields.get(key)?;
    if matches!(entry.value.kind, NodeKind::List(_)) {
        let words = scalars(key, &entry.value, out);
        if words.is_empty() {
            out.push(fields::missing_value(&entry.key, "a command"));
            return None;
        }
        return Some(words.into_iter().map(|word| word.text).collect());
    }
    value(fields, key, values::words, out)
}

/// Reads names and values from a mapping or a list of `NAME=value`. A name may have no value.
pub(super) fn pairs(fields: &Fields, key: &str, out: &mut Diagnostics) -> BTreeMap<String, (Option<String>, Text)> {
    let mut pairs = BTreeMap::new();
    let Some(entry) = fields.get(key) else { return pairs };
    if matches!(entry.value.kind, NodeKind::List(_)) {
        for text in scalars(key, &entry.value, out) {
            let (name, value) = match text.text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text.text.clone(), None),
            };
            if pairs.contains_key(&name) {
                let message = format!("{} appears twice in `{key}`", quote(&name));
                out.push(Diagnostic::at(message, &text.place).label("remove one of the two"));
                continue;
            }
            pairs.insert(name, (value, text));
        }
        return pairs;
    }
    for entry in fields::entries(&entry.value, &entry.key, out).unwrap_or_default() {
        let value = match &entry.value.kind {
            NodeKind::Null => None,
            _ => match fields::text(entry, out) {
                Some(text) => Some(text.text),
                None => continue,
            },
        };
        pairs.insert(entry.key.text.clone(), (value, entry.key.clone()));
    }
    pairs
}

/// Reads names and values, and reports names without a value.
pub(super) fn full_pairs(fields: &Fields, key: &str, out: &mut Diagnostics) -> BTreeMap<String, String> {
    let mut full = BTreeMap::new();
    for (name, (value, text)) in pairs(fields, key, out) {
        match value {
            Some(value) => drop(full.insert(name, value)),
            None => out.push(fields::missing_value(&text, "one value")),
        }
    }
    full
}
