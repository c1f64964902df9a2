//! [`Hint`]: a text that helps, at a price.

use serde::Serialize;

use crate::reader::Reader;
use crate::schema::HINT;
use crate::value;
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, Node, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics};

/// Price of the first, second and every later hint, in percent.
const COSTS: [u8; 3] = [10, 20, 30];

/// A hint of a lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// Subject, shown before the hint is opened. One line.
    pub about: String,
    /// The hint itself.
    pub text: String,
    /// Price in a drill: percent of the points that the hint helps to get, 0 to 100.
    pub cost: u8,
}

/// A hint as written.
#[derive(Debug)]
pub(crate) struct HintFile {
    pub(crate) about: Option<Text>,
    pub(crate) text: Text,
    pub(crate) cost: Option<Text>,
}

pub(super) fn read(entry: &Entry, out: &mut Diagnostics) -> Vec<HintFile> {
    let NodeKind::List(items) = &entry.value.kind else {
        out.push(fields::wrong_kind("hints", &entry.value, "a list of hints, each starting with `- `"));
        return Vec::new();
    };
    items.iter().filter_map(|item| hint(item, out)).collect()
}

/// Reads an entry: a text, or a mapping with `text`.
fn hint(item: &Node, out: &mut Diagnostics) -> Option<HintFile> {
    let entries = match &item.kind {
        NodeKind::Scalar(text) => {
            let text = Text { text: text.clone(), place: item.place.clone() };
            return Some(HintFile { about: None, text, cost: None });
        }
        NodeKind::Mapping(entries) => entries,
        NodeKind::Null | NodeKind::List(_) => {
            out.push(fields::wrong_kind("hints", item, "a sentence, or a mapping with `text`, in each entry"));
            return None;
        }
    };
    let fields = Fields::read(entries, HINT.label, &HINT.key_names(), &[], out);
    if fields.lacks("text") {
        let expected = "expected a mapping: `{ about: …, text: …, cost: 10 }`";
        out.push(Diagnostic::at("this hint has no `text`", &item.place).label(expected));
    }
    let (about, text, cost) = (fields.text("about", out), fields.text("text", out), fields.text("cost", out));
    Some(HintFile { about, text: text?, cost })
}

/// Fills in parameters and defaults.
pub(super) fn hints(files: &[HintFile], reader: &mut Reader<'_>) -> Vec<Hint> {
    let hint = |(index, file): (usize, &HintFile)| {
        let about = file.about.as_ref().map(|text| reader.open("about", text, value::line));
        let cost = file.cost.as_ref().map(|text| reader.fixed("cost", text, value::percent));
        Some(Hint {
            text: reader.open("hints", &file.text, value::paragraph)?,
            about: about.unwrap_or_else(|| Some(format!("Hint {}", index + 1)))?,
            cost: cost.unwrap_or_else(|| Some(COSTS[index.min(COSTS.len() - 1)]))?,
        })
    };
    files.iter().enumerate().filter_map(hint).collect()
}
