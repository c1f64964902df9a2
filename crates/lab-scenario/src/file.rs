//! What was written: a [`ScenarioFile`] is a document whose keys are known and whose values are texts, parameters not
//! filled in. Everything that can be found wrong without knowing the parameters is found here, once for each file.

use std::sync::Arc;

use super::lesson::{self, LessonFile};
use super::references::references;
use super::template;
use super::words;
use lab_yaml::fields::{self, Fields};
use lab_yaml::list;
use lab_yaml::node::{self, Entry, Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, SourceFile, shown};

mod step;

pub(super) use step::step_list;
pub(crate) use step::{Args, StepFile};

/// A scenario file, or what could be understood of it.
#[derive(Debug, Default)]
pub(crate) struct ScenarioFile {
    pub(crate) title: Option<Text>,
    pub(crate) description: Option<Text>,
    pub(crate) kind: Option<Text>,
    pub(crate) tags: Vec<Text>,
    pub(crate) engines: Vec<Text>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) callers: Vec<CallerFile>,
    pub(crate) steady_state: Vec<Arc<StepFile>>,
    pub(crate) steps: Vec<Arc<StepFile>>,
    pub(crate) finally: Vec<Arc<StepFile>>,
    pub(crate) lesson: LessonFile,
}

/// A parameter as declared.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: Text,
    pub(crate) default: Option<Text>,
    /// Nobody is to read its value.
    pub(crate) secret: bool,
    /// Instead of the default where it has to be quick: in a proof.
    pub(crate) short: Option<Text>,
    /// Whether it has no default because what is written there is wrong, which is reported.
    pub(crate) broken: bool,
}

/// A caller as written.
#[derive(Debug)]
pub(crate) struct CallerFile {
    pub(crate) name: Text,
    pub(crate) key: Option<Text>,
    pub(crate) rate: Option<Text>,
    pub(crate) connections: Option<Text>,
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
                    .label(format!("expected the keys {}", list(words::SCENARIO.keys()))),
            );
            return None;
        }
    };
    let file = scenario(entries, &root, out);
    references(entries, &file.parameters, out);
    Some(file)
}

fn scenario(entries: &[Entry], root: &Node, out: &mut Diagnostics) -> ScenarioFile {
    let fields = Fields::read(entries, words::SCENARIO.what, &words::SCENARIO.keys(), &[], out);
    if fields.lacks("steps") {
        out.push(Diagnostic::at("the scenario has no `steps`", &root.place).label("expected `steps:` and a list"));
    }
    if fields.lacks("title") {
        out.push(
            Diagnostic::at("the scenario has no `title`", &root.place).label("expected `title:` and one line of text"),
        );
    }
    ScenarioFile {
        title: fields.text("title", out),
        description: fields.text("description", out),
        kind: fields.text("kind", out),
        tags: words(&fields, "tags", "a list of words: `[auth, beginner]`", out),
        engines: words(&fields, "engines", "a list of engines: `[docker]`", out),
        callers: fields.get("callers").map(|entry| callers(entry, out)).unwrap_or_default(),
        parameters: fields.get("parameters").map(|entry| parameters(entry, out)).unwrap_or_default(),
        steady_state: fields.get("steady_state").map(|entry| step_list(entry, out)).unwrap_or_default(),
        steps: fields.get("steps").map(|entry| step_list(entry, out)).unwrap_or_default(),
        finally: fields.get("finally").map(|entry| step_list(entry, out)).unwrap_or_default(),
        lesson: lesson::read(&fields, out),
    }
}

/// The list of words under a key.
fn words(fields: &Fields, key: &str, expected: &str, out: &mut Diagnostics) -> Vec<Text> {
    fields.get(key).map(|entry| scalars(entry, expected, "a word", out)).unwrap_or_default()
}

/// A list of scalars: what the list is, and each of its entries, for messages.
pub(super) fn scalars(entry: &Entry, whole: &str, each: &str, out: &mut Diagnostics) -> Vec<Text> {
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(fields::wrong(&entry.key.text, &entry.value, whole));
        return Vec::new();
    };
    let mut texts = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::Scalar(text) => texts.push(Text { text: text.clone(), place: item.place.clone() }),
            _ => out.push(fields::wrong(&entry.key.text, item, &format!("{each} in each entry"))),
        }
    }
    texts
}

fn callers(entry: &Entry, out: &mut Diagnostics) -> Vec<CallerFile> {
    let mut callers = Vec::new();
    for entry in fields::entries(&entry.value, &entry.key, out).unwrap_or_default() {
        let inner: &[Entry] = match &entry.value.kind {
            NodeKind::Mapping(inner) => inner,
            NodeKind::Null => &[],
            _ => {
                out.push(fields::wrong(&entry.key.text, &entry.value, "a mapping: `{ key: apikey-v1, rate: 20 }`"));
                continue;
            }
        };
        let fields = Fields::read(inner, words::CALLER.what, &words::CALLER.keys(), &[], out);
        callers.push(CallerFile {
            name: entry.key.clone(),
            key: fields.text("key", out),
            rate: fields.text("rate", out),
            connections: fields.text("connections", out),
        });
    }
    callers
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
        let mut secret = false;
        let (default, short) = match &entry.value.kind {
            NodeKind::Mapping(inner) => {
                let fields = Fields::read(inner, words::PARAMETER.what, &words::PARAMETER.keys(), &[], out);
                let _ = fields.text("description", out);
                secret = fields.text("secret", out).is_some_and(|text| flag("secret", &text, out));
                (fields.text("default", out), fields.text("short", out))
            }
            NodeKind::Null => (None, None),
            _ => {
                let expected = format!("a mapping: `{{ default: {} }}`", entry.value.describe().trim_matches('`'));
                out.push(fields::wrong(&name.text, &entry.value, &expected));
                (None, None)
            }
        };
        for (which, text) in [("default", &default), ("short value", &short)] {
            if let Some(text) = text.as_ref().filter(|text| text.text.replace("$${", "").contains("${")) {
                let message = format!("the {which} of `{}` refers to a parameter", name.text);
                out.push(Diagnostic::at(message, &text.place).label("expected a plain value"));
            }
        }
        parameters.push(Parameter { name, default, short, secret, broken: out.len() > before });
    }
    parameters
}

/// `true` or `false`, which no parameter can decide.
fn flag(key: &str, text: &Text, out: &mut Diagnostics) -> bool {
    if !matches!(text.text.as_str(), "true" | "false") {
        let message = format!("`{key}` is {}", shown(&text.text));
        out.push(Diagnostic::at(message, &text.place).label("expected `true` or `false`"));
    }
    text.text == "true"
}
