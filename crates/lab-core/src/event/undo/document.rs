//! [`UndoItem`] as in events and journals: three texts, from which the typed target is read back.

use serde::{Deserialize, Serialize};

use super::{UndoItem, UndoStatus, UndoTarget};
use crate::engine::{APP, KEY_VARIABLE, RunState};

/// Target of the default caller; prefix for named callers.
const CALLER: &str = "caller";
const KEY: &str = "key";
const STATE: &str = "state";
const LAB: &str = "lab";
/// Value of a lab that did not exist before the run.
const REMOVED: &str = "removed";

/// Serialised form of [`UndoItem`].
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct UndoItemDocument {
    /// Service name, `caller`, `caller NAME` or `lab`.
    target: String,
    /// Variable name, `state` or `key`.
    name: String,
    /// Value before the run. Empty if there was none.
    value: String,
    status: UndoStatus,
    error: Option<String>,
    /// Only written if the other fields would be read as another kind, such as the server's key in a stack whose app
    /// has another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
}

/// Variant of [`UndoTarget`].
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Variable,
    ServerKey,
    RunState,
    CallerKey,
    NamedCallerKey,
    Lab,
}

impl From<UndoItem> for UndoItemDocument {
    fn from(item: UndoItem) -> Self {
        let UndoItem { target, status, error } = item;
        let (kind, target, name, value) = match target {
            UndoTarget::Variable { service, name, value } => (Kind::Variable, service, name, value.unwrap_or_default()),
            UndoTarget::ServerKey { service, variable, key } => {
                (Kind::ServerKey, service, variable, key.unwrap_or_default())
            }
            UndoTarget::RunState { service, state } => {
                (Kind::RunState, service, STATE.to_owned(), state.name().to_owned())
            }
            UndoTarget::CallerKey { key } => (Kind::CallerKey, CALLER.to_owned(), KEY.to_owned(), key),
            UndoTarget::NamedCallerKey { caller, key } => {
                (Kind::NamedCallerKey, format!("{CALLER} {caller}"), KEY.to_owned(), key.unwrap_or_default())
            }
            UndoTarget::Lab => (Kind::Lab, LAB.to_owned(), STATE.to_owned(), REMOVED.to_owned()),
        };
        let kind = (Kind::infer(&target, &name, &value) != kind).then_some(kind);
        Self { target, name, value, status, error, kind }
    }
}

impl From<UndoItemDocument> for UndoItem {
    fn from(document: UndoItemDocument) -> Self {
        let UndoItemDocument { target, name, value, status, error, kind } = document;
        let inferred = Kind::infer(&target, &name, &value);
        let some = |value: String| Some(value).filter(|value| !value.is_empty());
        let target = match (kind.unwrap_or(inferred), run_state(&value), named_caller(&target)) {
            (Kind::ServerKey, ..) => UndoTarget::ServerKey { service: target, variable: name, key: some(value) },
            (Kind::RunState, Some(state), _) => UndoTarget::RunState { service: target, state },
            (Kind::CallerKey, ..) => UndoTarget::CallerKey { key: value },
            (Kind::NamedCallerKey, _, Some(caller)) => {
                UndoTarget::NamedCallerKey { caller: caller.to_owned(), key: some(value) }
            }
            (Kind::Lab, ..) => UndoTarget::Lab,
            (Kind::Variable | Kind::RunState | Kind::NamedCallerKey, ..) => {
                UndoTarget::Variable { service: target, name, value: some(value) }
            }
        };
        Self { target, status, error }
    }
}

impl Kind {
    /// Kind of an item without one, as older versions wrote it.
    fn infer(target: &str, name: &str, value: &str) -> Self {
        match (target, name) {
            (_, STATE) if run_state(value).is_some() => Self::RunState,
            // Older versions wrote another value than `removed`.
            (LAB, STATE) => Self::Lab,
            (CALLER, KEY) => Self::CallerKey,
            (target, KEY) if named_caller(target).is_some() => Self::NamedCallerKey,
            (APP, KEY_VARIABLE) => Self::ServerKey,
            _ => Self::Variable,
        }
    }
}

fn run_state(name: &str) -> Option<RunState> {
    [RunState::Running, RunState::Paused, RunState::Stopped].into_iter().find(|state| state.name() == name)
}

fn named_caller(target: &str) -> Option<&str> {
    target.strip_prefix(CALLER)?.strip_prefix(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(target: UndoTarget) -> UndoItem {
        UndoItem { target, status: UndoStatus::Undone, error: None }
    }

    fn json(target: &str, name: &str, value: &str) -> String {
        format!(r#"{{"target":"{target}","name":"{name}","value":"{value}","status":"undone","error":null}}"#)
    }

    #[test]
    fn items_have_the_same_form_as_in_older_versions() {
        let (service, key) = ("app".to_owned(), Some("v1".to_owned()));
        let (variable, caller) = (KEY_VARIABLE.to_owned(), "web".to_owned());
        let cases = [
            (UndoTarget::ServerKey { service: service.clone(), variable, key }, json("app", "APP_API_KEY", "v1")),
            (
                UndoTarget::Variable { service: service.clone(), name: "DEBUG".to_owned(), value: None },
                json("app", "DEBUG", ""),
            ),
            (UndoTarget::RunState { service, state: RunState::Paused }, json("app", "state", "paused")),
            (UndoTarget::CallerKey { key: "v1".to_owned() }, json("caller", "key", "v1")),
            (UndoTarget::NamedCallerKey { caller, key: None }, json("caller web", "key", "")),
            (UndoTarget::Lab, json("lab", "state", "removed")),
        ];
        for (target, text) in cases {
            assert_eq!(serde_json::to_string(&item(target.clone())).unwrap(), text);
            assert_eq!(serde_json::from_str::<UndoItem>(&text).unwrap(), item(target));
        }
        let older = serde_json::from_str::<UndoItem>(&json("lab", "state", "gone")).unwrap();
        assert_eq!(older.target, UndoTarget::Lab);
    }

    #[test]
    fn ambiguous_items_survive_a_round_trip() {
        let text = |text: &str| text.to_owned();
        let variable = |service: &str, name: &str, value: &str| UndoTarget::Variable {
            service: text(service),
            name: text(name),
            value: Some(text(value)),
        };
        let targets = [
            UndoTarget::ServerKey { service: text("api"), variable: text("TOKEN"), key: Some(text("v1")) },
            variable("app", KEY_VARIABLE, "v1"),
            variable("api", "state", "running"),
            variable("lab", "state", "x"),
            variable("caller", "key", "v1"),
            variable("caller web", "key", "v1"),
            UndoTarget::RunState { service: text("lab"), state: RunState::Running },
            UndoTarget::NamedCallerKey { caller: text("state"), key: Some(text("running")) },
        ];
        for target in targets {
            let written = serde_json::to_string(&item(target.clone())).unwrap();
            assert_eq!(serde_json::from_str::<UndoItem>(&written).unwrap(), item(target), "{written}");
        }
    }
}
