//! The keys of a scenario file, as tables: of the file, of a step, of each action. A new kind of step begins here, with a
//! row in [`ACTIONS`]; `action.rs` says what it means.

/// Keys of a scenario.
pub(crate) const SCENARIO: [&str; 6] = ["title", "description", "kind", "tags", "parameters", "steps"];
/// Keys of a parameter.
pub(crate) const PARAMETER: [&str; 2] = ["default", "description"];
/// Keys of a step beside its action.
pub(crate) const STEP: [&str; 4] = ["name", "phase", "expect", "with"];

/// An action: its key in a step, and what its value looks like.
#[derive(Debug)]
pub(crate) struct ActionSpec {
    pub(crate) key: &'static str,
    pub(crate) shape: Shape,
}

/// What an action's value looks like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// One scalar; what it is, for messages.
    Text(&'static str),
    /// A mapping with these keys.
    Fields(&'static [Field]),
}

/// A key of an action's mapping.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: FieldShape,
}

/// What the value of an action's key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldShape {
    /// One scalar.
    Text,
    /// A mapping of names to scalars.
    Texts,
    /// A mapping of names to scalars or `null`.
    Nullable,
}

const fn field(key: &'static str) -> Field {
    Field { key, required: false, shape: FieldShape::Text }
}

const fn required(key: &'static str) -> Field {
    Field { key, required: true, shape: FieldShape::Text }
}

const SERVICE: Shape = Shape::Text("a service's name, such as `app`");

/// Every action.
pub(crate) const ACTIONS: [ActionSpec; 12] = [
    ActionSpec { key: "traffic", shape: Shape::Fields(&TRAFFIC) },
    ActionSpec { key: "rotate_key", shape: Shape::Fields(&[required("server")]) },
    ActionSpec { key: "align_key", shape: Shape::Fields(&[required("caller")]) },
    ActionSpec { key: "set_env", shape: Shape::Fields(&SET_ENV) },
    ActionSpec { key: "stop", shape: SERVICE },
    ActionSpec { key: "start", shape: SERVICE },
    ActionSpec { key: "kill", shape: SERVICE },
    ActionSpec { key: "pause", shape: SERVICE },
    ActionSpec { key: "unpause", shape: SERVICE },
    ActionSpec { key: "wait", shape: Shape::Text("a duration such as `500ms`") },
    ActionSpec { key: "check", shape: Shape::Fields(&CHECK) },
    ActionSpec { key: "scenario", shape: Shape::Text("a scenario's name") },
];

const TRAFFIC: [Field; 9] = [
    field("requests"),
    field("duration"),
    field("rate"),
    field("connections"),
    field("path"),
    field("method"),
    Field { shape: FieldShape::Texts, ..field("headers") },
    field("key"),
    field("timeout"),
];

const SET_ENV: [Field; 2] = [required("service"), Field { shape: FieldShape::Nullable, ..required("env") }];

const CHECK: [Field; 7] = [
    required("path"),
    field("method"),
    Field { shape: FieldShape::Texts, ..field("headers") },
    field("key"),
    field("status"),
    field("body"),
    field("timeout"),
];

/// An action by its key.
pub(crate) fn action(key: &str) -> Option<&'static ActionSpec> {
    ACTIONS.iter().find(|spec| spec.key == key)
}
