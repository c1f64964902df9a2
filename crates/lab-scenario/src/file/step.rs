//! [`StepFile`]: a step as written: its one action, and what stands beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::words::{self, Shape, Word};
use lab_yaml::fields::{self, Fields};
use lab_yaml::list;
use lab_yaml::node::{Entry, Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, meant};

/// A step as written.
#[derive(Debug)]
pub(crate) struct StepFile {
    /// Its action's key.
    pub(crate) place: Place,
    pub(crate) name: Option<Text>,
    pub(crate) phase: Option<Text>,
    pub(crate) spec: &'static Word,
    pub(crate) args: Args,
    /// Of a `scenario` step.
    pub(crate) with: Vec<(Text, Text)>,
    pub(crate) expect: Vec<(Text, Text)>,
}

/// The value of an action.
#[derive(Debug)]
pub(crate) enum Args {
    Text(Text),
    Fields {
        texts: BTreeMap<&'static str, Text>,
        maps: BTreeMap<&'static str, Vec<(Text, Option<Text>)>>,
        lists: BTreeMap<&'static str, Vec<Text>>,
    },
}

impl Args {
    /// Every value in it.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Text> {
        let (one, fields) = match self {
            Self::Text(text) => (Some(text), None),
            Self::Fields { texts, maps, lists } => (None, Some((texts, maps, lists))),
        };
        let fields = fields.into_iter().flat_map(|(texts, maps, lists)| {
            let maps = maps.values().flatten().filter_map(|(_, text)| text.as_ref());
            texts.values().chain(maps).chain(lists.values().flatten())
        });
        one.into_iter().chain(fields)
    }
}

/// The steps under a key: at least one.
pub(crate) fn step_list(entry: &Entry, out: &mut Diagnostics) -> Vec<Arc<StepFile>> {
    let key = entry.key.text.as_str();
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(match &entry.value.kind {
            NodeKind::Null => fields::nothing(&entry.key, "a list of steps"),
            _ => fields::wrong(key, &entry.value, "a list of steps, each starting with `- `"),
        });
        return Vec::new();
    };
    if items.is_empty() {
        out.push(Diagnostic::at(format!("`{key}` is empty"), &entry.key.place).label("expected at least one step"));
    }
    items.iter().filter_map(|item| step(item, out).map(Arc::new)).collect()
}

fn step(node: &Node, out: &mut Diagnostics) -> Option<StepFile> {
    let actions = words::ACTIONS.iter().map(|word| word.key);
    let NodeKind::Mapping(entries) = &node.kind else {
        let diagnostic = Diagnostic::at(format!("a step is a mapping, this is {}", node.describe()), &node.place);
        out.push(match &node.kind {
            NodeKind::Scalar(text) => {
                let expected = format!("expected an action and its value, such as `{text}: …`");
                let expected =
                    if words::action(text).is_some() { &expected } else { "expected an action and its value" };
                diagnostic.label(meant(text, actions.clone().filter(|key| key != text), expected))
            }
            _ => diagnostic.label("expected an action and its value"),
        });
        return None;
    };
    let known: Vec<&str> = words::STEP.keys().into_iter().chain(actions.clone()).collect();
    let before = out.len();
    let fields = Fields::read(entries, words::STEP.what, &known, &[], out);
    let unknown = out.len() > before;
    let mut found = entries.iter().filter(|entry| words::action(&entry.key.text).is_some());
    let Some(entry) = found.next() else {
        // An action's name with a slip in it has been reported as an unknown key.
        if !unknown {
            out.push(
                Diagnostic::at("this step has no action", &node.place)
                    .label("expected one action beside these keys")
                    .help(format!("the actions: {}", list(actions))),
            );
        }
        return None;
    };
    for other in found.filter(|other| other.key.text != entry.key.text) {
        out.push(
            Diagnostic::at("this step has two actions", &other.key.place)
                .label("one action a step: begin another with `- `")
                .note(format!("the first is `{}` at {}", entry.key.text, entry.key.place)),
        );
    }
    let spec = words::action(&entry.key.text)?;
    let name = fields.text("name", out);
    let phase = fields.text("phase", out);
    let expect = fields.get("expect").map(|entry| texts(entry, out)).unwrap_or_default();
    let with = with(fields.get("with"), spec, out);
    Some(StepFile { place: entry.key.place.clone(), name, phase, spec, args: args(entry, spec, out)?, with, expect })
}

