//! Schema of scenario files: a table of every key with its place, shape, default and description. The loader accepts
//! exactly these keys, and `lab scenario schema` generates the JSON Schema and the reference from the same rows. Add a
//! new key to `file.rs`, a new action to `actions/`, a new metric to `metrics.rs`; the tests then require that the
//! loader reads it.

mod drill;
mod file;
pub(crate) mod kinds;
pub(crate) mod metrics;

pub(crate) use drill::{DIAGNOSIS, HINT, INJECT, OTHER_FIX, PAR, SECOND_FAULT, WRONG_FIX};
pub(crate) use file::{CALLER, PARAMETER, SCENARIO, STEP};
pub(crate) use kinds::Kind;

use crate::actions;

/// A key of a mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySpec {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) default: DefaultValue,
    /// Key that must be present as well.
    pub(crate) requires: Option<&'static str>,
    /// One line.
    pub(crate) description: &'static str,
    /// A valid value in YAML, usable in every context.
    pub(crate) example: &'static str,
}

/// Effect of leaving a key out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultValue {
    /// No value.
    None,
    /// Same as this value.
    Value(&'static str),
    /// Described in words.
    Described(&'static str),
}

/// Shape of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Scalar(Kind),
    /// A list of scalars, or a single scalar.
    ScalarOrList(Kind),
    ScalarList(Kind),
    /// A single choice, or a list of at least one scalar.
    ChoiceOrList(Kind, Kind),
    /// A list whose entries are scalars or mappings with fixed keys.
    ScalarOrMappingList(Kind, &'static MappingSpec),
    /// A mapping from names to scalars.
    ScalarMap(Kind),
    /// A mapping from names to scalars or `null`.
    NullableMap(Kind),
    /// A mapping from metrics to bounds.
    Expect,
    /// The same, limited to metrics that need no traffic of the step.
    ExpectDeltas,
    /// A list of at least one step.
    Steps,
    /// A mapping with fixed keys.
    Mapping(&'static MappingSpec),
    /// A mapping from names to mappings with fixed keys.
    NamedMappings(&'static MappingSpec),
    /// A list of mappings with fixed keys.
    MappingList(&'static MappingSpec),
}

/// A mapping with fixed keys.
#[derive(Debug)]
pub(crate) struct MappingSpec {
    /// Name in the JSON Schema and in headings.
    pub(crate) name: &'static str,
    /// Name in messages, such as `a step`.
    pub(crate) label: &'static str,
    /// One sentence.
    pub(crate) description: &'static str,
    pub(crate) keys: &'static [KeySpec],
    /// Keys of which exactly one is required.
    pub(crate) one_of: &'static [&'static str],
    /// Pairs of keys that exclude each other.
    pub(crate) exclusive: &'static [(&'static str, &'static str)],
}

impl MappingSpec {
    pub(crate) fn key_names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

impl KeySpec {
    /// An optional key.
    pub(crate) const fn new(
        name: &'static str,
        shape: Shape,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self { name, shape, required: false, default: DefaultValue::None, requires: None, description, example }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Sets the default.
    pub(crate) const fn default_value(self, value: &'static str) -> Self {
        Self { default: DefaultValue::Value(value), ..self }
    }

    /// Describes the default in words.
    pub(crate) const fn default_described(self, what: &'static str) -> Self {
        Self { default: DefaultValue::Described(what), ..self }
    }

    pub(crate) const fn requires(self, other: &'static str) -> Self {
        Self { requires: Some(other), ..self }
    }
}

/// All mappings, in the order of the reference.
pub(crate) fn mappings() -> impl Iterator<Item = &'static MappingSpec> {
    let of_an_action = |action: &'static KeySpec| match action.shape {
        Shape::Mapping(mapping) => Some(mapping),
        _ => None,
    };
    let of_the_file = [
        &SCENARIO,
        &PARAMETER,
        &CALLER,
        &DIAGNOSIS,
        &SECOND_FAULT,
        &PAR,
        &HINT,
        &INJECT,
        &WRONG_FIX,
        &OTHER_FIX,
        &STEP,
    ];
    of_the_file.into_iter().chain(actions::keys().filter_map(of_an_action))
}

#[cfg(test)]
mod tests;
