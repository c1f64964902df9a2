//! The words, the loader and the schema are one: each word is tried in a file, right and wrong, at both.

use serde_json::Value;

use super::kinds::Form;
use super::metrics::METRICS;
use super::{ACTIONS, Group, Kind, Preset, STEP, Shape, Word, groups};
use crate::schema::schema;
use crate::{LoadOptions, Plan, Source, load};

/// A value that no word may have.
const WRONG: &str = "[{}]";

/// A key of a mapping and its value, in YAML.
type Pair<'a> = (&'a str, &'a str);

/// What has to stand in a group's mapping, whatever else does; `with` instead of what it excludes.
fn least<'a>(group: &Group, with: &[Pair<'a>]) -> Vec<Pair<'a>> {
    let given = |key: &str| with.iter().any(|(known, _)| *known == key);
    let chosen = group.one_of.first().filter(|_| !group.one_of.iter().any(|key| given(key)));
    let needed = |word: &&Word| (word.required || chosen == Some(&word.key)) && !given(word.key);
    let needed = group.words.iter().filter(needed).map(|word| (word.key, word.example));
    needed.chain(with.iter().copied()).collect()
}

fn flow(pairs: &[Pair]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// A whole file in which the group's mapping holds these pairs.
fn file(group: &Group, pairs: &[Pair]) -> String {
    let mut callers = "{ web: { rate: 30 }, batch: {} }".to_owned();
    let mut more = String::new();
    let mut step = "{ wait: 10ms }".to_owned();
    match group.name {
        "scenario" => {
            let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
            let text: String = lines.concat();
            // A parameter that is not used is an error.
            let used = "[{ traffic: { requests: \"${n}\" } }]";
            return if text.contains("parameters:") { text.replace("[{ wait: 10ms }]", used) } else { text };
        }
        "parameter" => {
            more = format!("parameters: {{ n: {} }}\n", flow(pairs));
            step = "{ traffic: { requests: \"${n}\" } }".to_owned();
        }
        "caller" => callers = format!("{{ web: {} }}", flow(pairs)),
        "wrong_fix" => more = format!("wrong_fixes: [{}]\n", flow(pairs)),
        "step" => step = flow(pairs),
        action => step = format!("{{ {action}: {} }}", flow(pairs)),
    }
    format!(
        "title: T\ncallers: {callers}\n{more}steps:\n  - {{ name: users, background: {{ rate: 1 }} }}\n  - {step}\n"
    )
}

/// The pairs of a group's mapping with a word of it, whose value is given.
fn with<'a>(group: &Group, word: &'a Word, value: &'a str) -> Vec<Pair<'a>> {
    let mut pairs: Vec<Pair> = Vec::new();
    if let Some(beside) = word.beside {
        let beside = group.words.iter().chain(ACTIONS).find(|other| other.key == beside).expect("it is a word");
        pairs.push((beside.key, beside.example));
    } else if group.name == STEP.name {
        pairs.push(("wait", "10ms"));
    }
    pairs.push((word.key, value));
    // What proofs and secrets need beside them.
    if group.name == "parameter" && word.key != "default" {
        pairs.insert(0, ("default", "4000"));
    }
    least(group, &pairs)
}

fn plan(text: &str) -> Result<Plan, String> {
    let source = Source::Text { name: "test.yaml".into(), text: text.into() };
    load(&source, &LoadOptions::default()).map_err(|found| found.to_string())
}

struct Checker(jsonschema::Validator);

impl Checker {
    fn new() -> Self {
        let schema = serde_json::to_value(schema()).expect("plain data");
        Self(jsonschema::draft7::new(&schema).expect("a schema"))
    }

    fn check(&self, text: &str) -> Result<(), String> {
        let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        self.0.validate(&value).map_err(|error| error.to_string())
    }

    /// Loader and schema take it.
    #[track_caller]
    fn right(&self, text: &str) -> Plan {
        self.check(text).unwrap_or_else(|error| panic!("the schema refuses it: {error}\n{text}"));
        plan(text).unwrap_or_else(|found| panic!("the loader refuses it\n{text}\n{found}"))
    }

    /// Loader and schema refuse it.
    #[track_caller]
    fn wrong(&self, text: &str) {
        assert!(plan(text).is_err(), "the loader takes it:\n{text}");
        assert!(self.check(text).is_err(), "the schema takes it:\n{text}");
    }
}

#[test]
fn every_word_is_read_and_its_value_looked_at() {
    let checker = Checker::new();
    for group in groups() {
        for word in group.words {
            checker.right(&file(group, &with(group, word, word.example)));
            checker.wrong(&file(group, &with(group, word, WRONG)));
            if word.required {
                let pairs = least(group, &[]);
                let without: Vec<Pair> = pairs.into_iter().filter(|(key, _)| *key != word.key).collect();
                checker.wrong(&file(group, &without));
            }
        }
    }
}

#[test]
fn every_action_is_read() {
    let checker = Checker::new();
    for word in ACTIONS {
        let plan = checker.right(&file(&STEP, &[(word.key, word.example)]));
        let action = plan.steps.last().expect("a step").action.name();
        assert_eq!(action, if word.key == "scenario" { "traffic" } else { word.key });
        checker.wrong(&file(&STEP, &[(word.key, WRONG)]));
    }
    checker.wrong(&file(&STEP, &[("name", "nothing")]));
    checker.wrong(&file(&STEP, &[("stop", "app"), ("start", "app")]));
}

#[test]
fn no_other_key_is_taken() {
    let checker = Checker::new();
    for group in groups() {
        let pairs = if group.name == STEP.name { vec![("wait", "10ms")] } else { least(group, &[]) };
        // Of a parameter something has to be there.
        let pairs = if group.name == "parameter" { vec![("default", "4")] } else { pairs };
        checker.right(&file(group, &pairs));
        let more: Vec<Pair> = pairs.into_iter().chain([("surely_unknown", "1")]).collect();
        checker.wrong(&file(group, &more));
    }
}

#[test]
fn keys_that_need_or_exclude_each_other_do_so_in_both() {
    let checker = Checker::new();
    for group in groups() {
        let example = |key: &'static str| (key, word(group, key).example);
        if let Some(first) = group.one_of.first() {
            let none: Vec<Pair> = least(group, &[]).into_iter().filter(|(key, _)| key != first).collect();
            checker.wrong(&file(group, &none));
        }
        for (index, one) in group.one_of.iter().enumerate() {
            for other in &group.one_of[index + 1..] {
                checker.wrong(&file(group, &least(group, &[example(one), example(other)])));
            }
        }
        for (one, other) in group.apart {
            let mut pairs = with(group, word(group, one), word(group, one).example);
            pairs.push(example(other));
            checker.wrong(&file(group, &pairs));
        }
        for word in group.words {
            let Some(beside) = word.beside else { continue };
            let mut pairs = with(group, word, word.example);
            pairs.retain(|(key, _)| *key != beside);
            // Where one of several has to be there, another one is.
            let other = group.one_of.iter().find(|key| **key != beside);
            pairs.extend(other.map(|key| example(key)));
            if group.name == STEP.name {
                pairs.push(("wait", "10ms"));
            }
            checker.wrong(&file(group, &pairs));
        }
    }
}

fn word(group: &Group, key: &str) -> &'static Word {
    group.words.iter().find(|word| word.key == key).expect("it is a word")
}

