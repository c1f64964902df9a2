//! Reports undeclared and unused parameters. Runs once per file and needs no values.

use std::collections::BTreeSet;

use super::file::Parameter;
use super::template::{self, Segment};
use lab_yaml::node::{Entry, Node, NodeKind};
use lab_yaml::{Diagnostic, Diagnostics, Place, nearest, quote, quote_first};

/// Maximum number of names compared for a suggestion.
const CANDIDATES: usize = 1_000;

/// Reports undeclared and unused parameters.
pub(super) fn references(entries: &[Entry], parameters: &[Parameter], out: &mut Diagnostics) {
    let names = Names {
        all: parameters.iter().map(|parameter| parameter.name.text.as_str()).collect(),
        known: parameters.iter().map(|parameter| parameter.name.text.as_str()).collect(),
    };
    let mut used = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.key.text != "parameters") {
        references_in(entry, &names, &mut used, out);
    }
    // A misspelt reference counts as a use.
    for parameter in parameters.iter().filter(|parameter| !used.contains(parameter.name.text.as_str())) {
        let name = &parameter.name.text;
        out.push(
            Diagnostic::at(format!("the parameter `{name}` is not used"), &parameter.name.place)
                .label(format!("expected `${{{name}}}` in a value; use the parameter or remove it")),
        );
    }
}

/// Parameters of a file.
struct Names<'n> {
    /// In file order.
    all: Vec<&'n str>,
    known: BTreeSet<&'n str>,
}

fn references_in(entry: &Entry, names: &Names, used: &mut BTreeSet<String>, out: &mut Diagnostics) {
    if entry.key.text.contains("${") {
        out.push(
            Diagnostic::at(format!("parameter in the key {}", quote(&entry.key.text)), &entry.key.place)
                .label("parameters are only allowed in values"),
        );
    }
    references_below(&entry.value, names, used, out);
}

fn references_below(node: &Node, names: &Names, used: &mut BTreeSet<String>, out: &mut Diagnostics) {
    match &node.kind {
        NodeKind::Null => {}
        NodeKind::List(items) => items.iter().for_each(|item| references_below(item, names, used, out)),
        NodeKind::Mapping(entries) => entries.iter().for_each(|entry| references_in(entry, names, used, out)),
        NodeKind::Scalar(text) => match template::segments(text) {
            Err(part) => out.push(
                Diagnostic::at(format!("{} is not a valid parameter", quote(part)), &node.place.narrow(part))
                    .label("expected `${name}`; `$${` stands for a literal `${`"),
            ),
            Ok(segments) => {
                for segment in segments {
                    // Step references are checked when steps are flattened.
                    let Segment::Parameter(name) = segment else { continue };
                    if names.known.contains(name) {
                        used.insert(name.to_owned());
                        continue;
                    }
                    if !out.are_few() {
                        out.push(unknown(name, names, &node.place, None));
                        continue;
                    }
                    let near = nearest(name, names.all.iter().copied().take(CANDIDATES));
                    used.extend(near.map(str::to_owned));
                    out.push(unknown(name, names, &node.place.narrow(&format!("${{{name}}}")), near));
                }
            }
        },
    }
}

fn unknown(name: &str, names: &Names, place: &Place, near: Option<&str>) -> Diagnostic {
    let label = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "not declared under `parameters`".to_owned(),
    };
    let diagnostic = Diagnostic::at(format!("unknown parameter `{name}`"), place).label(label);
    if names.all.is_empty() {
        diagnostic.help(format!("declare it: `parameters: {{ {name}: {{ default: … }} }}`"))
    } else {
        diagnostic.help(format!("the parameters: {}", quote_first(names.all.iter().copied())))
    }
}
