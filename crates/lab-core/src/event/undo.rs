//! Result of undoing the changes of a run.

use serde::{Deserialize, Serialize};

mod document;

use document::UndoItemDocument;

use crate::engine::RunState;

/// Result of undoing the changes of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Result as a whole.
    pub status: UndoOutcome,
    /// One entry per reverted value, in undo order.
    pub items: Vec<UndoItem>,
}

/// Degree to which the lab is back in its original state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoOutcome {
    /// Every change was reverted, or there was none.
    Complete,
    /// The user asked to keep the changes (`--keep`, `--until`).
    Kept,
    /// Some changes could not be reverted; `lab recover` retries them.
    Incomplete,
}

/// One reverted or kept value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "UndoItemDocument", into = "UndoItemDocument")]
pub struct UndoItem {
    /// The value, as it was before the run.
    pub target: UndoTarget,
    /// Result of the revert.
    pub status: UndoStatus,
    /// Why the revert failed.
    pub error: Option<String>,
}

/// Part of a lab that an undo restores, with its value before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoTarget {
    /// Environment variable of a service.
    Variable {
        /// Service name.
        service: String,
        /// Name of the variable.
        name: String,
        /// `None` if the variable was unset. Reads as `None` from documents if it was empty.
        value: Option<String>,
    },
    /// Key that the server expects.
    ServerKey {
        /// Service with the role of the app.
        service: String,
        /// Variable that holds the key.
        variable: String,
        /// `None` if the variable was unset.
        key: Option<String>,
    },
    /// Run state of a service.
    RunState {
        /// Service name.
        service: String,
        /// State before the run.
        state: RunState,
    },
    /// Key of the default caller.
    CallerKey {
        /// Key before the run.
        key: String,
    },
    /// Key of a named caller.
    NamedCallerKey {
        /// Name of the caller.
        caller: String,
        /// `None` if the caller did not exist.
        key: Option<String>,
    },
    /// The lab itself, which did not exist before the run.
    Lab,
}

/// Result of reverting one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoStatus {
    /// The original value is restored.
    Undone,
    /// The revert failed; `lab recover` retries it.
    Failed,
    /// Kept at the user's request; `lab recover` reverts it.
    Kept,
}
