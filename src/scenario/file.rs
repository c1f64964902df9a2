//! What was written: a [`ScenarioFile`] is a document whose keys are known and whose values are texts, parameters not
//! filled in. Everything that can be found wrong without knowing the parameters is found here, once for each file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keys::{self, ActionSpec, FieldShape, Shape};
use super::template::{self, Piece};
use crate::yaml::fields::{self, Fields};
use crate::yaml::list;
use crate::yaml::node::{self, Entry, Node, NodeKind, Text};
use crate::yaml::{Diagnostic, Diagnostics, meant, near, shown};
use crate::yaml::{Place, SourceFile};

/// A scenario file, or what could be understood of it.
#[derive(Debug, Default)]
pub(crate) struct ScenarioFile {
    pub(crate) title: Option<Text>,
    pub(crate) description: Option<Text>,
    pub(crate) kind: Option<Text>,
    pub(crate) tags: Vec<Text>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) steps: Vec<StepFile>,
}

/// A parameter as declared.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: Text,
    pub(crate) default: Option<Text>,
    /// Whether it has no default because what is written there is wrong, which is reported.
    pub(crate) broken: bool,
}

/// A step as written.
#[derive(Debug)]
pub(crate) struct StepFile {
    /// Its action's key.
    pub(crate) place: Place,
    pub(crate) name: Option<Text>,
    pub(crate) phase: Option<Text>,
    pub(crate) spec: &'static ActionSpec,
    pub(crate) args: Args,
    /// Of a `scenario` step.
    pub(crate) with: Vec<(Text, Text)>,
    pub(crate) expect: Vec<(Text, Text)>,
}

/// The value of an action.
#[derive(Debug)]
pub(crate) enum Args {
    Text(Text),
    Fields { texts: BTreeMap<&'static str, Text>, maps: BTreeMap<&'static str, Vec<(Text, Option<Text>)>> },
}

/// Reads a file; none where it is no scenario at all.
pub(crate) fn read(source: &Arc<SourceFile>, out: &mut Diagnostics) -> Option<ScenarioFile> {
    let root = match node::parse(source) {
        Ok(root) => root,
        Err(diagnostic) => {
            out.push(diagnostic);
            return None;
        }
    };
    let entries = match &root.kind {
        NodeKind::Mapping(entries) => entries,
        NodeKind::Null => {
            out.push(
                Diagnostic::at("the file holds no scenario", &Place::new(source, 0..0)).label("it is empty").help(
                    "a scenario starts with `title: ` and has `steps:`; `lab scenario show rotate-key` prints one",
                ),
            );
            return None;
        }
        _ => {
            out.push(
                Diagnostic::at(format!("a scenario is a mapping, this is {}", root.describe()), &root.place)
                    .label(format!("expected the keys {}", list(keys::SCENARIO))),
            );
            return None;
        }
    };
    let file = scenario(entries, &root, out);
    references(entries, &file.parameters, out);
    Some(file)
}

fn scenario(entries: &[Entry], root: &Node, out: &mut Diagnostics) -> ScenarioFile {
    let fields = Fields::read(entries, "a scenario", &keys::SCENARIO, &[], out);
    if fields.lacks("title") {
        out.push(
            Diagnostic::at("the scenario has no `title`", &root.place).label("expected `title:` and one line of text"),
        );
    }
    ScenarioFile {
        title: fields.text("title", out),
        description: fields.text("description", out),
        kind: fields.text("kind", out),
        tags: fields.get("tags").map(|entry| tags(entry, out)).unwrap_or_default(),
        parameters: fields.get("parameters").map(|entry| parameters(entry, out)).unwrap_or_default(),
        steps: if fields.lacks("steps") || fields.get("steps").is_some() {
            steps(fields.get("steps"), root, out)
        } else {
            Vec::new()
        },
    }
}

