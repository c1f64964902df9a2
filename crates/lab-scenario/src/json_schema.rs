//! [`json_schema()`]: the JSON Schema (draft 7, for the best editor support) of scenario files, generated from the
//! schema. It is never stricter than the loader.

use serde::ser::{Serialize, Serializer};

use super::actions;
use super::schema::kinds::{self, Form, Kind};
use super::schema::metrics::{Bound, METRICS, WHOSE};
use super::schema::{self, DefaultValue, KeySpec, MappingSpec, SCENARIO, STEP, Shape};

/// A value that contains a parameter or an output can have any form.
const FILLED_IN: &str = r"\$\{";

/// Returns the schema, to be serialised as JSON.
pub fn json_schema() -> impl Serialize {
    let mut whole = vec![
        entry("$schema", text("http://json-schema.org/draft-07/schema#")),
        entry("title", text("A scenario of lab")),
    ];
    whole.extend(definition(&SCENARIO));
    let mut definitions: Vec<Entry> = schema::mappings()
        .filter(|mapping| ![SCENARIO.name, STEP.name].contains(&mapping.name))
        .map(|mapping| entry(mapping.name, Json::Object(definition(mapping))))
        .collect();
    definitions.push(entry(STEP.name, Json::Object(step())));
    definitions.push(entry("expect", Json::Object(expectations(true))));
    definitions.push(entry("expect_deltas", Json::Object(expectations(false))));
    whole.push(entry("definitions", Json::Object(definitions)));
    Json::Object(whole)
}

/// JSON with ordered keys.
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

/// Schema of a mapping. It may be empty (`null`) if no key is required.
fn definition(mapping: &MappingSpec) -> Vec<Entry> {
    let required: Vec<&str> = mapping.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let may_be_empty = required.is_empty() && mapping.one_of.is_empty();
    let kind = if may_be_empty { texts(["object", "null"]) } else { text("object") };
    let mut made = vec![entry("description", text(mapping.description)), entry("type", kind)];
    made.push(entry("properties", Json::Object(mapping.keys.iter().map(property).collect())));
    made.push(entry("additionalProperties", Json::Truth(false)));
    if !required.is_empty() {
        made.push(entry("required", texts(required)));
    }
    rules(mapping, &mut made);
    made
}

/// Adds the rules for combinations of keys.
fn rules(mapping: &MappingSpec, made: &mut Vec<Entry>) {
    let requires = |keys: &[&str]| object([("required", texts(keys.iter().copied()))]);
    if !mapping.one_of.is_empty() {
        made.push(entry("oneOf", Json::List(mapping.one_of.iter().map(|key| requires(&[key])).collect())));
    }
    if !mapping.exclusive.is_empty() {
        let never = |(one, other): &(&str, &str)| object([("not", requires(&[one, other]))]);
        made.push(entry("allOf", Json::List(mapping.exclusive.iter().map(never).collect())));
    }
    let beside = |key: &KeySpec| key.requires.map(|other| entry(key.name, texts([other])));
    let dependencies: Vec<Entry> = mapping.keys.iter().filter_map(beside).collect();
    if !dependencies.is_empty() {
        made.push(entry("dependencies", Json::Object(dependencies)));
    }
}

/// A step: its own keys and exactly one action.
fn step() -> Vec<Entry> {
    let mut made = definition(&STEP);
    for (key, value) in &mut made {
        match (key.as_str(), value) {
            ("properties", Json::Object(properties)) => properties.extend(actions::keys().map(property)),
            ("type", value) => *value = text("object"),
            _ => {}
        }
    }
    let one = |key: &KeySpec| object([("required", texts([key.name]))]);
    made.push(entry("oneOf", Json::List(actions::keys().map(one).collect())));
    made
}

fn property(key: &KeySpec) -> Entry {
    let mut made = vec![entry("description", text(described(key)))];
    if let DefaultValue::Value(value) = key.default {
        made.push(entry("default", plain(value)));
    }
    made.extend(shape(key.shape));
    entry(key.name, Json::Object(made))
}

