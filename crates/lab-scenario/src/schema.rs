//! [`schema`]: the JSON Schema of scenario files (draft 7, which editors know best), made from the words of the language.
//! It is never stricter than the loader, which finds more: what it refuses, the loader refuses too.

use serde::ser::{Serialize, Serializer};

use super::words::kinds::{self, Form, Kind};
use super::words::metrics::{Bound, METRICS, WHOSE};
use super::words::{self, ACTIONS, Group, Preset, SCENARIO, STEP, Shape, Word};

/// A value with a parameter or an output of a step in it may come to anything.
const FILLED_IN: &str = r"\$\{";

/// The schema, to be written as JSON.
pub fn schema() -> impl Serialize {
    let mut whole = vec![
        entry("$schema", text("http://json-schema.org/draft-07/schema#")),
        entry("title", text("A scenario of lab")),
    ];
    whole.extend(definition(&SCENARIO));
    let mut definitions: Vec<Entry> = words::groups()
        .filter(|group| ![SCENARIO.name, STEP.name].contains(&group.name))
        .map(|group| entry(group.name, Json::Object(definition(group))))
        .collect();
    definitions.push(entry(STEP.name, Json::Object(step())));
    definitions.push(entry("expect", Json::Object(expectations(true))));
    definitions.push(entry("expect_deltas", Json::Object(expectations(false))));
    whole.push(entry("definitions", Json::Object(definitions)));
    Json::Object(whole)
}

/// JSON whose keys keep their order.
#[derive(Clone, Debug)]
enum Json {
    Text(String),
    Number(u64),
    Truth(bool),
    List(Vec<Json>),
    Object(Vec<Entry>),
}

type Entry = (String, Json);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

fn entry(key: &str, value: Json) -> Entry {
    (key.to_owned(), value)
}

fn text(text: impl Into<String>) -> Json {
    Json::Text(text.into())
}

fn texts<'t>(items: impl IntoIterator<Item = &'t str>) -> Json {
    Json::List(items.into_iter().map(text).collect())
}

fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| entry(key, value)).collect())
}

fn refers_to(name: &str) -> Json {
    object([("$ref", text(format!("#/definitions/{name}")))])
}

/// The mapping of a group. One in which nothing has to stand may be left empty.
fn definition(group: &Group) -> Vec<Entry> {
    let required: Vec<&str> = group.words.iter().filter(|word| word.required).map(|word| word.key).collect();
    let may_be_empty = required.is_empty() && group.one_of.is_empty();
    let kind = if may_be_empty { texts(["object", "null"]) } else { text("object") };
    let mut made = vec![entry("description", text(group.meaning)), entry("type", kind)];
    made.push(entry("properties", Json::Object(group.words.iter().map(property).collect())));
    made.push(entry("additionalProperties", Json::Truth(false)));
    if !required.is_empty() {
        made.push(entry("required", texts(required)));
    }
    rules(group, &mut made);
    made
}

/// What has to be said of several keys together.
fn rules(group: &Group, made: &mut Vec<Entry>) {
    let requires = |keys: &[&str]| object([("required", texts(keys.iter().copied()))]);
    if !group.one_of.is_empty() {
        made.push(entry("oneOf", Json::List(group.one_of.iter().map(|key| requires(&[key])).collect())));
    }
    if !group.apart.is_empty() {
        let never = |(one, other): &(&str, &str)| object([("not", requires(&[one, other]))]);
        made.push(entry("allOf", Json::List(group.apart.iter().map(never).collect())));
    }
    let beside = |word: &Word| word.beside.map(|other| entry(word.key, texts([other])));
    let dependencies: Vec<Entry> = group.words.iter().filter_map(beside).collect();
    if !dependencies.is_empty() {
        made.push(entry("dependencies", Json::Object(dependencies)));
    }
}

/// A step: its own words, and one action.
fn step() -> Vec<Entry> {
    let mut made = definition(&STEP);
    for (key, value) in &mut made {
        match (key.as_str(), value) {
            ("properties", Json::Object(properties)) => properties.extend(ACTIONS.iter().map(property)),
            ("type", value) => *value = text("object"),
            _ => {}
        }
    }
    let one = |word: &Word| object([("required", texts([word.key]))]);
    made.push(entry("oneOf", Json::List(ACTIONS.iter().map(one).collect())));
    made
}

fn property(word: &Word) -> Entry {
    let mut made = vec![entry("description", text(described(word)))];
    if let Preset::Value(value) = word.preset {
        made.push(entry("default", plain(value)));
    }
    made.extend(shape(word.shape));
    entry(word.key, Json::Object(made))
}