fn tags(entry: &Entry, out: &mut Diagnostics) -> Vec<Text> {
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(fields::wrong("tags", &entry.value, "a list of words: `[auth, beginner]`"));
        return Vec::new();
    };
    let mut tags = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::Scalar(text) => tags.push(Text { text: text.clone(), place: item.place.clone() }),
            _ => out.push(fields::wrong("tags", item, "a word in each entry")),
        }
    }
    tags
}

fn parameters(entry: &Entry, out: &mut Diagnostics) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for entry in fields::entries(&entry.value, &entry.key, out).unwrap_or_default() {
        let name = entry.key.clone();
        if !template::is_name(&name.text) {
            out.push(
                Diagnostic::at(format!("{} is no name for a parameter", shown(&name.text)), &name.place)
                    .label("expected letters, digits, `_` and `-`, no digit first"),
            );
            continue;
        }
        let before = out.len();
        let default = match &entry.value.kind {
            NodeKind::Mapping(inner) => {
                let fields = Fields::read(inner, "a parameter", &keys::PARAMETER, &[], out);
                let _ = fields.text("description", out);
                fields.text("default", out)
            }
            NodeKind::Null => None,
            _ => {
                let expected = format!("a mapping: `{{ default: {} }}`", entry.value.describe().trim_matches('`'));
                out.push(fields::wrong(&name.text, &entry.value, &expected));
                None
            }
        };
        let literal = default.as_ref().is_none_or(|text| !text.text.replace("$${", "").contains("${"));
        if !literal && let Some(default) = &default {
            out.push(
                Diagnostic::at(format!("the default of `{}` refers to a parameter", name.text), &default.place)
                    .label("expected a plain value"),
            );
        }
        parameters.push(Parameter { name, default, broken: out.len() > before });
    }
    parameters
}

fn steps(entry: Option<&Entry>, root: &Node, out: &mut Diagnostics) -> Vec<StepFile> {
    let Some(entry) = entry else {
        out.push(Diagnostic::at("the scenario has no `steps`", &root.place).label("expected `steps:` and a list"));
        return Vec::new();
    };
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(match &entry.value.kind {
            NodeKind::Null => fields::nothing(&entry.key, "a list of steps"),
            _ => fields::wrong("steps", &entry.value, "a list of steps, each starting with `- `"),
        });
        return Vec::new();
    };
    if items.is_empty() {
        out.push(Diagnostic::at("the scenario has no steps", &entry.key.place).label("expected at least one"));
    }
    items.iter().filter_map(|item| step(item, out)).collect()
}

fn step(node: &Node, out: &mut Diagnostics) -> Option<StepFile> {
    let actions = keys::ACTIONS.iter().map(|spec| spec.key);
    let NodeKind::Mapping(entries) = &node.kind else {
        let diagnostic = Diagnostic::at(format!("a step is a mapping, this is {}", node.describe()), &node.place);
        out.push(match &node.kind {
            NodeKind::Scalar(text) => {
                let expected = format!("expected an action and its value, such as `{text}: …`");
                let expected =
                    if keys::action(text).is_some() { &expected } else { "expected an action and its value" };
                diagnostic.label(meant(text, actions.clone().filter(|key| key != text), expected))
            }
            _ => diagnostic.label("expected an action and its value"),
        });
        return None;
    };
    let known: Vec<&str> = keys::STEP.into_iter().chain(actions.clone()).collect();
    let before = out.len();
    let fields = Fields::read(entries, "a step", &known, &[], out);
    let unknown = out.len() > before;
    let mut found = entries.iter().filter(|entry| keys::action(&entry.key.text).is_some());
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
    let spec = keys::action(&entry.key.text)?;
    let name = fields.text("name", out);
    let phase = fields.text("phase", out);
    let expect = fields.get("expect").map(|entry| texts(entry, out)).unwrap_or_default();
    let with = with(fields.get("with"), spec, out);
    Some(StepFile { place: entry.key.place.clone(), name, phase, spec, args: args(entry, spec, out)?, with, expect })
}

