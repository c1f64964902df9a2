//! YAML's merge keys (<https://yaml.org/type/merge.html>): `<<: *name` takes the entries of another mapping in, but for keys
//! that are there already; of a list of mappings the first that has a key gives it. Values are not merged, as in Compose.

use std::collections::BTreeSet;

use lab_yaml::node::{Entry, Node, NodeKind};
use lab_yaml::{Diagnostic, Diagnostics};

const KEY: &str = "<<";
const EXPECTED: &str = "expected a mapping: `<<: *name`, or a list of mappings: `<<: [*one, *two]`";

/// Merges in every mapping of a document. What is merged in keeps its place, so that a mistake in it is shown where it is written.
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
        let diagnostic = Diagnostic::at("`<<` comes twice", &second.key.place);
        out.push(diagnostic.label("merge several as a list: `<<: [*one, *two]`"));
    }
    let mut there: BTreeSet<String> = own.iter().map(|entry| entry.key.text.clone()).collect();
    for mapping in merges.into_iter().flat_map(|merge| mappings(merge, out)) {
        // A key that comes twice in there stays so: that is found later.
        let fresh: Vec<Entry> = mapping.into_iter().filter(|entry| !there.contains(&entry.key.text)).collect();
        there.extend(fresh.iter().map(|entry| entry.key.text.clone()));
        own.extend(fresh);
    }
    own
}

/// The mappings that a merge key names.
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
