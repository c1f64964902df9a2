//! Texts of undo targets.

use lab_core::event::{UndoItem, UndoTarget};

/// Describes a restored value: `app APP_API_KEY apikey-v1`, `app DEBUG unset`, `gateway running`, `lab removed`.
pub fn describe_undo(item: &UndoItem) -> String {
    with_value(&item.target, value(&item.target))
}

/// Owner and name of a target, without its value. Run states and the lab need no name.
pub(super) fn parts(target: &UndoTarget) -> (String, Option<&str>) {
    match target {
        UndoTarget::Variable { service, name, .. } | UndoTarget::ServerKey { service, variable: name, .. } => {
            (service.clone(), Some(name))
        }
        UndoTarget::RunState { service, .. } => (service.clone(), None),
        UndoTarget::CallerKey { .. } => ("caller".to_owned(), Some("key")),
        UndoTarget::NamedCallerKey { caller, .. } => (format!("caller {caller}"), Some("key")),
        UndoTarget::Lab => ("lab".to_owned(), None),
    }
}

/// Value before the run.
pub(super) fn value(target: &UndoTarget) -> &str {
    match target {
        UndoTarget::Variable { value, .. } | UndoTarget::ServerKey { key: value, .. } => {
            value.as_deref().filter(|value| !value.is_empty()).unwrap_or("unset")
        }
        UndoTarget::NamedCallerKey { key, .. } => key.as_deref().unwrap_or("removed"),
        UndoTarget::CallerKey { key } => key,
        UndoTarget::RunState { state, .. } => state.name(),
        UndoTarget::Lab => "removed",
    }
}

/// Name of a target: `app APP_API_KEY`, `gateway`, `caller web key`.
pub(super) fn label(target: &UndoTarget) -> String {
    match parts(target) {
        (owner, Some(name)) => format!("{owner} {name}"),
        (owner, None) => owner,
    }
}

/// Name and value of a target.
pub(super) fn with_value(target: &UndoTarget, value: &str) -> String {
    format!("{} {value}", label(target))
}
