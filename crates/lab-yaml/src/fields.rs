//! Checks mappings against the allowed keys: unknown keys, duplicate keys, values of the wrong kind. Reports every
//! problem and keeps reading.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostic, Diagnostics, nearest, quote_list};
use super::node::{Entry, Node, NodeKind, Text};
use super::place::Place;

/// Entries of a mapping with arbitrary keys, without duplicates. Reports any other value and returns `None`.
pub fn entries<'n>(node: &'n Node, key: &Text, out: &mut Diagnostics) -> Option<Vec<&'n Entry>> {
    let NodeKind::Mapping(entries) = &node.kind else {
        if matches!(node.kind, NodeKind::Null) {
            out.push(missing_value(key, "a mapping: `{ name: value }`"));
        } else {
            out.push(wrong_kind(&key.text, node, "a mapping: `{ name: value }`"));
        }
        return None;
    };
    Some(unique(entries, out))
}

fn unique<'n>(entries: &'n [Entry], out: &mut Diagnostics) -> Vec<&'n Entry> {
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    let mut unique = Vec::new();
    for entry in entries {
        if let Some(first) = seen.get(entry.key.text.as_str()) {
            out.push(
                Diagnostic::at(
                    format!("{} is defined twice", super::diagnostics::quote(&entry.key.text)),
                    &entry.key.place,
                )
                .label("remove one of the two")
                .note(format!("the first one is at {first}")),
            );
        } else {
            seen.insert(&entry.key.text, &entry.key.place);
            unique.push(entry);
        }
    }
    unique
}

/// Entries of a mapping with a fixed set of keys.
pub struct Fields<'n> {
    entries: BTreeMap<&'n str, &'n Entry>,
    /// Known keys suggested for unknown ones.
    suggested: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Reads a mapping; `what` names it in messages (`a step`). Unknown keys are reported and skipped. Keys in
    /// `refused` are reported with the given reason.
    pub fn read(
        entries: &'n [Entry],
        what: &str,
        known: &[&'static str],
        refused: &[(&str, &str)],
        out: &mut Diagnostics,
    ) -> Self {
        let mut fields = BTreeMap::new();
        let mut suggested = Vec::new();
        for entry in unique(entries, out) {
            if let Some((name, why)) = refused.iter().find(|(name, _)| *name == entry.key.text) {
                let message = format!("`{name}` is not supported in {what}");
                out.push(Diagnostic::at(message, &entry.key.place).label(*why));
                continue;
            }
            let key = entry.key.text.as_str();
            if known.contains(&key) {
                fields.insert(key, entry);
                continue;
            }
            let near = if out.are_few() { nearest(key, known.iter().copied()) } else { None };
            suggested.extend(near);
            let label = near.map_or_else(|| "no such key here".to_owned(), |near| format!("did you mean `{near}`?"));
            let message = format!("unknown key {} in {what}", super::diagnostics::quote(key));
            out.push(
                Diagnostic::at(message, &entry.key.place)
                    .label(label)
                    .help(format!("the keys of {what}: {}", quote_list(known.iter().copied()))),
            );
        }
        Self { entries: fields, suggested }
    }

    /// Returns true if the key is missing and no unknown key looks like it.
    pub fn lacks(&self, key: &str) -> bool {
        !self.entries.contains_key(key) && !self.suggested.contains(&key)
    }

    /// Entry of a key. `None` if the key is missing.
    pub fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.get(key).copied()
    }

    /// Scalar value of a key. Reports any other value and returns `None`.
    pub fn text(&self, key: &str, out: &mut Diagnostics) -> Option<Text> {
        text(self.get(key)?, out)
    }
}

/// Value of an entry as a scalar. Reports any other value and returns `None`.
pub fn text(entry: &Entry, out: &mut Diagnostics) -> Option<Text> {
    match &entry.value.kind {
        NodeKind::Scalar(text) => Some(Text { text: text.clone(), place: entry.value.place.clone() }),
        NodeKind::Null => {
            out.push(missing_value(&entry.key, "one value"));
            None
        }
        _ => {
            out.push(wrong_kind(&entry.key.text, &entry.value, "one value"));
            None
        }
    }
}

/// Error for a key without a value.
pub fn missing_value(key: &Text, expected: &str) -> Diagnostic {
    Diagnostic::at(format!("{} has no value", super::diagnostics::quote(&key.text)), &key.place)
        .label(format!("expected {expected}"))
}

/// Error for a value of the wrong kind.
pub fn wrong_kind(key: &str, node: &Node, expected: &str) -> Diagnostic {
    let key = super::diagnostics::quote(key);
    Diagnostic::at(format!("{key} is {}", node.describe()), &node.place).label(format!("expected {expected}"))
}
