//! Parameters that are used and not declared, and the reverse: found once for each file, without knowing their values.

use std::collections::BTreeSet;

use super::file::Parameter;
use super::template::{self, Piece};
use lab_yaml::node::{Entry, Node, NodeKind};
use lab_yaml::{Diagnostic, Diagnostics, Place, first, near, shown};

/// How many names one that is unknown is compared with, as each takes its time.
const CANDIDATES: usize = 1_000;

/// Finds parameters that are used and not declared, and the reverse.
pub(super) fn references(entries: &[Entry], parameters: &[Parameter], out: &mut Diagnostics) {
    let names = Names {
        all: parameters.iter().map(|parameter| parameter.name.text.as_str()).collect(),
        known: parameters.iter().map(|parameter| parameter.name.text.as_str()).collect(),
    };
    let mut used = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.key.text != "parameters") {
        references_in(entry, &names, &mut used, out);
    }
    // One that was misspelt where it is used is used.
    for parameter in parameters.iter().filter(|parameter| !used.contains(parameter.name.text.as_str())) {
        let name = &parameter.name.text;
        out.push(
            Diagnostic::at(format!("the parameter `{name}` is not used"), &parameter.name.place)
                .label(format!("expected `${{{name}}}` in some value, or remove it")),
        );
    }
}

/// The parameters of a file.
struct Names<'n> {
    /// In its order.
    all: Vec<&'n str>,
    known: BTreeSet<&'n str>,
}

fn references_in(entry: &Entry, names: &Names, used: &mut BTreeSet<String>, out: &mut Diagnostics) {
    if entry.key.text.contains("${") {
        out.push(
            Diagnostic::at(format!("a parameter in the key {}", shown(&entry.key.text)), &entry.key.place)
                .label("parameters are filled in in values, not in keys"),
        );
    }
    references_below(&entry.value, names, used, out);
}

fn references_below(node: &Node, names: &Names, used: &mut BTreeSet<String>, out: &mut Diagnostics) {
    match &node.kind {
        NodeKind::Null => {}
        NodeKind::List(items) => items.iter().for_each(|item| references_below(item, names, used, out)),
        NodeKind::Mapping(entries) => entries.iter().for_each(|entry| references_in(entry, names, used, out)),
        NodeKind::Scalar(text) => match template::pieces(text) {
            Err(part) => out.push(
                Diagnostic::at(format!("{} is no parameter", shown(part)), &node.place.narrow(part))
                    .label("expected `${name}`; `$${` stands for a literal `${`"),
            ),
            Ok(pieces) => {
                for piece in pieces {
                    // Whether there is such a step is found where the steps are laid out.
                    let Piece::Parameter(name) = piece else { continue };
                    if names.known.contains(name) {
                        used.insert(name.to_owned());
                        continue;
                    }
                    if !out.are_few() {
                        out.push(unknown(name, names, &node.place, None));
                        continue;
                    }
                    let near = near(name, names.all.iter().copied().take(CANDIDATES));
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
        diagnostic.help(format!("the parameters: {}", first(names.all.iter().copied())))
    }
}