fn with(entry: Option<&Entry>, spec: &ActionSpec, out: &mut Diagnostics) -> Vec<(Text, Text)> {
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
fn args(entry: &Entry, spec: &ActionSpec, out: &mut Diagnostics) -> Option<Args> {
    let known = match &spec.shape {
        Shape::Text(what) => {
            return match &entry.value.kind {
                NodeKind::Scalar(_) => fields::text(entry, out).map(Args::Text),
                NodeKind::Null => {
                    out.push(fields::nothing(&entry.key, what));
                    None
                }
                _ => {
                    out.push(fields::wrong(spec.key, &entry.value, what));
                    None
                }
            };
        }
        Shape::Fields(known) => known,
    };
    let inner: &[Entry] = match &entry.value.kind {
        NodeKind::Mapping(inner) => inner,
        NodeKind::Null => &[],
        _ => {
            let names = list(known.iter().map(|field| field.key));
            out.push(fields::wrong(spec.key, &entry.value, &format!("a mapping with some of {names}")));
            return None;
        }
    };
    let names: Vec<&str> = known.iter().map(|field| field.key).collect();
    let fields = Fields::read(inner, &format!("`{}`", spec.key), &names, &[], out);
    let (mut texts, mut maps) = (BTreeMap::new(), BTreeMap::new());
    for field in *known {
        match (fields.get(field.key), field.shape) {
            (None, _) if field.required && fields.lacks(field.key) => out.push(
                Diagnostic::at(format!("`{}` lacks `{}`", spec.key, field.key), &entry.key.place)
                    .label(format!("expected a mapping with `{}`", field.key)),
            ),
            (None, _) => {}
            (Some(found), FieldShape::Text) => {
                if let Some(text) = fields::text(found, out) {
                    texts.insert(field.key, text);
                }
            }
            (Some(found), shape) => {
                if let Some(values) = values(found, shape == FieldShape::Nullable, out) {
                    maps.insert(field.key, values);
                }
            }
        }
    }
    Some(Args::Fields { texts, maps })
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

/// Finds parameters that are used and not declared, and the reverse.
fn references(entries: &[Entry], parameters: &[Parameter], out: &mut Diagnostics) {
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.text.as_str()).collect();
    let mut used = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.key.text != "parameters") {
        references_in(entry, &names, &mut used, out);
    }
    // One that was misspelt where it is used is used.
    let meant: Vec<&str> = used.iter().filter_map(|used| near(used, names.iter().copied())).collect();
    for parameter in parameters.iter().filter(|parameter| !meant.contains(&parameter.name.text.as_str())) {
        let name = &parameter.name.text;
        out.push(
            Diagnostic::at(format!("the parameter `{name}` is not used"), &parameter.name.place)
                .label(format!("expected `${{{name}}}` in some value, or remove it")),
        );
    }
}

fn references_in(entry: &Entry, names: &[&str], used: &mut BTreeSet<String>, out: &mut Diagnostics) {
    if entry.key.text.contains("${") {
        out.push(
            Diagnostic::at(format!("a parameter in the key {}", shown(&entry.key.text)), &entry.key.place)
                .label("parameters are filled in in values, not in keys"),
        );
    }
    references_below(&entry.value, names, used, out);
}

fn references_below(node: &Node, names: &[&str], used: &mut BTreeSet<String>, out: &mut Diagnostics) {
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
                    let Piece::Parameter(name) = piece else { continue };
                    used.insert(name.to_owned());
                    if !names.contains(&name) {
                        out.push(unknown(name, names, &node.place));
                    }
                }
            }
        },
    }
}

fn unknown(name: &str, names: &[&str], place: &Place) -> Diagnostic {
    let diagnostic = Diagnostic::at(format!("unknown parameter `{name}`"), &place.narrow(&format!("${{{name}}}")));
    let diagnostic = diagnostic.label(meant(name, names.iter().copied(), "not declared under `parameters`"));
    if names.is_empty() {
        diagnostic.help(format!("declare it: `parameters: {{ {name}: {{ default: … }} }}`"))
    } else {
        diagnostic.help(format!("the parameters: {}", list(names.iter().copied())))
    }
}