#[test]
fn a_default_is_what_holds_without_it() {
    for group in groups() {
        for word in group.words {
            let Preset::Value(value) = word.preset else { continue };
            let given = file(group, &with(group, word, value));
            let mut pairs = with(group, word, value);
            pairs.retain(|(key, _)| *key != word.key);
            let left_out = file(group, &pairs);
            assert_ne!(given, left_out);
            assert_eq!(plan(&given), plan(&left_out), "{given}\n{left_out}");
        }
    }
}

#[test]
fn every_choice_is_one() {
    let checker = Checker::new();
    let choices = |word: &Word| match word.shape {
        Shape::One(Kind { form: Form::Choice(choices), .. }) => choices(),
        _ => Vec::new(),
    };
    for group in groups() {
        for word in group.words {
            let choices = choices(word);
            for choice in &choices {
                checker.right(&file(group, &with(group, word, choice)));
            }
            if !choices.is_empty() {
                checker.wrong(&file(group, &with(group, word, "surely-none")));
            }
        }
    }
    for word in ACTIONS {
        for choice in choices(word) {
            checker.right(&file(&STEP, &[(word.key, choice)]));
        }
    }
}

#[test]
fn every_metric_is_read_and_its_bound_looked_at() {
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
            // What an action needs, the schema does not know.
            plan(&step("wait", name, bound)).expect_err("nothing is sent");
        } else {
            checker.right(&step("wait", name, bound));
        }
        for name in names {
            checker.right(&step("traffic", &name, bound));
            checker.wrong(&step("traffic", &name, "surely-none"));
            checker.wrong(&step("traffic", &name, WRONG));
            // Which alerts there are, the rules of the lab say; but none has such a name.
            checker.wrong(&step("traffic", &format!("{name}!"), bound));
        }
    }
}
