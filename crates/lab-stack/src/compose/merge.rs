//! YAML's merge keys (<https://yaml.org/type/merge.html>): `<<: *name` adds the missing entries of another mapping. In a list of
//! mappings, the first one with a key wins. As in Compose, values are not merged.

use std::collections::BTreeSet;

use lab_yaml::node::{Entry, Node, NodeKind};
use lab_yaml::{Diagnostic, Diagnostics};

const KEY: &str = "<<";
const EXPECTED: &str = "expected a mapping: `<<: *name`, or a list of mappings: `<<: [*one, *two]`";

/// Resolves the merge keys of a document. Merged entries keep their place, so that a mistake is reported at its origin.
pub(super) fn document(node: &mut Node, out: &mut Diagnostics) {
    match &mut node.kind {
        NodeKind::Null | NodeKind::Scalar(_) => {}
        NodeKind::List(items) => items.iter_mut().for_each(|item| document(item, out)),
        NodeKind::Mapping(entries) => {
            for entry in entries.iter_mut() {
                document(&mut entry.value, out);
            }
            if entries.iter().any(|entry| entry.key.text == KEY) {
                *entries = merged(std::mem::take(entries), out);
            }
        }
    }
}

fn merged(entries: Vec<Entry>, out: &mut Diagnostics) -> Vec<Entry> {
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.key.text == KEY);
    if let Some(second) = merges.get(1) {
        let diagnostic = Diagnostic::at("`<<` appears twice", &second.key.place);
        out.push(diagnostic.label("merge several as a list: `<<: [*one, *two]`"));
    }
    let mut there: BTreeSet<String> = own.iter().map(|entry| entry.key.text.clone()).collect();
    for mapping in merges.into_iter().flat_map(|merge| mappings(merge, out)) {
        // A key that appears twice in there is kept and reported later.
        let fresh: Vec<Entry> = mapping.into_iter().filter(|entry| !there.contains(&entry.key.text)).collect();
        there.extend(fresh.iter().map(|entry| entry.key.text.clone()));
        own.extend(fresh);
    }
    own
}

/// Returns the mappings that a merge key refers to.
fn mappings(merge: Entry, out: &mut Diagnostics) -> Vec<Vec<Entry>> {
    let sources = match merge.value.kind {
        NodeKind::List(items) => items,
        kind => vec![Node { place: merge.value.place, kind }],
    };
    let mut mappings = Vec::new();
    for source in sources {
        let described = source.describe();
        if let NodeKind::Mapping(entries) = source.kind {
            mappings.push(entries);
        } else {
            out.push(Diagnostic::at(format!("`<<` is {described}"), &merge.key.place).label(EXPECTED));
        }
    }
    mappings
}
