//! The words of the language, as one table: every key that a scenario may have, where it may stand, what its value looks
//! like, what holds without it, and what it means. The loader knows no other keys; `lab scenario schema` prints the JSON
//! Schema and the reference made from the same rows. A new key begins with a [`Word`] in `file.rs`, a new kind of step with a
//! row in `actions.rs`, a new metric with one in `metrics.rs`; the tests then ask that the loader reads it.

mod actions;
mod file;
pub(crate) mod kinds;
pub(crate) mod metrics;

pub(crate) use actions::ACTIONS;
pub(crate) use file::{CALLER, PARAMETER, SCENARIO, STEP, WRONG_FIX};
pub(crate) use kinds::Kind;

/// A key and all that is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) key: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) preset: Preset,
    /// The key beside which alone it may stand.
    pub(crate) beside: Option<&'static str>,
    /// One line.
    pub(crate) meaning: &'static str,
    /// A value that is right wherever the word may stand, in YAML.
    pub(crate) example: &'static str,
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// Nothing, or none.
    None,
    /// As if this value were given.
    Value(&'static str),
    /// What no single value says, in words.
    Said(&'static str),
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One scalar.
    One(Kind),
    /// A list of scalars, or one of them by itself.
    OneOrMore(Kind),
    /// A list of scalars.
    List(Kind),
    /// A mapping of names to scalars.
    Map(Kind),
    /// A mapping of names to scalars or `null`.
    MapOrNull(Kind),
    /// A mapping of metrics to what they must be.
    Expect,
    /// The same of metrics that need no traffic of the step's own.
    ExpectDeltas,
    /// A list of steps, at least one.
    Steps,
    /// A mapping with the words of the group.
    Mapping(&'static Group),
    /// A mapping of free names to such mappings.
    Named(&'static Group),
    /// A list of such mappings.
    Mappings(&'static Group),
}

/// The words of one mapping.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its name, in the schema and in headings.
    pub(crate) name: &'static str,
    /// As messages call it: `a step`.
    pub(crate) what: &'static str,
    /// One sentence.
    pub(crate) meaning: &'static str,
    pub(crate) words: &'static [Word],
    /// Exactly one of these keys has to be there.
    pub(crate) one_of: &'static [&'static str],
    /// Keys that exclude each other.
    pub(crate) apart: &'static [(&'static str, &'static str)],
}

impl Group {
    /// Its keys, in their order.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        self.words.iter().map(|word| word.key).collect()
    }
}

impl Word {
    /// A word that may be left out.
    const fn new(key: &'static str, shape: Shape, meaning: &'static str, example: &'static str) -> Self {
        Self { key, shape, required: false, preset: Preset::None, beside: None, meaning, example }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Without it, as if it had this value.
    const fn or(self, value: &'static str) -> Self {
        Self { preset: Preset::Value(value), ..self }
    }

    /// Without it, so; in words.
    const fn or_said(self, what: &'static str) -> Self {
        Self { preset: Preset::Said(what), ..self }
    }

    const fn beside(self, key: &'static str) -> Self {
        Self { beside: Some(key), ..self }
    }
}

/// An action by its key.
pub(crate) fn action(key: &str) -> Option<&'static Word> {
    ACTIONS.iter().find(|word| word.key == key)
}

/// Every group, in the order in which somebody reads of them.
pub(crate) fn groups() -> impl Iterator<Item = &'static Group> {
    let of_an_action = |word: &'static Word| match word.shape {
        Shape::Mapping(group) => Some(group),
        _ => None,
    };
    [&SCENARIO, &PARAMETER, &CALLER, &WRONG_FIX, &STEP].into_iter().chain(ACTIONS.iter().filter_map(of_an_action))
}

#[cfg(test)]
mod tests;