/// Description with limits, and the effect of leaving the key out.
fn described(key: &KeySpec) -> String {
    let limits = match key.shape {
        Shape::Scalar(kind) | Shape::ScalarOrList(kind) | Shape::ScalarList(kind) if !kind.limits.is_empty() => {
            format!(" ({})", kind.limits)
        }
        _ => String::new(),
    };
    let without = match key.default {
        DefaultValue::Described(what) => format!("; without it: {what}"),
        DefaultValue::None | DefaultValue::Value(_) => String::new(),
    };
    format!("{}{limits}{without}", key.description)
}

/// Converts a scalar as YAML would.
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
        Shape::Scalar(kind) => scalar(kind),
        Shape::ScalarOrList(kind) => {
            vec![entry("anyOf", Json::List(vec![of(kind), Json::Object(list(of(kind), 1))]))]
        }
        Shape::ScalarList(kind) => list(of(kind), 0),
        Shape::ChoiceOrList(one, items) => {
            vec![entry("anyOf", Json::List(vec![of(one), Json::Object(list(of(items), 1))]))]
        }
        Shape::ScalarOrMappingList(kind, mapping) => {
            list(object([("anyOf", Json::List(vec![of(kind), refers_to(mapping.name)]))]), 0)
        }
        Shape::ScalarMap(kind) => names(of(kind)),
        Shape::NullableMap(kind) => {
            names(object([("anyOf", Json::List(vec![of(kind), object([("type", text("null"))])]))]))
        }
        Shape::Expect => vec![entry("allOf", Json::List(vec![refers_to("expect")]))],
        Shape::ExpectDeltas => vec![entry("allOf", Json::List(vec![refers_to("expect_deltas")]))],
        Shape::Steps => list(refers_to(STEP.name), 1),
        Shape::Mapping(mapping) => vec![entry("allOf", Json::List(vec![refers_to(mapping.name)]))],
        Shape::NamedMappings(mapping) => names(refers_to(mapping.name)),
        Shape::MappingList(mapping) => list(refers_to(mapping.name), 0),
    }
}

fn scalar(kind: Kind) -> Vec<Entry> {
    let any = texts(["string", "number", "boolean"]);
    let pattern = |pattern: &str| entry("pattern", text(format!("{FILLED_IN}|{pattern}")));
    match kind.form {
        Form::Text => vec![entry("type", any)],
        Form::NonBlank => vec![entry("type", any), entry("pattern", text(r"\S"))],
        Form::Token(form) => vec![entry("type", any), pattern(form)],
        Form::Pattern(form) => vec![entry("type", text("string")), pattern(form)],
        Form::Number { least, most, text } => vec![
            entry("type", texts(["integer", "string"])),
            entry("minimum", Json::Number(least)),
            entry("maximum", Json::Number(most)),
            pattern(&format!("^{text}$")),
        ],
        Form::Positive { most } => vec![
            entry("type", texts(["number", "string"])),
            entry("exclusiveMinimum", Json::Number(0)),
            entry("maximum", Json::Number(most)),
            pattern("^[+0-9.eE-]+$"),
        ],
        Form::Choice(choices) => one_of_these(choices().into_iter().map(text).collect()),
        Form::Bool => one_of_these(vec![Json::Truth(true), Json::Truth(false), text("true"), text("false")]),
    }
}

fn one_of_these(values: Vec<Json>) -> Vec<Entry> {
    let filled_in = object([("type", text("string")), ("pattern", text(FILLED_IN))]);
    vec![entry("anyOf", Json::List(vec![object([("enum", Json::List(values))]), filled_in]))]
}

/// Metrics with their bounds. Without `traffic`, only counter deltas.
fn expectations(traffic: bool) -> Vec<Entry> {
    let metrics = METRICS.iter().filter(|metric| traffic || metric.form == "COUNTER.delta");
    let property = |metric: &schema::metrics::MetricForm| {
        let whose = if metric.of_traffic { format!("({WHOSE})?") } else { String::new() };
        entry(&format!("^{whose}({})$", (metric.pattern)()), bound(metric.bound, metric.description))
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
