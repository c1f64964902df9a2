//! [`StepFile`]: a step as written, with its action and the keys next to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actions::ActionKind;
use crate::schema::{self, KeySpec, Shape};
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, Node, NodeKind, Text};
use lab_yaml::quote_list;
use lab_yaml::{Diagnostic, Diagnostics, Place, did_you_mean};

#[derive(Debug)]
pub(crate) struct StepFile {
    /// Place of the action's key.
    pub(crate) place: Place,
    pub(crate) name: Option<Text>,
    pub(crate) phase: Option<Text>,
    pub(crate) kind: ActionKind,
    pub(crate) args: Args,
    /// Parameters of an included scenario.
    pub(crate) with: Vec<(Text, Text)>,
    pub(crate) expect: Vec<(Text, Text)>,
}

/// Value of an action.
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
    /// All values, in no particular order.
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

/// Reads a list of at least one step.
pub(crate) fn step_list(entry: &Entry, out: &mut Diagnostics) -> Vec<Arc<StepFile>> {
    let key = entry.key.text.as_str();
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(match &entry.value.kind {
            NodeKind::Null => fields::missing_value(&entry.key, "a list of steps"),
            _ => fields::wrong_kind(key, &entry.value, "a list of steps, each starting with `- `"),
        });
        return Vec::new();
    };
    if items.is_empty() {
        out.push(Diagnostic::at(format!("`{key}` is empty"), &entry.key.place).label("expected at least one step"));
    }
    items.iter().filter_map(|item| step(item, out).map(Arc::new)).collect()
}

fn step(node: &Node, out: &mut Diagnostics) -> Option<StepFile> {
    let actions = ActionKind::ALL.iter().copied().map(ActionKind::name);
    let NodeKind::Mapping(entries) = &node.kind else {
        let diagnostic = Diagnostic::at(format!("a step is a mapping, this is {}", node.describe()), &node.place);
        out.push(match &node.kind {
            NodeKind::Scalar(text) => {
                let expected = format!("expected an action and its value, such as `{text}: …`");
                let expected =
                    if ActionKind::from_name(text).is_some() { &expected } else { "expected an action and its value" };
                diagnostic.label(did_you_mean(text, actions.clone().filter(|key| key != text), expected))
            }
            _ => diagnostic.label("expected an action and its value"),
        });
        return None;
    };
    let known: Vec<&str> = schema::STEP.key_names().into_iter().chain(actions.clone()).collect();
    let before = out.len();
    let fields = Fields::read(entries, schema::STEP.label, &known, &[], out);
    let unknown = out.len() > before;
    let mut found = entries.iter().filter(|entry| ActionKind::from_name(&entry.key.text).is_some());
    let Some(entry) = found.next() else {
        // A misspelt action has been reported as an unknown key.
        if !unknown {
            out.push(
                Diagnostic::at("this step has no action", &node.place)
                    .label("expected one action next to these keys")
                    .help(format!("the actions: {}", quote_list(actions))),
            );
        }
        return None;
    };
    for other in found.filter(|other| other.key.text != entry.key.text) {
        out.push(
            Diagnostic::at("this step has two actions", &other.key.place)
                .label("a step has one action; start another step with `- `")
                .note(format!("the first is `{}` at {}", entry.key.text, entry.key.place)),
        );
    }
    let kind = ActionKind::from_name(&entry.key.text)?;
    let name = fields.text("name", out);
    let phase = fields.text("phase", out);
    let expect = fields.get("expect").map(|entry| texts(entry, out)).unwrap_or_default();
    let with = with(fields.get("with"), kind, out);
    Some(StepFile {
        place: entry.key.place.clone(),
        name,
        phase,
        kind,
        args: args(entry, &kind.definition().key, out)?,
        with,
        expect,
    })
}

fn with(entry: Option<&Entry>, kind: ActionKind, out: &mut Diagnostics) -> Vec<(Text, Text)> {
    let Some(entry) = entry else { return Vec::new() };
    if !kind.definition().is_include() {
        out.push(
            Diagnostic::at(format!("`with` cannot be combined with `{}`", kind.name()), &entry.key.place)
                .label("`with` sets the parameters of `scenario: NAME`"),
        );
    }
    texts(entry, out)
}

fn texts(entry: &Entry, out: &mut Diagnostics) -> Vec<(Text, Text)> {
    let entries = fields::entries(&entry.value, &entry.key, out).unwrap_or_default();
    entries.into_iter().filter_map(|entry| Some((entry.key.clone(), fields::text(entry, out)?))).collect()
}

/// Reads the value of an action. Returns `None` if it cannot be used.
fn args(entry: &Entry, spec: &KeySpec, out: &mut Diagnostics) -> Option<Args> {
    let mapping = match spec.shape {
        Shape::Mapping(mapping) => mapping,
        Shape::Scalar(kind) => return one(entry, spec, kind.name, out),
        // Actions have no other shapes.
        _ => return None,
    };
    let inner: &[Entry] = match &entry.value.kind {
        NodeKind::Mapping(inner) => inner,
        NodeKind::Null => &[],
        _ => {
            let expected = format!("a mapping with some of {}", quote_list(mapping.key_names()));
            out.push(fields::wrong_kind(spec.name, &entry.value, &expected));
            return None;
        }
    };
    let fields = Fields::read(inner, mapping.label, &mapping.key_names(), &[], out);
    let (mut texts, mut maps, mut lists) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for key in mapping.keys {
        let Some(found) = fields.get(key.name) else {
            if key.required && fields.lacks(key.name) {
                out.push(
                    Diagnostic::at(format!("`{}` needs `{}`", spec.name, key.name), &entry.key.place)
                        .label(format!("expected a mapping with `{}`", key.name)),
                );
            }
            continue;
        };
        match key.shape {
            Shape::ScalarOrList(_) => {
                lists.extend(items(found, out).map(|items| (key.name, items)));
            }
            Shape::ScalarMap(_) | Shape::NullableMap(_) | Shape::ExpectDeltas => {
                let nullable = matches!(key.shape, Shape::NullableMap(_));
                maps.extend(values(found, nullable, out).map(|values| (key.name, values)));
            }
            _ => {
                texts.extend(fields::text(found, out).map(|text| (key.name, text)));
            }
        }
    }
    Some(Args::Fields { texts, maps, lists })
}

/// Reads the value of an action that is a single scalar.
fn one(entry: &Entry, spec: &KeySpec, what: &str, out: &mut Diagnostics) -> Option<Args> {
    match &entry.value.kind {
        NodeKind::Scalar(_) => return fields::text(entry, out).map(Args::Text),
        NodeKind::Null => out.push(fields::missing_value(&entry.key, what)),
        _ => out.push(fields::wrong_kind(spec.name, &entry.value, what)),
    }
    None
}

/// Reads a list of scalars, or a single scalar. Reports any other value and returns `None`.
fn items(entry: &Entry, out: &mut Diagnostics) -> Option<Vec<Text>> {
    let NodeKind::List(items) = &entry.value.kind else { return fields::text(entry, out).map(|text| vec![text]) };
    let mut texts = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::Scalar(text) => texts.push(Text { text: text.clone(), place: item.place.clone() }),
            _ => out.push(fields::wrong_kind(&entry.key.text, item, "one value in each entry")),
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
