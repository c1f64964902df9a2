//! [`reference()`]: a Markdown page with every key of scenario files, generated from the schema.

use std::fmt::Write;

use super::actions;
use super::expect::LABELS;
use super::schema::kinds::{self, Form, Kind};
use super::schema::metrics::{METRICS, MetricForm, counters};
use super::schema::{
    CALLER, DIAGNOSIS, DefaultValue, HINT, INJECT, KeySpec, MappingSpec, OTHER_FIX, PAR, PARAMETER, SCENARIO,
    SECOND_FAULT, STEP, Shape, WRONG_FIX,
};
use lab_core::diagnosis::{Cause, Location};

/// Generates the page.
pub fn reference() -> String {
    let mut page = String::from(
        "# Scenario files: every key\n\nThis page is generated from the schema of the loader: `lab scenario schema --format markdown > \
         docs/scenario-reference.md`. [scenarios.md](scenarios.md) explains how to write a scenario and how the keys work \
         together; editors use [scenario.schema.json](scenario.schema.json).\n\nEvery value may contain parameters (`${name}`) and \
         outputs of earlier steps (`${steps.NAME.OUTPUT}`). Unknown keys are errors.\n",
    );
    section(&mut page, "The file", &SCENARIO);
    section(&mut page, "A parameter", &PARAMETER);
    section(&mut page, "A caller", &CALLER);
    section(&mut page, "A step", &STEP);
    page += "\nThe actions:\n\n| action | value | effect |\n| --- | --- | --- |\n";
    for key in actions::keys() {
        let name = match key.shape {
            Shape::Mapping(_) => format!("[`{0}`](#{0})", key.name),
            _ => format!("`{}`", key.name),
        };
        let _ = writeln!(page, "| {name} | {} | {} |", value(key.shape), cell(key.description));
    }
    for key in actions::keys() {
        if let Shape::Mapping(mapping) = key.shape {
            let _ = write!(
                page,
                "\n## {}\n\n{}\n\n```yaml\n- {}: {}\n```\n\n",
                key.name, mapping.description, key.name, key.example
            );
            rows(&mut page, mapping);
        }
    }
    metrics(&mut page);
    section(&mut page, "A diagnosis", &DIAGNOSIS);
    diagnosis_lists(&mut page);
    section(&mut page, "A second fault", &SECOND_FAULT);
    section(&mut page, "Par times", &PAR);
    section(&mut page, "A hint", &HINT);
    section(&mut page, "An inject", &INJECT);
    section(&mut page, "A wrong fix", &WRONG_FIX);
    section(&mut page, "Another fix", &OTHER_FIX);
    page
}

/// The two lists of the diagnosis form, with explanations.
fn diagnosis_lists(page: &mut String) {
    *page += "\n| where | description |\n| --- | --- |\n";
    for location in Location::ALL {
        let _ = writeln!(page, "| `{}` | {} |", location.name(), location.explanation());
    }
    *page += "\n| what | description |\n| --- | --- |\n";
    for cause in Cause::ALL {
        let _ = writeln!(page, "| `{}` | {} |", cause.name(), cause.explanation());
    }
}

fn section(page: &mut String, heading: &str, mapping: &MappingSpec) {
    let _ = write!(page, "\n## {heading}\n\n{}\n\n", mapping.description);
    rows(page, mapping);
}

fn rows(page: &mut String, mapping: &MappingSpec) {
    *page += "| key | value | default | description |\n| --- | --- | --- | --- |\n";
    for key in mapping.keys {
        let beside = key.requires.map_or_else(String::new, |other| format!("; with `{other}`"));
        let meaning = cell(key.description);
        let _ = writeln!(page, "| `{}` | {} | {} | {meaning}{beside} |", key.name, value(key.shape), default(key));
    }
    for line in rules(mapping) {
        let _ = write!(page, "\n{line}\n");
    }
}

/// Rules for combinations of keys.
fn rules(mapping: &MappingSpec) -> Vec<String> {
    let quoted = |keys: &[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if !mapping.one_of.is_empty() {
        lines.push(format!("Exactly one of {} is required.", quoted(mapping.one_of)));
    }
    lines.extend(mapping.exclusive.iter().map(|(one, other)| format!("`{one}` and `{other}` exclude each other.")));
    lines
}

fn default(key: &KeySpec) -> String {
    match key.default {
        _ if key.required => "required".to_owned(),
        DefaultValue::None => String::new(),
        DefaultValue::Value(value) => format!("`{value}`"),
        DefaultValue::Described(what) => what.to_owned(),
    }
}

fn value(shape: Shape) -> String {
    match shape {
        Shape::Scalar(kind) => one(kind),
        Shape::ScalarOrList(kind) => format!("{}, or a list", one(kind)),
        Shape::ScalarList(kind) => format!("a list: {}", one(kind)),
        Shape::ChoiceOrList(choice, kind) => format!("{}, or a list: {}", one(choice), one(kind)),
        Shape::ScalarOrMappingList(kind, mapping) => format!("a list: {}, or {}", one(kind), link(mapping)),
        Shape::ScalarMap(kind) => format!("a mapping of names: {}", one(kind)),
        Shape::NullableMap(kind) => format!("a mapping of names: {}, or `null`", one(kind)),
        Shape::Expect => "a mapping of [metrics](#metrics)".to_owned(),
        Shape::ExpectDeltas => "a mapping of [deltas](#metrics)".to_owned(),
        Shape::Steps => "a list of [steps](#a-step)".to_owned(),
        // Actions are linked by their names.
        Shape::Mapping(mapping) if actions::keys().any(|key| key.name == mapping.name) => "a mapping".to_owned(),
        Shape::Mapping(mapping) => format!("a mapping: {}", link(mapping)),
        Shape::NamedMappings(mapping) => format!("a mapping of names: {}", link(mapping)),
        Shape::MappingList(mapping) => format!("a list: {}", link(mapping)),
    }
}

/// Such as `[a caller](#a-caller)`.
fn link(mapping: &MappingSpec) -> String {
    format!("[{}](#{})", mapping.label, mapping.label.replace(' ', "-"))
}

fn one(kind: Kind) -> String {
    match kind.form {
        Form::Choice(choices) => choices().iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", "),
        _ if kind.limits.is_empty() => cell(kind.name),
        _ => format!("{}: {}", cell(kind.name), cell(kind.limits)),
    }
}

/// Escapes a text for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn metrics(page: &mut String) {
    let _ = write!(page, "\n## Metrics\n\n{}\n\n```yaml\n- traffic: {{ requests: 40 }}\n  expect:\n", kinds::EXPECT);
    for MetricForm { example: (metric, bound), .. } in METRICS {
        let _ = writeln!(page, "    {metric}: {bound}");
    }
    *page += "```\n\n| metric | bound | description |\n| --- | --- | --- |\n";
    for metric in METRICS {
        let _ = writeln!(page, "| `{}` | {} | {} |", metric.form, cell(metric.bound.what()), cell(metric.description));
    }
    let label = |counter: &str| LABELS.iter().find(|(name, _)| *name == counter);
    let counter = |counter: &&str| match label(counter) {
        Some((_, label)) => format!("`{counter}` (label `{label}`)"),
        None => format!("`{counter}`"),
    };
    let counters: Vec<String> = counters().iter().map(counter).collect();
    let _ = write!(
        page,
        "\nDeltas and alerts are available on every step. All other metrics need traffic of the step itself, and may have a prefix: \
         `caller.NAME.` for one of the step's callers, or `background.NAME.` for the background traffic of an earlier \
         step.\n\nThe counters: {}.\n",
        counters.join(", ")
    );
}
