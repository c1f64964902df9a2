//! Loader and JSON Schema agree with the table: each key is tried with valid and invalid values.

use serde_json::Value;

use super::kinds::Form;
use super::metrics::METRICS;
use super::{DefaultValue, KeySpec, Kind, MappingSpec, STEP, Shape, mappings};
use crate::actions;
use crate::json_schema::json_schema;
use crate::{LoadOptions, Plan, Source, load};

/// Invalid for every key.
const WRONG: &str = "[{}]";

/// A key and its value, in YAML.
type Pair<'a> = (&'a str, &'a str);

/// Adds the required keys of a mapping to `with`, except those that `with` excludes.
fn least<'a>(mapping: &MappingSpec, with: &[Pair<'a>]) -> Vec<Pair<'a>> {
    let given = |key: &str| with.iter().any(|(known, _)| *known == key);
    let chosen = mapping.one_of.first().filter(|_| !mapping.one_of.iter().any(|key| given(key)));
    let needed = |key: &&KeySpec| (key.required || chosen == Some(&key.name)) && !given(key.name);
    let needed = mapping.keys.iter().filter(needed).map(|key| (key.name, key.example));
    needed.chain(with.iter().copied()).collect()
}

fn flow(pairs: &[Pair]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// A complete file whose mapping of this kind contains these pairs.
fn file(mapping: &MappingSpec, pairs: &[Pair]) -> String {
    let mut callers = "{ web: { rate: 30 }, batch: {} }".to_owned();
    let mut more = String::new();
    let mut step = "{ wait: 10ms }".to_owned();
    match mapping.name {
        "scenario" => {
            let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
            let text: String = lines.concat();
            // An unused parameter is an error.
            let used = "[{ traffic: { requests: \"${n}\" } }]";
            return if text.contains("parameters:") { text.replace("[{ wait: 10ms }]", used) } else { text };
        }
        "parameter" => {
            let other = "other: { default: 1, vary: [1, 2, 3] }";
            more = format!("parameters: {{ n: {}, {other} }}\n", flow(pairs));
            step = "{ traffic: { requests: \"${n}\", rate: \"${other}\" } }".to_owned();
        }
        "caller" => callers = format!("{{ web: {} }}", flow(pairs)),
        "wait_for" if pairs.iter().any(|(key, _)| *key == "resolved") => {
            more = "resolved_check: [{ check: { path: / } }]\n".to_owned();
            step = format!("{{ wait_for: {} }}", flow(pairs));
        }
        "second_fault" => more = format!("diagnosis: {{ where: app, what: slow, also: {} }}\n", flow(pairs)),
        key @ ("diagnosis" | "par") => more = format!("{key}: {}\n", flow(pairs)),
        "inject" => more = format!("ticket: Help!\ninjects: [{}]\n", flow(pairs)),
        "hint" => more = format!("hints: [{}]\n", flow(pairs)),
        "wrong_fix" => more = format!("wrong_fixes: [{}]\n", flow(pairs)),
        "other_fix" => more = format!("other_fixes: [{}]\n", flow(pairs)),
        "step" => step = flow(pairs),
        action => step = format!("{{ {action}: {} }}", flow(pairs)),
    }
    format!(
        "title: T\ncallers: {callers}\n{more}steps:\n  - {{ name: users, background: {{ rate: 1 }} }}\n  - {step}\n"
    )
}

/// Pairs of a valid mapping that contains `key` with this value.
fn with<'a>(mapping: &MappingSpec, key: &'a KeySpec, value: &'a str) -> Vec<Pair<'a>> {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut next = key.requires;
    // A required key may require another one.
    while let Some(required) = next {
        let required =
            mapping.keys.iter().chain(actions::keys()).find(|other| other.name == required).expect("it is a key");
        pairs.push((required.name, required.example));
        next = required.requires;
    }
    if key.requires.is_none() && mapping.name == STEP.name {
        pairs.push(("wait", "10ms"));
    }
    pairs.push((key.name, value));
    // Proofs and secrets need a default.
    if mapping.name == "parameter" && key.name != "default" {
        pairs.insert(0, ("default", "4000"));
    }
    least(mapping, &pairs)
}

fn plan(text: &str) -> Result<Plan, String> {
    let source = Source::Text { name: "test.yaml".into(), text: text.into() };
    load(&source, &LoadOptions::default()).map_err(|found| found.to_string())
}

struct Checker(jsonschema::Validator);

impl Checker {
    fn new() -> Self {
        let schema = serde_json::to_value(json_schema()).expect("plain data");
        Self(jsonschema::draft7::new(&schema).expect("a schema"))
    }

    fn check(&self, text: &str) -> Result<(), String> {
        let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        self.0.validate(&value).map_err(|error| error.to_string())
    }

    /// Asserts that loader and JSON Schema accept the text.
    #[track_caller]
    fn accepts(&self, text: &str) -> Plan {
        self.check(text).unwrap_or_else(|error| panic!("the schema rejects it: {error}\n{text}"));
        plan(text).unwrap_or_else(|found| panic!("the loader rejects it\n{text}\n{found}"))
    }

    /// Asserts that loader and JSON Schema reject the text.
    #[track_caller]
    fn rejects(&self, text: &str) {
        assert!(plan(text).is_err(), "the loader accepts it:\n{text}");
        assert!(self.check(text).is_err(), "the schema accepts it:\n{text}");
    }
}

#[test]
fn every_key_is_read_and_its_value_checked() {
    let checker = Checker::new();
    for mapping in mappings() {
        for key in mapping.keys {
            checker.accepts(&file(mapping, &with(mapping, key, key.example)));
            checker.rejects(&file(mapping, &with(mapping, key, WRONG)));
            if key.required {
                let pairs = least(mapping, &[]);
                let without: Vec<Pair> = pairs.into_iter().filter(|(name, _)| *name != key.name).collect();
                checker.rejects(&file(mapping, &without));
            }
        }
    }
}

#[test]
fn every_action_is_read() {
    let checker = Checker::new();
    for key in actions::keys() {
        let plan = checker.accepts(&file(&STEP, &[(key.name, key.example)]));
        let action = plan.steps.last().expect("a step").action.name();
        assert_eq!(action, if key.name == "scenario" { "traffic" } else { key.name });
        checker.rejects(&file(&STEP, &[(key.name, WRONG)]));
    }
    checker.rejects(&file(&STEP, &[("name", "nothing")]));
    checker.rejects(&file(&STEP, &[("stop", "app"), ("start", "app")]));
}

#[test]
fn no_other_key_is_taken() {
    let checker = Checker::new();
    for mapping in mappings() {
        let pairs = if mapping.name == STEP.name { vec![("wait", "10ms")] } else { least(mapping, &[]) };
        // A parameter needs at least one key.
        let pairs = if mapping.name == "parameter" { vec![("default", "4")] } else { pairs };
        checker.accepts(&file(mapping, &pairs));
        let more: Vec<Pair> = pairs.into_iter().chain([("surely_unknown", "1")]).collect();
        checker.rejects(&file(mapping, &more));
    }
}

#[test]
fn keys_that_need_or_exclude_each_other_do_so_in_both() {
    let checker = Checker::new();
    for mapping in mappings() {
        let example = |key: &'static str| (key, key_spec(mapping, key).example);
        if let Some(first) = mapping.one_of.first() {
            let none: Vec<Pair> = least(mapping, &[]).into_iter().filter(|(key, _)| key != first).collect();
            checker.rejects(&file(mapping, &none));
        }
        for (index, one) in mapping.one_of.iter().enumerate() {
            for other in &mapping.one_of[index + 1..] {
                checker.rejects(&file(mapping, &least(mapping, &[example(one), example(other)])));
            }
        }
        for (one, other) in mapping.exclusive {
            let mut pairs = with(mapping, key_spec(mapping, one), key_spec(mapping, one).example);
            pairs.push(example(other));
            checker.rejects(&file(mapping, &pairs));
        }
        for key in mapping.keys {
            let Some(required) = key.requires else { continue };
            let mut pairs = with(mapping, key, key.example);
            pairs.retain(|(key, _)| *key != required);
            // Satisfy `one_of` with another key.
            let other = mapping.one_of.iter().find(|key| **key != required);
            pairs.extend(other.map(|key| example(key)));
            if mapping.name == STEP.name {
                pairs.push(("wait", "10ms"));
            }
            checker.rejects(&file(mapping, &pairs));
        }
    }
}

fn key_spec(mapping: &MappingSpec, name: &str) -> &'static KeySpec {
    mapping.keys.iter().find(|key| key.name == name).expect("it is a key")
}