fn with(entry: Option<&Entry>, spec: &Word, out: &mut Diagnostics) -> Vec<(Text, Text)> {
    let Some(entry) = entry else { return Vec::new() };
    if spec.key != "scenario" {
        out.push(
            Diagnostic::at(format!("`with` on a step with `{}`", spec.key), &entry.key.place)
                .label("it belongs to `scenario: NAME`, whose parameters it sets"),
        );
    }
    texts(entry, out)
}

fn texts(entry: &Entry, out: &mut Diagnostics) -> Vec<(Text, Text)> {
    let entries = fields::entries(&entry.value, &entry.key, out).unwrap_or_default();
    entries.into_iter().filter_map(|entry| Some((entry.key.clone(), fields::text(entry, out)?))).collect()
}

/// The value of an action; none where too little of it can be understood.
fn args(entry: &Entry, spec: &Word, out: &mut Diagnostics) -> Option<Args> {
    let group = match spec.shape {
        Shape::Mapping(group) => group,
        Shape::One(kind) => return one(entry, spec, kind.what, out),
        // No action is of another shape.
        _ => return None,
    };
    let inner: &[Entry] = match &entry.value.kind {
        NodeKind::Mapping(inner) => inner,
        NodeKind::Null => &[],
        _ => {
            let expected = format!("a mapping with some of {}", list(group.keys()));
            out.push(fields::wrong(spec.key, &entry.value, &expected));
            return None;
        }
    };
    let fields = Fields::read(inner, group.what, &group.keys(), &[], out);
    let (mut texts, mut maps, mut lists) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for word in group.words {
        let Some(found) = fields.get(word.key) else {
            if word.required && fields.lacks(word.key) {
                out.push(
                    Diagnostic::at(format!("`{}` lacks `{}`", spec.key, word.key), &entry.key.place)
                        .label(format!("expected a mapping with `{}`", word.key)),
                );
            }
            continue;
        };
        match word.shape {
            Shape::OneOrMore(_) => {
                lists.extend(items(found, out).map(|items| (word.key, items)));
            }
            Shape::Map(_) | Shape::MapOrNull(_) | Shape::ExpectDeltas => {
                let nullable = matches!(word.shape, Shape::MapOrNull(_));
                maps.extend(values(found, nullable, out).map(|values| (word.key, values)));
            }
            _ => {
                texts.extend(fields::text(found, out).map(|text| (word.key, text)));
            }
        }
    }
    Some(Args::Fields { texts, maps, lists })
}

/// The value of an action that is one scalar.
fn one(entry: &Entry, spec: &Word, what: &str, out: &mut Diagnostics) -> Option<Args> {
    match &entry.value.kind {
        NodeKind::Scalar(_) => return fields::text(entry, out).map(Args::Text),
        NodeKind::Null => out.push(fields::nothing(&entry.key, what)),
        _ => out.push(fields::wrong(spec.key, &entry.value, what)),
    }
    None
}

/// A list of scalars, or one by itself; none where it is, reported, something else.
fn items(entry: &Entry, out: &mut Diagnostics) -> Option<Vec<Text>> {
    let NodeKind::List(items) = &entry.value.kind else { return fields::text(entry, out).map(|text| vec![text]) };
    let mut texts = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::Scalar(text) => texts.push(Text { text: text.clone(), place: item.place.clone() }),
            _ => out.push(fields::wrong(&entry.key.text, item, "one value in each entry")),
        }
    }
    if items.is_empty() {
        out.push(
            Diagnostic::at(format!("`{}` is an empty list", entry.key.text), &entry.value.place)
                .label("expected at least one entry"),
        );
    }
    (!texts.is_empty()).then_some(texts)
}

fn values(entry: &Entry, nullable: bool, out: &mut Diagnostics) -> Option<Vec<(Text, Option<Text>)>> {
    let mut values = Vec::new();
    for entry in fields::entries(&entry.value, &entry.key, out)? {
        if nullable && matches!(entry.value.kind, NodeKind::Null) {
            values.push((entry.key.clone(), None));
        } else if let Some(text) = fields::text(entry, out) {
            values.push((entry.key.clone(), Some(text)));
        }
    }
    Some(values)
}
