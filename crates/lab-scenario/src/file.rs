//! [`ScenarioFile`]: a document as written, with known keys and raw texts. Reports every error that can be found
//! without the values of parameters, once per file.

use std::sync::Arc;

use super::lesson::{self, LessonFile};
use super::references::references;
use super::schema;
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{self, Entry, Node, NodeKind, Text};
use lab_yaml::quote_list;
use lab_yaml::{Diagnostic, Diagnostics, Place, SourceFile};

mod parameter;
mod step;

pub(crate) use parameter::{Parameter, VaryFile};
pub(super) use step::step_list;
pub(crate) use step::{Args, StepFile};

/// A scenario file, as far as it could be read.
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

/// A caller as written.
#[derive(Debug)]
pub(crate) struct CallerFile {
    pub(crate) name: Text,
    pub(crate) key: Option<Text>,
    pub(crate) rate: Option<Text>,
    pub(crate) connections: Option<Text>,
    pub(crate) path: Option<Text>,
    pub(crate) timeout: Option<Text>,
    pub(crate) retries: Option<Text>,
    pub(crate) backoff: Option<Text>,
    pub(crate) jitter: Option<Text>,
    pub(crate) heed_retry_after: Option<Text>,
}

/// Reads a file. Returns `None` if it is not a scenario at all.
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
                Diagnostic::at("the file contains no scenario", &Place::new(source, 0..0)).label("it is empty").help(
                    "a scenario starts with `title: ` and has `steps:`; `lab scenario show rotate-key` prints one",
                ),
            );
            return None;
        }
        _ => {
            out.push(
                Diagnostic::at(format!("a scenario is a mapping, this is {}", root.describe()), &root.place)
                    .label(format!("expected the keys {}", quote_list(schema::SCENARIO.key_names()))),
            );
            return None;
        }
    };
    let file = scenario(entries, &root, out);
    references(entries, &file.parameters, out);
    Some(file)
}

fn scenario(entries: &[Entry], root: &Node, out: &mut Diagnostics) -> ScenarioFile {
    let fields = Fields::read(entries, schema::SCENARIO.label, &schema::SCENARIO.key_names(), &[], out);
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
        tags: name_list(&fields, "tags", "a list of names: `[auth, beginner]`", out),
        engines: name_list(&fields, "engines", "a list of engines: `[docker]`", out),
        callers: fields.get("callers").map(|entry| callers(entry, out)).unwrap_or_default(),
        parameters: fields.get("parameters").map(|entry| parameter::parameters(entry, out)).unwrap_or_default(),
        steady_state: fields.get("steady_state").map(|entry| step_list(entry, out)).unwrap_or_default(),
        steps: fields.get("steps").map(|entry| step_list(entry, out)).unwrap_or_default(),
        finally: fields.get("finally").map(|entry| step_list(entry, out)).unwrap_or_default(),
        lesson: lesson::read(&fields, out),
    }
}

fn name_list(fields: &Fields, key: &str, expected: &str, out: &mut Diagnostics) -> Vec<Text> {
    fields.get(key).map(|entry| scalars(entry, expected, "a name", out)).unwrap_or_default()
}

/// Reads a list of scalars. `whole` describes the list for messages, `each` an entry.
pub(super) fn scalars(entry: &Entry, whole: &str, each: &str, out: &mut Diagnostics) -> Vec<Text> {
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(fields::wrong_kind(&entry.key.text, &entry.value, whole));
        return Vec::new();
    };
    let mut texts = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::Scalar(text) => texts.push(Text { text: text.clone(), place: item.place.clone() }),
            _ => out.push(fields::wrong_kind(&entry.key.text, item, &format!("{each} in each entry"))),
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
                out.push(fields::wrong_kind(
                    &entry.key.text,
                    &entry.value,
                    "a mapping: `{ key: apikey-v1, rate: 20 }`",
                ));
                continue;
            }
        };
        let fields = Fields::read(inner, schema::CALLER.label, &schema::CALLER.key_names(), &[], out);
        for key in schema::CALLER.keys {
            if let (Some(entry), Some(other)) = (fields.get(key.name), key.requires)
                && fields.lacks(other)
            {
                let message = format!("`{}` has no effect without `{other}`", key.name);
                out.push(Diagnostic::at(message, &entry.key.place).label(format!("add `{other}`, or remove this key")));
            }
        }
        callers.push(CallerFile {
            name: entry.key.clone(),
            key: fields.text("key", out),
            rate: fields.text("rate", out),
            connections: fields.text("connections", out),
            path: fields.text("path", out),
            timeout: fields.text("timeout", out),
            retries: fields.text("retries", out),
            backoff: fields.text("backoff", out),
            jitter: fields.text("jitter", out),
            heed_retry_after: fields.text("heed_retry_after", out),
        });
    }
    callers
}
