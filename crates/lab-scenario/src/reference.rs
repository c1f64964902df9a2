//! [`reference()`]: every key of scenario files on one page, made from the words of the language.

use std::fmt::Write;

use super::expect::LABELS;
use super::words::kinds::{self, Form, Kind};
use super::words::metrics::{METRICS, MetricForm, counters};
use super::words::{ACTIONS, CALLER, Group, PARAMETER, Preset, SCENARIO, STEP, Shape, WRONG_FIX, Word};

/// The page, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Scenario files: every key\n\nMade from the tables by which lab reads scenarios: `lab scenario schema --format \
         markdown > docs/scenario-reference.md` renews it. [scenarios.md](scenarios.md) says how to write one, and what the \
         keys do together; [scenario.schema.json](scenario.schema.json) tells editors.\n\nIn every value \
         `${name}` stands for a parameter, and `${steps.NAME.OUTPUT}` for what a step showed. Unknown keys are errors.\n",
    );
    section(&mut page, "The file", &SCENARIO);
    section(&mut page, "A parameter", &PARAMETER);
    section(&mut page, "A caller", &CALLER);
    section(&mut page, "A step", &STEP);
    page += "\nThe actions:\n\n| action | value | what happens |\n| --- | --- | --- |\n";
    for word in ACTIONS {
        let name = match word.shape {
            Shape::Mapping(_) => format!("[`{0}`](#{0})", word.key),
            _ => format!("`{}`", word.key),
        };
        let _ = writeln!(page, "| {name} | {} | {} |", value(word.shape), cell(word.meaning));
    }
    for word in ACTIONS {
        if let Shape::Mapping(group) = word.shape {
            let _ = write!(
                page,
                "\n## {}\n\n{}\n\n```yaml\n- {}: {}\n```\n\n",
                word.key, group.meaning, word.key, word.example
            );
            rows(&mut page, group);
        }
    }
    metrics(&mut page);
    section(&mut page, "A wrong fix", &WRONG_FIX);
    page
}

fn section(page: &mut String, heading: &str, group: &Group) {
    let _ = write!(page, "\n## {heading}\n\n{}\n\n", group.meaning);
    rows(page, group);
}

fn rows(page: &mut String, group: &Group) {
    *page += "| key | value | default | what it is |\n| --- | --- | --- | --- |\n";
    for word in group.words {
        let beside = word.beside.map_or_else(String::new, |other| format!("; with `{other}`"));
        let meaning = cell(word.meaning);
        let _ = writeln!(page, "| `{}` | {} | {} | {meaning}{beside} |", word.key, value(word.shape), default(word));
    }
    for line in rules(group) {
        let _ = write!(page, "\n{line}\n");
    }
}

/// What is said of several keys together.
fn rules(group: &Group) -> Vec<String> {
    let quoted = |keys: &[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if !group.one_of.is_empty() {
        lines.push(format!("Exactly one of {} has to be there.", quoted(group.one_of)));
    }
    lines.extend(group.apart.iter().map(|(one, other)| format!("`{one}` and `{other}` exclude each other.")));
    lines
}

fn default(word: &Word) -> String {
    match word.preset {
        _ if word.required => "required".to_owned(),
        Preset::None => String::new(),
        Preset::Value(value) => format!("`{value}`"),
        Preset::Said(what) => what.to_owned(),
    }
}

fn value(shape: Shape) -> String {
    match shape {
        Shape::One(kind) => one(kind),
        Shape::OneOrMore(kind) => format!("{}, or a list of such", one(kind)),
        Shape::List(kind) => format!("a list: {}", one(kind)),
        Shape::Map(kind) => format!("a mapping of names: {}", one(kind)),
        Shape::MapOrNull(kind) => format!("a mapping of names: {}, or `null`", one(kind)),
        Shape::Expect => "a mapping of [metrics](#metrics)".to_owned(),
        Shape::ExpectDeltas => "a mapping of [deltas](#metrics)".to_owned(),
        Shape::Steps => "a list of [steps](#a-step)".to_owned(),
        Shape::Mapping(_) => "a mapping".to_owned(),
        Shape::Named(group) => format!("a mapping of names: {}", link(group)),
        Shape::Mappings(group) => format!("a list: {}", link(group)),
    }
}

/// `[a caller](#a-caller)`.
fn link(group: &Group) -> String {
    format!("[{}](#{})", group.what, group.what.replace(' ', "-"))
}

fn one(kind: Kind) -> String {
    match kind.form {
        Form::Choice(choices) => choices().iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", "),
        _ if kind.limits.is_empty() => cell(kind.what),
        _ => format!("{}: {}", cell(kind.what), cell(kind.limits)),
    }
}

/// A text within a row.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn metrics(page: &mut String) {
    let _ = write!(page, "\n## Metrics\n\n{}\n\n```yaml\n- traffic: {{ requests: 40 }}\n  expect:\n", kinds::EXPECT);
    for MetricForm { example: (metric, bound), .. } in METRICS {
        let _ = writeln!(page, "    {metric}: {bound}");
    }
    *page += "```\n\n| metric | compared with | what it is |\n| --- | --- | --- |\n";
    for metric in METRICS {
        let _ = writeln!(page, "| `{}` | {} | {} |", metric.form, cell(metric.bound.what()), cell(metric.meaning));
    }
    let label = |counter: &str| LABELS.iter().find(|(name, _)| *name == counter);
    let counter = |counter: &&str| match label(counter) {
        Some((_, label)) => format!("`{counter}` (label `{label}`)"),
        None => format!("`{counter}`"),
    };
    let counters: Vec<String> = counters().iter().map(counter).collect();
    let _ = write!(
        page,
        "\nDeltas and alerts are known on every step; all others need traffic of the step's own. Each of those also stands after `caller.NAME.`, for one of the \
         callers that the step drives, and after `background.NAME.`, for the background traffic that the step of this name \
         began.\n\nThe counters: {}.\n",
        counters.join(", ")
    );
}