#[test]
fn a_default_is_what_holds_without_it() {
    for mapping in mappings() {
        for key in mapping.keys {
            let DefaultValue::Value(value) = key.default else { continue };
            let given = file(mapping, &with(mapping, key, value));
            let mut pairs = with(mapping, key, value);
            pairs.retain(|(name, _)| *name != key.name);
            let left_out = file(mapping, &pairs);
            assert_ne!(given, left_out);
            assert_eq!(plan(&given), plan(&left_out), "{given}\n{left_out}");
        }
    }
}

#[test]
fn every_choice_is_one() {
    let checker = Checker::new();
    let choices = |key: &KeySpec| match key.shape {
        Shape::Scalar(Kind { form: Form::Choice(choices), .. }) => choices(),
        _ => Vec::new(),
    };
    for mapping in mappings() {
        for key in mapping.keys {
            let choices = choices(key);
            for choice in &choices {
                checker.accepts(&file(mapping, &with(mapping, key, choice)));
            }
            if !choices.is_empty() {
                checker.rejects(&file(mapping, &with(mapping, key, "surely-none")));
            }
        }
    }
    for key in actions::keys() {
        for choice in choices(key) {
            checker.accepts(&file(&STEP, &[(key.name, choice)]));
        }
    }
}

#[test]
fn every_metric_is_read_and_its_bound_checked() {
    let checker = Checker::new();
    let step = |action: &str, metric: &str, bound: &str| {
        file(
            &STEP,
            &[(action, if action == "wait" { "10ms" } else { "{}" }), ("expect", &format!("{{ {metric}: {bound} }}"))],
        )
    };
    for metric in METRICS {
        let (name, bound) = metric.example;
        let mut names = vec![name.to_owned()];
        if metric.of_traffic {
            names.extend([format!("caller.web.{name}"), format!("background.users.{name}")]);
            // The JSON Schema does not know what an action needs.
            plan(&step("wait", name, bound)).expect_err("nothing is sent");
        } else {
            checker.accepts(&step("wait", name, bound));
        }
        for name in names {
            checker.accepts(&step("traffic", &name, bound));
            checker.rejects(&step("traffic", &name, "surely-none"));
            checker.rejects(&step("traffic", &name, WRONG));
            // The lab's rules decide which alerts exist, but this name is never valid.
            checker.rejects(&step("traffic", &format!("{name}!"), bound));
        }
    }
}