/// What it means, and what holds without it.
fn described(word: &Word) -> String {
    let limits = match word.shape {
        Shape::One(kind) | Shape::OneOrMore(kind) | Shape::List(kind) if !kind.limits.is_empty() => {
            format!(" ({})", kind.limits)
        }
        _ => String::new(),
    };
    let without = match word.preset {
        Preset::Said(what) => format!("; without it: {what}"),
        Preset::None | Preset::Value(_) => String::new(),
    };
    format!("{}{limits}{without}", word.meaning)
}

/// A scalar as YAML would read it.
fn plain(value: &str) -> Json {
    match value {
        "true" | "false" => Json::Truth(value == "true"),
        _ => value.parse().map_or_else(|_| text(value), Json::Number),
    }
}

fn shape(shape: Shape) -> Vec<Entry> {
    let list = |items: Json, least: u64| {
        let mut made = vec![entry("type", text("array")), entry("items", items)];
        made.extend((least > 0).then(|| entry("minItems", Json::Number(least))));
        made
    };
    let names = |values: Json| vec![entry("type", text("object")), entry("additionalProperties", values)];
    let of = |kind: Kind| Json::Object(scalar(kind));
    match shape {
        Shape::One(kind) => scalar(kind),
        Shape::OneOrMore(kind) => {
            vec![entry("anyOf", Json::List(vec![of(kind), Json::Object(list(of(kind), 1))]))]
        }
        Shape::List(kind) => list(of(kind), 0),
        Shape::Map(kind) => names(of(kind)),
        Shape::MapOrNull(kind) => {
            names(object([("anyOf", Json::List(vec![of(kind), object([("type", text("null"))])]))]))
        }
        Shape::Expect => vec![entry("allOf", Json::List(vec![refers_to("expect")]))],
        Shape::ExpectDeltas => vec![entry("allOf", Json::List(vec![refers_to("expect_deltas")]))],
        Shape::Steps => list(refers_to(STEP.name), 1),
        Shape::Mapping(group) => vec![entry("allOf", Json::List(vec![refers_to(group.name)]))],
        Shape::Named(group) => names(refers_to(group.name)),
        Shape::Mappings(group) => list(refers_to(group.name), 0),
    }
}

/// A single value.
fn scalar(kind: Kind) -> Vec<Entry> {
    let any = texts(["string", "number", "boolean"]);
    let pattern = |pattern: &str| entry("pattern", text(format!("{FILLED_IN}|{pattern}")));
    match kind.form {
        Form::Text => vec![entry("type", any)],
        Form::Filled => vec![entry("type", any), entry("pattern", text(r"\S"))],
        Form::Word(form) => vec![entry("type", any), pattern(form)],
        Form::Pattern(form) => vec![entry("type", text("string")), pattern(form)],
        Form::Number { least, most, text } => vec![
            entry("type", texts(["integer", "string"])),
            entry("minimum", Json::Number(least)),
            entry("maximum", Json::Number(most)),
            pattern(&format!("^{text}$")),
        ],
        Form::Above0 { most } => vec![
            entry("type", texts(["number", "string"])),
            entry("exclusiveMinimum", Json::Number(0)),
            entry("maximum", Json::Number(most)),
            pattern("^[+0-9.eE-]+$"),
        ],
        Form::Choice(choices) => one_of_these(choices().into_iter().map(text).collect()),
        Form::Truth => one_of_these(vec![Json::Truth(true), Json::Truth(false), text("true"), text("false")]),
    }
}

fn one_of_these(values: Vec<Json>) -> Vec<Entry> {
    let filled_in = object([("type", text("string")), ("pattern", text(FILLED_IN))]);
    vec![entry("anyOf", Json::List(vec![object([("enum", Json::List(values))]), filled_in]))]
}

/// Metrics and their bounds; `traffic`: those of requests as well.
fn expectations(traffic: bool) -> Vec<Entry> {
    let metrics = METRICS.iter().filter(|metric| traffic || metric.form == "COUNTER.delta");
    let property = |metric: &words::metrics::MetricForm| {
        let whose = if metric.of_traffic { format!("({WHOSE})?") } else { String::new() };
        entry(&format!("^{whose}({})$", (metric.pattern)()), bound(metric.bound, metric.meaning))
    };
    let mut made = vec![
        entry("description", text(kinds::EXPECT)),
        entry("type", text("object")),
        entry("patternProperties", Json::Object(metrics.map(property).collect())),
        entry("additionalProperties", Json::Truth(false)),
    ];
    if !traffic {
        made.push(entry("minProperties", Json::Number(1)));
    }
    made
}

fn bound(bound: Bound, meaning: &str) -> Json {
    let types = if bound.is_number() { texts(["string", "number"]) } else { text("string") };
    let mut made = vec![entry("description", text(format!("{meaning}; {}", bound.what()))), entry("type", types)];
    made.extend(bound.is_number().then(|| entry("minimum", Json::Number(0))));
    made.push(entry("pattern", text(format!("{FILLED_IN}|{}", bound.pattern()))));
    Json::Object(made)
}
