//! Reads mappings of a document against the keys that they may hold: unknown keys, keys that come twice, values of another
//! kind than expected. Everything found is reported and reading goes on.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostic, Diagnostics, list, near};
use super::node::{Entry, Node, NodeKind, Text};
use super::place::Place;

/// The entries of a mapping whose keys are free, each key once; none where it is, reported, something else.
pub fn entries<'n>(node: &'n Node, key: &Text, out: &mut Diagnostics) -> Option<Vec<&'n Entry>> {
    let NodeKind::Mapping(entries) = &node.kind else {
        if matches!(node.kind, NodeKind::Null) {
            out.push(nothing(key, "a mapping: `{ name: value }`"));
        } else {
            out.push(wrong(&key.text, node, "a mapping: `{ name: value }`"));
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
                Diagnostic::at(format!("{} comes twice", super::diagnostics::shown(&entry.key.text)), &entry.key.place)
                    .label("remove one of the two")
                    .note(format!("the first is at {first}")),
            );
        } else {
            seen.insert(&entry.key.text, &entry.key.place);
            unique.push(entry);
        }
    }
    unique
}

/// The entries of a mapping whose keys are known.
pub struct Fields<'n> {
    entries: BTreeMap<&'n str, &'n Entry>,
    /// Keys that were probably meant by unknown ones.
    meant: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// `what` has the mapping: `a step`. Unknown keys are reported and left out; those in `refused` with the reason why
    /// they are not for us.
    pub fn read(
        entries: &'n [Entry],
        what: &str,
        known: &[&'static str],
        refused: &[(&str, &str)],
        out: &mut Diagnostics,
    ) -> Self {
        let mut fields = BTreeMap::new();
        let mut meant = Vec::new();
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
            let near = if out.are_few() { near(key, known.iter().copied()) } else { None };
            meant.extend(near);
            let label = near.map_or_else(|| "no such key here".to_owned(), |near| format!("did you mean `{near}`?"));
            let message = format!("unknown key {} in {what}", super::diagnostics::shown(key));
            out.push(
                Diagnostic::at(message, &entry.key.place)
                    .label(label)
                    .help(format!("the keys of {what}: {}", list(known.iter().copied()))),
            );
        }
        Self { entries: fields, meant }
    }

    /// Whether there is no such key, nor one that was probably meant for it.
    pub fn lacks(&self, key: &str) -> bool {
        !self.entries.contains_key(key) && !self.meant.contains(&key)
    }

    pub fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.get(key).copied()
    }

    /// The scalar under a key; none where there is no such key, or, reported, where it is something else.
    pub fn text(&self, key: &str, out: &mut Diagnostics) -> Option<Text> {
        text(self.get(key)?, out)
    }
}

/// An entry's value as a scalar; none where it is, reported, something else.
pub fn text(entry: &Entry, out: &mut Diagnostics) -> Option<Text> {
    match &entry.value.kind {
        NodeKind::Scalar(text) => Some(Text { text: text.clone(), place: entry.value.place.clone() }),
        NodeKind::Null => {
            out.push(nothing(&entry.key, "one value"));
            None
        }
        _ => {
            out.push(wrong(&entry.key.text, &entry.value, "one value"));
            None
        }
    }
}

/// `key` has no value.
pub fn nothing(key: &Text, expected: &str) -> Diagnostic {
    Diagnostic::at(format!("{} has no value", super::diagnostics::shown(&key.text)), &key.place)
        .label(format!("expected {expected}"))
}

/// The value of `key` is of another kind.
pub fn wrong(key: &str, node: &Node, expected: &str) -> Diagnostic {
    let key = super::diagnostics::shown(key);
    Diagnostic::at(format!("{key} is {}", node.describe()), &node.place).label(format!("expected {expected}"))
}
